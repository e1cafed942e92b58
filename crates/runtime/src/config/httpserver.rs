//! The module `httpserver`: where the HTTP door is, who may use it, and how much of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::Checks;
use super::credential::{self, HttpUser};
use super::monitor::{self, address, port};
use super::rights;
use super::section::Section;
use super::subnet::Subnet;

/// What gorgone-httpserver is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpServerConfig {
    /// Whether gorgoned starts it.
    pub enable: bool,
    /// The instance's name on the bus: unique among all modules, the same after a restart.
    pub instance: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it tells how it is, in clear and to everybody: `/healthz`, `/readyz`, `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// The certificate and its key; absent: HTTP in clear.
    pub tls: Option<TlsFiles>,
    /// Who may use it; absent: nobody is asked who they are.
    pub users: Option<Vec<HttpUser>>,
    /// When a peer that guesses is made to wait.
    pub brake: Brake,
    /// From where it may be used; absent: from anywhere.
    pub allowed_hosts: Option<Vec<Subnet>>,
    /// Whether it may listen beyond this host without asking anybody who they are.
    pub allow_anonymous_from_anywhere: bool,
    /// What is refused beyond.
    pub limits: HttpLimits,
}

/// Two PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A peer may fail so often within so long; then it waits until its failures are old enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Brake {
    /// How often.
    pub failures: u32,
    /// Within how long.
    pub window: Duration,
}

/// What the HTTP door refuses beyond: nothing in it grows without bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpLimits {
    /// Bytes of a request's body.
    pub max_body_size: usize,
    /// How long a request's head may take to arrive.
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How long a peer may leave what it is sent unread.
    pub write_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive_timeout: Duration,
    /// How long core may take to answer.
    pub request_timeout: Duration,
    /// Longest time that a caller may wait for a token to end.
    pub max_wait: Duration,
    /// Callers that wait at one time, streams included.
    pub max_waiters: usize,
    /// Of these, how many with the same credential, or from the same peer where there is none.
    pub max_waiters_per_user: usize,
    /// Requests per second of one credential, or of one peer where there is none; 0: any number.
    pub requests_per_second: u32,
    /// So many may come at once after a rest.
    pub request_burst: u32,
    /// Connections at one time.
    pub max_connections: usize,
    /// Of these, how many from one peer.
    pub max_connections_per_peer: usize,
}

const MIB: usize = 1024 * 1024;
const HOUR: u64 = 3600;

impl HttpServerConfig {
    /// Whether everybody who can reach this host may do everything, without its administrator
    /// having said so.
    #[must_use]
    pub fn is_open_by_mistake(&self) -> bool {
        self.users.is_none()
            && !self.listen.ip().to_canonical().is_loopback()
            && !self.allow_anonymous_from_anywhere
    }

    /// What to do about [`HttpServerConfig::is_open_by_mistake`].
    pub const OPEN: &'static str = "is open to the world: everybody who reaches this address could \
         run commands, since auth is not enabled; add users, or listen on 127.0.0.1, or, if that \
         is what you want, set allow_anonymous_from_anywhere: true";
}

pub(super) fn read(section: Section<'_>, checks: Checks) -> HttpServerConfig {
    section.raw("name");
    section.raw("package");
    let address = section
        .parsed("address", address)
        .unwrap_or(Ipv4Addr::LOCALHOST.into());
    let config = HttpServerConfig {
        enable: section.flag("enable", false),
        instance: section.instance("gorgone-httpserver"),
        listen: SocketAddr::new(address, port(&section, "port", 8080)),
        metrics: monitor::read(&section, 8081),
        tls: tls(&section, checks),
        users: users(&section, checks),
        brake: Brake {
            failures: u32::try_from(section.number("max_auth_failures", 10, 1..=100_000))
                .unwrap_or(u32::MAX),
            window: section.seconds("auth_failure_window", 60, 1..=24 * HOUR),
        },
        allowed_hosts: allowed_hosts(&section),
        allow_anonymous_from_anywhere: section.flag("allow_anonymous_from_anywhere", false),
        limits: limits(&section),
    };
    if config.enable {
        look_after(&section, &config);
    }
    section.ignore(&["dispatch"]);
    section.finish();
    config
}

/// What its administrator should know about the whole of it.
fn look_after(section: &Section<'_>, config: &HttpServerConfig) {
    let local = config.listen.ip().to_canonical().is_loopback();
    if config.is_open_by_mistake() {
        section.problem("address", HttpServerConfig::OPEN);
    }
    if config.users.is_none() && local {
        section.warn(
            "auth",
            "is not enabled: every user of this host may run commands over HTTP; add users",
        );
    }
    if config.users.is_some() && config.tls.is_none() && !local {
        section.warn(
            "ssl",
            "is false: passwords and tokens travel in clear; give a certificate, or put a server that has one in front",
        );
    }
    if config.metrics == Some(config.listen) {
        section.problem(
            "metrics_port",
            "is the API's port too; choose another, or 0 for none",
        );
    }
}

fn tls(section: &Section<'_>, checks: Checks) -> Option<TlsFiles> {
    let wanted = section.flag("ssl", false);
    let certificate = tls_file(section, "ssl_cert_file", wanted, checks);
    let key = tls_file(section, "ssl_key_file", wanted, checks);
    match (wanted, certificate, key) {
        (true, Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        _ => None,
    }
}

fn tls_file(section: &Section<'_>, key: &str, wanted: bool, checks: Checks) -> Option<PathBuf> {
    let path = section.file(key);
    if !wanted {
        return None;
    }
    match &path {
        None => section.problem(
            key,
            "is missing: ssl needs a certificate and its key, as PEM",
        ),
        Some(path) if checks.http => {
            if let Err(error) = std::fs::File::open(path) {
                let shown = path.display();
                section.problem(key, format!("cannot read {shown}: {error}"));
            }
        }
        Some(_) => {}
    }
    path
}

/// Those of `users`, and the one of the older key `auth`.
fn users(section: &Section<'_>, checks: Checks) -> Option<Vec<HttpUser>> {
    let mut users = credential::users(section, checks.http);
    let mut enabled = !users.is_empty();
    if let Some(auth) = section.section("auth") {
        let name = auth.parsed("user", credential::user_name);
        let password = credential::password(&auth, checks.http);
        let rights = rights::read(&auth);
        let from_file = auth.has("password_file") || auth.has("password_hash_file");
        enabled = auth.flag("enabled", enabled || name.is_some());
        if let Some(name) = name {
            if enabled && password.is_none() && !from_file {
                auth.problem("password", "is missing beside user; or give password_hash");
            }
            if users.iter().any(|user| user.name == name) {
                auth.problem("user", format!("'{name}' stands below users too"));
            }
            users.push(HttpUser {
                name,
                password,
                token: None,
                rights,
            });
        } else if enabled && users.is_empty() {
            auth.problem(
                "user",
                "is missing: auth is enabled, and there is nobody who could come in; add users",
            );
        }
        if !enabled && !users.is_empty() {
            auth.warn("enabled", "is false: nobody is asked for their password");
        }
        auth.finish();
    }
    enabled.then_some(users)
}

fn allowed_hosts(section: &Section<'_>) -> Option<Vec<Subnet>> {
    let hosts = section.section("allowed_hosts")?;
    let mut subnets = Vec::new();
    for (path, text) in hosts.texts("subnets") {
        match Subnet::parse(&text) {
            Ok(subnet) => subnets.push(subnet),
            Err(message) => hosts.reader().problem(&path, message),
        }
    }
    let enabled = hosts.flag("enabled", !subnets.is_empty());
    if enabled && !hosts.has("subnets") {
        hosts.problem("subnets", "is missing: nobody could come in; list networks");
    }
    hosts.finish();
    enabled.then_some(subnets)
}

fn limits(section: &Section<'_>) -> HttpLimits {
    HttpLimits {
        max_body_size: section.count("max_body_size", 8 * MIB, 1024..=15 * MIB as u64),
        header_timeout: section.seconds("header_timeout", 10, 1..=HOUR),
        body_timeout: section.seconds("body_timeout", 30, 1..=HOUR),
        write_timeout: section.seconds("write_timeout", 30, 1..=HOUR),
        keep_alive_timeout: section.seconds("keep_alive_timeout", 75, 1..=24 * HOUR),
        request_timeout: section.seconds("request_timeout", 30, 1..=HOUR),
        max_wait: section.seconds("max_wait", HOUR, 1..=24 * HOUR),
        max_waiters: section.count("max_waiters", 5000, 1..=1_000_000),
        max_waiters_per_user: section.count("max_waiters_per_user", 2000, 1..=1_000_000),
        requests_per_second: number(section, "requests_per_second", 1000, 0),
        request_burst: number(section, "request_burst", 2000, 1),
        max_connections: section.count("max_connections", 15_000, 1..=1_000_000),
        max_connections_per_peer: section.count("max_connections_per_peer", 10_000, 1..=1_000_000),
    }
}

fn number(section: &Section<'_>, key: &str, default: u32, low: u64) -> u32 {
    let number = section.number(key, u64::from(default), low..=1_000_000);
    u32::try_from(number).unwrap_or(default)
}
