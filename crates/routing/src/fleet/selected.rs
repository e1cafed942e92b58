//! Which nodes a selection means at the moment.

use std::collections::{BTreeMap, BTreeSet};

use gorgone_protocol::{Labels, NodeId, Selection};

use super::nodes::Nodes;
use crate::router::Router;

impl Nodes {
    /// The nodes that a selection means: of ranges those that are registered or reached through
    /// others, of labels those that are registered or have some behind another node. An id that
    /// stands alone is among them in any case.
    pub(crate) fn selected(&self, selection: &Selection) -> BTreeSet<NodeId> {
        match selection {
            Selection::All => self.iter().map(|(id, _)| id).collect(),
            Selection::Ids(spans) => {
                let mut ids = BTreeSet::new();
                for span in spans.iter() {
                    match span.single() {
                        Some(id) => {
                            ids.insert(id);
                        }
                        None => {
                            ids.extend(self.registered(span.range()));
                            ids.extend(self.ways.targets(span.range()));
                        }
                    }
                }
                ids
            }
            Selection::Labels(requirements) => {
                let met = |labels: &Labels| requirements.iter().all(|one| one.is_met_by(labels));
                let own = self.iter();
                let own = own.filter(|(_, node)| met(&node.definition.labels));
                let behind = self.labels_behind();
                let behind = behind.iter().filter(|(_, labels)| met(labels));
                own.map(|(id, _)| id)
                    .chain(behind.map(|(id, _)| *id))
                    .collect()
            }
        }
    }

    /// Labels of nodes that are not registered themselves. One that stands behind several nodes has
    /// the labels of all these places; of one key the first counts.
    fn labels_behind(&self) -> BTreeMap<NodeId, Labels> {
        let mut all: BTreeMap<NodeId, Labels> = BTreeMap::new();
        for (_, node) in self.iter() {
            for subnode in &node.definition.nodes {
                if !subnode.labels.is_empty() && self.get(subnode.id).is_none() {
                    let labels = all.entry(subnode.id).or_default();
                    labels.complete(&subnode.labels);
                }
            }
        }
        all
    }
}

impl Router {
    /// The nodes that a selection means at the moment.
    pub(crate) fn selected(&self, selection: &Selection) -> BTreeSet<NodeId> {
        self.nodes.selected(selection)
    }
}
