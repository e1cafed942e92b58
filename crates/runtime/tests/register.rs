//! The list of nodes that administrators write, and what they are told about it.

use std::path::Path;

use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::{Labels, NodeId};
use gorgone_runtime::config::{Checks, Config, Sources, parse_nodes};

fn complaints(text: &str) -> Vec<String> {
    match parse_nodes(Path::new("nodes.yml"), text) {
        Ok(nodes) => panic!("nothing is wrong: {nodes:?}"),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn list_of_nodes_of_the_older_daemon_is_read_as_it_is() {
    let text = r#"
nodes:
  - id: 4
    type: push_zmq
    address: 10.1.2.3
    port: 5556
    server_pubkey: keys/poller/pubkey.crt
    client_privkey: keys/central/privkey.pem
    cipher: "Cipher::AES"
    keysize: 32
    vector: 0123456789012345
    nodes: [2, { id: 20, pathscore: 10 }]
  - { id: "6", type: pull }
"#;
    let nodes = parse_nodes(Path::new("nodes.yml"), text).unwrap();
    assert_eq!(
        (nodes[0].id, nodes[0].kind),
        (NodeId::new(4), NodeKind::PushZmq)
    );
    let scores: Vec<_> = nodes[0]
        .nodes
        .iter()
        .map(|n| (n.id.get(), n.pathscore))
        .collect();
    assert_eq!(scores, [(2, 1), (20, 10)]);
    assert_eq!(nodes[0].rest["vector"], "0123456789012345");
    assert_eq!(nodes[0].rest["port"], 5556);
    assert_eq!(
        (nodes[1].id, nodes[1].kind),
        (NodeId::new(6), NodeKind::Pull)
    );
    for empty in ["", "nodes:\n", "nodes: []\n"] {
        assert_eq!(parse_nodes(Path::new("nodes.yml"), empty).unwrap(), []);
    }
}

#[test]
fn nodes_and_the_nodes_behind_them_have_labels() {
    let text = "nodes:\n  - id: 4\n    type: pull\n    labels: { site: paris, rack: 012, spare: true, old: \"\" }\n    nodes: [2, { id: 20, labels: { role: db } }]\n";
    let nodes = parse_nodes(Path::new("nodes.yml"), text).unwrap();
    let expected = [
        ("site", "paris"),
        ("rack", "012"),
        ("spare", "true"),
        ("old", ""),
    ];
    assert_eq!(nodes[0].labels, Labels::parse(expected).unwrap());
    let behind = &nodes[0].nodes[1].labels;
    assert_eq!(*behind, Labels::parse([("role", "db")]).unwrap());
}

#[test]
fn each_wrong_label_is_told_with_its_place() {
    let text = "nodes:\n  - id: 4\n    type: pull\n    labels:\n      site: pa ris\n      all: x\n      rack: [1]\n    nodes: [{ id: 5, labels: { -a: b } }]\n  - { id: 6, type: pull, labels: [a] }\n";
    let told = complaints(text);
    for (told, expected) in told.iter().zip([
        "nodes.yml:5:13: nodes[0].labels.site: 'pa ris' is no value of a label: write up to 63",
        "nodes.yml:6:12: nodes[0].labels.all: 'all' cannot be the key of a label",
        "nodes.yml:7:13: nodes[0].labels.rack: must be a text",
        "nodes.yml:8:36: nodes[0].nodes[0].labels.-a: '-a' is no key of a label",
        "nodes.yml:9:34: nodes[1].labels: must be a mapping, such as { site: paris",
    ]) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn everything_wrong_in_a_list_of_nodes_is_told_with_its_line_and_key() {
    let text = "nodes:\n  - { id: x, type: push_zmq }\n  - type: pul\n  - { id: 5, type: pull, nodes: [a] }\n  - { id: 6, type: pull }\n  - id: 6\n    type: pull\n";
    assert_eq!(
        complaints(text),
        [
            "nodes.yml:2:11: nodes[0].id: \"x\" is not the id of a node: a whole number",
            "nodes.yml:2:5: nodes[0].address: is missing: where is the node?",
            "nodes.yml:3:5: nodes[1].id: is missing",
            "nodes.yml:3:11: nodes[1].type: \"pul\" is none of push_zmq, push_ssh and pull",
            "nodes.yml:4:33: nodes[2].nodes: must be a list of ids, or of id, pathscore and labels: \
             data did not match any variant of untagged enum SubnodeSpelling",
            "nodes.yml:6:5: nodes[4].id: node 6 stands already in line 5",
        ]
    );
    assert!(complaints("nodes: [")[0].contains("not valid YAML"));
    assert!(complaints("node: []")[0].contains("there is only 'nodes'"));
    assert!(complaints("- id: 4")[0].contains("begins with 'nodes:'"));
}

#[test]
fn check_does_not_let_a_wrong_list_of_nodes_pass() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("nodes.yml");
    std::fs::write(&list, "nodes:\n  - { id: 4, type: pul }\n").unwrap();
    let text = format!(
        "modules:\n  - name: register\n    enable: true\n    config_file: {}\n",
        list.display()
    );
    let load = |text: &str, keys| {
        let checks = Checks {
            keys,
            ..Checks::default()
        };
        Config::parse(text, &Sources::default(), checks)
    };
    let loaded = load(&text, true).unwrap();
    assert!(loaded.config.modules.register.enable);
    assert!(
        loaded.left_out[0]
            .to_string()
            .contains("nodes.yml:2:20: nodes[0].type")
    );
    assert!(load(&text, false).unwrap().left_out.is_empty());
    let error = load("modules: [{ name: register, enable: true }]", false).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("modules.register.config_file: is missing")
    );
}
