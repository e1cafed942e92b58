use gorgone_integration_tests::Node;

use crate::support::ctl;

#[tokio::test]
async fn request_sends_anything_and_shows_the_answer() {
    let node = Node::start().await;
    let said = ctl(&node, &["request", "PING"]).await;
    assert_eq!(said.code, 0);
    assert!(said.out.contains("ping ok"), "{}", said.out);
    let said = ctl(&node, &["--json", "request", "GETTHUMBPRINT"]).await;
    assert!(said.json()[0]["data"]["data"]["thumbprint"].is_string());
    let said = ctl(&node, &["request", "NOBODY"]).await;
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("action 'NOBODY' is not known"),
        "{}",
        said.out
    );
    let body = r#"{"command":"echo waited"}"#;
    let args = ["request", "COMMAND", body, "--token", "mine", "--wait"];
    let said = ctl(&node, &args).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("mine") && said.out.contains("waited"),
        "{}",
        said.out
    );
    ctl(&node, &["request", "COMMAND", "{"])
        .await
        .one_line_error("is not JSON");
}
