//! The bodies of GETLOG and BCASTLOGGER, as peers write them.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use std::time::Duration;

use gorgone_protocol::request::log::{self, GetLog, Page, Row, WaitFor};
use gorgone_protocol::request::logger::{self, Severity};
use gorgone_protocol::{Code, Data, Dialect, Life, NodeId};

fn getlog(text: &str) -> GetLog {
    GetLog::decode(&Data::parse(text).unwrap(), Dialect::Seed).unwrap()
}

#[test]
fn every_filter_survives_the_way() {
    let filter = GetLog {
        code: Some(Code::Ko),
        token: Some("t".to_owned()),
        parent: Some("p".to_owned()),
        ctime: Some(1),
        etime: Some(2),
        id: Some(3),
        until: Some(4),
        before: Some(5),
        node: Some(NodeId::new(6)),
        limit: Some(7),
        newest: true,
        wait: Some(Duration::from_millis(1500)),
        wait_for: WaitFor::Row,
        life: Some(Life::from_random(7)),
    };
    for dialect in [Dialect::Seed, Dialect::Centreon] {
        let back = GetLog::decode(&filter.encode(dialect), dialect).unwrap();
        assert_eq!(back, filter);
    }
}

#[test]
fn wait_is_whole_or_not_and_never_longer_than_an_hour() {
    let wait = |text: &str| getlog(&format!(r#"{{"token":"t","wait":{text}}}"#)).wait;
    assert_eq!(wait("30"), Some(Duration::from_secs(30)));
    assert_eq!(wait("\"0.25\""), Some(Duration::from_millis(250)));
    assert_eq!(wait("1e300"), Some(Duration::from_secs(3600)));
    assert_eq!(wait("-5"), Some(Duration::ZERO));
    assert_eq!(wait("null"), None);
    let wrong = Data::parse(r#"{"token":"t","wait":"soon"}"#).unwrap();
    assert!(GetLog::decode(&wrong, Dialect::Seed).is_err());
}

#[test]
fn answer_says_whether_there_is_more_and_whether_the_token_lives() {
    let page = Page {
        rows: vec![Row {
            id: 10,
            token: "t".to_owned(),
            code: Code::Ok,
            etime: 1,
            ctime: 2,
            data: r#"{"a":"é"}"#.to_owned(),
            node: None,
        }],
        more: true,
        live: Some(false),
        life: Some(Life::from_random(7)),
        upto: Some(12),
    };
    for dialect in [Dialect::Seed, Dialect::Centreon] {
        let answer = log::answer(None, NodeId::new(1), &page, dialect);
        assert_eq!(log::decode_answer(&answer, dialect).unwrap(), page);
    }
    let plain = log::answer(None, NodeId::new(1), &Page::default(), Dialect::Seed);
    assert!(!plain.data.as_str().contains("live") && !plain.data.as_str().contains("more"));
}

#[test]
fn severity_stands_in_content_or_by_itself() {
    let severity = |text: &str| logger::decode(&Data::parse(text).unwrap()).ok();
    assert_eq!(severity(r#"{"severity":"debug"}"#), Some(Severity::Debug));
    assert_eq!(
        severity(r#"{"content":{"severity":"fatal"},"parameters":{}}"#),
        Some(Severity::Error)
    );
    for wrong in [
        "5",
        "null",
        "{}",
        r#"{"severity":5}"#,
        r#"{"content":[]}"#,
        r#"{"severity":"loud"}"#,
    ] {
        assert_eq!(severity(wrong), None, "{wrong}");
    }
    assert_eq!(
        logger::decode(&logger::encode(Severity::Default)).unwrap(),
        Severity::Default
    );
}
