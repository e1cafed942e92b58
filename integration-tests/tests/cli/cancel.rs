use gorgone_integration_tests::Node;

use crate::support::ctl;

#[tokio::test]
async fn cancel_says_what_became_of_it() {
    let node = Node::start().await;
    let args = ["command", "--detach", "--timeout", "900", "sleep 600"];
    let token = ctl(&node, &args).await.out;
    let token = token.trim();
    let said = ctl(&node, &["cancel", token]).await;
    assert_eq!(said.code, 0, "{} {}", said.out, said.err);
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    let rows = ctl(&node, &["--json", "log", token]).await.json();
    assert_eq!(rows.last().unwrap()["data"]["reason"], "cancelled");
    let said = ctl(&node, &["cancel", token]).await;
    assert_eq!((said.out.as_str(), said.code), ("it was already over\n", 1));
    let said = ctl(&node, &["cancel", "nobody-knows-it"]).await;
    assert_eq!(said.out, "no request with this token is known\n");
    assert_eq!(said.code, 1);
    let said = ctl(&node, &["--json", "cancel", "nobody-knows-it"]).await;
    assert_eq!((said.json()[0]["code"].as_i64(), said.code), (Some(1), 1));
}
