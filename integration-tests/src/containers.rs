//! The stack in containers, as docker-compose.yml starts it: images built of the programs beside
//! this test, a project name and ports of its own, and its keys at hand.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use gorgone_client::{Client, ClientOptions};
use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::{Endpoint, Identity};
use gorgone_session::ClientConfig;
use tempfile::TempDir;

use crate::Node;

/// How long the stack may take to answer: images that are new are unpacked first.
const PATIENCE: Duration = Duration::from_secs(60);

/// The repository's folder.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a program to its end, and returns what it printed to its output.
///
/// # Panics
/// When it fails, with all that it printed.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a program that does not start has failed the test"
)]
pub fn output(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// What `docker` with these arguments prints.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn docker(args: &[&str]) -> String {
    output(Command::new("docker").args(args)).trim().to_owned()
}

/// Whether a program is there and answers `args`.
#[must_use]
pub fn answers(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The tag of this checkout's images: checkouts that test at one time do not disturb each other.
#[must_use]
pub fn tag() -> String {
    let mut hasher = DefaultHasher::new();
    repository().canonicalize().ok().hash(&mut hasher);
    format!("test-{:08x}", hasher.finish() & 0xffff_ffff)
}

/// Builds images of the programs beside this test.
///
/// # Panics
/// When they cannot be built.
pub fn build_images(engine: &str, images: &[&str]) {
    let programs = Node::program("gorgoned");
    let programs = Path::new(programs.get_program());
    let folder = programs.parent().unwrap_or(programs);
    let mut build = Command::new(repository().join("deploy/docker/build"));
    build
        .args(["--engine", engine, "--tag", &tag(), "--programs"])
        .arg(folder)
        .args(images);
    let _ = output(&mut build);
}

/// Keys and credentials that the first start has made, copied out of their volumes.
#[derive(Debug)]
pub struct Keyring {
    dir: TempDir,
    port: u16,
}

impl Keyring {
    /// Takes them from a tar archive of `/secrets`; `port` is where core is.
    ///
    /// # Panics
    /// When it cannot be unpacked.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without keys has failed")]
    pub fn unpack(archive: &[u8], port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("secrets.tar");
        fs::write(&file, archive).expect("written");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(dir.path()).arg("--no-same-owner");
        let _ = output(tar.arg("-xf").arg(&file));
        Self { dir, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("secrets").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The token of the HTTP API.
    #[must_use]
    pub fn http_token(&self) -> String {
        self.read("http/token")
    }

    /// gorgonectl on this host, told how to reach the stack.
    #[must_use]
    pub fn ctl(&self, args: &[&str]) -> Command {
        let mut command = Node::program("gorgonectl");
        command
            .env(
                "GORGONECTL_SERVER",
                format!("tcp://127.0.0.1:{}", self.port),
            )
            .env("GORGONECTL_SERVER_KEY", self.path("public/central.pem"))
            .env("GORGONECTL_KEY", self.path("admin/privkey.pem"))
            .args(args);
        command
    }

    /// A client with a session.
    ///
    /// # Panics
    /// When it gets none.
    #[expect(clippy::expect_used, reason = "a test without a client has failed")]
    pub async fn client(&self) -> Client {
        let name = format!("test-{:016x}", rand::random::<u64>());
        let options = ClientOptions {
            endpoint: Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: self.port,
            },
            identity: Identity::new(name.as_bytes()),
            session: ClientConfig {
                hostname: name,
                server_key: PublicKey::from_pem(&self.read("public/central.pem"))
                    .expect("core's key"),
                key: PrivateKey::from_pem(&self.read("admin/privkey.pem")).expect("our key"),
                vector: *b"0123456789012345",
                keysize: 32,
            },
        };
        Client::connect(options, PATIENCE).await.expect("a session")
    }
}

/// The stack of docker-compose.yml. All of it goes when this is dropped.
#[derive(Debug)]
pub struct Compose {
    project: String,
    port: u16,
    http: u16,
    shared: TempDir,
}

impl Compose {
    /// Starts the stack with profile `demo`. A folder that the commands of all nodes share is
    /// `/shared` in their containers, and [`Compose::shared`] here.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a stack that does not start has failed the test"
    )]
    pub fn up() -> Self {
        let shared = tempfile::tempdir().expect("a folder");
        let folder = shared.path().join("shared");
        fs::create_dir(&folder).expect("made");
        open_to_all(&folder);
        let volume = format!("volumes: [\"{}:/shared\"]", folder.display());
        let text = format!("services:\n  action: {{ {volume} }}\n  poller: {{ {volume} }}\n");
        fs::write(shared.path().join("shared.yml"), text).expect("written");
        let stack = Self {
            project: format!("gorgone-test-{:08x}", rand::random::<u32>()),
            port: free_ports(1),
            http: free_ports(10),
            shared,
        };
        stack.compose(&["up", "-d", "--no-build"]);
        stack
    }

    /// The folder that commands share.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.shared.path().join("shared")
    }

    /// Runs docker-compose, and returns what it prints to its output.
    ///
    /// # Panics
    /// When it fails.
    pub fn compose(&self, args: &[&str]) -> String {
        let mut command = Command::new("docker-compose");
        command
            .args(["--project-name", &self.project, "--profile", "demo"])
            .arg("--project-directory")
            .arg(repository())
            .arg("--file")
            .arg(repository().join("docker-compose.yml"))
            .arg("--file")
            .arg(self.shared.path().join("shared.yml"))
            .args(args)
            .env("GORGONE_TAG", tag())
            .env("GORGONE_PORT", self.port.to_string())
            .env(
                "GORGONE_HTTP_PORTS",
                format!("{}-{}", self.http, self.http + 9),
            );
        output(&mut command)
    }

    /// The names of the running containers of a service.
    #[must_use]
    pub fn containers(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let format = "{{.Names}}";
        let names = docker(&[
            "ps", "--filter", &project, "--filter", &service, "--format", format,
        ]);
        let mut names: Vec<_> = names.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Where a container's HTTP API is on this host, as `host:port`.
    #[must_use]
    pub fn published(container: &str, port: u16) -> String {
        docker(&["port", container, &port.to_string()])
    }

    /// Keys and credentials of the stack.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without keys has failed")]
    pub fn keyring(&self) -> Keyring {
        let image = format!("gorgone/gorgonectl:{}", tag());
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network", "none", "--entrypoint", "tar"]);
        for name in ["admin", "public", "http"] {
            command.arg("--volume");
            command.arg(format!("{}_{name}:/secrets/{name}:ro", self.project));
        }
        command.args([&image, "-C", "/", "-cf", "-", "secrets"]);
        let archive = command.output().expect("docker starts");
        Keyring::unpack(&archive.stdout, self.port)
    }

    /// Takes everything away; returns what is left of the project all the same.
    #[must_use]
    pub fn down(&self) -> String {
        self.compose(&["down", "--volumes", "--remove-orphans"]);
        let project = format!("label=com.docker.compose.project={}", self.project);
        ["container", "volume", "network"]
            .map(|kind| {
                let all: &[&str] = if kind == "container" { &["--all"] } else { &[] };
                let list = [&[kind, "ls", "--quiet", "--filter", &project], all].concat();
                docker(&list)
            })
            .concat()
    }

    /// What all containers have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        self.compose(&["logs", "--no-color"])
    }
}

impl Drop for Compose {
    #[expect(
        clippy::print_stderr,
        reason = "the logs of a failed test are for whoever reads them"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- logs of the stack ---\n{}", self.logs());
        }
        let _ = self.down();
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // One that stays closed makes the commands fail, which the test then shows.
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o777));
}

/// The first of so many free ports in a row.
#[expect(
    clippy::expect_used,
    reason = "a machine without free ports cannot test"
)]
fn free_ports(count: u16) -> u16 {
    (0..100)
        .map(|_| rand::random_range(20_000..30_000))
        .find(|first| {
            (*first..first + count).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok())
        })
        .expect("free ports")
}
