//! The floors of the house: who may know whom, and what the lower floors may not touch.
#![allow(
    clippy::unwrap_used,
    reason = "a check that cannot read the tree has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Floor of every crate, as ARCHITECTURE.md tells.
fn floor(name: &str) -> Option<u32> {
    Some(match name {
        "gorgone-protocol" | "gorgone-crypto" => 0,
        "gorgone-session" | "gorgone-routing" | "gorgone-schedule" => 1,
        "gorgone-transport" | "gorgone-store" | "gorgone-runtime" => 2,
        "gorgone-client" | "gorgone-carriage" => 3,
        "gorgone-core" | "gorgone-action" | "gorgone-cron" | "gorgone-proxy" | "gorgone-pull"
        | "gorgone-httpserver" | "gorgoned" | "gorgonectl" => 4,
        _ => return None,
    })
}

/// Name and direct dependencies (without those of tests) of every crate of the workspace.
fn crates() -> BTreeMap<String, (PathBuf, Vec<String>)> {
    let mut found = BTreeMap::new();
    for room in ["crates", "services"] {
        for entry in fs::read_dir(root().join(room)).unwrap() {
            let folder = entry.unwrap().path();
            let Ok(text) = fs::read_to_string(folder.join("Cargo.toml")) else {
                continue;
            };
            let mut section = "";
            let mut name = String::new();
            let mut dependencies = Vec::new();
            for line in text.lines() {
                if line.starts_with('[') {
                    section = line;
                } else if section == "[package]" && line.starts_with("name") {
                    name = line.split('"').nth(1).unwrap().to_owned();
                } else if section == "[dependencies]" {
                    let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
                    if !dependency.is_empty() && !line.starts_with('#') {
                        dependencies.push(dependency.to_owned());
                    }
                }
            }
            found.insert(name, (folder, dependencies));
        }
    }
    found
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_crate_has_a_floor() {
    let crates = crates();
    assert!(crates.len() >= 12, "found {crates:?}");
    for name in crates.keys() {
        assert!(floor(name).is_some(), "{name} has no floor");
    }
}

#[test]
fn a_crate_knows_only_what_lies_below() {
    for (name, (_, dependencies)) in crates() {
        for other in dependencies {
            if let (Some(own), Some(below)) = (floor(&name), floor(&other)) {
                let neighbours =
                    own == 0 && name == "gorgone-crypto" && other == "gorgone-protocol";
                assert!(
                    below < own || neighbours,
                    "{name} (floor {own}) depends on {other} (floor {below})"
                );
            }
        }
    }
}

#[test]
fn one_crate_knows_zeromq_and_one_knows_sql() {
    for (name, (_, dependencies)) in crates() {
        for dependency in dependencies {
            match dependency.as_str() {
                "zeromq" | "zmq" => assert_eq!(name, "gorgone-transport"),
                "sqlx" => assert_eq!(name, "gorgone-store"),
                "croner" => assert_eq!(name, "gorgone-schedule"),
                "rsa" | "aes" | "cbc" => assert_eq!(name, "gorgone-crypto"),
                _ => {}
            }
        }
    }
}

#[test]
fn lower_floors_have_no_io_no_clock_and_no_chance() {
    let banned = [
        "tokio",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "TimeZone::system",
        "TimeZone::try_system",
        "tz::db()",
        "rand::rng",
        "rand::random",
        "println!",
        "tracing::",
    ];
    for (name, (folder, dependencies)) in crates() {
        // What is brought to nodes is decided without IO, too.
        if floor(&name).unwrap() > 1 && name != "gorgone-carriage" {
            continue;
        }
        for dependency in ["tokio", "tracing", "sqlx", "zmq", "zeromq"] {
            assert!(
                !dependencies.iter().any(|d| d == dependency),
                "{name} depends on {dependency}"
            );
        }
        let mut files = Vec::new();
        sources(&folder.join("src"), &mut files);
        assert!(!files.is_empty());
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in banned {
                    assert!(
                        !code.contains(word),
                        "{}:{}: '{word}' on a floor without IO, clock or chance",
                        file.display(),
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn only_protocol_spells_actions() {
    for (name, (folder, _)) in crates() {
        if name == "gorgone-protocol" {
            continue;
        }
        let mut files = Vec::new();
        sources(&folder.join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for spelled in [
                    "\"COMMAND\"",
                    "\"GETLOG\"",
                    "\"PUTLOG\"",
                    "\"CONSTATUS\"",
                    "\"CANCEL\"",
                    "\"PING\"",
                ] {
                    assert!(
                        !code.contains(spelled),
                        "{}:{}: spells {spelled}",
                        file.display(),
                        number + 1
                    );
                }
            }
        }
    }
}
