//! The audit: written with what it is about, told of ends, read in pages.

use std::ops::RangeInclusive;

use gorgone_protocol::request::audit::{AuditEnd, AuditRow, Door, GetAudit, Outcome};
use gorgone_protocol::{Action, Code, NodeId, Target};
use gorgone_routing::{NewAudit, NewRow, Record, Written};
use gorgone_store::{Change, PurgeOptions, Store};

use super::{accept, finish, row, token};

fn new(text: &str, outcome: Outcome) -> NewAudit {
    NewAudit {
        time: 100,
        door: Door::Zeromq,
        who: "ann".into(),
        from: Some("192.0.2.1".into()),
        action: Action::Command,
        node: Target::Node(NodeId::new(1)),
        token: Some(token(text)),
        request: r#"{"é":"] \" '"}"#.into(),
        outcome,
        message: String::new(),
    }
}

fn audit(row: NewAudit) -> Change {
    Change::Routing(Record::Audit(Box::new(row)))
}

fn audit_of(text: &str) -> Change {
    let row = new(text, Outcome::Accepted);
    Change::Routing(Record::AuditOf(Box::new(row)))
}

async fn rows(store: &Store, filter: GetAudit) -> Vec<AuditRow> {
    let page = store.audit(&filter).await.unwrap();
    assert_eq!(page.next, None);
    page.rows
}

async fn end_of(store: &Store, text: &str) -> Option<AuditEnd> {
    let filter = GetAudit {
        token: Some(text.to_owned()),
        outcome: Some(Outcome::Accepted),
        ..GetAudit::default()
    };
    let [row] = &rows(store, filter).await[..] else {
        panic!("not one row of {text}");
    };
    row.end.clone()
}

pub(crate) async fn audit_comes_back_as_it_was_written(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let anonymous = NewAudit {
        door: Door::Http,
        from: None,
        node: Target::Unreadable("x".to_owned()),
        token: None,
        message: "not well formed".to_owned(),
        ..new("unused", Outcome::Refused)
    };
    let batch = vec![audit(new("t", Outcome::Answered)), audit(anonymous)];
    let written = store.write(batch).await;
    assert_eq!(written, Ok(vec![Written::Done, Written::Done]));
    store.close().await.unwrap();
    let store = open().await;
    let found = rows(&store, GetAudit::default()).await;
    let first = AuditRow {
        id: found[0].id,
        time: 100,
        door: Door::Zeromq,
        who: "ann".to_owned(),
        from: Some("192.0.2.1".to_owned()),
        action: "COMMAND".to_owned(),
        node: "1".to_owned(),
        token: "t".to_owned(),
        request: r#"{"é":"] \" '"}"#.to_owned(),
        outcome: Outcome::Answered,
        message: String::new(),
        end: None,
    };
    let second = AuditRow {
        id: found[1].id,
        door: Door::Http,
        from: None,
        node: "x".to_owned(),
        token: String::new(),
        outcome: Outcome::Refused,
        message: "not well formed".to_owned(),
        ..first.clone()
    };
    assert!(second.id > first.id);
    assert_eq!(found, [first, second]);
}

pub(crate) async fn audit_of_a_record_is_written_with_it(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let batch = vec![accept("t"), audit_of("t"), accept("t"), audit_of("t")];
    let written = store.write(batch).await.unwrap();
    assert_eq!(written[1], Written::Done);
    assert_eq!(written[2], Written::Duplicate { same: true });
    assert_eq!(written[3], Written::Ignored);
    let put = Change::Routing(Record::Put(row("t", Code::Proceed)));
    let written = store.write(vec![put, audit_of("t")]).await.unwrap();
    assert_eq!(written, [Written::Ignored, Written::Ignored]);
    assert_eq!(rows(&store, GetAudit::default()).await.len(), 1);
}

pub(crate) async fn audit_is_told_how_a_task_ends(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let again = audit(new("t", Outcome::Answered));
    store
        .write(vec![accept("t"), audit_of("t"), again])
        .await
        .unwrap();
    assert_eq!(end_of(&store, "t").await, None);
    store.write(vec![finish("t")]).await.unwrap();
    let good = AuditEnd {
        code: Code::Ok,
        reason: None,
        time: 200,
    };
    assert_eq!(end_of(&store, "t").await, Some(good.clone()));
    // An end that is said again changes nothing.
    let ko = NewRow {
        ctime: 300,
        data: r#"{"reason":"failed"}"#.to_owned(),
        ..row("t", Code::Ko)
    };
    let late = Change::Routing(Record::Finish(ko.clone()));
    store.write(vec![late]).await.unwrap();
    assert_eq!(end_of(&store, "t").await, Some(good));
    let filter = GetAudit {
        outcome: Some(Outcome::Answered),
        ..GetAudit::default()
    };
    assert_eq!(rows(&store, filter).await[0].end, None);
    // Within one group, and of many at once.
    let mut batch = Vec::new();
    for number in 0..300 {
        let name = format!("many-{number}");
        let end = NewRow {
            token: name.clone(),
            ..ko.clone()
        };
        batch.extend([accept(&name), audit_of(&name)]);
        batch.push(Change::Routing(Record::Finish(end)));
    }
    store.write(batch).await.unwrap();
    for number in [0, 127, 128, 299] {
        let bad = AuditEnd {
            code: Code::Ko,
            reason: Some("failed".to_owned()),
            time: 300,
        };
        assert_eq!(end_of(&store, &format!("many-{number}")).await, Some(bad));
    }
}

/// Twenty rows, one a second, of which every fifth stands out.
async fn filled(store: &Store) -> i64 {
    let batch = (0..20).map(|number| {
        let row = NewAudit {
            time: 1000 + number,
            ..new("same", Outcome::Answered)
        };
        audit(match number % 5 {
            4 => NewAudit {
                who: "bob".into(),
                action: Action::Other("X".into()),
                node: Target::Node(NodeId::new(7)),
                token: Some(token("other")),
                outcome: Outcome::Forbidden,
                ..row
            },
            _ => row,
        })
    });
    store.write(batch.collect()).await.unwrap();
    rows(store, GetAudit::default()).await[0].id
}

pub(crate) async fn every_filter_of_the_audit_filters(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let first = filled(&store).await;
    let numbers = async |filter: GetAudit| -> Vec<i64> {
        let rows = rows(&store, filter).await;
        rows.iter().map(|row| row.id - first).collect()
    };
    let all = GetAudit::default;
    let bobs = [
        GetAudit {
            who: Some("bob".to_owned()),
            ..all()
        },
        GetAudit {
            action: Some("X".to_owned()),
            ..all()
        },
        GetAudit {
            node: Some(NodeId::new(7)),
            ..all()
        },
        GetAudit {
            token: Some("other".to_owned()),
            ..all()
        },
        GetAudit {
            outcome: Some(Outcome::Forbidden),
            ..all()
        },
    ];
    for filter in bobs {
        assert_eq!(numbers(filter.clone()).await, [4, 9, 14, 19]);
        let some = GetAudit {
            since: Some(1009),
            until: Some(1018),
            ..filter
        };
        assert_eq!(numbers(some.clone()).await, [9, 14]);
        let later = GetAudit {
            id: Some(first + 9),
            ..some
        };
        assert_eq!(numbers(later).await, [14]);
    }
    let nothing = GetAudit {
        since: Some(5000),
        ..all()
    };
    assert!(numbers(nothing).await.is_empty());
    let nobody = GetAudit {
        who: Some("'; --".to_owned()),
        ..all()
    };
    assert!(numbers(nobody).await.is_empty());
}

pub(crate) async fn audit_is_read_in_pages_from_either_end(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let first = filled(&store).await;
    let mut filter = GetAudit {
        since: Some(1001),
        limit: Some(8),
        ..GetAudit::default()
    };
    let mut pages: Vec<RangeInclusive<i64>> = Vec::new();
    loop {
        let page = store.audit(&filter).await.unwrap();
        let ids: Vec<i64> = page.rows.iter().map(|row| row.id - first).collect();
        assert!(ids.is_sorted());
        pages.push(ids[0]..=ids[ids.len() - 1]);
        match page.next {
            Some(next) if filter.newest => filter.before = Some(next),
            Some(next) => filter.id = Some(next),
            None if filter.newest => break,
            None => {
                filter = GetAudit {
                    newest: true,
                    id: None,
                    ..filter
                };
            }
        }
    }
    assert_eq!(pages, [1..=8, 9..=16, 17..=19, 12..=19, 4..=11, 1..=3]);
    // Large rows make small pages.
    let large = NewAudit {
        request: "x".repeat(1 << 20).into(),
        ..new("large", Outcome::Answered)
    };
    for _ in 0..6 {
        store.write(vec![audit(large.clone())]).await.unwrap();
    }
    let filter = GetAudit {
        token: Some("large".to_owned()),
        ..GetAudit::default()
    };
    let page = store.audit(&filter).await.unwrap();
    assert_eq!(page.rows.len(), 3);
    assert_eq!(page.next, page.rows.last().map(|row| row.id));
}

pub(crate) async fn old_audit_is_purged_and_never_numbered_again(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let first = filled(&store).await;
    let keep = PurgeOptions {
        audit_before: 1004,
        ..PurgeOptions::default()
    };
    assert_eq!(store.purge(keep).await.unwrap().audit, 4);
    let few = PurgeOptions {
        audit_rows: 10,
        ..PurgeOptions::default()
    };
    assert_eq!(store.purge(few).await.unwrap().audit, 6);
    let left = rows(&store, GetAudit::default()).await;
    assert_eq!((left.len(), left[0].id), (10, first + 10));
    let all = PurgeOptions {
        audit_before: i64::MAX,
        ..PurgeOptions::default()
    };
    assert_eq!(store.purge(all).await.unwrap().audit, 10);
    assert!(rows(&store, GetAudit::default()).await.is_empty());
    filled(&store).await;
    let again = rows(&store, GetAudit::default()).await;
    assert_eq!(again[0].id, first + 20);
}
