//! Tasks of other nodes, and their rows.

use gorgone_protocol::request::log::{GetLog, Row};
use gorgone_protocol::{Code, Life, Mark, NodeId, Verdict};
use gorgone_routing::{Fetched, NodeBegan, Record, Runner, TaskState, Written};
use gorgone_store::{Change, Filter, PurgeOptions, RowsOf, Store, TaskStatus};

use super::{accept, advance, finish, note, of, put, row, token};

const NODE: NodeId = NodeId::new(4);

fn said(id: i64, text: &str, code: Code) -> Row {
    Row {
        id,
        token: text.to_owned(),
        code,
        etime: 50,
        ctime: 60,
        data: format!(r#"{{"said":{id}}}"#),
        node: None,
    }
}

fn page(node: NodeId, after: i64, upto: i64, rows: Vec<Row>) -> Change {
    Change::Routing(Record::Fetched(Fetched {
        node,
        after,
        known: None,
        life: None,
        upto,
        at: 200,
        rows,
    }))
}

/// A mark of a node that tells no lives.
fn mark(id: i64) -> Mark {
    Mark {
        id,
        ..Mark::default()
    }
}

fn refused(id: i64) -> Written {
    Written::Mark(Box::new(mark(id)))
}

async fn ends(store: &Store, text: &str) -> usize {
    let page = store.history(&of(text)).await.unwrap();
    page.rows
        .iter()
        .filter(|row| row.code.is_terminal())
        .count()
}

pub(crate) async fn rows_of_a_node_are_stored_once_with_its_mark(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let first = vec![said(1, "a", Code::Proceed), said(3, "a", Code::Ok)];
    let none = Written::Fetched { ended: Vec::new() };
    // In one group: a page, the same again, and the next.
    let written = store
        .write(vec![
            page(NODE, 0, 3, first.clone()),
            page(NODE, 0, 3, first.clone()),
            page(NODE, 3, 9, vec![said(5, "b", Code::Ko)]),
            page(NodeId::new(5), 0, 1, vec![said(1, "a", Code::Ok)]),
        ])
        .await;
    let expected = vec![none.clone(), refused(3), none.clone(), none.clone()];
    assert_eq!(written, Ok(expected));
    store.close().await.unwrap();
    let store = open().await;
    let late = store.write(vec![page(NODE, 3, 9, vec![said(5, "b", Code::Ko)])]);
    assert_eq!(late.await, Ok(vec![refused(9)]));
    let gap = store.write(vec![page(NODE, 20, 30, Vec::new())]).await;
    assert_eq!(gap, Ok(vec![refused(9)]));
    let empty = store.write(vec![page(NODE, 9, 12, Vec::new())]).await;
    assert_eq!(empty, Ok(vec![none]));
    let marks = store.sync_marks().await.unwrap();
    assert_eq!(marks, [(NODE, mark(12)), (NodeId::new(5), mark(1))]);
    let all = store.history(&Filter::default()).await.unwrap().rows;
    let told: Vec<_> = all
        .iter()
        .map(|row| (row.token.as_str(), row.code, row.node.map(NodeId::get)))
        .collect();
    let expected = [
        ("a", Code::Proceed, Some(4)),
        ("a", Code::Ok, Some(4)),
        ("b", Code::Ko, Some(4)),
        ("a", Code::Ok, Some(5)),
    ];
    assert_eq!(told, expected);
    assert_eq!((all[0].etime, all[0].ctime), (50, 200));
    assert_eq!(all[0].data, r#"{"said":1}"#);
}

pub(crate) async fn rows_of_a_node_end_what_was_sent_there_and_nothing_else(
    open: &impl AsyncFn() -> Store,
) {
    let store = open().await;
    let runner = Runner {
        instance: "proxy-1".to_owned(),
        epoch: "7".to_owned(),
    };
    let states = [
        ("here", TaskState::Queued),
        ("leaving", TaskState::Leaving(runner, NODE)),
        ("doubtful", TaskState::Doubtful(NODE)),
        ("away", TaskState::Away(NODE)),
        ("elsewhere", TaskState::Away(NodeId::new(5))),
    ];
    let mut rows = vec![said(1, "over", Code::Ok), said(2, "", Code::Ko)];
    store
        .write(vec![accept("over"), finish("over")])
        .await
        .unwrap();
    for (id, (name, state)) in (10..).zip(&states) {
        let changes = vec![accept(name), advance(name, state.clone(), 1)];
        store.write(changes).await.unwrap();
        rows.push(said(id, name, Code::Ok));
    }
    store.close().await.unwrap();
    let store = open().await;
    let live: Vec<TaskState> = store
        .live_tasks()
        .await
        .unwrap()
        .into_iter()
        .map(|t| t.state)
        .collect();
    assert_eq!(live, states.map(|(_, state)| state));
    rows.push(said(20, "away", Code::Ok));
    let written = store.write(vec![page(NODE, 0, 20, rows)]).await.unwrap();
    let ended = ["leaving", "doubtful", "away"].map(|name| (token(name), Verdict::Ok));
    let ended = ended.into();
    assert_eq!(written, [Written::Fetched { ended }]);
    for (name, count) in [
        ("here", 0),
        ("elsewhere", 0),
        ("over", 1),
        ("away", 1),
        ("leaving", 1),
    ] {
        assert_eq!(ends(&store, name).await, count, "{name}");
    }
    // What came late is told all the same.
    let late = store
        .history(&of("over"))
        .await
        .unwrap()
        .rows
        .pop()
        .unwrap();
    assert_eq!((late.code, late.node), (Code::Proceed, Some(NODE)));
    for part in [r#""late":true"#, r#""code":1"#, r#""data":{"said":1}"#] {
        assert!(late.data.contains(part), "{}", late.data);
    }
    assert!(matches!(
        store.task(&token("away")).await.unwrap(),
        Some(TaskStatus::Finished { at: 200 })
    ));
    // Nothing ends it a second time, or follows its end.
    let again = vec![finish("away"), note(row("away", Code::Proceed))];
    assert_eq!(store.write(again).await, Ok(vec![Written::Ignored; 2]));
}

pub(crate) async fn rows_are_filtered_by_their_node_and_purged_with_their_origin(
    open: &impl AsyncFn() -> Store,
) {
    let store = open().await;
    let mut own = row("own", Code::Ok);
    own.ctime = 300;
    store.write(vec![put(own)]).await.unwrap();
    store
        .write(vec![page(
            NODE,
            0,
            2,
            vec![said(1, "t", Code::Ok), said(2, "t", Code::Ok)],
        )])
        .await
        .unwrap();
    store
        .write(vec![page(
            NodeId::new(5),
            0,
            1,
            vec![said(1, "t", Code::Ok)],
        )])
        .await
        .unwrap();
    let count = async |rows_of| {
        let filter = Filter {
            rows_of: Some(rows_of),
            ..Filter::default()
        };
        store.history(&filter).await.unwrap().rows.len()
    };
    assert_eq!(count(RowsOf::Here).await, 1);
    assert_eq!(count(RowsOf::Node(NODE)).await, 2);
    assert_eq!(count(RowsOf::Node(NodeId::new(9))).await, 0);
    let asked = |id| GetLog {
        node: Some(NodeId::new(id)),
        ..GetLog::default()
    };
    let own = NodeId::new(1);
    assert_eq!(
        Filter::from_getlog(&asked(1), own).rows_of,
        Some(RowsOf::Here)
    );
    assert_eq!(
        Filter::from_getlog(&asked(4), own).rows_of,
        Some(RowsOf::Node(NODE))
    );
    let old = PurgeOptions {
        history_before: 250,
        ..PurgeOptions::default()
    };
    assert_eq!(store.purge(old).await.unwrap().rows, 3);
    assert_eq!(count(RowsOf::Node(NODE)).await, 0);
    // The mark stays: what was purged does not come again.
    let again = store
        .write(vec![page(NODE, 0, 2, vec![said(1, "t", Code::Ok)])])
        .await;
    assert_eq!(again, Ok(vec![refused(2)]));
}

fn life(bits: u64) -> Life {
    Life::from_random(bits)
}

pub(crate) async fn a_history_begins_a_life_each_time_it_is_opened(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let first = store.begin_life().await.unwrap();
    assert_eq!(first.past, []);
    store.write(vec![put(row("a", Code::Ok))]).await.unwrap();
    store.close().await.unwrap();
    let store = open().await;
    let second = store.begin_life().await.unwrap();
    assert_ne!(second.life, first.life);
    assert_eq!(second.past, [(first.life, 1)]);
    // Whoever knows the row goes on; whoever knows more, or another life, has to go back.
    let known = |life, id| Mark {
        id,
        life: Some(life),
        lives: vec![(first.life, id.min(1))],
    };
    assert_eq!(second.back_to(&known(first.life, 1)), None);
    assert_eq!(second.back_to(&known(first.life, 7)), Some(1));
    assert_eq!(second.back_to(&known(life(99), 7)), Some(1));
    // Rows of the present life may be known before it was told.
    let ahead = Mark {
        lives: vec![(second.life, 3)],
        ..known(first.life, 3)
    };
    assert_eq!(second.back_to(&ahead), None);
    assert_eq!(second.after(0), (first.life, Some(1)));
    assert_eq!(second.after(1), (second.life, None));
}

pub(crate) async fn rows_of_another_life_are_others_even_under_the_same_ids(
    open: &impl AsyncFn() -> Store,
) {
    let store = open().await;
    let of = |lives: (Option<Life>, Life), after, upto: i64| {
        let rows = (after + 1..=upto).map(|id| said(id, "t", Code::Proceed));
        Change::Routing(Record::Fetched(Fetched {
            node: NODE,
            after,
            known: lives.0,
            life: Some(lives.1),
            upto,
            at: 200,
            rows: rows.collect(),
        }))
    };
    let began = |known, after, new: u64, back_to| {
        Change::Routing(Record::Began(NodeBegan {
            node: NODE,
            after,
            known,
            life: life(new),
            back_to,
            at: 200,
        }))
    };
    let (one, two) = (Some(life(1)), Some(life(1 << 63)));
    let none = Written::Fetched { ended: Vec::new() };
    let written = store
        .write(vec![
            began(None, 0, 1, None),
            of((one, life(1)), 0, 3),
            // An empty database, and after it what was fetched of the one before.
            began(one, 3, 1 << 63, Some(0)),
            of((one, life(1)), 3, 5),
            of((two, life(1 << 63)), 0, 2),
        ])
        .await
        .unwrap();
    assert_eq!(written[..3], [Written::Done, none.clone(), Written::Done]);
    assert!(matches!(&written[3], Written::Mark(mark) if mark.life == two && mark.id == 0));
    assert_eq!(written[4], none);
    store.close().await.unwrap();
    let store = open().await;
    let marks = store.sync_marks().await.unwrap();
    let expected = Mark {
        id: 2,
        life: two,
        lives: vec![(life(1), 3), (life(1 << 63), 2)],
    };
    assert_eq!(marks, [(NODE, expected)]);
    assert_eq!(
        store.history(&Filter::default()).await.unwrap().rows.len(),
        5
    );
    // The first database is put back: rows that are here already are known again.
    let back = store.write(vec![
        began(two, 2, 5, Some(1)),
        of((Some(life(5)), life(1)), 1, 4),
    ]);
    assert_eq!(back.await, Ok(vec![Written::Done, none]));
    let all = store.history(&Filter::default()).await.unwrap().rows;
    assert_eq!(all.len(), 6, "only row 4 is new");
}
