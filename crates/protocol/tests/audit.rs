//! GETAUDIT and its answer, there and back.

use gorgone_protocol::request::audit::{
    self, AuditEnd, AuditPage, AuditRow, Door, GetAudit, Outcome,
};
use gorgone_protocol::{Code, Data, Dialect, NodeId};

#[test]
fn body_is_written_as_it_is_read() {
    let text = r#"{"who":"web","action":"COMMAND","node":"5","since":"10","until":20.0,"outcome":"forbidden","id":null,"limit":3,"newest":true}"#;
    let asked: GetAudit = Data::parse(text).unwrap().decode().unwrap();
    assert_eq!(asked.node, Some(NodeId::new(5)));
    assert_eq!(asked.outcome, Some(Outcome::Forbidden));
    assert_eq!(
        (asked.since, asked.until, asked.id),
        (Some(10), Some(20), None)
    );
    let written = Data::from_value(&asked);
    assert_eq!(written.decode::<GetAudit>().unwrap(), asked);
    assert_eq!(Data::from_value(&GetAudit::default()), Data::empty());
    let wrong = Data::parse(r#"{"outcome":"lost"}"#).unwrap();
    let error = wrong.decode::<GetAudit>().unwrap_err().to_string();
    assert!(error.contains("accepted"), "{error}");
}

#[test]
fn answer_is_the_same_for_both_dialects_but_for_its_codes() {
    let row = AuditRow {
        id: 7,
        time: 100,
        door: Door::Http,
        who: "web".into(),
        from: Some("10.0.0.1".into()),
        action: "COMMAND".into(),
        node: "1".into(),
        token: "t".into(),
        request: "{}".into(),
        outcome: Outcome::Accepted,
        message: String::new(),
        end: Some(AuditEnd {
            code: Code::Ko,
            reason: Some("failed".into()),
            time: 101,
        }),
    };
    let page = AuditPage {
        rows: vec![row],
        next: Some(7),
    };
    for (dialect, code) in [(Dialect::Seed, 2), (Dialect::Centreon, 1)] {
        let answer = audit::answer(None, NodeId::new(1), page.clone(), dialect);
        let data: serde_json::Value = answer.data.decode().unwrap();
        assert_eq!(data["result"][0]["end"]["code"], code);
        assert_eq!((&data["more"], &data["next"]), (&true.into(), &7.into()));
        assert_eq!(audit::decode_answer(&answer, dialect).unwrap(), page);
    }
}
