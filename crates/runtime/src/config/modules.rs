//! The list `modules`: which there are, and what those are told that have no types yet.

use std::collections::BTreeMap;
use std::time::Duration;

use figment::value::{Dict, Value};
use gorgone_protocol::near_miss;

use super::Checks;
use super::action::{self, ActionConfig};
use super::core::CoreConfig;
use super::cron::{self, CronConfig};
use super::httpserver::{self, HttpServerConfig};
use super::proxy::{self, ProxyConfig};
use super::pull::{self, PullConfig};
use super::register::{self, RegisterConfig};
use super::section::{Reader, Section};

/// Everything under `modules`.
#[derive(Clone, PartialEq, Debug)]
pub struct ModulesConfig {
    /// Runs commands, and writes to the engine's pipe.
    pub action: ActionConfig,
    /// The HTTP API.
    pub httpserver: HttpServerConfig,
    /// Has jobs run at their times.
    pub cron: CronConfig,
    /// Connections to other nodes.
    pub proxy: ProxyConfig,
    /// The connection to a central that cannot connect to us.
    pub pull: PullConfig,
    /// The file that lists nodes, which core follows.
    pub register: RegisterConfig,
    /// What is purged from the store, by core.
    pub dbcleaner: DbCleanerConfig,
    /// Modules of other releases, as they were written.
    pub others: BTreeMap<String, OtherModule>,
}

/// How long things are kept in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DbCleanerConfig {
    /// Whether the history is purged at all; sessions always are.
    pub enable: bool,
    /// Sessions are kept this long after their last message.
    pub purge_sessions_time: Duration,
    /// Rows of the history are kept this long.
    pub purge_history_time: Duration,
}

/// A module that this release has no service for.
#[derive(Clone, PartialEq, Debug)]
pub struct OtherModule {
    /// Whether its administrator wants it to run.
    pub enable: bool,
    /// Its keys; every scalar is the text that was written.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// Modules that have their types above.
const TYPED: [&str; 8] = [
    "action",
    "engine",
    "httpserver",
    "cron",
    "dbcleaner",
    "proxy",
    "pull",
    "register",
];

/// Modules of the seed and of later releases that have no service here yet.
const OTHERS: [&str; 16] = [
    "httpserverng",
    "pullwss",
    "nodes",
    "legacycmd",
    "statistics",
    "autodiscovery",
    "discovery",
    "anomalydetection",
    "judge",
    "pipeline",
    "newtest",
    "scom",
    "audit",
    "centreon",
    "mbi-etl",
    "mbi-etlworkers",
];

const DAY: u64 = 86_400;

pub(super) fn read(
    reader: &Reader,
    section: Section<'_>,
    core: &CoreConfig,
    checks: Checks,
) -> ModulesConfig {
    let part = |name: &str| {
        section
            .section(name)
            .unwrap_or_else(|| Section::new(reader, format!("modules.{name}"), Dict::new()))
    };
    let action = action::read(part("action"), part("engine"));
    let httpserver = httpserver::read(part("httpserver"), checks);
    let cron = cron::read(part("cron"));
    let proxy = proxy::read(part("proxy"));
    let pull = pull::read(part("pull"), core, checks);
    let register = register::read(part("register"), checks);
    let dbcleaner = dbcleaner(part("dbcleaner"));
    let mut others = BTreeMap::new();
    for name in section.keys() {
        if TYPED.contains(&name.as_str()) {
            continue;
        }
        if OTHERS.contains(&name.as_str()) {
            if let Some(other) = section.section(&name) {
                others.insert(name.clone(), self::other(&name, &other));
            }
            continue;
        }
        let known = TYPED.into_iter().chain(OTHERS);
        let mend = near_miss(&name, known).map_or_else(
            || "remove it".to_owned(),
            |hint| format!("did you mean '{hint}'?"),
        );
        section.problem(&name, format!("there is no module of this name; {mend}"));
    }
    ModulesConfig {
        action,
        httpserver,
        cron,
        proxy,
        pull,
        register,
        dbcleaner,
        others,
    }
}

fn dbcleaner(section: Section<'_>) -> DbCleanerConfig {
    section.raw("name");
    section.raw("package");
    let config = DbCleanerConfig {
        enable: section.flag("enable", true),
        purge_sessions_time: section.seconds("purge_sessions_time", DAY, 60..=3660 * DAY),
        purge_history_time: section.seconds("purge_history_time", 7 * DAY, 60..=3660 * DAY),
    };
    section.ignore(&["purge_tokens_time"]);
    section.finish();
    config
}

fn other(name: &str, section: &Section<'_>) -> OtherModule {
    let enable = section.flag("enable", false);
    if enable {
        section.warn(
            "enable",
            format!("module '{name}' is enabled, but this release has no gorgone-{name}; it is not started"),
        );
    }
    let settings = section
        .keys()
        .into_iter()
        .filter_map(|key| {
            let value = json(section.raw(&key)?);
            Some((key, value))
        })
        .collect();
    OtherModule { enable, settings }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Dict(_, entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(_, items) => items.iter().map(json).collect(),
        Value::String(_, text) => text.clone().into(),
        // Our layers hold nothing else.
        other => other.clone().into_string().into(),
    }
}
