//! What every database must do, whichever it is. Each function takes a way to open one
//! database, which is empty at first, and may open it again after closing it.

use gorgone_crypto::SessionKey;
use gorgone_protocol::{Action, Code, Data, Dialect, Identity, NodeId, Target, Thumbprint, Token};
use gorgone_routing::{NewRow, Record, Runner, Task, TaskState, Written};
use gorgone_session::{Record as SessionRecord, StoredSession};
use gorgone_store::{Change, Error, Filter, PurgeOptions, Store, SyncMark, TaskStatus};

mod audit;
mod fleet;
mod state;
mod targets;

pub(crate) use audit::{
    audit_comes_back_as_it_was_written, audit_is_read_in_pages_from_either_end,
    audit_is_told_how_a_task_ends, audit_of_a_record_is_written_with_it,
    every_filter_of_the_audit_filters, old_audit_is_purged_and_never_numbered_again,
};
pub(crate) use fleet::{
    a_history_begins_a_life_each_time_it_is_opened,
    rows_are_filtered_by_their_node_and_purged_with_their_origin,
    rows_of_a_node_are_stored_once_with_its_mark,
    rows_of_a_node_end_what_was_sent_there_and_nothing_else,
    rows_of_another_life_are_others_even_under_the_same_ids,
};
pub(crate) use state::{
    a_lease_has_one_holder_after_another, state_is_read_in_sorted_pages,
    state_is_written_under_the_current_fence_only,
};

pub(crate) use targets::{
    parts_are_kept_as_long_as_their_whole_lives, spread_is_written_whole_or_not_at_all,
    targets_tell_how_far_each_part_is,
};

pub(crate) fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}

pub(crate) fn task(text: &str) -> Task {
    Task {
        token: token(text),
        action: Action::Command,
        target: Target::Here,
        data: Data::parse(r#"{"command":"true"}"#).unwrap(),
        origin: "client".to_owned(),
        accepted_ms: 1_700_000_000_000,
        expires_ms: 1_700_000_900_000,
        retries: 0,
        attempt: 0,
        state: TaskState::Queued,
        parent: None,
    }
}

pub(crate) fn row(text: &str, code: Code) -> NewRow {
    NewRow {
        token: text.to_owned(),
        code,
        etime: 100,
        ctime: 200,
        data: r#"{"message":"é ] \" \n"}"#.to_owned(),
        sequence: None,
        attempt: None,
    }
}

pub(crate) fn numbered(text: &str, sequence: u64) -> NewRow {
    NewRow {
        sequence: Some(sequence),
        ..row(text, Code::Proceed)
    }
}

pub(crate) fn accept(text: &str) -> Change {
    Change::Routing(Record::Accept(task(text)))
}

pub(crate) fn note(row: NewRow) -> Change {
    Change::Routing(Record::Note(row))
}

pub(crate) fn finish(text: &str) -> Change {
    Change::Routing(Record::Finish(row(text, Code::Ok)))
}

pub(crate) fn put(row: NewRow) -> Change {
    Change::Routing(Record::Put(row))
}

pub(crate) fn runner() -> Runner {
    Runner {
        instance: "action-1".to_owned(),
        epoch: "7".to_owned(),
    }
}

fn advance(text: &str, state: TaskState, attempt: u32) -> Change {
    Change::Routing(Record::Advance {
        token: token(text),
        state,
        attempt,
        retries: 0,
    })
}

pub(crate) fn of(text: &str) -> Filter {
    Filter {
        token: Some(text.to_owned()),
        ..Filter::default()
    }
}

pub(crate) async fn codes(store: &Store, text: &str) -> Vec<Code> {
    let page = store.history(&of(text)).await.unwrap();
    page.rows.iter().map(|row| row.code).collect()
}

fn row_id(written: &Written) -> i64 {
    match written {
        Written::Row(id) => *id,
        other => panic!("{other:?} is no row"),
    }
}

pub(crate) async fn a_token_is_accepted_once(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let mut other = task("t");
    other.data = Data::empty();
    let other = Change::Routing(Record::Accept(other));
    // Within a batch, within a group, and later: always the same answer.
    let first = store.write(vec![accept("t"), accept("t"), other.clone()]);
    let second = store.write(vec![accept("t")]);
    let same = Written::Duplicate { same: true };
    let different = Written::Duplicate { same: false };
    assert_eq!(
        first.await,
        Ok(vec![Written::Done, same.clone(), different.clone()])
    );
    assert_eq!(second.await, Ok(vec![same.clone()]));
    store.write(vec![finish("t")]).await.unwrap();
    assert_eq!(
        store.write(vec![accept("t"), other]).await,
        Ok(vec![same, different])
    );
    assert_eq!(codes(&store, "t").await, [Code::Ok]);
}

pub(crate) async fn a_task_ends_once(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let written = store
        .write(vec![finish("t"), accept("t"), finish("t"), finish("t")])
        .await
        .unwrap();
    assert_eq!(written[0], Written::Ignored);
    assert_eq!(written[1], Written::Done);
    row_id(&written[2]);
    assert_eq!(written[3], Written::Ignored);
    let late = vec![
        finish("t"),
        advance("t", TaskState::Queued, 1),
        note(row("t", Code::Ko)),
        put(row("t", Code::Ko)),
        advance("unknown", TaskState::Queued, 1),
    ];
    assert_eq!(store.write(late).await, Ok(vec![Written::Ignored; 5]));
    assert_eq!(codes(&store, "t").await, [Code::Ok]);
    assert_eq!(
        store.task(&token("t")).await,
        Ok(Some(TaskStatus::Finished { at: 200 }))
    );
}

pub(crate) async fn a_row_that_comes_again_is_stored_once(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let note = |sequence| note(numbered("t", sequence));
    assert_eq!(
        store.write(vec![note(1)]).await,
        Ok(vec![Written::Ignored]),
        "a numbered row belongs to a task"
    );
    let written = store.write(vec![accept("t"), note(1), note(1)]).await;
    assert_eq!(written.unwrap()[2], Written::Ignored);
    assert_eq!(store.write(vec![note(1)]).await, Ok(vec![Written::Ignored]));
    row_id(&store.write(vec![note(2)]).await.unwrap()[0]);
    // The same attempt goes on counting, a new one begins anew.
    let again = vec![advance("t", TaskState::Begun(runner()), 0), note(2)];
    assert_eq!(store.write(again).await.unwrap()[1], Written::Ignored);
    let anew = vec![advance("t", TaskState::Sent(runner()), 1), note(1)];
    row_id(&store.write(anew).await.unwrap()[1]);
    // The runner of the first attempt has it again, and repeats what was not acknowledged.
    let of_first = |sequence| {
        Change::Routing(Record::Note(NewRow {
            attempt: Some(0),
            ..numbered("t", sequence)
        }))
    };
    let back = vec![advance("t", TaskState::Sent(runner()), 2), of_first(2)];
    assert_eq!(store.write(back).await.unwrap()[1], Written::Ignored);
    row_id(&store.write(vec![of_first(3)]).await.unwrap()[0]);
    assert_eq!(codes(&store, "t").await.len(), 4);
}

pub(crate) async fn rows_without_a_task_are_put(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let changes = vec![
        put(row("free", Code::Ok)),
        put(row("", Code::Ko)),
        note(row("free", Code::Module(100))),
    ];
    for written in store.write(changes).await.unwrap() {
        row_id(&written);
    }
    assert_eq!(codes(&store, "free").await, [Code::Ok, Code::RESULT]);
}

pub(crate) async fn living_tasks_come_back_as_they_were(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let mut sent = task("sent");
    sent.target = Target::Node(NodeId::new(4));
    sent.action = Action::parse("SOMETHING");
    sent.state = TaskState::Sent(runner());
    sent.attempt = 1;
    sent.retries = 3;
    let begun = TaskState::Begun(runner());
    let group = vec![
        accept("z"),
        Change::Routing(Record::Accept(sent.clone())),
        accept("over"),
        accept("a"),
        finish("over"),
        advance("a", begun.clone(), 2),
    ];
    store.write(group).await.unwrap();
    store.close().await.unwrap();

    let store = open().await;
    let begun = Task {
        state: begun,
        attempt: 2,
        ..task("a")
    };
    assert_eq!(
        store.live_tasks().await,
        Ok(vec![task("z"), sent, begun.clone()])
    );
    assert_eq!(
        store.task(&token("a")).await,
        Ok(Some(TaskStatus::Live(Box::new(begun))))
    );
    assert_eq!(store.task(&token("never")).await, Ok(None));
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let poison = Change::Mark(SyncMark {
        node: NodeId::new(u64::MAX),
        ctime: 0,
        last_id: 0,
    });
    let before = store.write(vec![accept("before")]);
    let broken = store.write(vec![accept("x"), put(row("y", Code::Ok)), poison]);
    let after = store.write(vec![accept("after")]);
    assert_eq!(before.await, Ok(vec![Written::Done]));
    assert!(matches!(broken.await, Err(Error::Refused(_))));
    assert_eq!(after.await, Ok(vec![Written::Done]));
    assert_eq!(store.task(&token("x")).await, Ok(None));
    assert_eq!(codes(&store, "y").await, []);
}

pub(crate) async fn groups_larger_than_a_statement_are_whole(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let names: Vec<String> = (0..300).map(|n| format!("t{n}")).collect();
    let accepted = names.iter().map(|name| accept(name)).collect();
    assert_eq!(store.write(accepted).await, Ok(vec![Written::Done; 300]));
    let ended = names.iter().map(|name| finish(name)).collect();
    let ids: Vec<i64> = store
        .write(ended)
        .await
        .unwrap()
        .iter()
        .map(row_id)
        .collect();
    assert_eq!(ids, (1..=300).collect::<Vec<_>>());
    let page = store.history(&of("t299")).await.unwrap();
    assert_eq!(page.rows[0].id, 300);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.rows, stats.tasks, stats.live_tasks), (300, 300, 0));
}

pub(crate) async fn every_filter_filters(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let changes = (0..20).map(|n| {
        put(NewRow {
            token: format!("t{}", n % 2),
            code: if n % 5 == 0 { Code::Ko } else { Code::Proceed },
            etime: 100 - n,
            ctime: 100 + n,
            data: n.to_string(),
            sequence: None,
            attempt: None,
        })
    });
    store.write(changes.collect()).await.unwrap();
    let all = Filter::default();
    let ask = async |filter: Filter| -> Vec<i64> {
        let rows = store.history(&filter).await.unwrap().rows;
        rows.iter().map(|row| row.id).collect()
    };
    let everything: Vec<i64> = (1..=20).collect();
    assert_eq!(ask(all.clone()).await, everything, "ids grow as numbers");
    let code = Some(Code::Ko);
    assert_eq!(
        ask(Filter {
            code,
            ..all.clone()
        })
        .await,
        [1, 6, 11, 16]
    );
    let filter = Filter {
        code,
        id_after: Some(6),
        ctime_from: Some(111),
        etime_from: Some(85),
        ..of("t1")
    };
    assert_eq!(ask(filter).await, [16]);
    let ctime_from = Some(117);
    assert_eq!(
        ask(Filter {
            ctime_from,
            ..all.clone()
        })
        .await,
        [18, 19, 20]
    );
    let etime_from = Some(99);
    let filter = Filter {
        etime_from,
        ..all.clone()
    };
    assert_eq!(ask(filter).await, [1, 2]);
    let between = Filter {
        ctime_from: Some(105),
        ctime_until: Some(110),
        ..all.clone()
    };
    assert_eq!(ask(between.clone()).await, [6, 7, 8, 9, 10, 11]);
    let newest = Filter {
        newest: true,
        limit: 2,
        ..between
    };
    assert_eq!(ask(newest.clone()).await, [10, 11]);
    let id_before = Some(10);
    assert_eq!(
        ask(Filter {
            id_before,
            ..newest
        })
        .await,
        [8, 9]
    );
    let filter = Filter {
        ctime_until: Some(105),
        id_after: Some(1),
        id_before: Some(6),
        code,
        ..all
    };
    assert_eq!(ask(filter).await, Vec::<i64>::new());
    let rows = store.history(&of("t0")).await.unwrap().rows;
    assert_eq!((rows[1].etime, rows[1].ctime), (98, 102));
    assert_eq!((&*rows[1].data, rows[1].code), ("2", Code::Proceed));
}

pub(crate) async fn pages_are_bounded_in_rows_and_bytes(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let changes = (0..10).map(|n| {
        let mut row = row("t", Code::Proceed);
        row.data = format!("\"{}\"", n.to_string().repeat(10_000));
        put(row)
    });
    store.write(changes.collect()).await.unwrap();
    let ask = async |limit, max_bytes, newest| {
        let filter = Filter {
            limit,
            max_bytes,
            newest,
            ..of("t")
        };
        let page = store.history(&filter).await.unwrap();
        let ids: Vec<i64> = page.rows.iter().map(|row| row.id).collect();
        (ids, page.truncated)
    };
    let much = 1 << 20;
    assert_eq!(ask(10, much, false).await, ((1..=10).collect(), false));
    assert_eq!(ask(2, much, false).await, (vec![1, 2], true));
    assert_eq!(ask(2, much, true).await, (vec![9, 10], true));
    assert_eq!(ask(10, 35_000, false).await, (vec![1, 2, 3], true));
    assert_eq!(ask(10, 35_000, true).await, (vec![8, 9, 10], true));
    assert_eq!(ask(10, 1, false).await, (vec![1], true), "never nothing");
}

pub(crate) async fn sessions_come_back_with_their_keys(open: &impl AsyncFn() -> Store) {
    let session = |name: &[u8], key: u8| StoredSession {
        identity: Identity::new(name),
        thumbprint: Thumbprint::parse(&"A".repeat(43)).unwrap(),
        dialect: Dialect::Centreon,
        key: SessionKey::from_parts(&[key; 32], [9; 16]).unwrap(),
        created: 10,
        last_seen: 20,
        parent_until: 0,
    };
    let open_session = |name, key| Change::Session(SessionRecord::Open(session(name, key)));
    let touch = |name: &[u8]| {
        Change::Session(SessionRecord::Touch {
            identity: Identity::new(name),
            last_seen: 50,
            parent_until: 90,
        })
    };
    let close = |name: &[u8]| Change::Session(SessionRecord::Close(Identity::new(name)));
    let store = open().await;
    store
        .write(vec![
            open_session(b"a", 1),
            open_session(b"\0\xff", 2),
            open_session(b"c", 3),
            touch(b"a"),
        ])
        .await
        .unwrap();
    store
        .write(vec![open_session(b"a", 4), close(b"c"), touch(b"c")])
        .await
        .unwrap();
    store
        .write(vec![touch(b"\0\xff"), touch(b"nobody")])
        .await
        .unwrap();
    store.close().await.unwrap();

    let store = open().await;
    let sessions = store.sessions().await.unwrap();
    let seen: Vec<_> = sessions
        .iter()
        .map(|s| {
            (
                s.identity.as_bytes(),
                s.key.key_bytes()[0],
                s.last_seen,
                s.parent_until,
            )
        })
        .collect();
    assert_eq!(seen, [(&b"\0\xff"[..], 2, 50, 90), (&b"a"[..], 4, 20, 0)]);
    assert_eq!(sessions[0].key, session(b"", 2).key);
    assert_eq!(sessions[0].dialect, Dialect::Centreon);
    assert_eq!(sessions[0].created, 10);
}

pub(crate) async fn nodes_and_marks_are_replaced(open: &impl AsyncFn() -> Store) {
    let put = |id: u64, definition: &str| {
        Change::Routing(Record::PutNode {
            id: NodeId::new(id),
            definition: definition.to_owned(),
        })
    };
    let mark = |last_id| SyncMark {
        node: NodeId::new(4),
        ctime: 5,
        last_id,
    };
    let store = open().await;
    let first = vec![put(10, "ten"), put(4, "four"), Change::Mark(mark(7))];
    store.write(first).await.unwrap();
    let second = vec![
        put(4, "FOUR"),
        put(5, "five"),
        Change::Routing(Record::DropNode(NodeId::new(10))),
        Change::Routing(Record::DropNode(NodeId::new(11))),
        Change::Mark(mark(8)),
    ];
    assert_eq!(store.write(second).await, Ok(vec![Written::Done; 5]));
    assert_eq!(
        store.nodes().await,
        Ok(vec!["FOUR".to_owned(), "five".to_owned()])
    );
    assert_eq!(store.sync_mark(NodeId::new(4)).await, Ok(Some(mark(8))));
    assert_eq!(store.sync_mark(NodeId::new(5)).await, Ok(None));
}

pub(crate) async fn purging_spares_what_lives(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let mut changes = vec![accept("lives"), note(row("lives", Code::Proceed))];
    // More than one chunk of a purge.
    for n in 0..1_200 {
        changes.push(put(row(&format!("old{n}"), Code::Ok)));
    }
    changes.extend([accept("ended"), finish("ended")]);
    let mut young = row("young", Code::Ok);
    young.ctime = 1_000;
    changes.extend([accept("young"), Change::Routing(Record::Finish(young))]);
    store.write(changes).await.unwrap();
    let purged = store
        .purge(PurgeOptions {
            history_before: 1_000,
            ..PurgeOptions::default()
        })
        .await
        .unwrap();
    assert_eq!((purged.rows, purged.tasks), (1_201, 1));
    assert_eq!(codes(&store, "lives").await, [Code::Proceed]);
    assert_eq!(codes(&store, "young").await, [Code::Ok]);
    assert_eq!(store.live_tasks().await.unwrap().len(), 1);
    assert_eq!(store.task(&token("ended")).await, Ok(None));
    assert!(store.task(&token("young")).await.unwrap().is_some());
}

pub(crate) async fn silent_sessions_are_purged(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let session = |name: &[u8], last_seen| {
        Change::Session(SessionRecord::Open(StoredSession {
            identity: Identity::new(name),
            thumbprint: Thumbprint::parse(&"A".repeat(43)).unwrap(),
            dialect: Dialect::Seed,
            key: SessionKey::from_parts(&[1; 32], [9; 16]).unwrap(),
            created: 0,
            last_seen,
            parent_until: 0,
        }))
    };
    store
        .write(vec![session(b"silent", 99), session(b"speaks", 100)])
        .await
        .unwrap();
    let purge = PurgeOptions {
        sessions_before: 100,
        ..PurgeOptions::default()
    };
    assert_eq!(store.purge(purge).await.unwrap().sessions, 1);
    let left = store.sessions().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].identity, Identity::new(b"speaks"));
}

pub(crate) async fn ids_are_never_given_twice(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let write =
        async |store: &Store| row_id(&store.write(vec![put(row("t", Code::Ok))]).await.unwrap()[0]);
    write(&store).await;
    let newest = write(&store).await;
    let all = PurgeOptions {
        history_before: i64::MAX,
        ..PurgeOptions::default()
    };
    assert_eq!(store.purge(all).await.unwrap().rows, 2);
    store.close().await.unwrap();
    assert_eq!(write(&open().await).await, newest + 1);
}

pub(crate) async fn closing_writes_what_waits(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let other = store.clone();
    let waiting = store.write(vec![accept("t")]);
    store.close().await.unwrap();
    assert_eq!(waiting.await, Ok(vec![Written::Done]));
    assert_eq!(other.write(vec![accept("u")]).await, Err(Error::Closed));
    assert_eq!(other.check().await, Err(Error::Closed));
    assert_eq!(other.live_tasks().await, Err(Error::Closed));
    assert_eq!(open().await.live_tasks().await.unwrap().len(), 1);
}
