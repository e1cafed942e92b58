//! The configuration: one YAML file for all services of a node, environment and flags over
//! it, read into finished types.
//!
//! ```text
//! file ─┐
//! env  ─┼─▶ layer (merged by figment, origins beside) ─▶ section ─▶ Config | every problem
//! flags ┘
//! ```
//! Nothing here opens a socket or a database.

mod action;
mod audit;
mod clients;
mod core;
mod credential;
mod cron;
mod httpserver;
mod layer;
mod modules;
mod monitor;
mod problem;
mod proxy;
mod pull;
mod register;
mod rights;
mod secret;
mod section;
mod subnet;
mod yaml;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::{Dict, Value};

pub use action::{ActionConfig, AllowedCommand, ArgType, CommandTemplate};
pub use audit::AuditConfig;
pub use clients::AuthorizedClient;
pub use core::{CoreConfig, DatabaseConfig, Limits, ServerKind};
pub use credential::{HttpUser, PasswordRule, TokenRule};
pub use cron::CronConfig;
pub use httpserver::{Brake, HttpLimits, HttpServerConfig, TlsFiles};
pub use modules::{DbCleanerConfig, ModulesConfig, OtherModule};
pub use problem::{ConfigError, Place, Problem};
pub use proxy::ProxyConfig;
pub use pull::PullConfig;
pub use register::{RegisterConfig, parse_nodes, read_nodes};
pub use secret::Secret;
pub use subnet::Subnet;

use crate::run::Service;
use layer::{Layer, Origins};
use section::{Reader, Section};

/// What a node's services are told.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// What the administrator calls this node.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The section `gorgonecore`.
    pub core: CoreConfig,
    /// The list `modules`.
    pub modules: ModulesConfig,
    /// Where each key was written.
    places: Origins,
}

/// Where a configuration is read from. Later ones win.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// The YAML file.
    pub file: PathBuf,
    /// Variables of the environment; those that do not begin with `GORGONE_` are ignored.
    pub environment: Vec<(String, String)>,
    /// Key paths and values of `--set`.
    pub settings: Vec<(String, String)>,
}

impl Sources {
    /// A file, and the environment of this process over it.
    #[must_use]
    pub fn from_environment(file: PathBuf) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("GORGONE_"))
            .collect();
        Self {
            file,
            environment,
            settings: Vec::new(),
        }
    }
}

/// What is looked at beside the text of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checks {
    /// Whether the files of core's keys and passwords must be there.
    pub keys: bool,
    /// Whether the files of the HTTP door's certificate, passwords and tokens must be there.
    pub http: bool,
}

/// A usable configuration, and what its administrator should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Keys without effect, modules without a service, and the like.
    pub warnings: Vec<Problem>,
    /// What is wrong with parts that are not in the configuration therefore, such as a job of
    /// cron: a service goes on without them, a check does not let them pass.
    pub left_out: Vec<Problem>,
}

impl Config {
    /// Where a service tells how it is, if it does.
    #[must_use]
    pub fn monitor(&self, service: Service) -> Option<SocketAddr> {
        match service.section {
            "gorgonecore" => self.core.metrics,
            "modules.action" => self.modules.action.metrics,
            "modules.cron" => self.modules.cron.metrics,
            "modules.proxy" => self.modules.proxy.metrics,
            "modules.pull" => self.modules.pull.metrics,
            "modules.httpserver" => self.modules.httpserver.metrics,
            _ => None,
        }
    }

    /// Something to say about a key that only showed when the configuration was put to use:
    /// with the place where the key stands.
    #[must_use]
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem {
            place: layer::nearest_place(&self.places, key, &self.file),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// With everything that is wrong, each with its place, key and mend.
    pub fn load(sources: &Sources, checks: Checks) -> Result<Loaded, ConfigError> {
        let text = std::fs::read_to_string(&sources.file).map_err(|error| ConfigError {
            problems: vec![Problem {
                place: Place::File {
                    path: sources.file.clone(),
                    line: 0,
                    column: 0,
                },
                key: String::new(),
                message: format!(
                    "cannot read the configuration: {error}; name it with --config=FILE"
                ),
            }],
        })?;
        Self::parse(&text, sources, checks)
    }

    /// Like [`Config::load`], with the text of `sources.file` at hand.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn parse(text: &str, sources: &Sources, checks: Checks) -> Result<Loaded, ConfigError> {
        let mut figment = Figment::new();
        let mut origins = Origins::new();
        let mut implied = Origins::new();
        let mut problems = Vec::new();
        for mut layer in [
            Layer::file(&sources.file, text),
            Layer::environment(&sources.environment),
            Layer::flags(&sources.settings),
        ] {
            origins.append(&mut layer.origins);
            implied.append(&mut layer.implied);
            problems.append(&mut layer.problems);
            figment = figment.merge(layer);
        }
        for (key, origin) in implied {
            origins.entry(key).or_insert(origin);
        }
        // What cannot be read as YAML would only be followed by complaints about its absence.
        let unreadable = problems
            .iter()
            .any(|problem| problem.key.is_empty() && matches!(problem.place, Place::File { .. }));
        if unreadable {
            return Err(ConfigError { problems });
        }
        let reader = Reader {
            file: sources.file.clone(),
            origins,
            problems: RefCell::new(problems),
            warnings: RefCell::default(),
            left_out: RefCell::default(),
        };
        let values = match figment.extract::<Value>() {
            Ok(Value::Dict(_, values)) => values,
            Ok(_) => Dict::new(),
            Err(error) => {
                reader.problem("", error.to_string());
                Dict::new()
            }
        };
        let config = read(&reader, values, &sources.file, checks);
        let left_out = reader.left_out.into_inner();
        let mut problems = reader.problems.into_inner();
        if problems.is_empty() {
            Ok(Loaded {
                config,
                warnings: reader.warnings.into_inner(),
                left_out: in_order(left_out),
            })
        } else {
            // Whoever mends the file mends all of it.
            problems.extend(left_out);
            Err(ConfigError {
                problems: in_order(problems),
            })
        }
    }
}

fn read(reader: &Reader, values: Dict, file: &Path, checks: Checks) -> Config {
    let root = Section::new(reader, "", values);
    let part = |name: &str| {
        root.section(name)
            .unwrap_or_else(|| Section::new(reader, name, Dict::new()))
    };
    let core = core::read(part("gorgonecore"), checks);
    let modules = modules::read(reader, part("modules"), &core, checks);
    let config = Config {
        file: file.to_owned(),
        name: root.text("name").unwrap_or_else(|| "gorgoned".to_owned()),
        description: root.text("description").unwrap_or_default(),
        core,
        modules,
        places: reader.origins.clone(),
    };
    // Databases of the monitoring application: for modules that this release does not have.
    root.raw("database");
    root.finish();
    config
}

/// By line, so that they can be mended from top to bottom.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| match &problem.place {
        Place::File { line, column, .. } => (0, *line, *column),
        Place::Environment(_) => (1, 0, 0),
        Place::Flag(_) => (2, 0, 0),
    });
    problems
}
