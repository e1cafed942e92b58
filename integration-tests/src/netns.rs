//! Machines of their own for nodes: network namespaces, joined by links that can be cut.
//!
//! ```text
//! the test ── a link to each machine, which is never cut
//! machine 0 ── machine 1 ── machine 2          links that drop every packet while they are cut
//! ```
//! It needs root and iproute2 and iptables; where they are not to be had, [`Machines::new`] says
//! so.

use std::process::{Command, Stdio};

/// Where a node runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// The network namespace.
    pub namespace: String,
    /// Where the test reaches it.
    pub address: String,
    /// By how many seconds its clock is wrong.
    pub clock: i64,
}

/// See the module's doc. Everything of it goes when it is dropped.
#[derive(Debug)]
pub struct Machines {
    /// The second and third part of all names and addresses.
    number: u8,
    count: usize,
}

fn run(program: &str, args: &str) -> Result<(), String> {
    let output = Command::new(program)
        .args(args.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {args}: {}", words.trim())),
    }
}

/// A library that makes clocks wrong, of Debian's package libfaketime.
fn faketime() -> Option<&'static str> {
    let paths = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ];
    let there = |path: &&str| std::path::Path::new(path).exists();
    paths.into_iter().find(there)
}

impl Machines {
    /// A row of machines.
    ///
    /// # Errors
    /// What this machine lacks, in words.
    pub fn new(count: usize) -> Result<Self, String> {
        let machines = Self {
            number: rand::random(),
            count,
        };
        for at in 0..count {
            machines.add(at)?;
        }
        Ok(machines)
    }

    fn add(&self, at: usize) -> Result<(), String> {
        let (name, number) = (self.name(at), self.number);
        run("ip", &format!("netns add {name}"))?;
        run("ip", &format!("-n {name} link set lo up"))?;
        // From the test.
        let outside = format!("g{number}t{at}");
        run(
            "ip",
            &format!("link add {outside} type veth peer name test netns {name}"),
        )?;
        let first = at * 8;
        self.address(None, &outside, first + 1)?;
        self.address(Some(&name), "test", first + 2)?;
        if at == 0 {
            return Ok(());
        }
        // From the machine before.
        let before = self.name(at - 1);
        run(
            "ip",
            &format!("-n {before} link add below type veth peer name above netns {name}"),
        )?;
        self.address(Some(&before), "below", first + 5)?;
        self.address(Some(&name), "above", first + 6)
    }

    fn address(&self, namespace: Option<&str>, link: &str, last: usize) -> Result<(), String> {
        let within = namespace.map_or_else(String::new, |name| format!("-n {name} "));
        let number = self.number;
        run(
            "ip",
            &format!("{within}address add 10.213.{number}.{last}/30 dev {link}"),
        )?;
        run("ip", &format!("{within}link set {link} up"))
    }

    fn name(&self, at: usize) -> String {
        format!("gorgone-test-{}-{at}", self.number)
    }

    /// One of the machines, with its clock wrong by so many seconds.
    #[must_use]
    pub fn place(&self, at: usize, clock: i64) -> Place {
        Place {
            namespace: self.name(at),
            address: format!("10.213.{}.{}", self.number, at * 8 + 2),
            clock,
        }
    }

    /// Where the machine before reaches this one.
    #[must_use]
    pub fn below(&self, at: usize) -> String {
        format!("10.213.{}.{}", self.number, at * 8 + 6)
    }

    /// Drops every packet between this machine and the one before, both ways, until
    /// [`Machines::heal`]. Nobody is told.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn cut(&self, at: usize) {
        self.rule(at, "-I INPUT -i above -j DROP");
        self.rule(at, "-I OUTPUT -o above -j DROP");
    }

    /// Lets packets through again.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn heal(&self, at: usize) {
        self.rule(at, "-F");
    }

    #[expect(
        clippy::panic,
        reason = "a link that cannot be cut or healed has failed the test"
    )]
    fn rule(&self, at: usize, rule: &str) {
        let args = format!("netns exec {} iptables {rule}", self.name(at));
        if let Err(words) = run("ip", &args) {
            panic!("{words}");
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for at in 0..self.count {
            // The links go with it. One that could not be made is not there.
            let _ = run("ip", &format!("netns del {}", self.name(at)));
        }
    }
}

impl Place {
    /// A program that is to run there.
    #[must_use]
    pub fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program);
        if let (true, Some(library)) = (self.clock != 0, faketime()) {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME", format!("{:+}s", self.clock))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// Whether clocks can be made wrong on this machine.
    #[must_use]
    pub fn has_clocks() -> bool {
        faketime().is_some()
    }
}
