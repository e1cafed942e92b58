//! Who is let in, and what it costs to find out. Nothing here looks at a clock: what an attempt
//! costs is counted in hashes.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use gorgone_httpserver::{Auth, Denied};
use gorgone_runtime::config::{Checks, Config, Sources};
use sha2::{Digest, Sha256};

/// Reads the users of a configuration.
fn auth(lines: &str) -> Auth {
    let mut text = "modules:\n  - name: httpserver\n    enable: true\n".to_owned();
    for line in lines.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    let sources = Sources {
        file: PathBuf::from("gorgoned.yml"),
        ..Sources::default()
    };
    let loaded = Config::parse(&text, &sources, Checks::default()).unwrap();
    Auth::new(&loaded.config.modules.httpserver)
        .unwrap()
        .unwrap()
}

/// Cheap ones: the tests are about which are computed, and not about what that costs.
fn argon2(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    hasher
        .hash_password(password.as_bytes())
        .unwrap()
        .to_string()
}

fn bcrypt(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn basic(name: &str, password: &str) -> String {
    let pair = format!("{name}:{password}");
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {pair}")
}

fn peer(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

async fn comes(auth: &Auth, header: &str) -> Option<String> {
    let found = auth.who(peer(1), Some(header.as_bytes())).await;
    found.ok().map(|name| name.to_string())
}

/// One user of every kind.
fn everybody() -> Auth {
    auth(&format!(
        "max_auth_failures: 1000\n\
         users:\n  \
           - {{ name: plain, password: 'ä:ö' }}\n  \
           - {{ name: argon, password_hash: '{}' }}\n  \
           - {{ name: crypt, password_hash: '{}' }}\n  \
           - {{ name: bearer, token: plain-token-0123456789 }}\n  \
           - {{ name: sha, token_hash: '{}' }}\n  \
           - {{ name: slow, token_hash: '{}' }}\n",
        argon2("gamma"),
        bcrypt("delta"),
        hex::encode(Sha256::digest("sha-token")),
        argon2("slow-token"),
    ))
}

#[tokio::test]
async fn every_kind_of_secret_lets_its_user_in() {
    let auth = everybody();
    for (header, name) in [
        (basic("plain", "ä:ö"), "plain"),
        (basic("argon", "gamma"), "argon"),
        (basic("crypt", "delta"), "crypt"),
        ("Bearer plain-token-0123456789".to_owned(), "bearer"),
        ("bearer   sha-token".to_owned(), "sha"),
        ("BEARER slow-token".to_owned(), "slow"),
    ] {
        assert_eq!(comes(&auth, &header).await.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn nothing_else_lets_anybody_in() {
    let auth = everybody();
    for header in [
        basic("plain", "ä:ö "),
        basic("plain", ""),
        basic("argon", "delta"),
        basic("Plain", "ä:ö"),
        basic("bearer", "plain-token-0123456789"),
        basic("", ""),
        "Basic !!!".to_owned(),
        "Basic".to_owned(),
        "Basic cGxhaW4=".to_owned(),
        "Bearer ".to_owned(),
        "Bearer sha-token2".to_owned(),
        format!("Bearer {}", hex::encode(Sha256::digest("sha-token"))),
        "Digest username=plain".to_owned(),
        "é".to_owned(),
        String::new(),
    ] {
        assert_eq!(comes(&auth, &header).await, None, "{header}");
    }
    assert_eq!(auth.who(peer(1), None).await, Err(Denied::Wrong));
    let not_text = auth.who(peer(1), Some(b"Basic \xff\xfe")).await;
    assert_eq!(not_text, Err(Denied::Wrong));
}

#[tokio::test]
async fn a_name_that_does_not_exist_costs_what_a_wrong_password_costs() {
    let auth = everybody();
    let mut costs = Vec::new();
    for name in ["plain", "argon", "crypt", "bearer", "nobody"] {
        let before = auth.slow_verifications();
        assert_eq!(comes(&auth, &basic(name, "wrong")).await, None);
        costs.push(auth.slow_verifications() - before);
    }
    // One argon2 and one bcrypt, whoever it is said to be.
    assert_eq!(costs, [2; 5]);
}

#[tokio::test]
async fn a_slow_hash_is_computed_once_and_not_with_every_request() {
    let auth = everybody();
    for _ in 0..5 {
        assert!(comes(&auth, &basic("argon", "gamma")).await.is_some());
    }
    assert_eq!(auth.slow_verifications(), 1);
    // What was remembered lets nobody else in.
    assert_eq!(comes(&auth, &basic("crypt", "gamma")).await, None);
    assert_eq!(comes(&auth, &basic("argon", "gammb")).await, None);
}

#[tokio::test]
async fn a_peer_that_guesses_waits_and_others_do_not() {
    let auth = auth(
        "max_auth_failures: 3\nauth_failure_window: 60\n\
         users: [{ name: a, password: right }]",
    );
    let (right, wrong) = (basic("a", "right"), basic("a", "wrong"));
    for _ in 0..3 {
        let who = auth.who(peer(1), Some(wrong.as_bytes())).await;
        assert_eq!(who, Err(Denied::Wrong));
        // Being asked for a password is no guess.
        assert_eq!(auth.who(peer(1), None).await, Err(Denied::Wrong));
    }
    // Not even the right one, or guessing could go on.
    let held = auth.who(peer(1), Some(right.as_bytes())).await;
    let Err(Denied::TooManyFailures(after)) = held else {
        panic!("{held:?}");
    };
    assert!(
        after > Duration::ZERO && after <= Duration::from_secs(20),
        "{after:?}"
    );
    assert!(auth.who(peer(2), Some(right.as_bytes())).await.is_ok());
    // IPv4 written as IPv6 is the same peer; a network of IPv6 addresses is one.
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    assert!(auth.who(mapped, Some(right.as_bytes())).await.is_err());
    let six = |text: &str| text.parse::<IpAddr>().unwrap();
    for host in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
        let who = auth.who(six(host), Some(wrong.as_bytes())).await;
        assert_eq!(who, Err(Denied::Wrong));
    }
    let fourth = auth.who(six("2001:db8::4"), Some(right.as_bytes())).await;
    assert!(fourth.is_err());
    assert!(
        auth.who(six("2001:db8:0:1::1"), Some(right.as_bytes()))
            .await
            .is_ok()
    );
}

#[test]
fn a_hash_that_would_take_the_machine_is_refused() {
    for hash in [
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21l$G8dOUrYw0CEfH1yYb3eDkgPZbCuP3lPkLaOdCsx0vWA",
        "$2b$31$KixSPZ0G1oHYJo3GmYHmZuV0ZxVwhqf2M3KhYTf0Qk6s2UqXnYx9y",
    ] {
        let text = format!(
            "modules:\n  - name: httpserver\n    users: [{{ name: a, password_hash: '{hash}' }}]\n"
        );
        let loaded = Config::parse(&text, &Sources::default(), Checks::default()).unwrap();
        let refused = Auth::new(&loaded.config.modules.httpserver).err().unwrap();
        assert!(refused.to_string().contains("takes too much"), "{refused}");
    }
}

#[test]
fn a_hash_made_here_is_one_that_is_taken() {
    let hash = gorgone_httpserver::hash("pässword").unwrap();
    let auth = auth(&format!("users: [{{ name: a, password_hash: '{hash}' }}]"));
    assert_eq!(auth.slow_verifications(), 0);
}
