use gorgone_integration_tests::Node;

use crate::support::ctl;

#[tokio::test]
async fn status_tells_of_modules_work_and_counters() {
    let node = Node::start().await;
    let said = ctl(&node, &["status"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<_> = said.out.lines().collect();
    assert!(lines[0].starts_with("node 1 ("), "{}", said.out);
    assert!(lines[0].contains("up since 20"), "{}", said.out);
    assert_eq!(
        lines[1],
        "requests: 0 running, 0 waiting; readers that wait: 0; nodes: 0"
    );
    let head = lines.iter().position(|line| line.starts_with("MODULE"));
    let module = lines[head.unwrap() + 1];
    assert!(
        module.contains("ready") && module.contains("COMMAND"),
        "{module}"
    );
    let head = lines.iter().position(|line| line.starts_with("ASKED FOR"));
    let counted = &lines[head.unwrap() + 1..];
    let count = counted.iter().find(|line| line.starts_with("INFORMATION"));
    assert_eq!(
        count.unwrap().split_whitespace().collect::<Vec<_>>(),
        ["INFORMATION", "1", "0", "0"]
    );
    let whole = ctl(&node, &["--json", "status"]).await.json();
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0]["information"]["id"], 1);
    assert!(whole[0]["nodes"].is_object());
}

#[tokio::test]
async fn nodes_are_told_one_a_line_in_the_order_of_their_ids() {
    let node = Node::start().await;
    let said = ctl(&node, &["nodes"]).await;
    assert!(
        said.out.starts_with("no nodes are registered"),
        "{}",
        said.out
    );
    let body = r#"{"nodes":[{"id":20,"type":"pull","nodes":[100,{"id":101,"pathscore":5}]},
        {"id":3,"type":"push_ssh","address":"10.0.0.1"}]}"#;
    let said = ctl(&node, &["request", "REGISTERNODES", body]).await;
    assert_eq!(said.code, 0, "{}", said.out);
    let said = ctl(&node, &["nodes"]).await;
    let lines: Vec<_> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("NODE  TYPE      STATE"),
        "{}",
        said.out
    );
    for (line, id, about) in [(1, "3", "no proxy"), (2, "20", "subnodes 100 101")] {
        let words: Vec<_> = lines[line].split_whitespace().collect();
        assert_eq!((words[0], words[3]), (id, "never"), "{}", said.out);
        assert!(lines[line].contains(about), "{}", said.out);
    }
    let nodes = ctl(&node, &["--json", "nodes"]).await.json();
    assert_eq!(nodes[1]["id"], 20);
    assert_eq!(nodes[1]["nodes"]["101"], 5);
}
