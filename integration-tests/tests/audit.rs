//! Who asked what, from where, and what became of it: on a real node, through both doors, and
//! whatever is killed.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use gorgone_client::Client;
use gorgone_client::module::{Module, ModuleOptions};
use gorgone_crypto::PrivateKey;
use gorgone_integration_tests::http::{Http, request};
use gorgone_integration_tests::{
    Node, NodeOptions, accepted, ask, ended, eventually, keys, run, said, token,
};
use gorgone_protocol::request::audit::{self, AuditRow, Door, GetAudit, Outcome};
use gorgone_protocol::{
    Action, Code, Data, Dialect, Endpoint, Headers, Identity, Message, Status, Token,
};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);

/// Every row that a filter lets through.
async fn audit(client: &Client, mut filter: GetAudit) -> Vec<AuditRow> {
    let mut rows = Vec::new();
    loop {
        let body = Data::from_value(&filter);
        let answer = ask(client, "GETAUDIT", None, body).await.unwrap();
        assert_eq!(answer.status, Status::Ok, "{answer:?}");
        let page = audit::decode_answer(&answer, Dialect::Seed).unwrap();
        rows.extend(page.rows);
        match page.next {
            Some(next) => filter.id = Some(next),
            None => return rows,
        }
    }
}

/// The one row of a token.
async fn row_of(client: &Client, token: &Token) -> AuditRow {
    let filter = GetAudit {
        token: Some(token.as_str().to_owned()),
        ..GetAudit::default()
    };
    let mut rows = audit(client, filter).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// What is said in refusal of a request, and its row.
async fn refused(client: &Client, action: &str, own: &str, body: Data) -> (String, AuditRow) {
    let own = token(own);
    let answer = ask(client, action, Some(own.clone()), body).await.unwrap();
    assert_eq!(answer.status, Status::Nok, "{answer:?}");
    let words = said(answer.data.as_str())["message"].clone();
    (
        words.as_str().unwrap_or_default().to_owned(),
        row_of(client, &own).await,
    )
}

#[tokio::test]
async fn accepted_request_has_a_row_that_is_told_its_end() {
    let node = Node::start().await;
    let client = node.client().await;
    let good = accepted(&client, json!({ "command": "echo fine" })).await;
    assert_eq!(ended(&client, &good).await.code, Code::Ok);
    let row = row_of(&client, &good).await;
    assert_eq!(row.door, Door::Zeromq);
    assert_eq!(row.who, keys().client.public().thumbprint().as_str());
    assert_eq!(row.from.as_deref(), Some("127.0.0.1"));
    assert_eq!((row.action.as_str(), row.node.as_str()), ("COMMAND", "1"));
    assert_eq!(row.request, r#"{"command":"echo fine"}"#);
    assert_eq!(row.outcome, Outcome::Accepted);
    let end = row.end.unwrap();
    assert_eq!((end.code, end.reason), (Code::Ok, None));
    assert!(end.time >= row.time);

    let bad = accepted(&client, json!({ "command": "exit 3" })).await;
    assert_eq!(ended(&client, &bad).await.code, Code::Ko);
    let end = row_of(&client, &bad).await.end.unwrap();
    assert_eq!(
        (end.code, end.reason.as_deref()),
        (Code::Ko, Some("failed"))
    );

    let endless = accepted(&client, json!({ "command": "sleep 600" })).await;
    assert_eq!(row_of(&client, &endless).await.end, None);
    let body = Data::from_value(&json!({ "token": endless }));
    let cancel = ask(&client, "CANCEL", Some(token("the cancel")), body).await;
    assert_eq!(cancel.unwrap().status, Status::Ok);
    let end = row_of(&client, &endless).await.end.unwrap();
    assert_eq!(end.reason.as_deref(), Some("cancelled"));
    let row = row_of(&client, &token("the cancel")).await;
    assert_eq!(row.outcome, Outcome::Answered);
    assert!(row.request.contains(endless.as_str()), "{row:?}");
}

#[tokio::test]
async fn refused_request_has_a_row_with_the_words_of_its_refusal() {
    let key = PrivateKey::generate(&mut rand::rng(), 2048).unwrap();
    let node = Node::start_with(NodeOptions {
        clients: format!(
            "    - {{ key: {}, name: the display, rights: [{{ actions: [PING, GETAUDIT], nodes: [\"*\"] }}] }}",
            key.public().thumbprint()
        ),
        ..NodeOptions::default()
    })
    .await;
    let client = node.client().await;
    let (words, row) = refused(&client, "NEVERHEARDOF", "n", Data::empty()).await;
    assert_eq!(row.outcome, Outcome::Refused);
    assert_eq!((row.action.as_str(), row.message), ("NEVERHEARDOF", words));
    let wrong = Data::parse(r#"{"nodes":[{"id":5}]}"#).unwrap();
    let (words, row) = refused(&client, "REGISTERNODES", "r", wrong).await;
    assert_eq!((row.outcome, row.message), (Outcome::Refused, words));
    // A token of its own each, and the same for a request that is not the same.
    let first = accepted(&client, json!({ "command": "true" })).await;
    let other = Data::from_value(&json!({ "command": "false" }));
    let answer = ask(&client, "COMMAND", Some(first.clone()), other).await;
    assert_eq!(answer.unwrap().status, Status::Nok);
    let filter = GetAudit {
        token: Some(first.as_str().to_owned()),
        ..GetAudit::default()
    };
    let outcomes: Vec<_> = audit(&client, filter)
        .await
        .iter()
        .map(|row| row.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Accepted, Outcome::Refused]);

    let display = node.client_with("display", &key).await;
    let command = Data::from_value(&json!({ "command": "touch /tmp/never" }));
    let (words, row) = refused(&display, "COMMAND", "f", command).await;
    assert_eq!(words, "client 'the display' may not COMMAND on node 1");
    assert_eq!((row.outcome, row.message), (Outcome::Forbidden, words));
    assert_eq!((row.who.as_str(), row.end), ("the display", None));
    let (_, row) = refused(&display, "GETLOG", "g", Data::empty()).await;
    assert_eq!(row.outcome, Outcome::Forbidden);
    // Who is refused again and again is answered each time, and counted.
    for number in 0..50 {
        let own = Some(token(&format!("again-{number}")));
        let answer = ask(&display, "CANCEL", own, Data::empty()).await.unwrap();
        assert_eq!(said(answer.data.as_str())["error"], "forbidden");
    }
    let filter = GetAudit {
        who: Some("the display".to_owned()),
        ..GetAudit::default()
    };
    assert_eq!(audit(&client, filter).await.len(), 10);
}

#[tokio::test]
async fn secrets_are_not_in_the_audit_and_what_is_secret_follows_the_configuration() {
    let node = Node::start().await;
    let client = node.client().await;
    let asked = async |command: &str| {
        let token = accepted(&client, json!({ "command": command })).await;
        ended(&client, &token).await;
        row_of(&client, &token).await.request
    };
    assert_eq!(
        asked("true --password HUNTER2 -pHUNTER2 PIN-1234").await,
        r#"{"command":"true --password *** -p*** PIN-1234"}"#
    );
    let core = node.pids("gorgone-core");
    let path = node.path("gorgoned.yml");
    let before = fs::read_to_string(&path).unwrap();
    let audit = "gorgonecore:\n  audit: { redact: [\"PIN-(\\\\d+)\"] }";
    fs::write(&path, before.replace("gorgonecore:", audit)).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("the pattern is followed", async || {
        asked("true PIN-1234").await == r#"{"command":"true PIN-***"}"#
    })
    .await;
    let off = "gorgonecore:\n  audit: { enable: false }";
    fs::write(&path, before.replace("gorgonecore:", off)).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("nothing is written any more", async || {
        let token = accepted(&client, json!({ "command": "true" })).await;
        let filter = GetAudit {
            token: Some(token.as_str().to_owned()),
            ..GetAudit::default()
        };
        self::audit(&client, filter).await.is_empty()
    })
    .await;
    assert_eq!(node.pids("gorgone-core"), core, "core was not restarted");
}

#[tokio::test]
async fn user_behind_a_module_is_who_asked() {
    let node = Node::start_with(NodeOptions {
        modules: "  - name: httpserver\n    users: [{ name: ann, password: a secret }]\n"
            .to_owned(),
        ..NodeOptions::default()
    })
    .await;
    let web = Module::connect(ModuleOptions {
        endpoint: Endpoint::parse(node.internal()).unwrap(),
        identity: Identity::new(b"web"),
        name: "WEB".to_owned(),
        actions: Vec::new(),
        slots: 1,
    })
    .unwrap();
    let asker = web.asker();
    let client = node.client().await;
    for (user, from, who) in [
        (Some("ann"), Some("192.0.2.7"), Some("ann")),
        (None, Some("192.0.2.8"), Some("anonymous")),
        // For itself: nobody came in through a door.
        (None, None, None),
    ] {
        let own = Token::from_random(rand::random());
        let body = Data::from_value(&json!({ "command": "true" }));
        let message = Message::new(Action::Command, Some(own.clone()), body);
        let headers = Headers {
            user: user.map(str::to_owned),
            from: from.map(str::to_owned),
            ..Headers::default()
        };
        let answer = asker.ask(message, headers, PATIENCE).await.unwrap();
        assert_eq!(answer.status, Status::Ok);
        let Some(who) = who else {
            let filter = GetAudit {
                token: Some(own.as_str().to_owned()),
                ..GetAudit::default()
            };
            assert!(audit(&client, filter).await.is_empty());
            continue;
        };
        let row = row_of(&client, &own).await;
        assert_eq!((row.door, row.who.as_str()), (Door::Http, who));
        assert_eq!(row.from.as_deref(), from);
    }
}

#[tokio::test]
async fn user_of_the_http_door_is_who_asked() {
    let node = Node::start_with(NodeOptions {
        http: Some("    users: [{ name: ann, token: ann-0123456789abcdef }]".to_owned()),
        ..NodeOptions::default()
    })
    .await;
    let mut door = Http::open(node.http().parse().unwrap()).await;
    let path = "/api/core/action/command?wait=30s";
    let body = r#"{"command":"true --password HUNTER2"}"#;
    let text = request("POST", path, "Bearer ann-0123456789abcdef", body);
    let answer = door.ask(&text).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.head);
    let own = token(answer.json()["token"].as_str().unwrap());
    let row = row_of(&node.client().await, &own).await;
    assert_eq!((row.door, row.who.as_str()), (Door::Http, "ann"));
    assert_eq!(row.from.as_deref(), Some("127.0.0.1"));
    assert!(row.request.contains("--password ***"), "{row:?}");
    assert_eq!(row.end.unwrap().code, Code::Ok);
}

#[tokio::test]
async fn no_row_of_what_was_accepted_is_lost_when_core_is_killed() {
    let node = Node::start().await;
    let client = node.client().await;
    assert_eq!(
        run(&client, json!({ "command": "true" })).await.code,
        Code::Ok
    );
    let mut tokens = Vec::new();
    for round in 0..3 {
        let mut asked = JoinSet::new();
        for number in 0..150 {
            let (client, own) = (client.clone(), token(&format!("k-{round}-{number}")));
            asked.spawn(async move {
                let body = Data::from_value(&json!({ "command": "true" }));
                let answer = ask(&client, "COMMAND", Some(own.clone()), body).await;
                assert_eq!(answer.unwrap().status, Status::Ok);
                own
            });
        }
        tokens.push(asked.join_next().await.unwrap().unwrap());
        assert!(node.signal("gorgone-core", Signal::SIGKILL));
        tokens.extend(asked.join_all().await);
    }
    let mut ends = BTreeMap::new();
    for own in &tokens {
        ends.insert(own.as_str().to_owned(), ended(&client, own).await);
    }
    let filter = GetAudit {
        outcome: Some(Outcome::Accepted),
        ..GetAudit::default()
    };
    let mut seen = BTreeMap::new();
    for row in audit(&client, filter).await {
        if let Some(last) = ends.get(&row.token) {
            let end = row.end.clone().unwrap();
            let reason = said(&last.data)["reason"].as_str().map(str::to_owned);
            assert_eq!((end.code, &end.reason), (last.code, &reason), "{row:?}");
        }
        *seen.entry(row.token).or_insert(0) += 1;
    }
    for own in ends.keys() {
        assert_eq!(seen.get(own), Some(&1), "rows of {own}");
    }
}
