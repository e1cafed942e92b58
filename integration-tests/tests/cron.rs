//! Jobs on a real node: from the configuration and at run time, over every door, through restarts.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::fs;
use std::time::Duration;

use gorgone_client::Client;
use gorgone_integration_tests::{
    HTTP_CREDENTIALS, Node, NodeOptions, ask, ended, eventually, said,
};
use gorgone_protocol::{Code, Data, Status};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A node whose configuration has these jobs.
async fn node(jobs: &str) -> Node {
    Node::start_with(NodeOptions {
        modules: format!("  - name: cron\n    enable: true\n    cron:\n{jobs}\n"),
        http: Some(String::new()),
        ..NodeOptions::default()
    })
    .await
}

/// Asks cron and returns what the finishing row says.
async fn cron(client: &Client, action: &str, body: Value) -> (Code, Value) {
    let answer = ask(client, action, None, Data::from_value(&body)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    let row = ended(client, &answer.token.unwrap()).await;
    (row.code, said(&row.data))
}

async fn last_run(client: &Client, id: &str) -> Value {
    let (_, status) = cron(client, "GETCRON", json!({ "variables": [id, "status"] })).await;
    status["last"].clone()
}

#[tokio::test]
async fn job_of_the_configuration_runs_and_its_command_knows_the_occasion() {
    let jobs = "      - { id: each, timespec: \"* * * * * *\", action: COMMAND, keep_token: true, \
                parameters: { command: \"echo $GORGONE_CRON_JOB $GORGONE_CRON_SCHEDULED\" } }\n      \
                - { id: wrong, timespec: \"99 * * * *\", action: COMMAND }";
    let node = node(jobs).await;
    let client = node.client().await;
    eventually("the job has run", async || {
        last_run(&client, "each").await["outcome"] == "OK"
    })
    .await;
    let last = last_run(&client, "each").await;
    let token = gorgone_integration_tests::token(last["token"].as_str().unwrap());
    let row = ended(&client, &token).await;
    let data = said(&row.data);
    let scheduled = last["scheduled"].as_str().unwrap();
    assert_eq!(token.as_str(), format!("cron:each:{scheduled}"));
    assert_eq!(data["stdout"], format!("each {scheduled}\n"));
    assert_eq!(
        data["cron"],
        json!({ "job": "each", "scheduled": scheduled })
    );
    // Old clients look under the job's id.
    let filter = gorgone_protocol::request::log::GetLog {
        token: Some("each".to_owned()),
        ..Default::default()
    };
    let (rows, _) = client.log(&filter, Duration::from_secs(10)).await.unwrap();
    assert!(rows.iter().any(|row| row.data.contains(scheduled)));
    assert!(node.log().contains("cron[1].timespec: minute '99'"));
}

#[tokio::test]
async fn jobs_that_were_added_outlive_a_restart_of_everything() {
    let mut node = node("      - { id: file, timespec: \"@yearly\", action: COMMAND }").await;
    let client = node.client().await;
    let definition = json!({ "id": "added", "timespec": "* * * * * *", "action": "COMMAND",
        "parameters": { "command": "true" } });
    let content = json!({ "content": [definition] });
    let (code, data) = cron(&client, "ADDCRON", content.clone()).await;
    assert_eq!(code, Code::Ok, "{data}");
    let (code, data) = cron(&client, "ADDCRON", content).await;
    assert_eq!(code, Code::Ko);
    assert_eq!(data["problems"][0]["field"], "id");
    node.kill_all();
    node.launch().await;
    let client = node.client().await;
    eventually("the job runs again", async || {
        last_run(&client, "added").await["outcome"] == "OK"
    })
    .await;
    node.stop();
    node.launch().await;
    let client = node.client().await;
    let (_, jobs) = cron(&client, "GETCRON", json!({})).await;
    let sources: Vec<&Value> = jobs
        .as_array()
        .unwrap()
        .iter()
        .map(|j| &j["source"])
        .collect();
    assert_eq!(sources, ["added", "file"]);
}

#[tokio::test]
async fn file_that_is_read_again_is_followed() {
    let node = node("      - { id: first, timespec: \"@yearly\", action: COMMAND }").await;
    let client = node.client().await;
    let file = node.path("gorgoned.yml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("id: first", "id: second")).unwrap();
    node.signal("gorgoned", Signal::SIGHUP);
    eventually("the other job is there", async || {
        let (_, jobs) = cron(&client, "GETCRON", json!({})).await;
        jobs.as_array().unwrap().len() == 1 && jobs[0]["id"] == "second"
    })
    .await;
}

#[tokio::test]
async fn jobs_are_at_hand_over_http() {
    let node = node("      - { id: file, timespec: \"0 2 * * *\", action: COMMAND }").await;
    let ask = async |method: &str, path: &str, body: &str| {
        let path = format!("/api/core/cron/definitions{path}");
        let request =
            gorgone_integration_tests::http::request(method, &path, HTTP_CREDENTIALS, body);
        let address = node.http().parse().unwrap();
        let mut http = gorgone_integration_tests::http::Http::open(address).await;
        http.ask(&request).await.unwrap()
    };
    let definition =
        r#"[{"id":"web","timespec":"@hourly","action":"COMMAND","parameters":{"command":"true"}}]"#;
    let added = ask("POST", "?wait=30s", definition).await;
    assert_eq!(added.status, 200, "{added:?}");
    let ran = ask("POST", "/web/run?wait=30s", "").await;
    assert_eq!(ran.status, 200, "{ran:?}");
    let next = ask("GET", "/web/next?n=3&wait=30s", "").await;
    assert!(next.json().to_string().contains(":00:00Z"), "{next:?}");
    let changed = ask("PATCH", "/web?wait=30s", r#"{"timespec":"5 * * * *"}"#).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let shown = ask("GET", "/web?wait=30s", "").await;
    assert!(shown.json().to_string().contains("5 * * * *"), "{shown:?}");
    let status = ask("GET", "/web/status?wait=30s", "").await;
    assert!(status.json().to_string().contains("manual-1"), "{status:?}");
    let deleted = ask("DELETE", "/web?wait=30s", "").await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let gone = ask("GET", "/web?wait=30s", "").await;
    assert!(
        gone.json().to_string().contains("there is no job"),
        "{gone:?}"
    );
}

#[tokio::test]
async fn stopped_machine_catches_up_and_repeats_nothing() {
    let jobs = "      - { id: each, timespec: \"* * * * * *\", action: COMMAND, catchup: all, \
                parameters: { command: \"true\" } }";
    let node = node(jobs).await;
    let client = node.client().await;
    eventually("the job has run", async || {
        last_run(&client, "each").await["outcome"] == "OK"
    })
    .await;
    let before = last_run(&client, "each").await["scheduled"].clone();
    // Everything sleeps, as when a machine does.
    let all = ["gorgone-cron", "gorgone-core", "gorgone-action"];
    for name in all {
        node.signal(name, Signal::SIGSTOP);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    for name in all {
        node.signal(name, Signal::SIGCONT);
    }
    let client = node.client().await;
    let time = |text: &Value| {
        let text = text.as_str().unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    };
    let woke = jiff::Timestamp::now().as_second();
    eventually("what was missed is caught up with", async || {
        time(&last_run(&client, "each").await["scheduled"]) > woke
    })
    .await;
    let mut history = gorgone_integration_tests::History::default();
    for instant in time(&before)..=woke {
        let at = jiff::Timestamp::from_second(instant).unwrap();
        let token = gorgone_integration_tests::token(&format!("cron:each:{at}"));
        ended(&client, &token).await;
        history.read(&client).await;
        assert_eq!(history.outcome(&token), "OK");
        let begun = history.of(token.as_str()).iter();
        let begun = begun.filter(|row| row.data.contains("handed over")).count();
        assert_eq!(begun, 1, "{token}");
    }
}
