//! What gorgoned does with its services, tried with shell scripts in their place.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are not inside a test function"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(20);

/// A service as it should be: says what happens to it, is ready at once, ends when asked and
/// when gorgoned is gone.
const GOOD: &str = r#"
name=${0##*/}
say() { echo "$name $*" >> "$DIR/events"; }
trap 'say stopped; exit 0' TERM
trap 'say reloaded' HUP
say "started $$"
echo READY
exec 3<&0
cat <&3 >/dev/null &
cat=$!
while wait $cat; [ $? -gt 128 ]; do :; done
say orphaned
"#;

struct Host {
    dir: PathBuf,
    gorgoned: Option<Child>,
}

impl Host {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("gorgoned-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("bin")).unwrap();
        let host = Self {
            dir,
            gorgoned: None,
        };
        host.program("gorgone-core", GOOD);
        host.program("gorgone-action", GOOD);
        host.configure("", true);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        let text = format!("#!/bin/sh\nDIR={}\n{script}\n", self.dir.display());
        // Written beside and moved: a script that runs must not change under its shell.
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &file).unwrap();
    }

    fn configure(&self, core: &str, action: bool) {
        let text = format!(
            "gorgonecore:\n  internal_com_type: ipc\n  internal_com_path: {0}/bus\n  \
             gorgone_db_name: {0}/db/history.sdb\n{core}\
             modules:\n  - name: action\n    enable: {action}\n",
            self.dir.display()
        );
        fs::write(self.path("gorgoned.yml"), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gorgoned"));
        command
            .arg(format!("--config={}", self.path("gorgoned.yml").display()))
            .arg(format!("--bin-dir={}", self.path("bin").display()))
            .args(["--severity=debug", "--log-format=text"])
            .stdin(Stdio::null());
        command
    }

    fn start(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        self.gorgoned = Some(self.command().stderr(log).spawn().unwrap());
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn events(&self) -> Vec<String> {
        self.read("events").lines().map(str::to_owned).collect()
    }

    /// Waits until the condition holds.
    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(
                Instant::now() < end,
                "never: {what}\nevents: {:#?}\nlog:\n{}",
                self.events(),
                self.read("log")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_ready(&self) {
        self.until("ready", |host| {
            host.read("log").contains("gorgone_runtime::context: ready")
        });
    }

    fn until_event(&self, event: &str) {
        self.until(event, |host| {
            host.events().iter().any(|line| line.starts_with(event))
        });
    }

    /// The process ids under which a service was started, in order.
    fn pids(&self, name: &str) -> Vec<i32> {
        let prefix = format!("{name} started ");
        self.events()
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix)?.parse().ok())
            .collect()
    }

    fn signal(&self, signal: Signal) {
        let id = self.gorgoned.as_ref().expect("running").id();
        kill(Pid::from_raw(id.cast_signed()), signal).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        let mut child = self.gorgoned.take().expect("running");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "does not end:\n{}", self.read("log"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.gorgoned.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn kill_9(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn core_starts_first_and_stops_last() {
    let mut host = Host::new("order");
    host.start();
    host.until_ready();
    host.signal(Signal::SIGTERM);
    assert!(host.end().success());
    let events: Vec<String> = host
        .events()
        .iter()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "gorgone-core started",
        "gorgone-action started",
        "gorgone-action stopped",
        "gorgone-core stopped",
    ];
    assert_eq!(events, expected);
}

#[test]
fn service_that_dies_is_started_again() {
    let mut host = Host::new("restart");
    host.start();
    host.until_ready();
    for name in ["gorgone-core", "gorgone-action"] {
        kill_9(host.pids(name)[0]);
        host.until("a second start", |host| host.pids(name).len() == 2);
    }
    host.signal(Signal::SIGTERM);
    assert!(host.end().success());
}

#[test]
fn module_waits_until_core_is_ready() {
    let mut host = Host::new("wait");
    let late = GOOD.replace(
        "echo READY",
        "until [ -e $DIR/go ]; do sleep 0.01; done; echo READY",
    );
    host.program("gorgone-core", &late);
    host.start();
    host.until_event("gorgone-core started");
    assert!(host.pids("gorgone-action").is_empty());
    fs::write(host.path("go"), "").unwrap();
    host.until_ready();
    assert_eq!(host.pids("gorgone-action").len(), 1);
}

#[test]
fn service_that_refuses_its_configuration_is_not_hammered() {
    let mut host = Host::new("refuse");
    host.program(
        "gorgone-core",
        "echo \"gorgone-core started $$\" >> $DIR/events; exit 2",
    );
    host.start();
    assert!(!host.end().success());
    assert_eq!(host.pids("gorgone-core").len(), 1);
    assert!(
        host.read("log")
            .contains("gorgone-core refuses the configuration")
    );
}

#[test]
fn service_that_does_not_stop_is_killed_at_the_deadline() {
    let mut host = Host::new("stubborn");
    host.configure("  timeout: 1\n", true);
    host.program(
        "gorgone-action",
        &GOOD.replace("say stopped; exit 0", "say asked"),
    );
    host.start();
    host.until_ready();
    host.signal(Signal::SIGTERM);
    assert!(host.end().success());
    let log = host.read("log");
    assert!(log.contains("did not stop in time; it is killed"), "{log}");
    assert!(host.events().contains(&"gorgone-core stopped".to_owned()));
}

#[test]
fn no_service_outlives_a_gorgoned_that_was_killed() {
    let mut host = Host::new("killed");
    host.start();
    host.until_ready();
    host.signal(Signal::SIGKILL);
    host.end();
    host.until_event("gorgone-core orphaned");
    host.until_event("gorgone-action orphaned");
}

#[test]
fn gorgoned_starts_again_after_it_was_killed() {
    let mut host = Host::new("again");
    host.start();
    host.until_ready();
    host.signal(Signal::SIGKILL);
    host.end();
    fs::remove_file(host.path("log")).unwrap();
    host.start();
    host.until_ready();
}

#[test]
fn second_gorgoned_with_the_same_database_names_the_first() {
    let mut host = Host::new("second");
    host.start();
    host.until_ready();
    let first = host.gorgoned.as_ref().unwrap().id();
    let second = host.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8_lossy(&second.stderr);
    let told = format!("gorgoned with pid {first} already runs with this configuration");
    assert!(text.contains(&told), "{text}");
    assert_eq!(host.pids("gorgone-core").len(), 1);
}

#[test]
fn hangup_starts_and_stops_modules_and_reaches_the_others() {
    let mut host = Host::new("reload");
    host.configure("", false);
    host.start();
    host.until_ready();
    assert!(host.pids("gorgone-action").is_empty());
    host.configure("", true);
    host.signal(Signal::SIGHUP);
    host.until_event("gorgone-action started");
    host.until_event("gorgone-core reloaded");
    host.configure("", false);
    host.signal(Signal::SIGHUP);
    host.until_event("gorgone-action stopped");
    assert_eq!(host.pids("gorgone-core").len(), 1);
}

#[test]
fn hangup_restarts_a_service_only_if_it_must() {
    let mut host = Host::new("must");
    host.start();
    host.until_ready();
    host.configure("  max_tasks: 10\n", true);
    host.signal(Signal::SIGHUP);
    host.until("a second core", |host| host.pids("gorgone-core").len() == 2);
    host.until_event("gorgone-action reloaded");
    assert_eq!(host.pids("gorgone-action").len(), 1);
}

#[test]
fn hangup_with_a_wrong_configuration_changes_nothing() {
    let mut host = Host::new("wrong");
    host.start();
    host.until_ready();
    host.configure("  timeot: 1\n", false);
    host.signal(Signal::SIGHUP);
    host.until("a refusal", |host| {
        host.read("log").contains("stays in force")
    });
    assert!(host.read("log").contains("did you mean 'timeout'?"));
    assert_eq!(host.events().len(), 2, "{:?}", host.events());
}

#[test]
fn wrong_configuration_starts_nothing() {
    let host = Host::new("nothing");
    host.configure("  timeot: 1\n  id: x\n", true);
    let output = host.command().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("gorgonecore.timeot") && text.contains("gorgonecore.id"),
        "{text}"
    );
    assert!(host.events().is_empty());
}

#[test]
fn taken_port_is_told_with_line_key_and_mend() {
    let host = Host::new("port");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "gorgonecore:\n  gorgone_db_name: {}/db.sdb\n  internal_com_path: 127.0.0.1:{port}\n",
        host.dir.display()
    );
    fs::write(host.path("gorgoned.yml"), text).unwrap();
    let output = host.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    let told = format!("gorgonecore.internal_com_path: cannot bind tcp://127.0.0.1:{port}");
    assert!(
        text.contains("gorgoned.yml:3:22: ") && text.contains(&told),
        "{text}"
    );
    assert!(text.contains("or choose another port"), "{text}");
    assert!(host.events().is_empty());
}

#[test]
fn missing_program_is_told_before_anything_starts() {
    let host = Host::new("missing");
    fs::remove_file(host.path("bin/gorgone-action")).unwrap();
    let output = host.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("gorgone-action is missing"), "{text}");
    assert!(host.events().is_empty());
}

#[test]
fn check_tells_everything_and_starts_nothing() {
    let host = Host::new("check");
    let check = |host: &Host| {
        let output = host.command().arg("check").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = check(&host);
    assert_eq!((code, text.as_str()), (Some(0), "configuration is fine\n"));
    host.configure("  timeot: 1\n  id: x\n", true);
    let (code, text) = check(&host);
    assert_eq!(code, Some(2));
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(host.events().is_empty());
}

/// Every configuration of the repository is one that can be used; keys are made by hand.
#[test]
fn configurations_of_the_repository_load() {
    use gorgone_runtime::config::{Checks, Config, Sources};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let files = [
        ("gorgoned.yml", 0),
        ("central.yml", 0),
        ("poller.yml", 0),
        ("poller-pull.yml", 0),
        // That the HTTP API speaks in clear: TLS is for whoever publishes it.
        ("containers.yml", 1),
        ("../deploy/docker/demo/poller.yml", 0),
    ];
    for (name, warnings) in files {
        let sources = Sources {
            file: folder.join(name),
            ..Sources::default()
        };
        let loaded = Config::load(&sources, Checks::default());
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        let told = &loaded.warnings;
        assert_eq!(told.len(), warnings, "{name}: {told:?}");
        let pull = &loaded.config.modules.pull;
        let is_reached = loaded.config.core.external.is_some();
        assert!(
            is_reached || (pull.enable && pull.target.is_some()),
            "{name}"
        );
        assert!(loaded.config.modules.action.enable, "{name}");
    }
    let nodes = gorgone_runtime::config::read_nodes(&folder.join("registernodes.yml"));
    assert_eq!(nodes.unwrap_or_else(|error| panic!("{error}")).len(), 3);
}

#[test]
fn every_key_of_the_complete_configuration_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("config/gorgoned.yml")).unwrap();
    let docs = ["docs/configuration.md", "docs/cron.md"]
        .map(|page| fs::read_to_string(root.join(page)).unwrap())
        .concat();
    let keys: Vec<&str> = text
        .lines()
        .map(|line| line.trim_start_matches([' ', '#', '-']))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, _)| key)
        .filter(|key| key.contains('_') && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .filter(|key| *key != "restart_engine")
        .collect();
    assert!(keys.len() > 35, "{keys:?}");
    for key in keys {
        assert!(
            docs.contains(&format!("`{key}`")),
            "{key} is not in docs/configuration.md"
        );
    }
}

/// What stands there as a default is one: with all of it uncommented nothing changes.
#[test]
fn complete_configuration_shows_the_true_defaults() {
    use gorgone_runtime::config::{Checks, Config, Sources};
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/gorgoned.yml");
    let text = fs::read_to_string(&file).unwrap();
    let mut uncommented = 0;
    let full: Vec<String> = text
        .lines()
        .map(|line| {
            let Some((indent, rest)) = line.split_once("# ") else {
                return line.to_owned();
            };
            let key = rest.split_once(':').map_or("", |(key, _)| key);
            let is_key = key.contains('_') || ["timeout", "queue", "pubkey"].contains(&key);
            if !is_key || key.contains(' ') || !indent.trim().is_empty() {
                return line.to_owned();
            }
            uncommented += 1;
            format!("{indent}{rest}")
        })
        .collect();
    assert!(uncommented > 25, "{uncommented}");
    let load = |text: &str| {
        let sources = Sources {
            file: file.clone(),
            settings: vec![("modules.action.max_parallel".into(), "8".into())],
            ..Sources::default()
        };
        Config::parse(text, &sources, Checks::default())
            .unwrap_or_else(|error| panic!("{error}"))
            .config
    };
    let (short, full) = (load(&text), load(&full.join("\n")));
    assert_eq!(short.core, full.core);
    assert_eq!(short.modules, full.modules);
}
