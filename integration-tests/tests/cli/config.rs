use std::fs;

use gorgone_integration_tests::Node;

use crate::support::{alone, say};

#[tokio::test]
async fn config_check_says_what_gorgoned_check_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gorgoned.yml");
    let path = file.display().to_string();
    let keys = folder.path().join("keys").display().to_string();
    alone(&["keys", "generate", &keys]).await;
    let good = format!(
        "name: x\ngorgonecore:\n  id: 1\n  privkey: {keys}/privkey.pem\n  gorgone_db_name: {}/db\n",
        folder.path().display()
    );
    fs::write(&file, &good).unwrap();
    let said = alone(&["config", "check", &path]).await;
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(
        said.out.ends_with("configuration is fine\n"),
        "{}",
        said.out
    );
    fs::write(&file, good.replace("id: 1", "id: one\n  tiemout: 5")).unwrap();
    let said = alone(&["config", "check", &path]).await;
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    assert!(
        said.out.contains(&format!("error: {path}:3:")),
        "{}",
        said.out
    );
    let mut daemon = Node::program("gorgoned");
    daemon.args(["check", "--config", &path]);
    assert_eq!(say(daemon).await.out, said.out);
    // What a start goes on without is no less wrong.
    let jobs = "modules:\n  - { name: cron, cron: [ { id: a, timespec: '@daly', action: X } ] }\n";
    fs::write(&file, format!("{good}{jobs}")).unwrap();
    let job = alone(&["config", "check", &path]).await;
    assert_eq!(job.code, 1, "{}", job.out);
    assert!(job.out.contains("did you mean '@daily'?"), "{}", job.out);
    fs::write(&file, good.replace("id: 1", "id: one\n  tiemout: 5")).unwrap();
    let said = alone(&["--json", "config", "check", &path]).await;
    let whole = &said.json()[0];
    assert_eq!(whole["ok"], false);
    assert_eq!(whole["problems"][0]["line"], 3);
    assert!(
        whole["problems"][0]["key"]
            .as_str()
            .unwrap()
            .starts_with("gorgonecore.")
    );
    let said = alone(&["config", "check", "/nonexistent/gorgoned.yml"]).await;
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("cannot read the configuration"),
        "{}",
        said.out
    );
}
