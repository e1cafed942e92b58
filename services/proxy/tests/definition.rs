//! What definitions of nodes say, and what is wrong with them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use gorgone_crypto::PrivateKey;
use gorgone_protocol::request::nodes::NodeDefinition;
use gorgone_protocol::{Dialect, Endpoint, NodeId};
use gorgone_proxy::{Home, Pins};
use serde_json::{Value, json};

fn key() -> PrivateKey {
    PrivateKey::generate(&mut rand::rng(), 2048).unwrap()
}

fn home(key: Option<PrivateKey>, folder: &tempfile::TempDir) -> Home {
    let pins = Pins::new(folder.path().join("known_nodes"));
    Home::new(NodeId::new(1), key, *b"0123456789012345", 32, pins)
}

fn definition(members: &Value) -> NodeDefinition {
    let mut all = json!({ "id": 4, "type": "push_zmq" });
    let members = members.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(members);
    serde_json::from_value(all).unwrap()
}

#[test]
fn definition_overrides_what_this_node_has() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs, own) = (key(), key(), key());
    let file = folder.path().join("own.pem");
    std::fs::write(&file, own.to_pem().unwrap()).unwrap();
    let mut home = home(Some(ours.clone()), &folder);
    let pem = theirs.public().to_pem().unwrap();
    let short = home
        .resolve(&definition(
            &json!({ "address": "10.0.0.4", "server_pubkey": pem }),
        ))
        .unwrap();
    assert_eq!(
        short.endpoint,
        Endpoint::parse("tcp://10.0.0.4:5556").unwrap()
    );
    assert_eq!(short.identity.to_text(), "gorgone-proxy-1-4");
    assert_eq!(short.setup.key.public(), ours.public());
    assert_eq!(short.setup.server_key.as_ref(), Some(theirs.public()));
    let long = definition(&json!({
        "address": "poller", "port": "6000", "server_pubkey": pem, "client_privkey": file,
        "cipher": "Cipher::AES", "keysize": 16, "vector": 1_234_567_890_123_456_u64,
        "dialect": "centreon",
    }));
    let long = home.resolve(&long).unwrap();
    assert_eq!(long.endpoint, Endpoint::parse("tcp://poller:6000").unwrap());
    let setup = &long.setup;
    assert_eq!(setup.key.public(), own.public());
    assert_eq!((setup.keysize, setup.dialect), (16, Dialect::Centreon));
    assert_eq!(&setup.vector, b"1234567890123456");
    assert_ne!(short.print(), long.print());
}

#[test]
fn what_is_wrong_is_told_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    for (members, words) in [
        (json!({}), "no address"),
        (json!({ "address": "a", "port": 0 }), "port: '0' is not"),
        (
            json!({ "address": "a", "server_pubkey": "/no/such/file" }),
            "server_pubkey: cannot read /no/such/file",
        ),
        (
            json!({ "address": "a", "server_pubkey": "-----BEGIN x-----\n!\n-----END x-----" }),
            "server_pubkey: not a PEM file",
        ),
        (json!({ "address": "a" }), "client_privkey is missing"),
        (json!({ "address": ["a"] }), "address: must be a single"),
    ] {
        let error = home(None, &folder).resolve(&definition(&members));
        let error = error.unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let mut home = home(Some(key()), &folder);
    for (member, value) in [
        ("cipher", json!("DES")),
        ("keysize", json!(17)),
        ("vector", json!("short")),
        ("dialect", json!("klingon")),
    ] {
        let error = home.resolve(&definition(&json!({ "address": "a", member: value })));
        let error = error.unwrap_err();
        assert!(error.starts_with(&format!("{member}: '")), "{error}");
    }
}

#[test]
fn pinned_key_is_read_back_and_a_broken_line_concerns_its_node_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_nodes");
    let pins = Pins::new(path.clone());
    let (four, five) = (NodeId::new(4), NodeId::new(5));
    assert_eq!(pins.get(four), Ok(None));
    let key = key();
    pins.put(four, key.public()).unwrap();
    assert_eq!(pins.get(four).unwrap().as_ref(), Some(key.public()));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# a remark\n\n5 nonsense\n{text}")).unwrap();
    assert_eq!(pins.get(four).unwrap().as_ref(), Some(key.public()));
    let error = pins.get(five).unwrap_err();
    assert!(error.contains("the line of node 5"), "{error}");
}
