//! Which requests a credential's rights allow.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use gorgone_protocol::{Action, Grant, GrantedActions, GrantedNodes, NodeId, Rights, Target};

const OWN: NodeId = NodeId::new(1);

fn grant(actions: &[&str], nodes: &[&str]) -> Grant {
    Grant {
        actions: actions
            .iter()
            .map(|text| GrantedActions::parse(text).unwrap())
            .collect(),
        nodes: nodes
            .iter()
            .map(|text| GrantedNodes::parse(text).unwrap())
            .collect(),
    }
}

#[test]
fn grants_allow_what_they_name_and_nothing_else() {
    let reader = [grant(&["GETLOG", "CONSTATUS"], &["self"])];
    let operator = [
        grant(&["COMMAND", "MYACTION"], &["4", "7-9"]),
        grant(&["GETLOG"], &["*"]),
    ];
    let local = [grant(&["*"], &["self"])];
    let remote = [grant(&["*"], &["2-5"])];
    let by_id = [grant(&["*"], &["1"])];
    let all = [grant(&["*"], &["*"])];
    let half = [grant(&[], &["*"]), grant(&["*"], &[])];
    let table: &[(&str, &[Grant], &str, &str, bool)] = &[
        ("reader", &reader, "GETLOG", "", true),
        ("reader", &reader, "GETLOG", "1", true),
        ("reader", &reader, "CONSTATUS", "", true),
        ("reader", &reader, "GETLOG", "2", false),
        ("reader", &reader, "COMMAND", "", false),
        ("reader", &reader, "getlog", "", false),
        ("reader", &reader, "GETLOG", "nonsense", false),
        ("operator", &operator, "COMMAND", "4", true),
        ("operator", &operator, "MYACTION", "8", true),
        ("operator", &operator, "COMMAND", "7", true),
        ("operator", &operator, "COMMAND", "9", true),
        ("operator", &operator, "COMMAND", "6", false),
        ("operator", &operator, "COMMAND", "10", false),
        ("operator", &operator, "COMMAND", "5", false),
        ("operator", &operator, "COMMAND", "", false),
        ("operator", &operator, "GETLOG", "6", true),
        ("operator", &operator, "GETLOG", "", true),
        ("operator", &operator, "CANCEL", "4", false),
        ("operator", &operator, "OTHERACTION", "4", false),
        ("local", &local, "WHATEVER", "", true),
        ("local", &local, "COMMAND", "1", true),
        ("local", &local, "COMMAND", "2", false),
        ("remote", &remote, "COMMAND", "3", true),
        ("remote", &remote, "COMMAND", "", false),
        ("remote", &remote, "COMMAND", "1", false),
        ("by id", &by_id, "COMMAND", "", true),
        ("by id", &by_id, "COMMAND", "2", false),
        ("all", &all, "WHATEVER", "9223372036854775807", true),
        ("all", &all, "COMMAND", "nonsense", true),
        ("half", &half, "COMMAND", "", false),
        ("nothing", &[], "PING", "", false),
    ];
    for (who, grants, action, target, allowed) in table {
        let rights = Rights::of(grants.to_vec());
        assert_eq!(
            rights.allows(&Action::parse(action), &Target::parse(target), OWN),
            *allowed,
            "{who}: {action} on '{target}'"
        );
    }
}

#[test]
fn credential_that_says_nothing_may_do_everything() {
    let rights = Rights::default();
    for target in ["", "1", "77", "nonsense"] {
        assert!(rights.allows(&Action::Command, &Target::parse(target), OWN));
    }
}

#[test]
fn text_that_grants_nothing_is_told_with_its_mend() {
    let action = |text: &str| GrantedActions::parse(text).unwrap_err().to_string();
    assert!(action("").contains("such as COMMAND"));
    for text in ["CRON*", "GET LOG", "[PING]", "**"] {
        assert!(action(text).starts_with(&format!("'{text}' is not an action")));
    }
    assert!(action("GetLog").ends_with("write it in capitals: GETLOG"));
    assert!(GrantedActions::parse("myaction").is_ok());
    let node = |text: &str| GrantedNodes::parse(text).unwrap_err().to_string();
    for text in [
        "",
        "a",
        "-",
        "1-",
        "-5",
        "1-2-3",
        "2..5",
        "Self",
        "9223372036854775808",
    ] {
        assert!(
            node(text).starts_with(&format!("'{text}' names no node")),
            "{}",
            node(text)
        );
    }
    assert!(node("5-2").contains("write the smaller id first"));
}
