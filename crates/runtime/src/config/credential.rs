//! Who may use the HTTP door, and by which secret.

use std::sync::LazyLock;

use gorgone_protocol::Rights;
use regex::Regex;

use super::rights;
use super::secret::Secret;
use super::section::Section;

/// Somebody who may use the HTTP door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpUser {
    /// Unique; what Basic credentials begin with, and what the audit shows.
    pub name: String,
    /// What proves it with `Authorization: Basic`.
    pub password: Option<PasswordRule>,
    /// What proves it with `Authorization: Bearer`.
    pub token: Option<TokenRule>,
    /// What they may ask for.
    pub rights: Rights,
}

/// How a password is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PasswordRule {
    /// As it is.
    Plain(Secret),
    /// By its argon2 hash, `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
    Argon2(Secret),
    /// By its bcrypt hash, `$2b$12$…`.
    Bcrypt(Secret),
}

/// How a token is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenRule {
    /// As it is.
    Plain(Secret),
    /// By the 64 hexadecimal digits of its SHA-256, in lower case.
    Sha256(Secret),
    /// By its argon2 hash.
    Argon2(Secret),
}

static ARGON2: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let form =
        r"^\$argon2(id|i|d)\$(v=\d+\$)?m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{14,}$";
    Regex::new(form).ok()
});
static BCRYPT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$").ok());
static SHA256: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^(sha256:)?[0-9a-fA-F]{64}$").ok());

fn has_form(form: &LazyLock<Option<Regex>>, text: &str) -> bool {
    form.as_ref().is_some_and(|form| form.is_match(text))
}

/// The key `password` or `password_hash` of a section, each also as `…_file`.
pub(super) fn password(section: &Section<'_>, files: bool) -> Option<PasswordRule> {
    let plain = Secret::read(section, "password", files);
    let hash = Secret::read(section, "password_hash", files);
    match (plain, hash) {
        (Some(_), Some(_)) => {
            section.problem("password_hash", "stands beside password; keep one of them");
            None
        }
        (Some(plain), None) => {
            let text = plain.expose();
            if has_form(&ARGON2, text) || has_form(&BCRYPT, text) {
                section.warn(
                    "password",
                    "looks like a hash, and is taken as the password itself; call the key password_hash if it is one",
                );
            }
            Some(PasswordRule::Plain(plain))
        }
        (None, Some(hash)) if has_form(&ARGON2, hash.expose()) => Some(PasswordRule::Argon2(hash)),
        (None, Some(hash)) if has_form(&BCRYPT, hash.expose()) => Some(PasswordRule::Bcrypt(hash)),
        (None, Some(_)) => {
            section.problem(
                "password_hash",
                "is neither an argon2 hash ($argon2id$…) nor a bcrypt one ($2b$…); \
                 'gorgone-httpserver hash' makes one",
            );
            None
        }
        (None, None) => None,
    }
}

fn token(section: &Section<'_>, files: bool) -> Option<TokenRule> {
    let plain = Secret::read(section, "token", files);
    let hash = Secret::read(section, "token_hash", files);
    match (plain, hash) {
        (Some(_), Some(_)) => {
            section.problem("token_hash", "stands beside token; keep one of them");
            None
        }
        (Some(plain), None) => {
            if plain.expose().len() < 16 {
                section.warn(
                    "token",
                    "has fewer than 16 characters and can be guessed; 'openssl rand -hex 32' makes one",
                );
            }
            Some(TokenRule::Plain(plain))
        }
        (None, Some(hash)) if has_form(&SHA256, hash.expose()) => {
            let digits = hash.expose().trim_start_matches("sha256:");
            Some(TokenRule::Sha256(Secret::new(digits.to_ascii_lowercase())))
        }
        (None, Some(hash)) if has_form(&ARGON2, hash.expose()) => Some(TokenRule::Argon2(hash)),
        (None, Some(_)) => {
            section.problem(
                "token_hash",
                "is neither 64 hexadecimal digits (SHA-256) nor an argon2 hash; \
                 'printf %s TOKEN | sha256sum' makes one",
            );
            None
        }
        (None, None) => None,
    }
}

/// The list `users`. `files`: whether the files of secrets must be there.
pub(super) fn users(section: &Section<'_>, files: bool) -> Vec<HttpUser> {
    let mut users: Vec<HttpUser> = Vec::new();
    for user in section.sections("users") {
        let written = ["password", "password_hash", "token", "token_hash"]
            .iter()
            .any(|key| user.has(key) || user.has(&format!("{key}_file")));
        if !written {
            user.problem(
                "name",
                "has no secret; give it password, password_hash, token or token_hash (or …_file)",
            );
        }
        if !user.has("name") {
            user.problem("name", "is missing: users are told apart by it");
        }
        let name = user.parsed("name", user_name).unwrap_or_default();
        if !name.is_empty() && users.iter().any(|other| other.name == name) {
            user.problem("name", format!("'{name}' stands here twice"));
        }
        users.push(HttpUser {
            name,
            password: password(&user, files),
            token: token(&user, files),
            rights: rights::read(&user),
        });
        user.finish();
    }
    users
}

/// A name that fits into Basic credentials and into a line of a log.
pub(super) fn user_name(text: &str) -> Result<String, String> {
    if text.len() > 255 || text.contains(':') || text.chars().any(char::is_control) {
        return Err(format!(
            "'{text}' is no name of at most 255 bytes without ':' and control characters"
        ));
    }
    Ok(text.to_owned())
}
