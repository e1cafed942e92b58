//! One gorgoned with its services, in a folder of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gorgone_client::{Client, ClientOptions};
use gorgone_crypto::PrivateKey;
use gorgone_protocol::{Endpoint, Identity};
use gorgone_session::ClientConfig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::http::{Http, request};
use crate::keys::keys;
use crate::netns::Place;

/// How long anything may take before a test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node differs in from the plain one.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// The node's id; 1 where it is not told.
    pub id: Option<u64>,
    /// Lines below `gorgonecore:`, indented by two.
    pub core: String,
    /// Entries of `authorized_clients` beside the test's own client, indented by four.
    pub clients: String,
    /// Lines below the module `action`, indented by four.
    pub action: String,
    /// Entries of `modules` beside it, indented by two.
    pub modules: String,
    /// Lines below the module `httpserver`, indented by four; without them it is not enabled. A
    /// user whom [`HTTP_CREDENTIALS`] lets in is there where no line names `users`.
    pub http: Option<String>,
    /// The internal endpoint on TCP, for modules that know no IPC path.
    pub internal_tcp: bool,
    /// Where the database is; in the node's folder where it is not told.
    pub database: Option<PathBuf>,
    /// On which machine it runs; on this one where it is not told.
    pub place: Option<Place>,
}

/// What the header `Authorization` holds for the user that the HTTP door of a node knows.
pub const HTTP_CREDENTIALS: &str = "Basic dGVzdDpzZWNyZXQ=";

/// See the module's doc. Everything of it ends when it is dropped.
#[derive(Debug)]
pub struct Node {
    dir: TempDir,
    port: u16,
    http: Option<String>,
    metrics: String,
    internal: String,
    gorgoned: Option<Child>,
    place: Option<Place>,
}

impl Node {
    /// Starts gorgoned, core and action, and waits until they answer.
    ///
    /// # Panics
    /// When they do not.
    pub async fn start() -> Self {
        Self::start_with(NodeOptions::default()).await
    }

    /// Starts a node that differs.
    ///
    /// # Panics
    /// When it does not answer.
    #[expect(
        clippy::expect_used,
        reason = "a node that does not start has failed the test"
    )]
    pub async fn start_with(options: NodeOptions) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("gorgone-")
            .tempdir()
            .expect("a folder");
        let port = free_port();
        let path = dir.path();
        fs::write(
            path.join("server.pem"),
            keys().server.to_pem().expect("PEM"),
        )
        .expect("written");
        fs::write(
            path.join("client.pem"),
            keys().client.to_pem().expect("PEM"),
        )
        .expect("written");
        private(&path.join("server.pem"));
        private(&path.join("client.pem"));
        let public = keys().server.public().to_pem().expect("PEM");
        fs::write(path.join("server.pub.pem"), public).expect("written");
        let (kind, internal) = if options.internal_tcp {
            ("tcp", format!("127.0.0.1:{}", free_port()))
        } else {
            ("ipc", path.join("bus.ipc").display().to_string())
        };
        let http = options.http.as_ref().map(|_| free_port());
        let metrics = free_port();
        let door = options.http.as_ref().map(|lines| {
            let users = match lines.contains("users:") {
                true => "",
                false => "    users: [{ name: test, password: secret }]\n",
            };
            format!(
                "  - name: httpserver\n    enable: true\n    port: {}\n    metrics_port: {metrics}\n\
                 {users}{lines}\n",
                http.unwrap_or_default()
            )
        });
        let database = options.database.unwrap_or_else(|| path.join("gorgone.sdb"));
        let thumbprint = keys().client.public().thumbprint();
        let config = format!(
            "name: test\n\
             gorgonecore:\n  id: {id}\n  internal_com_type: {kind}\n  internal_com_path: \"{internal}\"\n  \
             external_com_type: tcp\n  external_com_path: \"{host}:{port}\"\n  \
             gorgone_db_type: SQLite\n  gorgone_db_name: {db}\n  privkey: {key}\n  \
             authorized_clients:\n    - key: {thumbprint}\n{clients}\n{core}\n\
             modules:\n  - name: action\n    enable: true\n{action}\n{modules}\n{door}",
            id = options.id.unwrap_or(1),
            host = options.place.as_ref().map_or("127.0.0.1", |_| "*"),
            db = database.display(),
            key = path.join("server.pem").display(),
            clients = options.clients,
            core = options.core,
            action = options.action,
            modules = options.modules,
            door = door.unwrap_or_default(),
        );
        fs::write(path.join("gorgoned.yml"), config).expect("written");
        let mut node = Self {
            dir,
            port,
            http: http.map(|port| format!("127.0.0.1:{port}")),
            metrics: format!("127.0.0.1:{metrics}"),
            internal: format!("{kind}://{internal}"),
            gorgoned: None,
            place: options.place,
        };
        node.launch().await;
        node
    }

    /// Starts gorgoned in this node's folder, again or for the first time.
    ///
    /// # Panics
    /// When it does not answer.
    #[expect(
        clippy::expect_used,
        reason = "a node that does not start has failed the test"
    )]
    pub async fn launch(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        let program = binary("gorgoned");
        let mut command = match &self.place {
            Some(place) => place.command(&program),
            None => Command::new(program),
        };
        let child = command
            .arg("--config")
            .arg(self.path("gorgoned.yml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("gorgoned starts ('make unit' builds it)");
        self.gorgoned = Some(child);
        drop(self.client().await);
        if self.http.is_some() {
            eventually("the HTTP door is ready", async || {
                self.is_http_ready().await
            })
            .await;
        }
    }

    async fn is_http_ready(&self) -> bool {
        let Ok(address) = self.metrics.parse() else {
            return false;
        };
        let mut connection = Http::open(address).await;
        let answer = connection.ask(&request("GET", "/readyz", "", "")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Where the HTTP door is, as `host:port`.
    ///
    /// # Panics
    /// When it is not enabled.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a test that asks for a door must have one"
    )]
    pub fn http(&self) -> &str {
        self.http.as_deref().expect("NodeOptions::http")
    }

    /// Where the HTTP door tells how it is, as `host:port`.
    #[must_use]
    pub fn metrics(&self) -> &str {
        &self.metrics
    }

    /// One of our programs, not started yet.
    #[must_use]
    pub fn program(name: &str) -> Command {
        Command::new(binary(name))
    }

    /// Starts one more instance of a service, with these settings beside the node's own. Whoever
    /// starts it waits for its end, too.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a service that does not start has failed the test"
    )]
    pub fn instance(&self, program: &str, settings: &[&str]) -> Child {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        let mut command = Self::program(program);
        command.arg("--config").arg(self.path("gorgoned.yml"));
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the service starts ('make unit' builds it)")
    }

    /// gorgonectl, told how to reach this node.
    #[must_use]
    pub fn ctl(&self, args: &[&str]) -> Command {
        let mut command = Self::program("gorgonectl");
        command
            .env("GORGONECTL_SERVER", self.endpoint())
            .env("GORGONECTL_SERVER_KEY", self.path("server.pub.pem"))
            .env("GORGONECTL_KEY", self.path("client.pem"))
            .stdin(Stdio::null())
            .args(args);
        command
    }

    /// A file of this node.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The external endpoint, as ZeroMQ writes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("tcp://{}:{}", self.host(), self.port)
    }

    /// The internal endpoint, as ZeroMQ writes it.
    #[must_use]
    pub fn internal(&self) -> &str {
        &self.internal
    }

    /// What the node's processes have logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A client with a session, and an identity of its own.
    ///
    /// # Panics
    /// When it gets none.
    pub async fn client(&self) -> Client {
        let name = format!("test-{:016x}", rand::random::<u64>());
        self.client_named(&name).await
    }

    fn host(&self) -> &str {
        self.place
            .as_ref()
            .map_or("127.0.0.1", |place| &place.address)
    }

    /// A client with a session under this identity.
    ///
    /// # Panics
    /// When it gets none.
    pub async fn client_named(&self, name: &str) -> Client {
        self.client_with(name, &keys().client).await
    }

    /// A client with a session under this identity and key.
    ///
    /// # Panics
    /// When it gets none.
    pub async fn client_with(&self, name: &str, key: &PrivateKey) -> Client {
        let options = ClientOptions {
            endpoint: Endpoint::Tcp {
                host: self.host().to_owned(),
                port: self.port,
            },
            identity: Identity::new(name.as_bytes()),
            session: ClientConfig {
                hostname: name.to_owned(),
                server_key: keys().server.public().clone(),
                key: key.clone(),
                vector: *b"0123456789012345",
                keysize: 32,
            },
        };
        match Client::connect(options, PATIENCE).await {
            Ok(client) => client,
            Err(error) => panic!("no session: {error}\n{}", self.log()),
        }
    }

    /// The processes of this node with this name.
    #[must_use]
    pub fn pids(&self, name: &str) -> Vec<i32> {
        let marker = self.path("gorgoned.yml").display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|text| text.parse().ok())
            else {
                continue;
            };
            let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = cmdline
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            let program = words
                .first()
                .map(|word| word.rsplit('/').next().unwrap_or_default());
            if program == Some(name) && words.iter().any(|word| word.contains(&marker)) {
                found.push(pid);
            }
        }
        // A command that is just being started still looks like the service that starts it.
        let services = found.clone();
        found.retain(|pid| parent(*pid).is_none_or(|parent| !services.contains(&parent)));
        found
    }

    /// Sends a signal to all processes of this node with this name. False where there is none.
    pub fn signal(&self, name: &str, signal: Signal) -> bool {
        let pids = self.pids(name);
        for pid in &pids {
            // One that has just ended is as good as signalled.
            let _ = kill(Pid::from_raw(*pid), signal);
        }
        !pids.is_empty()
    }

    /// `kill -9` of everything at once.
    pub fn kill_all(&mut self) {
        let names = [
            "gorgone-core",
            "gorgone-action",
            "gorgone-cron",
            "gorgone-proxy",
            "gorgone-pull",
            "gorgone-httpserver",
            "gorgoned",
        ];
        let pids: Vec<_> = names.iter().flat_map(|name| self.pids(name)).collect();
        for pid in pids {
            // One that has just ended is as good as killed.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Some(mut child) = self.gorgoned.take() {
            let _ = child.wait();
        }
    }

    /// SIGTERM to gorgoned; returns how long the end took.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(&mut self) -> Duration {
        self.signal("gorgoned", Signal::SIGTERM);
        self.ends()
    }

    /// Waits for the end of a gorgoned that has been told to end; returns how long it took.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn ends(&mut self) -> Duration {
        let began = Instant::now();
        let Some(mut child) = self.gorgoned.take() else {
            return Duration::ZERO;
        };
        while began.elapsed() < PATIENCE {
            if let Ok(Some(status)) = child.try_wait() {
                assert!(
                    status.success(),
                    "gorgoned ended with {status}\n{}",
                    self.log()
                );
                return began.elapsed();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("gorgoned does not end\n{}", self.log());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            eprint_log(&self.log());
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the log of a failed test is for whoever reads it"
)]
fn eprint_log(log: &str) {
    eprintln!("--- log of the node ---\n{log}--- end of the log ---");
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// A binary of this workspace.
fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap_or_default();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.join(name)
}

fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // A file that stays readable makes the node refuse its key, which the test then shows.
    let _ = fs::set_permissions(file, fs::Permissions::from_mode(0o600));
}

/// A port that was free a moment ago.
///
/// # Panics
/// When there is none.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a machine without a free port cannot test"
)]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits until something is true.
///
/// # Panics
/// When it does not become true within a minute.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < PATIENCE, "does not become true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
