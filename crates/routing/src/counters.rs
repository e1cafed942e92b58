//! How often each action was asked for, by origin: for INFORMATION.

use std::collections::BTreeMap;

use gorgone_protocol::Action;
use serde_json::{Value, json};

use crate::event::Origin;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    internal: BTreeMap<String, u64>,
    external: BTreeMap<String, u64>,
}

impl Counters {
    /// Counts a request. Names that nobody offers are counted together, so that a peer cannot
    /// make the table grow.
    pub(crate) fn count(&mut self, from: &Origin, action: &Action, offered: bool) {
        let by_action = match from {
            Origin::Client(_) => &mut self.external,
            Origin::Module(_) => &mut self.internal,
        };
        let name = match action {
            Action::Other(_) if !offered => "other".into(),
            Action::Ready(_) => "READY".into(),
            action => action.name(),
        };
        match by_action.get_mut(name.as_ref()) {
            Some(count) => *count += 1,
            None => {
                by_action.insert(name.into_owned(), 1);
            }
        }
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
