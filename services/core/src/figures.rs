//! Core's figures for Prometheus: the loop takes them when somebody asks, and they are written
//! beside it.

use std::collections::BTreeMap;

use gorgone_protocol::Status;
use gorgone_routing::{Depth, Origin};
use gorgone_runtime::{Exposition, Health, Last};
use gorgone_store::Store;

use crate::core::Core;

/// What core counts itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    answers: BTreeMap<(&'static str, &'static str), u64>,
    refusals: BTreeMap<&'static str, u64>,
}

impl Counted {
    pub(crate) fn answered(&mut self, to: &Origin, status: Status) {
        let side = match to {
            Origin::Client(_) => "external",
            Origin::Module(_) => "internal",
        };
        let outcome = match status {
            Status::Ok => "ok",
            Status::Nok => "refused",
        };
        *self.answers.entry((side, outcome)).or_default() += 1;
    }

    pub(crate) fn refused(&mut self, word: &'static str) {
        *self.refusals.entry(word).or_default() += 1;
    }
}

/// How things stood when the loop was asked last.
#[derive(Debug)]
pub(crate) struct Figures {
    routing: gorgone_routing::Figures,
    counted: Counted,
    sessions: usize,
}

/// Has core's figures told under `/metrics`.
pub(crate) fn tell(health: &Health, store: Store) -> Last<Figures> {
    health.tell_last(move |text, figures: &Figures| {
        requests(text, figures);
        tasks(text, &figures.routing);
        nodes(text, &figures.routing);
        writes(text, store.figures());
    })
}

impl Core {
    /// Leaves the figures of this moment for whoever asked.
    pub(crate) fn take_figures(&self) {
        let edge = self.edge.as_ref();
        self.figures.leave(Figures {
            routing: self.router.figures(),
            counted: self.counted.clone(),
            sessions: edge.map_or(0, |edge| edge.session.sessions()),
        });
    }
}

fn requests(text: &mut Exposition, figures: &Figures) {
    let mut family = text.counter(
        "gorgone_requests_total",
        "Requests by action and by the side that they came from.",
    );
    for (origin, action, count) in &figures.routing.requests {
        family.sample(&[("origin", origin), ("action", action)], float(*count));
    }
    let mut family = text.counter(
        "gorgone_answers_total",
        "Answers by the side that they go to: ok, or refused.",
    );
    for ((origin, outcome), count) in &figures.counted.answers {
        family.sample(&[("origin", origin), ("outcome", outcome)], float(*count));
    }
    let mut family = text.counter(
        "gorgone_handshakes_refused_total",
        "Handshakes that were refused, by reason.",
    );
    for (reason, count) in &figures.counted.refusals {
        family.sample(&[("reason", reason)], float(*count));
    }
    text.gauge("gorgone_sessions", "Peers with a live session.")
        .count(figures.sessions as u64);
}

fn tasks(text: &mut Exposition, figures: &gorgone_routing::Figures) {
    let mut family = text.counter(
        "gorgone_tasks_ended_total",
        "Accepted requests that have ended, by action and outcome.",
    );
    for ended in &figures.ended {
        let labels = [("action", &*ended.action), ("outcome", ended.outcome)];
        family.sample(&labels, float(ended.count));
    }
    let mut family = text.counter(
        "gorgone_tasks_ended_seconds_total",
        "How long these took from acceptance to end, together.",
    );
    for ended in &figures.ended {
        let labels = [("action", &*ended.action), ("outcome", ended.outcome)];
        family.sample(&labels, ended.took.as_secs_f64());
    }
    let mut family = text.gauge(
        "gorgone_tasks",
        "Accepted requests for this node that have not ended, by action and state.",
    );
    for (action, depth) in &figures.here {
        for (state, count) in states(*depth) {
            family.sample(&[("action", action), ("state", state)], float(count));
        }
    }
    let mut family = text.gauge(
        "gorgone_tasks_oldest_seconds",
        "How long the oldest of those that wait has waited.",
    );
    for (action, depth) in &figures.here {
        family.sample(&[("action", action)], depth.oldest.as_secs_f64());
    }
    text.gauge(
        "gorgone_task_bytes",
        "DATA of all requests that have not ended.",
    )
    .count(figures.bytes as u64);
    text.gauge("gorgone_waiters", "Readers that wait for rows.")
        .count(figures.waiters as u64);
    let mut family = text.gauge(
        "gorgone_modules",
        "Instances of modules, by module and state.",
    );
    for ((module, state), count) in &figures.modules {
        family.sample(&[("module", module), ("state", state)], float(*count));
    }
}

fn nodes(text: &mut Exposition, figures: &gorgone_routing::Figures) {
    text.gauge("gorgone_nodes", "Nodes that are registered.")
        .count(figures.nodes_registered as u64);
    text.gauge("gorgone_nodes_up", "Of these, those that are connected.")
        .count(figures.nodes_up as u64);
    let nodes: Vec<_> = figures
        .nodes
        .iter()
        .map(|node| (node.id.to_string(), node))
        .collect();
    let mut family = text.gauge("gorgone_node_up", "1 while the node is connected.");
    for (id, node) in &nodes {
        family.sample(&[("node", id)], f64::from(u8::from(node.up)));
    }
    let mut family = text.gauge(
        "gorgone_node_seen_timestamp_seconds",
        "When the node answered a ping last.",
    );
    for (id, node) in &nodes {
        family.sample(&[("node", id)], seconds(node.seen));
    }
    let mut family = text.gauge(
        "gorgone_node_synced_timestamp_seconds",
        "When the node's rows were fetched last to their end.",
    );
    for (id, node) in &nodes {
        family.sample(&[("node", id)], seconds(node.synced));
    }
    let mut family = text.gauge(
        "gorgone_node_rows_behind",
        "Rows that are known to exist on the node and are not here yet.",
    );
    for (id, node) in &nodes {
        family.sample(&[("node", id)], seconds(node.behind));
    }
    let mut family = text.gauge(
        "gorgone_node_tasks",
        "Requests for the node or through it that have not ended, by state.",
    );
    for (id, node) in &nodes {
        for (state, count) in states(node.tasks) {
            family.sample(&[("node", id), ("state", state)], float(count));
        }
    }
    let mut family = text.gauge(
        "gorgone_node_tasks_oldest_seconds",
        "How long the oldest of those that wait has waited.",
    );
    for (id, node) in &nodes {
        family.sample(&[("node", id)], node.tasks.oldest.as_secs_f64());
    }
}

fn writes(text: &mut Exposition, figures: gorgone_store::Figures) {
    text.counter(
        "gorgone_store_groups_total",
        "Transactions that were tried.",
    )
    .count(figures.groups);
    text.counter(
        "gorgone_store_failures_total",
        "Of these, those that failed.",
    )
    .count(figures.failed);
    text.counter(
        "gorgone_store_batches_total",
        "Batches in them: divided by the groups, how many share a write to the disk.",
    )
    .count(figures.batches);
    text.counter(
        "gorgone_store_seconds_total",
        "How long they took: divided by the groups, what one write to the disk takes.",
    )
    .sample(&[], figures.took.as_secs_f64());
    text.gauge("gorgone_store_queue_bytes", "What waits to be written.")
        .count(figures.queued as u64);
}

fn states(depth: Depth) -> [(&'static str, u64); 3] {
    [
        ("waiting", depth.waiting),
        ("running", depth.running),
        ("away", depth.away),
    ]
}

fn float(count: u64) -> f64 {
    count as f64
}

fn seconds(count: i64) -> f64 {
    count as f64
}
