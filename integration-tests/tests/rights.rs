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
use gorgone_integration_tests::http::{Http, request};
use gorgone_integration_tests::{Node, NodeOptions, ask, ended, eventually, said, token};
use gorgone_protocol::request::log::GetLog;
use gorgone_protocol::{Action, Code, Data, Endpoint, Headers, Identity, Message, Status, Target};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// The credentials of the matrix beside one that may do everything. Both doors have the same,
/// by the same names.
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

const ACTIONS: [&str; 13] = [
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
    "BCASTLOGGER",
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

fn body(action: &str, own: &str) -> Value {
    match action {
        "COMMAND" => json!({ "command": "true" }),
        "ENGINECOMMAND" => json!({ "command": "X", "engine_pipe": "/nonexistent" }),
        "GETLOG" | "CANCEL" => json!({ "token": "unheard-of" }),
        "PUTLOG" => json!({ "code": 0, "token": own, "data": { "by": "a client" } }),
        "REGISTERNODES" => json!({ "nodes": [{ "id": 77, "type": "pull" }] }),
        "BCASTLOGGER" => json!({ "severity": "default" }),
        _ => json!({}),
    }
}

/// A door as somebody.
enum Door {
    Zeromq(Client),
    Http(Http, String),
    /// A module that passes on what its callers want, and as whom.
    Bus(Module, String),
}

/// What somebody was told.
#[derive(Debug)]
struct Told {
    taken: bool,
    token: Value,
    error: Value,
    message: Value,
}

impl Door {
    fn http(stream: Http, who: &str) -> Self {
        Self::Http(stream, format!("Bearer {who}{SECRET}"))
    }

    async fn asks(&mut self, action: &str, node: &str, own: &str) -> Told {
        let data = body(action, own);
        let message = Message {
            action: Action::parse(action),
            token: Some(token(own)),
            target: Target::parse(node),
            data: Data::from_value(&data),
        };
        let answer = match self {
            Self::Zeromq(client) => client.ask(message, PATIENCE).await.unwrap(),
            Self::Bus(module, user) => {
                let headers = Headers {
                    user: Some(user.clone()),
                    from: Some("192.0.2.7".to_owned()),
                    ..Headers::default()
                };
                let asker = module.asker();
                asker.ask(message, headers, PATIENCE).await.unwrap()
            }
            Self::Http(connection, credential) => {
                let any = json!({ "action": action, "target": node, "token": own, "data": data });
                let text = request("POST", "/api/requests", credential, &any.to_string());
                let answer = connection.ask(&text).await.unwrap();
                let said = answer.json();
                let forbidden = said["error"] == "forbidden";
                assert_eq!(answer.status == 403, forbidden, "{} {said}", answer.head);
                return Told {
                    taken: answer.status == 200,
                    token: said["token"].clone(),
                    error: said["error"].clone(),
                    message: said["message"].clone(),
                };
            }
        };
        let said = said(answer.data.as_str());
        Told {
            taken: answer.status == Status::Ok,
            token: answer.token.as_ref().map(|token| token.as_str()).into(),
            error: said["error"].clone(),
            message: said["message"].clone(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Zeromq(_) => "client",
            Self::Http(..) | Self::Bus(..) => "user",
        }
    }
}

/// What stands behind a user's name in its token.
const SECRET: &str = "-0123456789abcdef";

/// A key for each credential of the matrix.
static KEYS: LazyLock<Vec<PrivateKey>> = LazyLock::new(|| {
    let make = |_: &(&str, &str)| PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    RIGHTS.iter().map(make).collect()
});

fn options() -> NodeOptions {
    let mut clients = String::new();
    let mut users = format!("      - {{ name: everything, token: everything{SECRET} }}\n");
    for ((name, rights), key) in RIGHTS.iter().zip(KEYS.iter()) {
        let thumbprint = key.public().thumbprint();
        clients += &format!("    - {{ key: {thumbprint}, name: {name}, rights: {rights} }}\n");
        users += &format!("      - {{ name: {name}, token: {name}{SECRET}, rights: {rights} }}\n");
    }
    NodeOptions {
        clients,
        http: Some(format!("    users:\n{users}")),
        ..NodeOptions::default()
    }
}

fn web(node: &Node) -> Module {
    let options = ModuleOptions {
        endpoint: Endpoint::parse(node.internal()).unwrap(),
        identity: Identity::new(b"web"),
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
    let http = node.http().parse().unwrap();
    let mut doors = vec![
        ("everything", Door::Zeromq(node.client().await)),
        (
            "everything",
            Door::http(Http::open(http).await, "everything"),
        ),
    ];
    for ((name, _), key) in RIGHTS.iter().zip(KEYS.iter()) {
        let client = node.client_with(&format!("matrix-{name}"), key).await;
        doors.push((name, Door::Zeromq(client)));
        doors.push((name, Door::http(Http::open(http).await, name)));
    }
    let (mut allowed, mut forbidden) = (0, 0);
    for (who, door) in &mut doors {
        for action in ACTIONS {
            for target in NODES {
                if target == "nonsense" && matches!(door, Door::Http(..)) {
                    // It does not come as far as core.
                    continue;
                }
                let case = format!("{} {who}: {action} on '{target}'", door.kind());
                let own = format!("{}-{who}-{action}-{target}", door.kind());
                let told = door.asks(action, target, &own).await;
                if may(who, action, target) {
                    allowed += 1;
                    assert_ne!(told.error, "forbidden", "{case}: {told:?}");
                    // A node that there is no way to is another matter.
                    if ["4", "8", "10"].contains(&target) {
                        let words = told.message.as_str().unwrap_or_default();
                        assert!(words.contains("no proxy"), "{case}: {told:?}");
                    } else if action == "COMMAND" && target != "nonsense" {
                        assert!(told.taken, "{case}: {told:?}");
                        let row = ended(&observer, &token(&own)).await;
                        assert_eq!(row.code, Code::Ok, "{case}");
                    }
                } else {
                    forbidden += 1;
                    let shown = if target.is_empty() { "1" } else { target };
                    let kind = door.kind();
                    let words = format!("{kind} '{who}' may not {action} on node {shown}");
                    assert_eq!(told.message, words.as_str(), "{case}: {told:?}");
                    assert_eq!(told.error, "forbidden", "{case}");
                    assert_eq!(told.token, own.as_str(), "{case}");
                    assert_eq!(rows_of(&observer, &own).await, 0, "{case} left a row");
                }
            }
        }
    }
    // Both sides of the table are worth their name.
    assert!(allowed > 200 && forbidden > 200, "{allowed}, {forbidden}");
}

/// A path of the API, what it asks for, and where.
const PATHS: [(&str, &str, &str, &str); 12] = [
    ("GET", "/api/internal/constatus", "CONSTATUS", ""),
    ("GET", "/api/nodes/4/internal/constatus", "CONSTATUS", "4"),
    ("GET", "/api/internal/thumbprint", "GETTHUMBPRINT", ""),
    ("GET", "/api/internal/information", "INFORMATION", ""),
    ("POST", "/api/internal/logger", "BCASTLOGGER", ""),
    ("POST", "/api/core/action/command", "COMMAND", ""),
    ("POST", "/api/nodes/8/core/action/command", "COMMAND", "8"),
    (
        "POST",
        "/api/targets/10/core/action/command",
        "COMMAND",
        "10",
    ),
    ("POST", "/api/centreon/engine/command", "ENGINECOMMAND", ""),
    ("GET", "/api/log/unheard-of", "GETLOG", ""),
    ("GET", "/api/log?since=0", "GETLOG", ""),
    ("DELETE", "/api/tasks/unheard-of", "CANCEL", ""),
];

#[tokio::test]
async fn every_path_of_the_api_takes_the_right_to_what_it_asks_for() {
    let node = Node::start_with(options()).await;
    let http = node.http().parse().unwrap();
    for who in ["everything", "reader", "operator", "local", "nobody"] {
        let mut connection = Http::open(http).await;
        for (method, path, action, target) in PATHS {
            let body = match method {
                "POST" => body(action, "").to_string(),
                _ => String::new(),
            };
            let credential = format!("Bearer {who}{SECRET}");
            let text = request(method, path, &credential, &body);
            let answer = connection.ask(&text).await.unwrap();
            let forbidden = answer.status == 403;
            let case = format!("{who}: {method} {path} -> {}", answer.head);
            assert_eq!(forbidden, !may(who, action, target), "{case}");
            if forbidden {
                assert_eq!(answer.json()["error"], "forbidden", "{case}");
            }
        }
    }
}

#[tokio::test]
async fn user_whom_the_configuration_does_not_know_may_do_nothing() {
    let node = Node::start_with(options()).await;
    let mut stranger = Door::Bus(web(&node), "stranger".to_owned());
    for action in ["COMMAND", "PING"] {
        let told = stranger.asks(action, "", "t").await;
        let words = format!("user 'stranger' may not {action} on node 1");
        assert_eq!(told.message, words.as_str());
        assert_eq!(told.error, "forbidden");
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
    let http = Http::open(node.http().parse().unwrap()).await;
    let mut user = Door::http(http, "nobody");
    let mut ping = async || {
        let answer = ask(&nobody, "PING", None, Data::empty()).await.unwrap();
        let over_http = user.asks("PING", "", "t").await;
        (answer.status == Status::Ok, over_http.taken)
    };
    assert_eq!(ping().await, (false, false));
    let path = node.path("gorgoned.yml");
    let before = fs::read_to_string(&path).unwrap();
    let more = "rights: [{ actions: [PING], nodes: [self] }]";
    fs::write(&path, before.replace("rights: []", more)).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("both may", async || ping().await == (true, true)).await;
    fs::write(&path, before).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("neither may any more", async || {
        ping().await == (false, false)
    })
    .await;
    assert_eq!(node.pids("gorgone-core"), core, "core was not restarted");
}
