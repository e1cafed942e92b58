use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use gorgone_integration_tests::Node;
use serde_json::Value;

use crate::support::{Said, bare, ctl, say};

/// A home with this profile file.
fn home(text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/gorgone");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ctl.yml"), text).unwrap();
    home
}

async fn at(home: &tempfile::TempDir, variables: &[(&str, &str)], args: &[&str]) -> Said {
    let mut command = bare(args);
    command.env("HOME", home.path());
    for (name, value) in variables {
        command.env(name, value);
    }
    say(command).await
}

#[tokio::test]
async fn a_profile_has_all_that_is_needed() {
    let node = Node::start().await;
    let home = home(&format!(
        "profiles:\n  here:\n    server: {}\n    server_key: server.pub.pem\n    key: {}\n",
        node.endpoint(),
        node.path("client.pem").display()
    ));
    let beside = home.path().join(".config/gorgone/server.pub.pem");
    fs::copy(node.path("server.pub.pem"), beside).unwrap();
    let said = at(&home, &[], &["command", "echo by profile"]).await;
    assert_eq!(
        (said.out.as_str(), said.code),
        ("by profile\n", 0),
        "{}",
        said.err
    );
    let said = ctl(&node, &["command", "echo by environment"]).await;
    assert_eq!(said.out, "by environment\n");
}

#[tokio::test]
async fn flags_win_over_environment_over_profile_over_defaults() {
    let home = home(
        "default: b\nprofiles:\n  a: {server: 'tcp://a:1', keysize: 16}\n  \
         b:\n    server: tcp://b:2\n    vector: 0123456789abcdef\n    patience: 7\n",
    );
    let show = async |variables: &[(&str, &str)], args: &[&str]| -> Value {
        let words: Vec<_> = args
            .iter()
            .chain(&["--json", "config", "show"])
            .copied()
            .collect();
        let said = at(&home, variables, &words).await;
        assert_eq!(said.code, 0, "{}", said.err);
        said.json().remove(0)
    };
    let file = home
        .path()
        .join(".config/gorgone/ctl.yml")
        .display()
        .to_string();
    let shown = show(&[], &[]).await;
    assert_eq!(shown["profile"], "b");
    assert_eq!(shown["settings"]["server"]["value"], "tcp://b:2");
    assert_eq!(
        shown["settings"]["patience"]["from"],
        format!("{file}:7 (profile b)")
    );
    assert_eq!(shown["settings"]["keysize"]["from"], "default");
    let shown = show(&[("GORGONECTL_PATIENCE", "8")], &["--keysize", "24"]).await;
    assert_eq!(shown["settings"]["patience"]["from"], "GORGONECTL_PATIENCE");
    assert_eq!(shown["settings"]["keysize"]["from"], "--keysize");
    let shown = show(&[("GORGONECTL_PROFILE", "b")], &["--profile", "a"]).await;
    assert_eq!(shown["profile"], "a");
    assert_eq!(shown["settings"]["keysize"]["value"], "16");
    // Another server gets nothing that was meant for the profile's, unless that is wanted.
    let shown = show(&[("GORGONECTL_SERVER", "tcp://c:3")], &[]).await;
    assert_eq!(shown["profile"], Value::Null);
    assert_eq!(shown["settings"]["vector"]["from"], "default");
    let shown = show(&[("GORGONECTL_SERVER", "tcp://c:3")], &["--profile", "b"]).await;
    assert_eq!(shown["settings"]["server"]["value"], "tcp://c:3");
    assert_eq!(shown["settings"]["vector"]["value"], "0123456789abcdef");
    let table = at(&home, &[], &["config", "show"]).await.out;
    assert!(
        table.contains("tcp://b:2") && table.ends_with("ctl.yml\n"),
        "{table}"
    );
}

#[tokio::test]
async fn a_profile_that_is_wrong_is_told_with_file_and_line() {
    let home = home("profiles:\n  a:\n    sever: tcp://a:1\n");
    let file = home
        .path()
        .join(".config/gorgone/ctl.yml")
        .display()
        .to_string();
    at(&home, &[], &["status"]).await.one_line_error(&format!(
        "{file}:3:12: 'sever' is not known; is 'server' meant?"
    ));
    at(&home, &[], &["--profile", "b", "status"])
        .await
        .one_line_error("there is no profile 'b'");
    at(&home, &[], &["--profiles", "/nonexistent.yml", "status"])
        .await
        .one_line_error("cannot read the profile file /nonexistent.yml");
    fs::write(&file, "profiles: [\n").unwrap();
    at(&home, &[], &["status"]).await.one_line_error(&file);
}

#[tokio::test]
async fn secrets_are_never_shown_and_never_lie_open() {
    let home = home(
        "profiles:\n  web:\n    server: https://h:1\n    login: me\n    password: top-secret\n",
    );
    let file = home.path().join(".config/gorgone/ctl.yml");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    at(&home, &[], &["config", "show"])
        .await
        .one_line_error("holds password and others can read it; run chmod 600");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let bearer = [("GORGONECTL_BEARER", "top-secret")];
    for args in [&["config", "show"][..], &["--json", "config", "show"]] {
        let said = at(&home, &bearer, args).await;
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(!said.out.contains("top-secret"), "{}", said.out);
        assert_eq!(said.out.matches("(secret)").count(), 2, "{}", said.out);
    }
    let both = [("GORGONECTL_BEARER", "a"), ("GORGONECTL_BEARER_FILE", "/b")];
    at(&home, &both, &["status"])
        .await
        .one_line_error("GORGONECTL_BEARER_FILE: stands beside GORGONECTL_BEARER");
    at(
        &home,
        &[],
        &["--server", "http://h:1", "--login", "x", "status"],
    )
    .await
    .one_line_error("--login names a user without a password");
    at(&home, &[], &["--server", "http://me:pass@h", "status"])
        .await
        .one_line_error("use --login and --password-file");
}
