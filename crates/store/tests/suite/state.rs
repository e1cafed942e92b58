//! Leases, and what modules keep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gorgone_protocol::Code;
use gorgone_protocol::request::lease::LeaseName;
use gorgone_protocol::request::state::{Fence, GetState};
use gorgone_routing::{Record, Runner, StateChange, StoredLease, Written};
use gorgone_store::{Change, Store};

use super::{accept, codes, row, runner};

fn name(text: &str) -> LeaseName {
    LeaseName::parse(text).unwrap()
}

fn other() -> Runner {
    Runner {
        instance: "cron-2".to_owned(),
        ..runner()
    }
}

fn grant(fence: u64, holder: Runner) -> Change {
    Change::Routing(Record::Grant {
        name: name("cron"),
        fence,
        holder,
        ttl: Duration::from_secs(10),
    })
}

fn fence(number: u64) -> Fence {
    Fence {
        name: name("cron"),
        number,
    }
}

/// A change under a fence: `+key` puts, `-key` drops, the rest are rows of that token.
fn change(number: u64, sequence: Option<u64>, what: &[&str]) -> Change {
    let mut change = StateChange {
        fence: fence(number),
        sequence,
        put: BTreeMap::new(),
        drop: BTreeSet::new(),
        rows: Vec::new(),
    };
    for item in what {
        match (item.strip_prefix('+'), item.strip_prefix('-')) {
            (Some(key), _) => {
                change.put.insert(key.to_owned(), format!("[{number}]"));
            }
            (_, Some(key)) => {
                change.drop.insert(key.to_owned());
            }
            _ => change.rows.push(row(item, Code::Ok)),
        }
    }
    Change::Routing(Record::PutState(Box::new(change)))
}

async fn kept(store: &Store, prefix: &str) -> Vec<(String, String)> {
    let keys = GetState {
        prefix: prefix.to_owned(),
        ..GetState::default()
    };
    store.state(&keys).await.unwrap().entries
}

fn entry(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

pub(crate) async fn a_lease_has_one_holder_after_another(open: &impl AsyncFn() -> Store) {
    let fenced = |current| Written::Fenced { current };
    let store = open().await;
    let group = vec![
        grant(2, other()),
        grant(1, runner()),
        grant(1, other()),
        Change::Routing(Record::GiveBack(fence(0))),
    ];
    let expected = vec![fenced(0), Written::Done, fenced(1), Written::Ignored];
    assert_eq!(store.write(group).await, Ok(expected));
    store.close().await.unwrap();

    let store = open().await;
    let mut lease = StoredLease {
        name: name("cron"),
        fence: 1,
        holder: Some(runner()),
        ttl: Duration::from_secs(10),
    };
    assert_eq!(store.leases().await, Ok(vec![lease.clone()]));
    let back = Change::Routing(Record::GiveBack(fence(1)));
    assert_eq!(store.write(vec![back]).await, Ok(vec![Written::Done]));
    lease.holder = None;
    assert_eq!(store.leases().await, Ok(vec![lease.clone()]));
    assert_eq!(
        store.write(vec![grant(2, other())]).await,
        Ok(vec![Written::Done])
    );
    lease.fence = 2;
    lease.holder = Some(other());
    assert_eq!(store.leases().await, Ok(vec![lease]));
}

pub(crate) async fn state_is_written_under_the_current_fence_only(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let early = change(1, None, &["+cron/a", "early"]);
    assert_eq!(
        store.write(vec![early]).await,
        Ok(vec![Written::Fenced { current: 0 }])
    );
    // A new holder in the middle of a group: the old one's word counts up to there.
    let group = vec![
        accept("task"),
        grant(1, runner()),
        change(1, Some(1), &["+cron/a", "+cron/b", "one", "task"]),
        change(1, Some(1), &["+cron/c", "one"]),
        grant(2, other()),
        change(1, Some(2), &["+cron/a", "-cron/b", "late"]),
        change(2, Some(1), &["+cron/a", "+cron/d", "-cron/d", "two"]),
    ];
    let expected = vec![
        Written::Done,
        Written::Done,
        Written::Done,
        Written::Ignored,
        Written::Done,
        Written::Fenced { current: 2 },
        Written::Done,
    ];
    assert_eq!(store.write(group).await, Ok(expected));
    let expected = [
        entry("cron/a", "[2]"),
        entry("cron/b", "[1]"),
        entry("cron/d", "[2]"),
    ];
    assert_eq!(kept(&store, "cron/").await, expected);
    assert_eq!(codes(&store, "one").await, [Code::Ok]);
    assert_eq!(codes(&store, "two").await, [Code::Ok]);
    assert_eq!(codes(&store, "late").await, []);
    assert_eq!(codes(&store, "task").await, [], "a task's rows are its own");
    store.close().await.unwrap();

    let store = open().await;
    let again = change(2, Some(1), &["-cron/a"]);
    assert_eq!(store.write(vec![again]).await, Ok(vec![Written::Ignored]));
    let next = change(2, Some(2), &["-cron/a", "-cron/never"]);
    assert_eq!(store.write(vec![next]).await, Ok(vec![Written::Done]));
    assert_eq!(kept(&store, "cron/a").await, []);
}

pub(crate) async fn state_is_read_in_sorted_pages(open: &impl AsyncFn() -> Store) {
    let store = open().await;
    let names: Vec<String> = (0..300).map(|n| format!("+cron/{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut group = vec![grant(1, runner()), change(1, None, &names)];
    group.push(change(1, None, &["+cron/\u{fffd}", "+cron/ü"]));
    store.write(group).await.unwrap();
    let mut keys = GetState {
        prefix: "cron/".to_owned(),
        after: None,
        limit: Some(151),
    };
    let first = store.state(&keys).await.unwrap();
    assert!(first.more);
    assert_eq!(first.entries.len(), 151);
    assert_eq!(first.entries[0].0, "cron/000");
    keys.after = first.entries.last().map(|(key, _)| key.clone());
    let second = store.state(&keys).await.unwrap();
    assert!(!second.more);
    assert_eq!(second.entries.len(), 151);
    assert_eq!(second.entries[0].0, "cron/151");
    assert_eq!(second.entries[150].0, "cron/\u{fffd}");
    assert_eq!(kept(&store, "cron/00").await.len(), 10);
    assert_eq!(kept(&store, "con").await, []);
}
