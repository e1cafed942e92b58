use gorgone_integration_tests::Node;

use crate::support::ctl;

#[tokio::test]
async fn audit_tells_who_asked_what_and_what_became_of_it() {
    let node = Node::start().await;
    assert_eq!(ctl(&node, &["command", "exit 3"]).await.code, 3);
    assert_eq!(ctl(&node, &["command", "true"]).await.code, 0);
    let said = ctl(&node, &["audit", "--action", "COMMAND"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert!(lines[0].trim_start().starts_with("ID"), "{}", said.out);
    assert!(lines[1].contains("KO failed"), "{}", said.out);
    assert!(
        lines[1].contains("exit 3") && lines[1].contains("127.0.0.1"),
        "{}",
        said.out
    );
    assert!(lines[2].contains("OK"), "{}", said.out);
    let all = ["--json", "audit", "--action", "COMMAND"];
    let rows = ctl(&node, &all).await.json();
    assert_eq!(
        (&rows[0]["outcome"], &rows[0]["door"]),
        (&"accepted".into(), &"zeromq".into())
    );
    assert_eq!(rows[0]["end"]["reason"], "failed");
    let after = rows[0]["id"].to_string();
    let next = [&all[..], &["--id", &after]].concat();
    assert_eq!(ctl(&node, &next).await.json(), rows[1..]);
    let newest = [&all[..], &["-n", "1"]].concat();
    assert_eq!(ctl(&node, &newest).await.json(), rows[1..]);
    let none = ctl(&node, &["audit", "--outcome", "forbidden"]).await;
    assert_eq!((none.out.as_str(), none.code), ("", 0));
    assert_eq!(ctl(&node, &["audit", "--outcome", "perhaps"]).await.code, 2);
}
