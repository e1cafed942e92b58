//! Who may ask what of which node: every credential × action × node, through both doors.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use gorgone_client::Client;
use gorgone_client::module::{Module, ModuleOptions};
use gorgone_crypto::PrivateKey;
use gorgone_integration_tests::{Node, NodeOptions, ask, ended, eventually, said, token};
use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::{
    Action, Answer, Code, Data, Endpoint, Headers, Identity, Message, Status, Target,
};
use nix::sys::signal::Signal;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

/// The credentials of the matrix. Both doors have the same, by the same names.
const RIGHTS: [(&str, &str); 4] = [
    (
        "reader",
        "[{ actions: [GETLOG, CONSTATUS, PING, GETTHUMBPRINT, INFORMATION], nodes: [\"*\"] }]",
    ),
    (
        "operator",
        "[{ actions: [COMMAND, CANCEL], nodes: [self] }, { actions: [COMMAND], nodes: [4, 7-9] }, \
         { actions: [GETLOG], nodes: [self] }]",
    ),
    ("local", "[{ actions: [\"*\"], nodes: [1] }]"),
    ("nobody", "[]"),
];

const ACTIONS: [&str; 12] = [
    "COMMAND",
    "ENGINECOMMAND",
    "CONSTATUS",
    "GETLOG",
    "GETAUDIT",
    "PUTLOG",
    "PING",
    "REGISTERNODES",
    "GETTHUMBPRINT",
    "INFORMATION",
    "CANCEL",
    "NEVERHEARDOF",
];

const NODES: [&str; 6] = ["", "1", "4", "8", "10", "nonsense"];

/// What the rights above mean, said in another way.
fn may(who: &str, action: &str, node: &str) -> bool {
    let here = node.is_empty() || node == "1";
    match who {
        "everything" => true,
        "reader" => [
            "GETLOG",
            "CONSTATUS",
            "PING",
            "GETTHUMBPRINT",
            "INFORMATION",
        ]
        .contains(&action),
        "operator" => match action {
            "COMMAND" => here || node == "4" || node == "8",
            "GETLOG" | "CANCEL" => here,
            _ => false,
        },
        "local" => here,
        _ => false,
    }
}

fn body(action: &str, own: &str) -> Data {
    Data::from_value(&match action {
        "COMMAND" => json!({ "command": "true" }),
        "ENGINECOMMAND" => json!({ "command": "X", "engine_pipe": "/nonexistent" }),
        "GETLOG" => json!({ "token": "unheard-of" }),
        "PUTLOG" => json!({ "code": 0, "token": own, "data": { "by": "a client" } }),
        "REGISTERNODES" => json!({ "nodes": [{ "id": 77, "type": "pull" }] }),
        "CANCEL" => json!({ "token": "unheard-of" }),
        _ => json!({}),
    })
}

/// A door as somebody.
enum Door {
    Zeromq(Client),
    /// A module that passes on what its callers want, and as whom.
    Bus(Module, String),
}

impl Door {
    async fn asks(&self, action: &str, node: &str, own: &str) -> Answer {
        let message = Message {
            action: Action::parse(action),
            token: Some(token(own)),
            target: Target::parse(node),
            data: body(action, own),
        };
        match self {
            Self::Zeromq(client) => client.ask(message, PATIENCE).await.unwrap(),
            Self::Bus(module, user) => {
                let headers = Headers {
                    user: Some(user.clone()),
                    from: Some("192.0.2.7".to_owned()),
                    ..Headers::default()
                };
                module
                    .asker()
                    .ask(message, headers, PATIENCE)
                    .await
                    .unwrap()
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Zeromq(_) => "client",
            Self::Bus(..) => "user",
        }
    }
}

/// A key for each credential of the matrix.
static KEYS: LazyLock<Vec<PrivateKey>> = LazyLock::new(|| {
    let make = |_: &(&str, &str)| PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    RIGHTS.iter().map(make).collect()
});

fn options() -> NodeOptions {
    let mut clients = String::new();
    let mut users = String::from("      - { name: everything, password: a secret }\n");
    for ((name, rights), key) in RIGHTS.iter().zip(KEYS.iter()) {
        let thumbprint = key.public().thumbprint();
        clients += &format!("    - {{ key: {thumbprint}, name: {name}, rights: {rights} }}\n");
        users += &format!("      - {{ name: {name}, password: a secret, rights: {rights} }}\n");
    }
    NodeOptions {
        clients,
        modules: format!("  - name: httpserver\n    enable: false\n    users:\n{users}"),
        ..NodeOptions::default()
    }
}

fn web(node: &Node, name: &str) -> Module {
    let options = ModuleOptions {
        endpoint: Endpoint::parse(node.internal()).unwrap(),
        identity: Identity::new(name.as_bytes()),
        name: "WEB".to_owned(),
        actions: Vec::new(),
        slots: 1,
    };
    Module::connect(options).unwrap()
}

async fn rows_of(client: &Client, own: &str) -> usize {
    let filter = GetLog {
        token: Some(own.to_owned()),
        ..GetLog::default()
    };
    client.log(&filter, PATIENCE).await.unwrap().0.len()
}

#[tokio::test]
async fn every_credential_may_do_what_its_rights_name_and_nothing_else() {
    let node = Node::start_with(options()).await;
    let observer = node.client().await;
    let mut doors = vec![
        ("everything", Door::Zeromq(node.client().await)),
        (
            "everything",
            Door::Bus(web(&node, "web-0"), "everything".to_owned()),
        ),
    ];
    for (at, ((name, _), key)) in RIGHTS.iter().zip(KEYS.iter()).enumerate() {
        let client = node.client_with(&format!("matrix-{name}"), key).await;
        doors.push((name, Door::Zeromq(client)));
        let module = web(&node, &format!("web-{}", at + 1));
        doors.push((name, Door::Bus(module, (*name).to_owned())));
    }
    let (mut allowed, mut forbidden) = (0, 0);
    for (who, door) in &doors {
        for action in ACTIONS {
            for target in NODES {
                let case = format!("{} {who}: {action} on '{target}'", door.kind());
                let own = format!("{}-{who}-{action}-{target}", door.kind());
                let answer = door.asks(action, target, &own).await;
                let data = said(answer.data.as_str());
                if may(who, action, target) {
                    allowed += 1;
                    assert_ne!(data["error"], "forbidden", "{case}: {data}");
                    // A node that there is no way to is another matter.
                    if ["4", "8", "10"].contains(&target) {
                        let words = data["message"].as_str().unwrap_or_default();
                        assert!(words.contains("no proxy"), "{case}: {data}");
                    } else if action == "COMMAND" && target != "nonsense" {
                        assert_eq!(answer.status, Status::Ok, "{case}: {data}");
                        let row = ended(&observer, &token(&own)).await;
                        assert_eq!(row.code, Code::Ok, "{case}");
                    }
                } else {
                    forbidden += 1;
                    assert_eq!(answer.status, Status::Nok, "{case}: {data}");
                    assert_eq!(answer.token, Some(token(&own)), "{case}");
                    let shown = if target.is_empty() { "1" } else { target };
                    let kind = door.kind();
                    let words = format!("{kind} '{who}' may not {action} on node {shown}");
                    let whole = json!({ "error": "forbidden", "message": words });
                    assert_eq!(data, whole, "{case}");
                    assert_eq!(rows_of(&observer, &own).await, 0, "{case} left a row");
                }
            }
        }
    }
    // Both sides of the table are worth their name.
    assert!(allowed > 200 && forbidden > 200, "{allowed}, {forbidden}");
}

#[tokio::test]
async fn user_whom_the_configuration_does_not_know_may_do_nothing() {
    let node = Node::start_with(options()).await;
    let stranger = Door::Bus(web(&node, "web"), "stranger".to_owned());
    for action in ["COMMAND", "PING"] {
        let data = said(stranger.asks(action, "", "t").await.data.as_str());
        let words = format!("user 'stranger' may not {action} on node 1");
        assert_eq!(data["message"], words.as_str());
        assert_eq!(data["error"], "forbidden");
    }
    // The module itself is trusted.
    let Door::Bus(module, _) = &stranger else {
        return;
    };
    let message = Message::new(Action::Ping, None, Data::empty());
    let asker = module.asker();
    let answer = asker.ask(message, Headers::default(), PATIENCE).await;
    assert_eq!(answer.unwrap().status, Status::Ok);
}

#[tokio::test]
async fn changed_rights_hold_from_the_hangup_on_without_a_restart() {
    let node = Node::start_with(options()).await;
    let core = node.pids("gorgone-core");
    let nobody = node.client_with("matrix-nobody", &KEYS[3]).await;
    let user = Door::Bus(web(&node, "web"), "nobody".to_owned());
    let ping = async || {
        let answer = ask(&nobody, "PING", None, Data::empty()).await.unwrap();
        let over_http = user.asks("PING", "", "t").await;
        (answer.status, over_http.status)
    };
    assert_eq!(ping().await, (Status::Nok, Status::Nok));
    let path = node.path("gorgoned.yml");
    let before = fs::read_to_string(&path).unwrap();
    let more = "rights: [{ actions: [PING], nodes: [self] }]";
    fs::write(&path, before.replace("rights: []", more)).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("both may", async || {
        ping().await == (Status::Ok, Status::Ok)
    })
    .await;
    fs::write(&path, before).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("neither may any more", async || {
        ping().await == (Status::Nok, Status::Nok)
    })
    .await;
    assert_eq!(node.pids("gorgone-core"), core, "core was not restarted");
}
