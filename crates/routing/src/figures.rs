//! What there is to count and to measure, for whoever watches: plain numbers, whose labels come
//! from closed sets, since anybody may choose a token or the name of an action.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use gorgone_protocol::{Action, NodeId};

use crate::TaskState;
use crate::entry::Line;
use crate::router::Router;

/// Nodes that are told one by one. A fleet that is larger is told of in sums.
const NODES: usize = 2_000;

/// How things stand with a router, and what it has counted since it was made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Figures {
    /// How often each action was asked for, by the side it came from: `internal`, `external`.
    pub requests: Vec<(&'static str, String, u64)>,
    /// Tasks that have ended, by action and outcome: `ok`, or why not.
    pub ended: Vec<Ended>,
    /// Tasks that have not, by action; those for other nodes are among their node's.
    pub here: BTreeMap<String, Depth>,
    /// Their DATA together, in bytes.
    pub bytes: usize,
    /// Readers that wait for rows.
    pub waiters: usize,
    /// Module instances by the module's name and by their state.
    pub modules: BTreeMap<(String, &'static str), u64>,
    /// Registered nodes.
    pub nodes_registered: usize,
    /// Of these, how many are connected.
    pub nodes_up: usize,
    /// Each of them, where there are not too many.
    pub nodes: Vec<NodeFigures>,
}

/// Tasks that have ended in the same way.
#[derive(Clone, PartialEq, Debug)]
pub struct Ended {
    /// What was asked for.
    pub action: String,
    /// `ok`, or the word of the reason.
    pub outcome: &'static str,
    /// How many.
    pub count: u64,
    /// From acceptance to end, all together.
    pub took: Duration,
}

/// Tasks that have not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Depth {
    /// Nobody has them yet.
    pub waiting: u64,
    /// A module has them, or a proxy that brings them to their node.
    pub running: u64,
    /// Their node has them.
    pub away: u64,
    /// How long the oldest one of those that wait has waited.
    pub oldest: Duration,
}

/// What is known of a node. Times are seconds since 1970; 0 means never.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFigures {
    /// Which.
    pub id: NodeId,
    /// Whether it is connected.
    pub up: bool,
    /// When it answered a ping last.
    pub seen: i64,
    /// When its rows were fetched last to their end.
    pub synced: i64,
    /// Rows that are known to exist there and are not here yet.
    pub behind: i64,
    /// Tasks for it.
    pub tasks: Depth,
}

impl Router {
    /// How things stand. Looks at every task that has not ended.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (here, mut by_node) = self.depths();
        let nodes_registered = self.nodes.iter().count();
        let told = if nodes_registered > NODES { 0 } else { NODES };
        let nodes = self.nodes.iter().take(told).map(|(id, node)| {
            let link = node.link.as_ref();
            let mark = self.nodes.mark(id).id;
            let newest = link.and_then(|link| link.newest_row);
            NodeFigures {
                id,
                up: node.is_up(),
                seen: link.map_or(0, |link| link.last_ping_recv),
                synced: link.map_or(0, |link| link.synced_at),
                behind: newest.map_or(0, |newest| (newest - mark).max(0)),
                tasks: by_node.remove(&id).unwrap_or_default(),
            }
        });
        Figures {
            requests: self.counters.requests(),
            ended: self.counters.ended(),
            here,
            bytes: self.ledger.bytes(),
            waiters: self.waiters.len(),
            modules: self.modules.count(),
            nodes_registered,
            nodes_up: self.nodes.iter().filter(|(_, node)| node.is_up()).count(),
            nodes: nodes.collect(),
        }
    }

    /// The name under which an action is counted.
    pub(crate) fn counted<'a>(&self, action: &'a Action) -> Cow<'a, str> {
        match action {
            Action::Other(_) if !self.offers(action) => "other".into(),
            Action::Ready(_) => "READY".into(),
            action => action.name(),
        }
    }

    fn depths(&self) -> (BTreeMap<String, Depth>, HashMap<NodeId, Depth>) {
        let mut here: BTreeMap<String, Depth> = BTreeMap::new();
        let mut nodes: HashMap<NodeId, Depth> = HashMap::new();
        for entry in self.ledger.entries() {
            let depth = match &entry.line {
                Line::Module(action) => here.entry(self.counted(action).into_owned()).or_default(),
                Line::Node(id) => nodes.entry(*id).or_default(),
                // Its parts are counted.
                Line::Parts => continue,
            };
            match &entry.task.state {
                TaskState::Queued | TaskState::Doubtful(_) => {
                    let waited = self.now.unix_ms.saturating_sub(entry.task.accepted_ms);
                    let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
                    depth.waiting += 1;
                    depth.oldest = depth.oldest.max(waited);
                }
                TaskState::Sent(_) | TaskState::Begun(_) | TaskState::Leaving(..) => {
                    depth.running += 1;
                }
                TaskState::Away(_) => depth.away += 1,
                TaskState::Spread => {}
            }
        }
        (here, nodes)
    }
}
