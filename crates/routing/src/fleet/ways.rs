//! By which nodes the nodes behind them are reached.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use gorgone_protocol::NodeId;
use gorgone_protocol::request::nodes::Subnode;

/// One way to a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Way {
    /// The smallest is taken.
    pub(crate) score: i64,
    /// Whether the node on the way said it of itself; among equals a registered way is taken.
    pub(crate) learnt: bool,
    /// The node that it leads through.
    pub(crate) via: NodeId,
}

/// ```text
/// target ─▶ (via, learnt) ─▶ score
/// ```
#[derive(Debug, Default)]
pub(crate) struct Ways {
    by_target: BTreeMap<(NodeId, NodeId, bool), i64>,
}

impl Ways {
    /// Takes what is registered behind a node, in place of what was.
    pub(crate) fn register(&mut self, via: NodeId, before: &[Subnode], now: &[Subnode]) {
        for subnode in before {
            self.by_target.remove(&(subnode.id, via, false));
        }
        for subnode in now {
            self.by_target
                .insert((subnode.id, via, false), subnode.pathscore);
        }
    }

    /// Takes what a node says is behind it, in place of what it said before.
    pub(crate) fn learn(
        &mut self,
        via: NodeId,
        before: &BTreeMap<NodeId, i64>,
        now: &BTreeMap<NodeId, i64>,
    ) {
        for id in before.keys() {
            self.by_target.remove(&(*id, via, true));
        }
        for (id, score) in now {
            self.by_target.insert((*id, via, true), *score);
        }
    }

    /// Nodes with these ids that there is a way to.
    pub(crate) fn targets(&self, ids: RangeInclusive<NodeId>) -> impl Iterator<Item = NodeId> {
        let first = (*ids.start(), NodeId::new(0), false);
        let reached = self.by_target.range(first..).map(|((id, ..), _)| *id);
        reached.take_while(move |id| ids.contains(id))
    }

    /// All ways to a node.
    pub(crate) fn to(&self, target: NodeId) -> impl Iterator<Item = Way> {
        let first = (target, NodeId::new(0), false);
        self.by_target
            .range(first..)
            .take_while(move |((id, ..), _)| *id == target)
            .map(|((_, via, learnt), score)| Way {
                score: *score,
                learnt: *learnt,
                via: *via,
            })
    }
}
