//! A node's processes as the system sees them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gorgone_integration_tests::{Node, NodeOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A folder with keys and a configuration whose limits do not slow a measurement down.
/// Nothing runs in it.
pub(crate) fn node() -> Node {
    stopped(None)
}

/// The same with an HTTP door.
pub(crate) fn http_node() -> Node {
    stopped(Some("    requests_per_second: 0".to_owned()))
}

fn stopped(http: Option<String>) -> Node {
    let options = NodeOptions {
        core: "  handshake_rate: 100000\n  max_tasks: 10000000\n".to_owned(),
        http,
        ..NodeOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut node = runtime.block_on(Node::start_with(options));
    node.stop();
    node
}

/// A program that runs in a node's folder; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program of this workspace with the node's configuration.
    pub(crate) fn start(program: &str, node: &Node) -> Self {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(node.path("log"))
            .unwrap();
        let child = Command::new(binary(program))
            .arg("--config")
            .arg(node.path("gorgoned.yml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts ('make bench' builds it)");
        Self { child }
    }

    /// SIGTERM; returns how long the end took.
    pub(crate) fn stop(mut self) -> Duration {
        let began = Instant::now();
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "ended with {status}");
        began.elapsed()
    }

    /// Processor time that it has used.
    pub(crate) fn busy(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanos = threads.filter_map(|thread| {
            let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// This process and all below it.
    pub(crate) fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let mut at = 0;
        while let Some(parent) = family.get(at) {
            let children = format!("/proc/{parent}/task/{parent}/children");
            let children = fs::read_to_string(children).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
            at += 1;
        }
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors: it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process holds in memory, in kB.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// All pages that it has.
    pub(crate) resident: u64,
    /// Pages that it shares counted in parts; 0 where the system does not tell.
    pub(crate) proportional: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        Self {
            resident: field(&format!("/proc/{pid}/status"), "VmRSS:"),
            proportional: field(&format!("/proc/{pid}/smaps_rollup"), "Pss:"),
        }
    }
}

/// The name of a process.
pub(crate) fn name(pid: u32) -> String {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split('\0');
    let program = words.next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or_default().to_owned()
}

fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.join(name)
}
