//! Whom to talk to and as whom: flags over environment over profile over defaults, each value
//! with the place that it comes from.

mod credentials;
mod flags;
mod key;
mod profile;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

pub(crate) use credentials::Credentials;
pub(crate) use flags::Flags;
pub(crate) use key::Key;
use profile::Profile;

/// Where a value comes from, the strongest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    Profile {
        path: PathBuf,
        line: u64,
        name: String,
    },
    Default,
}

impl Origin {
    /// Which place: the smaller, the stronger.
    const fn level(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Environment(_) => 1,
            Self::Profile { .. } => 2,
            Self::Default => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(variable) => f.write_str(variable),
            Self::Profile { path, line, name } => {
                write!(f, "{}:{line} (profile {name})", path.display())
            }
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and its origin.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Everything that is in force.
pub(crate) struct Settings {
    values: BTreeMap<Key, Setting>,
    /// The profile file, whether it is there or not; none where there is no home either.
    pub(crate) file: Option<PathBuf>,
    /// The profile that is used.
    pub(crate) profile: Option<String>,
}

impl Settings {
    /// Gathers the settings of this call.
    pub(crate) fn gather(flags: &Flags) -> anyhow::Result<Self> {
        Self::gather_with(flags, |variable| {
            std::env::var_os(variable)
                .map(|value| {
                    value
                        .into_string()
                        .map_err(|_| anyhow!("{variable}: is not UTF-8"))
                })
                .transpose()
        })
    }

    fn gather_with(
        flags: &Flags,
        environment: impl Fn(&str) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Self> {
        // An empty variable is as good as none.
        let environment = |variable: &str| -> anyhow::Result<Option<String>> {
            Ok(environment(variable)?.filter(|value| !value.is_empty()))
        };
        let mut values = BTreeMap::new();
        for key in Key::ALL {
            let flag = key.flag().zip(flags.value(key));
            let setting = if let Some((flag, value)) = flag {
                Some((value.to_owned(), Origin::Flag(flag)))
            } else {
                environment(key.variable())?
                    .map(|value| (value, Origin::Environment(key.variable())))
            };
            if let Some((value, origin)) = setting {
                values.insert(key, Setting { value, origin });
            }
        }
        let name = match &flags.profile {
            Some(name) => Some(name.clone()),
            None => environment("GORGONECTL_PROFILE")?,
        };
        let told = match &flags.profiles {
            Some(path) => Some(path.clone()),
            None => environment("GORGONECTL_PROFILES")?.map(PathBuf::from),
        };
        let usual = || {
            let folder = match environment("XDG_CONFIG_HOME")? {
                Some(folder) => Some(PathBuf::from(folder)),
                None => environment("HOME")?.map(|home| Path::new(&home).join(".config")),
            };
            anyhow::Ok(folder.map(|folder| folder.join("gorgone/ctl.yml")))
        };
        let file = match &told {
            Some(path) => Some(path.clone()),
            None => usual()?,
        };
        // The credentials of a profile are for its own server: who names another server and
        // no profile gets none.
        let wanted = name.is_some() || !values.contains_key(&Key::Server);
        let profile = match &file {
            Some(path) if wanted && (told.is_some() || name.is_some() || path.exists()) => {
                Profile::read(path, name.as_deref())?
            }
            None if name.is_some() => {
                bail!("a profile needs a profile file; name it with --profiles=FILE")
            }
            _ => None,
        };
        if let Some(profile) = &profile {
            for (key, (value, line)) in &profile.values {
                values.entry(*key).or_insert_with(|| Setting {
                    value: value.clone(),
                    origin: Origin::Profile {
                        path: profile.path.clone(),
                        line: *line,
                        name: profile.name.clone(),
                    },
                });
            }
        }
        for key in Key::ALL {
            if let Some(value) = key.default() {
                values.entry(key).or_insert_with(|| Setting {
                    value: value.to_owned(),
                    origin: Origin::Default,
                });
            }
        }
        Ok(Self {
            values,
            file,
            profile: profile.map(|profile| profile.name),
        })
    }

    /// What is set for this key.
    pub(crate) fn get(&self, key: Key) -> Option<&Setting> {
        self.values.get(&key)
    }

    /// A value as what it means.
    fn parsed<T>(
        &self,
        key: Key,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let Some(setting) = self.get(key) else {
            return Err(missing(key));
        };
        parse(&setting.value).map_err(|message| anyhow!("{}: {message}", setting.origin))
    }

    /// The address of the server as it was written.
    pub(crate) fn server<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        self.parsed(Key::Server, parse)
    }

    /// How long to wait for any one answer.
    pub(crate) fn patience(&self) -> anyhow::Result<Duration> {
        self.parsed(Key::Patience, |text| {
            number::<u32>(text, "a number of seconds")
                .map(|seconds| Duration::from_secs(seconds.into()))
        })
    }

    /// The vector of the session cipher.
    pub(crate) fn vector(&self) -> anyhow::Result<[u8; 16]> {
        self.parsed(Key::Vector, |text| {
            <[u8; 16]>::try_from(text.as_bytes())
                .map_err(|_| format!("needs 16 bytes, '{text}' has {}", text.len()))
        })
    }

    /// The length of the session key in bytes.
    pub(crate) fn keysize(&self) -> anyhow::Result<usize> {
        self.parsed(Key::SessionBytes, |text| number(text, "a number of bytes"))
    }

    /// The text of a file that must be named, made into what it holds.
    pub(crate) fn file<T, E>(
        &self,
        key: Key,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> anyhow::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let setting = self.get(key).ok_or_else(|| missing(key))?;
        let text = read(setting)?;
        parse(&text).with_context(|| format!("{}: {}", setting.origin, setting.value))
    }
}

fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("'{text}' is not {what}"))
}

fn missing(key: Key) -> anyhow::Error {
    let flag = key.flag().unwrap_or(key.name());
    anyhow!(
        "{flag} is missing; give it, set {}, or name a profile that has it",
        key.variable()
    )
}

fn read(setting: &Setting) -> anyhow::Result<String> {
    fs::read_to_string(&setting.value)
        .with_context(|| format!("{}: cannot read {}", setting.origin, setting.value))
}
