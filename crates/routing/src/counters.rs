//! How often each action was asked for, by origin, and how tasks ended: for INFORMATION and for
//! whoever watches.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_protocol::Reason;
use serde_json::{Value, json};

use crate::event::Origin;
use crate::figures::Ended;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    internal: BTreeMap<String, u64>,
    external: BTreeMap<String, u64>,
    ended: BTreeMap<(String, &'static str), (u64, Duration)>,
}

impl Counters {
    /// Counts a request for an action of this name; see [`Router::counted`](crate::Router).
    pub(crate) fn count(&mut self, from: &Origin, name: &str) {
        let by_action = match from {
            Origin::Client(_) => &mut self.external,
            Origin::Module(_) => &mut self.internal,
        };
        match by_action.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                by_action.insert(name.to_owned(), 1);
            }
        }
    }

    /// Counts a task that has ended; without a reason it was well.
    pub(crate) fn count_end(&mut self, name: String, reason: Option<Reason>, took: Duration) {
        let outcome = reason.map_or("ok", Reason::as_str);
        let (count, sum) = self.ended.entry((name, outcome)).or_default();
        *count += 1;
        *sum += took;
    }

    pub(crate) fn requests(&self) -> Vec<(&'static str, String, u64)> {
        [("internal", &self.internal), ("external", &self.external)]
            .into_iter()
            .flat_map(|(side, by_action)| {
                let counts = by_action.iter();
                counts.map(move |(action, count)| (side, action.clone(), *count))
            })
            .collect()
    }

    pub(crate) fn ended(&self) -> Vec<Ended> {
        self.ended
            .iter()
            .map(|((action, outcome), (count, took))| Ended {
                action: action.clone(),
                outcome,
                count: *count,
                took: *took,
            })
            .collect()
    }

    pub(crate) fn describe(&self) -> Value {
        let side = |by_action: &BTreeMap<String, u64>| {
            let total: u64 = by_action.values().sum();
            json!({ "total": total, "actions": by_action })
        };
        json!({
            "internal": side(&self.internal),
            "external": side(&self.external),
            "proxy": side(&BTreeMap::new()),
        })
    }
}
