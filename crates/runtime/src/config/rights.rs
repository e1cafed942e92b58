//! The key `rights` of a credential: a client's key, or a user of the HTTP API.

use figment::value::Value;
use gorgone_protocol::{Grant, GrantedActions, GrantedNodes, InvalidGrant, Rights};

use super::section::Section;

/// Reads `rights` of the credential that the section describes. Where it is absent the
/// credential may do everything; empty, it must not come to mean that.
pub(super) fn read(credential: &Section<'_>) -> Rights {
    read_or(credential, Rights::everything())
}

/// The same with other rights for a credential that names none.
pub(super) fn read_or(credential: &Section<'_>, without: Rights) -> Rights {
    const KEY: &str = "rights";
    if !credential.has(KEY) {
        if credential.keys().iter().any(|key| key == KEY) {
            credential.problem(
                KEY,
                "is empty; write [] for no rights at all, or remove the key for every right",
            );
        }
        return without;
    }
    let grants = credential
        .sections(KEY)
        .into_iter()
        .map(|grant| {
            let read = Grant {
                actions: items(
                    &grant,
                    "actions",
                    "[COMMAND, GETLOG]",
                    GrantedActions::parse,
                ),
                nodes: items(&grant, "nodes", "[self]", GrantedNodes::parse),
            };
            grant.finish();
            read
        })
        .collect();
    Rights::of(grants)
}

fn items<T>(
    grant: &Section<'_>,
    key: &str,
    example: &str,
    parse: impl Fn(&str) -> Result<T, InvalidGrant>,
) -> Vec<T> {
    let nothing = match grant.raw(key) {
        None => true,
        Some(Value::Array(_, items)) => items.is_empty(),
        Some(_) => false,
    };
    if nothing {
        let message = format!("names none; write {example}, or [\"*\"] for all");
        grant.problem(key, message);
    }
    grant
        .texts(key)
        .into_iter()
        .filter_map(|(path, text)| {
            parse(&text)
                .map_err(|error| grant.reader().problem(&path, error.to_string()))
                .ok()
        })
        .collect()
}
