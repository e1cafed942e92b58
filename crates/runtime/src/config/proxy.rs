//! The module `proxy`: connections to other nodes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::monitor;
use super::section::Section;

/// What gorgone-proxy is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyConfig {
    /// Whether gorgoned starts it.
    pub enable: bool,
    /// The instance's name on the bus: unique among all modules, the same after a restart.
    pub instance: String,
    /// Where it tells how it is: `/healthz`, `/readyz`, `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// How often a node's rows are fetched where nothing else asks for it.
    pub synchistory_time: Duration,
    /// How long fetching may go on without a page.
    pub synchistory_timeout: Duration,
    /// How often a node is asked whether it is there.
    pub ping: Duration,
    /// After so long a silence the connection is made anew.
    pub pong_discard_timeout: Duration,
    /// Requests that are under way to a node without its answer.
    pub window: usize,
    /// First wait before a lost connection is made anew.
    pub reconnect: Duration,
    /// Longest wait before a lost connection is made anew.
    pub reconnect_max: Duration,
    /// Where public keys of nodes are kept whose definition names none.
    pub known_nodes: PathBuf,
}

const DAY: u64 = 86_400;

pub(super) fn read(section: Section<'_>) -> ProxyConfig {
    section.raw("name");
    section.raw("package");
    let config = ProxyConfig {
        enable: section.flag("enable", false),
        instance: section.instance("gorgone-proxy"),
        metrics: monitor::read(&section, 0),
        synchistory_time: section.seconds("synchistory_time", 300, 1..=DAY),
        synchistory_timeout: section.seconds("synchistory_timeout", 120, 1..=DAY),
        ping: section.seconds("ping", 60, 1..=DAY),
        pong_discard_timeout: section.seconds("pong_discard_timeout", 300, 1..=DAY),
        window: section.count("window", 64, 1..=1024),
        reconnect: section.seconds("reconnect", 1, 1..=3600),
        reconnect_max: section.seconds("reconnect_max", 60, 1..=3600),
        known_nodes: section
            .file("known_nodes")
            .unwrap_or_else(|| PathBuf::from("known_nodes")),
    };
    if config.pong_discard_timeout < config.ping {
        section.problem(
            "pong_discard_timeout",
            "is shorter than ping: every connection would be made anew between two pings",
        );
    }
    if config.reconnect_max < config.reconnect {
        section.problem("reconnect_max", "is shorter than reconnect");
    }
    section.ignore(&["pool", "buffer_size"]);
    section.finish();
    config
}
