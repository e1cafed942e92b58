//! The module `pull`: the connection to a central that cannot connect to us.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gorgone_protocol::{Endpoint, Rights};

use super::core::{self, CoreConfig};
use super::section::Section;
use super::{Checks, monitor, rights};

/// What gorgone-pull is told.
#[derive(Clone, PartialEq, Debug)]
pub struct PullConfig {
    /// Whether gorgoned starts it.
    pub enable: bool,
    /// The instance's name on the bus.
    pub instance: String,
    /// Where it tells how it is: `/healthz`, `/readyz`, `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// The central's external endpoint; there where it is enabled.
    pub target: Option<Endpoint>,
    /// The file of the central's public key.
    pub central_pubkey: Option<PathBuf>,
    /// Where the key is kept that the central named first, without `central_pubkey`.
    pub known_central: PathBuf,
    /// The file of the key to connect with; without it core's own.
    pub client_privkey: Option<PathBuf>,
    /// The length of the central's session keys, in bytes.
    pub keysize: usize,
    /// The central's vector.
    pub vector: [u8; 16],
    /// How often the central, and core here, are asked whether they are there.
    pub ping: Duration,
    /// First wait before a lost connection is made anew.
    pub reconnect: Duration,
    /// Longest wait before a lost connection is made anew.
    pub reconnect_max: Duration,
    /// How often this node's rows are brought to the central where nothing else asks for it.
    pub synchistory_time: Duration,
    /// How long that may go on without a page.
    pub synchistory_timeout: Duration,
    /// Requests that core here has not answered yet.
    pub window: usize,
    /// What the central may ask for here.
    pub rights: Rights,
}

const DAY: u64 = 86_400;

pub(super) fn read(section: Section<'_>, core: &CoreConfig, checks: Checks) -> PullConfig {
    section.raw("name");
    section.raw("package");
    let config = PullConfig {
        enable: section.flag("enable", false),
        instance: section.instance("gorgone-pull"),
        metrics: monitor::read(&section, 0),
        target: section.parsed("target", |text| match Endpoint::parse(text) {
            Ok(Endpoint::Ipc { .. }) => {
                Err("must be on another machine: tcp://host:port".to_owned())
            }
            read => read,
        }),
        central_pubkey: section.file("central_pubkey"),
        known_central: section
            .file("known_central")
            .unwrap_or_else(|| PathBuf::from("known_central")),
        client_privkey: section.file("client_privkey"),
        keysize: section
            .parsed("keysize", core::keysize)
            .unwrap_or(core.keysize),
        vector: section
            .parsed("vector", core::vector)
            .unwrap_or(core.vector),
        ping: section.seconds("ping", 20, 1..=3600),
        reconnect: section.seconds("reconnect", 1, 1..=3600),
        reconnect_max: section.seconds("reconnect_max", 60, 1..=3600),
        synchistory_time: section.seconds("synchistory_time", 300, 1..=DAY),
        synchistory_timeout: section.seconds("synchistory_timeout", 120, 1..=DAY),
        window: section.count("window", 64, 1..=1024),
        rights: rights::read(&section),
    };
    if config.enable && config.target.is_none() && !section.has("target") {
        section.problem("target", "is missing; write target: tcp://CENTRAL:5556");
    }
    if config.reconnect_max < config.reconnect {
        section.problem("reconnect_max", "is shorter than reconnect");
    }
    if config.enable && checks.keys {
        match &config.client_privkey {
            Some(path) => core::check_private_key(&section, "client_privkey", path),
            None if core.privkey.is_none() => section.problem(
                "client_privkey",
                "is missing, and there is no gorgonecore.privkey to take instead; make a key with \
                 'gorgonectl keys generate keys/poller'",
            ),
            None => {}
        }
        if let Some(path) = &config.central_pubkey {
            core::check_public_key(&section, "central_pubkey", path);
        }
    }
    section.ignore(&["cipher", "client_pubkey", "ping_timeout"]);
    section.finish();
    config
}
