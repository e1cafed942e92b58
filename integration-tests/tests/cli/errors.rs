use gorgone_integration_tests::Node;

use crate::support::{alone, ctl, say, shell};

#[tokio::test]
async fn errors_are_one_line_that_says_what_to_do() {
    let node = Node::start().await;
    let own = tempfile::tempdir().unwrap();
    let keys = own.path().join("keys").display().to_string();
    let made = alone(&["keys", "generate", &keys]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    let private = format!("{keys}/privkey.pem");
    let public = format!("{keys}/pubkey.pem");

    let wrong: [(&[&str], &str); 8] = [
        (&["--key", &private, "status"], made.out.trim()),
        (
            &["--server-key", &public, "status"],
            "refused the handshake",
        ),
        (
            &["--server", "tcp://127.0.0.1:1", "--patience", "1", "status"],
            "is gorgoned running there",
        ),
        (&["--server", "nonsense", "status"], "--server: 'nonsense'"),
        (
            &["--key", "/nowhere.pem", "status"],
            "--key: cannot read /nowhere.pem",
        ),
        (
            &["--key", "/etc/hostname", "status"],
            "--key: /etc/hostname",
        ),
        (&["--vector", "short", "status"], "--vector: needs 16 bytes"),
        (
            &["--keysize", "many", "status"],
            "--keysize: 'many' is not a number",
        ),
    ];
    for (args, words) in wrong {
        ctl(&node, args).await.one_line_error(words);
    }
    let mut bare = node.ctl(&["status"]);
    bare.env_remove("GORGONECTL_KEY")
        .env("HOME", "/nonexistent");
    say(bare).await.one_line_error("--key is missing");
    let mut patience = node.ctl(&["status"]);
    patience.env("GORGONECTL_PATIENCE", "soon");
    say(patience)
        .await
        .one_line_error("GORGONECTL_PATIENCE: 'soon'");
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_exit_code_2() {
    for args in [
        &["nonsense"][..],
        &[],
        &["log", "--since", "soon"],
        &["log", "--code", "perhaps"],
        &["cancel", "bad]token"],
        &["command", "--target", "x", "true"],
    ] {
        let said = alone(args).await;
        assert_eq!(said.code, 2, "{args:?}: {}", said.err);
        assert!(!said.err.contains('\x1b'), "{}", said.err);
    }
    let said = alone(&["log", "--since", "soon"]).await;
    assert!(
        said.err.contains("write an age such as 15m"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn an_output_that_is_full_is_an_error_and_one_that_is_closed_is_not() {
    let node = Node::start().await;
    let mut full = node.ctl(&["status"]);
    let device = std::fs::OpenOptions::new().write(true).open("/dev/full");
    full.stdout(device.unwrap());
    let said = say(full).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("No space left"), "{}", said.err);
    for args in ["status", "--help", "log", "completion bash"] {
        let line = format!("gorgonectl {args} | true; echo ${{PIPESTATUS[0]}}");
        let said = shell(&node, &line).await;
        assert_eq!(
            (said.out.as_str(), said.err.as_str()),
            ("0\n", ""),
            "{args}"
        );
    }
}
