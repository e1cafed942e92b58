//! The profile file: names for servers, and what is needed to speak to each.
//!
//! ```yaml
//! default: central
//! profiles:
//!   central:
//!     server: tcp://central.example:5555
//!     server_key: central.pem              # relative to this file's folder
//!     key: ~/.config/gorgone/privkey.pem
//!   web:
//!     server: https://central.example:8443
//!     login: admin
//!     password_file: password
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gorgone_protocol::near_miss;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::key::Key;

/// A profile file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    #[error("cannot read the profile file {}: {error}", path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}:{line}:{column}: {message}", path.display())]
    Wrong {
        path: PathBuf,
        line: u64,
        column: u64,
        message: String,
    },
    #[error("there is no profile '{name}' in {}; {known}", path.display())]
    Missing {
        path: PathBuf,
        name: String,
        known: String,
    },
    #[error(
        "{} holds {what} and others can read it; run chmod 600 {}, or name a file with {what}_file",
        path.display(), path.display()
    )]
    Open { path: PathBuf, what: &'static str },
}

/// One profile: what it sets, each with its line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) values: BTreeMap<Key, (String, u64)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Option<Spanned<String>>,
    #[serde(default)]
    profiles: BTreeMap<String, BTreeMap<String, Spanned<String>>>,
}

impl Profile {
    /// Reads the profile with this name; without a name the one that `default` names, or the
    /// only one. None where the file has none to choose.
    pub(crate) fn read(path: &Path, name: Option<&str>) -> Result<Option<Self>, ProfileError> {
        let text = fs::read_to_string(path).map_err(|error| ProfileError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        let Some(profile) = Self::parse(path, &text, name)? else {
            return Ok(None);
        };
        let secret = profile.values.keys().find(|key| key.is_secret());
        let open = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        match secret {
            Some(key) if open => Err(ProfileError::Open {
                path: path.to_owned(),
                what: key.name(),
            }),
            _ => Ok(Some(profile)),
        }
    }

    fn parse(path: &Path, text: &str, name: Option<&str>) -> Result<Option<Self>, ProfileError> {
        let wrong = |line, column, message| ProfileError::Wrong {
            path: path.to_owned(),
            line,
            column,
            message,
        };
        // An empty file, or one with nothing but comments, has no profiles.
        let options = serde_saphyr::options! { with_snippet: false };
        let file: Option<File> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let place = error.location();
                let (line, column) = place.map_or((0, 0), |at| (at.line(), at.column()));
                wrong(line, column, error.without_snippet().to_string())
            })?;
        let Some(mut file) = file else {
            return Ok(None);
        };
        let known: Vec<String> = file.profiles.keys().cloned().collect();
        let (chosen, at) = match (name, &file.default) {
            (Some(name), _) => (name.to_owned(), None),
            (None, Some(name)) => (name.value.clone(), Some(name.referenced)),
            (None, None) => match known.as_slice() {
                [only] => (only.clone(), None),
                _ => return Ok(None),
            },
        };
        let Some(entries) = file.profiles.remove(&chosen) else {
            let known = match known.is_empty() {
                true => "it has none".to_owned(),
                false => format!("it has {}", known.join(", ")),
            };
            return Err(match at {
                Some(at) => wrong(
                    at.line(),
                    at.column(),
                    format!("default: there is no profile '{chosen}'; {known}"),
                ),
                None => ProfileError::Missing {
                    path: path.to_owned(),
                    name: chosen,
                    known,
                },
            });
        };
        let mut values = BTreeMap::new();
        for (entry, value) in entries {
            let (line, column) = (value.referenced.line(), value.referenced.column());
            let Some(key) = Key::ALL.into_iter().find(|key| key.name() == entry) else {
                return Err(wrong(line, column, unknown(&entry)));
            };
            let text = match key.is_path() {
                true => beside(path, &value.value),
                false => value.value,
            };
            values.insert(key, (text, line));
        }
        Ok(Some(Self {
            name: chosen,
            path: path.to_owned(),
            values,
        }))
    }
}

fn unknown(entry: &str) -> String {
    match near_miss(entry, Key::ALL.iter().map(|key| key.name())) {
        Some(name) => format!("'{entry}' is not known; is '{name}' meant?"),
        None => {
            let names: Vec<_> = Key::ALL.iter().map(|key| key.name()).collect();
            format!("'{entry}' is not known; there are {}", names.join(", "))
        }
    }
}

/// A file's path as a profile means it: `~/` is the home, anything relative stands beside the
/// profile file.
fn beside(profile: &Path, path: &str) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let path = match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => profile.parent().unwrap_or(Path::new("")).join(path),
    };
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Key, Profile, ProfileError};

    fn parse(text: &str, name: Option<&str>) -> Result<Option<Profile>, ProfileError> {
        Profile::parse(Path::new("/etc/ctl.yml"), text, name)
    }

    const TWO: &str = "default: b\nprofiles:\n  a:\n    server: tcp://a:1\n    keysize: 32\n    \
                       vector: 0123456789012345\n  b: {server: ipc:///b, key: k.pem}\n";

    #[test]
    fn a_profile_is_chosen_by_name_or_default() {
        let a = parse(TWO, Some("a")).unwrap().unwrap();
        assert_eq!(a.values[&Key::Server], ("tcp://a:1".to_owned(), 4));
        assert_eq!(a.values[&Key::SessionBytes], ("32".to_owned(), 5));
        // Digits stay as they were written.
        assert_eq!(a.values[&Key::Vector].0, "0123456789012345");
        let b = parse(TWO, None).unwrap().unwrap();
        assert_eq!((b.name.as_str(), b.values[&Key::OwnPrivate].1), ("b", 7));
        assert_eq!(b.values[&Key::OwnPrivate].0, "/etc/k.pem");
        let only = "profiles:\n  one:\n    server: tcp://a:1\n";
        assert_eq!(parse(only, None).unwrap().unwrap().name, "one");
        for none in ["", "# nothing\n", "profiles: {a: {}, b: {}}\n"] {
            assert_eq!(parse(none, None).unwrap(), None, "{none:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = |text: &str, name| parse(text, name).unwrap_err().to_string();
        let said = wrong("profiles:\n  a:\n    sever: x\n", None);
        assert_eq!(
            said,
            "/etc/ctl.yml:3:12: 'sever' is not known; is 'server' meant?"
        );
        let said = wrong("profiles:\n  a:\n    b: [1\n", None);
        assert!(said.starts_with("/etc/ctl.yml:"), "{said}");
        let said = wrong("profile:\n  a: {}\n", None);
        assert!(said.starts_with("/etc/ctl.yml:1:"), "{said}");
        let said = wrong("default: x\nprofiles: {a: {}}\n", None);
        assert_eq!(
            said,
            "/etc/ctl.yml:1:10: default: there is no profile 'x'; it has a"
        );
        let said = wrong(TWO, Some("c"));
        assert_eq!(said, "there is no profile 'c' in /etc/ctl.yml; it has a, b");
    }
}
