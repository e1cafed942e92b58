//! Secrets: never shown, and readable from a file.

use std::fmt;

use super::section::Section;

/// A text that no log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret under `key`, or in the file that `<key>_file` names; the file is read only
    /// by the service that needs it.
    pub(super) fn read(section: &Section<'_>, key: &str, needed: bool) -> Option<Self> {
        let direct = section.text(key);
        let file_key = format!("{key}_file");
        let file = section.file(&file_key);
        match (direct, file) {
            (Some(_), Some(_)) => {
                section.problem(&file_key, format!("stands beside {key}; keep one of them"));
                None
            }
            (Some(text), None) => Some(Self(text)),
            (None, Some(path)) if needed => match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let text = text.trim_end_matches(['\r', '\n']);
                    if text.is_empty() {
                        let shown = path.display();
                        section.problem(&file_key, format!("{shown} is empty"));
                    }
                    Some(Self(text.to_owned()))
                }
                Err(error) => {
                    let shown = path.display();
                    section.problem(&file_key, format!("cannot read {shown}: {error}"));
                    None
                }
            },
            (None, _) => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
