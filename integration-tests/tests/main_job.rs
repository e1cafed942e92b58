//! The main job, with clients and modules that are not ours.

use gorgone_integration_tests::{Node, NodeOptions, eventually, python, spawn_python};
use gorgone_protocol::{Action, Data, Status, Target};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_python_client_does_the_main_job() {
    let node = Node::start().await;
    let fifo = node.path("engine.cmd");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let path = |name: &str| node.path(name).display().to_string();
    let printed = python(
        "main_job.py",
        &[
            &node.endpoint(),
            &path("server.pub.pem"),
            &path("client.pem"),
            &fifo.display().to_string(),
        ],
    );
    assert!(printed.contains("main job done"), "{printed}");
}

#[tokio::test]
async fn a_module_in_python_offers_an_action_and_serves_it() {
    let node = Node::start_with(NodeOptions {
        internal_tcp: true,
        ..NodeOptions::default()
    })
    .await;
    let mut module = spawn_python("module_x.py", &[node.internal()]);
    let client = node.client().await;
    let patience = Duration::from_secs(10);
    let ask = async || {
        let data = Data::from_value(&json!({ "numbers": [1, 2, 39] }));
        client
            .request(Action::parse("X"), Target::Here, data, patience)
            .await
    };
    eventually("X is offered", async || ask().await.is_ok()).await;
    let answer = ask().await.unwrap();
    assert_eq!(answer.status, Status::Ok);
    let token = answer.token.unwrap();
    eventually("X is served", async || {
        let filter = gorgone_protocol::request::log::GetLog {
            token: Some(token.as_str().to_owned()),
            ..Default::default()
        };
        let (rows, _) = client.log(&filter, patience).await.unwrap();
        rows.last()
            .is_some_and(|row| row.code.is_terminal() && row.data.contains("42"))
    })
    .await;
    module.kill().unwrap();
    module.wait().unwrap();
}
