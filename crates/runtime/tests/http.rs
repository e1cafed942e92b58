//! What administrators write about the HTTP door, and what they are told about it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use gorgone_runtime::config::{
    Checks, Config, ConfigError, HttpServerConfig, Loaded, PasswordRule, Sources, Subnet, TokenRule,
};

const BCRYPT: &str = "$2b$04$KixSPZ0G1oHYJo3GmYHmZuV0ZxVwhqf2M3KhYTf0Qk6s2UqXnYx9y";
const ARGON2: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$G8dOUrYw0CEfH1yYb3eDkgPZbCuP3lPkLaOdCsx0vWA";

/// Reads a configuration with these lines below the module `httpserver`.
fn load(lines: &str) -> Result<Loaded, ConfigError> {
    let mut text = "modules:\n  - name: httpserver\n    enable: true\n".to_owned();
    for line in lines.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    let sources = Sources {
        file: PathBuf::from("gorgoned.yml"),
        ..Sources::default()
    };
    let checks = Checks {
        http: true,
        ..Checks::default()
    };
    Config::parse(&text, &sources, checks)
}

fn http(lines: &str) -> HttpServerConfig {
    load(lines).unwrap().config.modules.httpserver
}

fn problems(lines: &str) -> Vec<String> {
    let error = load(lines).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

fn warnings(lines: &str) -> Vec<String> {
    let loaded = load(lines).unwrap();
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_word_it_listens_on_loopback_only() {
    let http = http("");
    assert_eq!(http.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(http.metrics, Some("127.0.0.1:8081".parse().unwrap()));
    assert!(!http.is_open_by_mistake());
}

#[test]
fn open_to_the_world_without_credentials_is_refused_with_line_key_and_mend() {
    for address in ["0.0.0.0", "'*'", "'::'", "10.1.2.3", "'[::]'"] {
        for auth in ["", "auth: { enabled: false, user: a, password: b }\n"] {
            let found = problems(&format!("{auth}address: {address}\n"));
            let line = if auth.is_empty() { 4 } else { 5 };
            assert!(
                found[0].starts_with(&format!(
                    "gorgoned.yml:{line}:14: modules.httpserver.address: is open to the world"
                )),
                "{found:?}"
            );
            assert!(found[0].contains("allow_anonymous_from_anywhere: true"));
        }
    }
    assert!(load("address: 0.0.0.0\nallow_anonymous_from_anywhere: true").is_ok());
    assert!(load("address: 0.0.0.0\nauth: { user: a, password: b }").is_ok());
    assert!(load("address: '::ffff:127.0.0.1'").is_ok());
    assert!(load("address: '::1'").is_ok());
}

#[test]
fn clear_text_beyond_loopback_and_no_users_at_all_are_warned_of() {
    let auth = "auth: { enabled: true, user: a, password: b }";
    assert!(warnings(&format!("address: 0.0.0.0\n{auth}"))[0].contains("travel in clear"));
    assert!(warnings("")[0].contains("every user of this host"));
    assert!(warnings(auth).is_empty());
}

#[test]
fn users_come_with_every_kind_of_secret_and_none_of_them_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "a-token-from-a-file-of-its-own\n").unwrap();
    let lines = format!(
        "auth: {{ enabled: true, user: old, password: geheim }}\n\
         users:\n  \
           - {{ name: a, password: geheim, token_file: {} }}\n  \
           - {{ name: b, password_hash: '{BCRYPT}' }}\n  \
           - {{ name: c, password_hash: '{ARGON2}', token_hash: '{ARGON2}' }}\n  \
           - {{ name: d, token_hash: 'sha256:{}' }}\n",
        file.display(),
        "AB".repeat(32),
    );
    let users = http(&lines).users.unwrap();
    let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "old"]);
    let Some(TokenRule::Plain(token)) = &users[0].token else {
        panic!("{users:?}");
    };
    assert_eq!(token.expose(), "a-token-from-a-file-of-its-own");
    assert!(matches!(users[1].password, Some(PasswordRule::Bcrypt(_))));
    assert!(matches!(users[2].password, Some(PasswordRule::Argon2(_))));
    assert!(matches!(users[2].token, Some(TokenRule::Argon2(_))));
    let Some(TokenRule::Sha256(digits)) = &users[3].token else {
        panic!("{users:?}");
    };
    assert_eq!(digits.expose(), "ab".repeat(32));
    let shown = format!("{users:?}");
    assert!(!shown.contains("geheim") && !shown.contains("own") && !shown.contains("argon2id"));
}

#[test]
fn user_without_rights_may_do_everything_and_one_with_rights_only_that() {
    use gorgone_protocol::{Action, NodeId, Rights, Target};
    let users = http(
        "users:\n  - { name: a, password: a }\n  \
           - { name: b, password: b, rights: [{ actions: [GETLOG], nodes: [self] }] }\n",
    )
    .users
    .unwrap();
    assert_eq!(users[0].rights, Rights::everything());
    let may = |action: Action| {
        let own = NodeId::new(1);
        users[1].rights.allows(&action, &Target::Here, own)
    };
    assert!(may(Action::GetLog) && !may(Action::Command));
}

#[test]
fn users_that_could_never_come_in_are_refused() {
    for (lines, words) in [
        ("auth: { enabled: true }", "nobody who could come in"),
        ("auth: { enabled: true, user: a }", "is missing beside user"),
        ("users: [{ name: a }]", "has no secret"),
        (
            "users: [{ name: 'a:b', token: 0123456789abcdef }]",
            "is no name",
        ),
        ("users: [{ token: 0123456789abcdef }]", "is missing"),
        (
            "users: [{ name: a, token: 0123456789abcdef }, { name: a, password: b }]",
            "stands here twice",
        ),
        (
            "users: [{ name: a, password_hash: abc }]",
            "neither an argon2",
        ),
        (
            "users: [{ name: a, token_hash: abc }]",
            "neither 64 hexadecimal",
        ),
        (
            "users: [{ name: a, password: a, password_hash: b }]",
            "keep one of them",
        ),
        (
            "users: [{ name: a, password_file: /nowhere }]",
            "cannot read /nowhere",
        ),
        ("users: [{ name: a, passwort: b }]", "unknown key"),
        ("allowed_hosts: { enabled: true }", "nobody could come in"),
        ("allowed_hosts: { subnets: [10.0.0.0/33] }", "is no network"),
        ("ssl: true", "is missing: ssl needs"),
        (
            "ssl: true\nssl_cert_file: /nowhere\nssl_key_file: /nowhere",
            "cannot read /nowhere",
        ),
        ("metrics_port: 8080", "is the API's port too"),
    ] {
        let found = problems(lines);
        assert!(found.iter().any(|line| line.contains(words)), "{found:?}");
    }
}

#[test]
fn subnets_hold_addresses_of_both_families_and_mapped_ones() {
    for (subnet, inside, outside) in [
        ("127.0.0.1/32", "127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
        ("10.9.8.7/8", "10.255.0.1", "11.0.0.0"),
        ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ("::/0", "2001:db8::1", "203.0.113.9"),
        ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
    ] {
        let subnet = Subnet::parse(subnet).unwrap();
        let holds = |text: &str| subnet.contains(text.parse::<IpAddr>().unwrap());
        assert!(holds(inside) && !holds(outside), "{subnet}");
    }
    for text in [
        "",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0/8",
        "a",
        "::/129",
        "::ffff:1.2.3.4/90",
    ] {
        assert!(Subnet::parse(text).is_err(), "{text}");
    }
}

#[test]
fn sample_has_every_key_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/gorgoned.yml");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n  - name: httpserver\n").nth(1).unwrap();
    let section = section.split("\n  - name: ").next().unwrap();
    // A comment that is a key at the first level shows its default; one that is indented shows
    // an example.
    let lines: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .filter(|line| {
            let key = line.split(':').next().unwrap_or_default();
            line.contains(':')
                && !key.is_empty()
                && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
        .filter(|line| !line.starts_with("enable:"))
        .collect();
    assert_eq!(http(&lines.join("\n")), http(""));
    for key in [
        "instance",
        "address",
        "port",
        "ssl",
        "ssl_cert_file",
        "ssl_key_file",
        "auth",
        "users",
        "allowed_hosts",
        "allow_anonymous_from_anywhere",
        "max_auth_failures",
        "auth_failure_window",
        "metrics_address",
        "metrics_port",
        "max_body_size",
        "header_timeout",
        "body_timeout",
        "write_timeout",
        "keep_alive_timeout",
        "request_timeout",
        "max_wait",
        "max_waiters",
        "max_waiters_per_user",
        "requests_per_second",
        "request_burst",
        "max_connections",
        "max_connections_per_peer",
    ] {
        let written = lines
            .iter()
            .any(|line| line.starts_with(&format!("{key}:")));
        assert!(written, "{key} is not in config/gorgoned.yml");
    }
}
