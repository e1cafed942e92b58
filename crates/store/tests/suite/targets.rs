//! Requests to many nodes, in the store.

use gorgone_protocol::request::targets::{GetTargets, TargetState, Targets};
use gorgone_protocol::{Code, NodeId, Reason, Target, Verdict};
use gorgone_routing::{EndedPart, Record, Spread, TaskState, Written};
use gorgone_store::{Change, Filter, PurgeOptions, Store, TargetsOf, TaskStatus};

use super::{row, task, token};

fn spread(name: &str, nodes: u64) -> Spread {
    let mut whole = task(name);
    whole.target = Target::parse("*");
    whole.state = TaskState::Spread;
    let parts = (1..=nodes).map(|node| {
        let mut part = task(&format!("{name}@{node}"));
        part.target = Target::Node(NodeId::new(node));
        part.data = whole.data.clone();
        part.parent = Some(whole.token.clone());
        part
    });
    Spread {
        parts: parts.collect(),
        row: row(name, Code::Proceed),
        whole,
    }
}

fn accept(name: &str, nodes: u64) -> Change {
    Change::Routing(Record::Spread(Box::new(spread(name, nodes))))
}

fn finish(name: &str, code: Code, data: &str) -> Change {
    let mut row = row(name, code);
    row.data = data.to_owned();
    Change::Routing(Record::Finish(row))
}

async fn targets(store: &Store, name: &str, after: Option<u64>, limit: i64) -> Targets {
    let asked = GetTargets {
        token: token(name),
        after: after.map(NodeId::new),
        limit: Some(limit),
    };
    match store.targets(&asked).await.unwrap() {
        TargetsOf::Many(targets) => targets,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn spread_is_written_whole_or_not_at_all(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let store = &store;
    write(store, vec![Change::Routing(Record::Accept(task("b@2")))]).await;
    let written = write(store, vec![accept("a", 3), accept("b", 3), accept("a", 3)]).await;
    assert!(matches!(written[0], Written::Row(_)), "{written:?}");
    assert_eq!(
        written[1..],
        [
            Written::Duplicate { same: false },
            Written::Duplicate { same: true }
        ]
    );
    assert_eq!(store.task(&token("b")).await.unwrap(), None);
    assert_eq!(store.task(&token("b@1")).await.unwrap(), None);
    // Parts have the data of the whole, which is written once.
    let Some(TaskStatus::Live(part)) = store.task(&token("a@3")).await.unwrap() else {
        panic!("a@3 is not there");
    };
    assert_eq!(*part, spread("a", 3).parts[2]);
    let live = store.live_tasks().await.unwrap();
    let live: Vec<_> = live.iter().map(|task| task.token.as_str()).collect();
    assert_eq!(live, ["b@2", "a", "a@1", "a@2", "a@3"]);
}

pub(crate) async fn targets_tell_how_far_each_part_is(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let store = &store;
    write(store, vec![accept("a", 12)]).await;
    let changes = vec![
        finish("a@2", Code::Ok, "{}"),
        finish("a@10", Code::Ko, "{\"reason\":\"timeout\"}"),
        finish("a@11", Code::Ko, "{\"reason\":\"a word of its own\"}"),
        Change::Routing(Record::Advance {
            token: token("a@3"),
            state: TaskState::Away(NodeId::new(3)),
            attempt: 1,
            retries: 0,
        }),
    ];
    write(store, changes).await;
    let page = targets(store, "a", None, 10).await;
    assert_eq!(
        (page.target.as_str(), page.live, page.more),
        ("*", true, true)
    );
    let ids: Vec<u64> = page.nodes.iter().map(|one| one.node.get()).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>(), "as numbers, not as text");
    let timeout = TargetState::Ended(Verdict::Ko(Reason::Timeout));
    assert_eq!(page.nodes[9].state, timeout);
    assert_eq!(page.nodes[2].state, TargetState::Away);
    let counts = [
        (TargetState::Waiting, 8),
        (TargetState::Away, 1),
        (TargetState::Ended(Verdict::Ok), 1),
        (timeout, 1),
        (TargetState::Ended(Verdict::Ko(Reason::Failed)), 1),
    ];
    assert_eq!(page.counts, counts.into_iter().collect());
    let page = targets(store, "a", Some(10), 10).await;
    assert_eq!((page.nodes.len(), page.more), (2, false));
    write(store, vec![Change::Routing(Record::Accept(task("one")))]).await;
    for (name, expected) in [("one", TargetsOf::Single), ("none", TargetsOf::Unknown)] {
        let asked = GetTargets {
            token: token(name),
            after: None,
            limit: None,
        };
        assert_eq!(store.targets(&asked).await.unwrap(), expected);
    }
    let mut ended = store.ended_parts().await.unwrap();
    ended.sort_by_key(|part| part.node);
    let part = |node, verdict| EndedPart {
        parent: token("a"),
        node: NodeId::new(node),
        verdict,
    };
    let expected = [
        part(2, Verdict::Ok),
        part(10, Verdict::Ko(Reason::Timeout)),
        part(11, Verdict::Ko(Reason::Failed)),
    ];
    assert_eq!(ended, expected);
    // All rows of parts, and none of others.
    let filter = Filter {
        parent: Some("a".to_owned()),
        code: Some(Code::Ko),
        ..Filter::default()
    };
    let rows = store.history(&filter).await.unwrap().rows;
    let rows: Vec<_> = rows.iter().map(|row| row.token.as_str()).collect();
    assert_eq!(rows, ["a@10", "a@11"]);
}

pub(crate) async fn parts_are_kept_as_long_as_their_whole_lives(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let store = &store;
    write(store, vec![accept("a", 2), finish("a@1", Code::Ok, "{}")]).await;
    let far = i64::MAX;
    let purge = PurgeOptions {
        history_before: far,
        ..PurgeOptions::default()
    };
    store.purge(purge).await.unwrap();
    assert_eq!(targets(store, "a", None, 10).await.nodes.len(), 2);
    assert_eq!(store.ended_parts().await.unwrap().len(), 1);
    let rows = Filter {
        token: Some("a@1".to_owned()),
        ..Filter::default()
    };
    assert_eq!(store.history(&rows).await.unwrap().rows.len(), 1);
    let changes = vec![finish("a@2", Code::Ok, "{}"), finish("a", Code::Ok, "{}")];
    write(store, changes).await;
    store.purge(purge).await.unwrap();
    assert_eq!(store.task(&token("a")).await.unwrap(), None);
    assert_eq!(store.task(&token("a@1")).await.unwrap(), None);
    assert_eq!(store.history(&rows).await.unwrap().rows, []);
}

async fn write(store: &Store, changes: Vec<Change>) -> Vec<Written> {
    store.write(changes).await.unwrap()
}
