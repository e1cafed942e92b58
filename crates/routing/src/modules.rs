//! Which modules there are, what they offer, and whether they are still there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{Action, Identity, NodeId, Token};
use serde_json::{Value, json};

use crate::Runner;
use crate::entry::Line;

/// How many requests a module takes at once if it does not say so.
const DEFAULT_SLOTS: u32 = 16;
/// A module that promised a heartbeat is gone after so many of them were missed.
const MISSED_HEARTBEATS: u32 = 3;

/// One instance of a module, in one life.
///
/// ```text
/// ready ──connection lost, heartbeats missed, not delivered──▶ away ──READY, same life──▶ ready
///                                                              │
///                                                              └──grace passed, new life──▶ gone
/// ```
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) identity: Identity,
    pub(crate) runner: Runner,
    /// The node that it is, where it is a poller.
    poller: Option<NodeId>,
    name: String,
    actions: Vec<Action>,
    slots: usize,
    heartbeat: Option<Duration>,
    last_word: Duration,
    away_since: Option<Duration>,
    /// Whether it is about to end.
    draining: bool,
    /// Whether it offers nothing because another one acts.
    standby: bool,
    /// Whether its life is told by its connection, because it names no epoch.
    mortal: bool,
    /// What was handed over to it, or is about to be.
    pub(crate) held: BTreeSet<Token>,
    /// What it wants shown.
    note: Option<String>,
    /// Kinds of nodes that it connects.
    carries: Vec<NodeKind>,
    /// What it is to bring to nodes; takes no slot.
    carried: BTreeSet<Token>,
}

impl Instance {
    fn deadline(&self, grace: Duration) -> Option<Duration> {
        match (self.away_since, self.heartbeat) {
            (Some(since), _) => Some(since + grace),
            (None, Some(heartbeat)) => Some(self.last_word + heartbeat * MISSED_HEARTBEATS),
            (None, None) => None,
        }
    }

    fn take_all(&mut self) -> Vec<Token> {
        let held = std::mem::take(&mut self.held);
        let carried = std::mem::take(&mut self.carried);
        held.into_iter().chain(carried).collect()
    }

    const fn state(&self) -> &'static str {
        if self.away_since.is_some() {
            "away"
        } else if self.draining {
            "draining"
        } else if self.standby {
            "standby"
        } else {
            "ready"
        }
    }

    fn free(&self) -> usize {
        if self.away_since.is_some() {
            return 0;
        }
        self.slots.saturating_sub(self.held.len())
    }
}

/// What a READY means for the work that was handed over before.
pub(crate) enum Welcome {
    /// The same life goes on and holds these tokens; true: it says that it does not have it.
    Back(Vec<(Token, bool)>),
    /// A new life; these tokens died with the old one.
    Reborn(Vec<Token>),
    /// There are too many modules.
    Full,
}

/// Who connects nodes and came or went.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Somebody who connects any.
    pub(crate) proxies: bool,
    /// Pollers, who connect one each.
    pub(crate) pollers: BTreeSet<NodeId>,
}

impl Changed {
    fn note(&mut self, poller: Option<NodeId>) {
        match poller {
            Some(node) => drop(self.pollers.insert(node)),
            None => self.proxies = true,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Modules {
    by_instance: BTreeMap<String, Instance>,
    /// Who connects nodes and came or went.
    changed: Changed,
    /// Who is to be told of all nodes that are its own.
    accounts: BTreeSet<String>,
    /// Who was there at the last look, and is not any more.
    out_of_sight: Vec<Identity>,
    /// Turns among equally free instances.
    turn: usize,
}

impl Modules {
    pub(crate) fn offers(&self, action: &Action) -> bool {
        self.by_instance
            .values()
            .any(|instance| instance.actions.contains(action))
    }

    /// A task of before the restart: its runner may come back. Until that is over, a proxy counts
    /// as one that connects nodes of the kind that the task is for.
    pub(crate) fn restore(
        &mut self,
        runner: &Runner,
        (line, kind): (Line, Option<NodeKind>),
        token: Token,
        now: Duration,
    ) {
        let instance = self
            .by_instance
            .entry(runner.instance.clone())
            .or_insert_with(|| Instance {
                identity: Identity::from_text(&runner.instance),
                runner: runner.clone(),
                poller: Identity::from_text(&runner.instance).poller(),
                name: String::new(),
                actions: Vec::new(),
                slots: 0,
                heartbeat: None,
                last_word: now,
                away_since: Some(now),
                draining: false,
                standby: false,
                mortal: false,
                held: BTreeSet::new(),
                note: None,
                carries: Vec::new(),
                carried: BTreeSet::new(),
            });
        match line {
            Line::Module(action) => {
                if !instance.actions.contains(&action) {
                    instance.actions.push(action);
                }
                instance.held.insert(token);
            }
            Line::Node(_) => {
                instance.carried.insert(token);
                if let Some(kind) = kind
                    && !instance.carries.contains(&kind)
                {
                    instance.carries.push(kind);
                    self.changed.note(instance.poller);
                }
            }
            Line::Parts => {}
        }
    }

    /// Takes READY.
    pub(crate) fn ready(
        &mut self,
        identity: &Identity,
        name: &str,
        ready: &Ready,
        fresh: &Token,
        (now, max): (Duration, usize),
    ) -> Welcome {
        let key = identity.to_text();
        let offered: Vec<Action> = ready
            .actions
            .iter()
            .map(|name| Action::parse(name))
            .collect();
        let slots = if offered.is_empty() {
            0
        } else {
            ready.slots.unwrap_or(DEFAULT_SLOTS) as usize
        };
        let heartbeat = ready
            .heartbeat
            .filter(|seconds| *seconds > 0)
            .map(|seconds| Duration::from_secs(u64::from(seconds)));
        // There are as many pollers as nodes, at most.
        let poller = identity.poller();
        let new = poller.is_none() && !self.by_instance.contains_key(&key);
        let full = new && self.modules() >= max;
        let old = match self.by_instance.get_mut(&key) {
            Some(instance) => {
                let same_life = match &ready.epoch {
                    Some(epoch) => *epoch == instance.runner.epoch,
                    None => instance.mortal && instance.away_since.is_none(),
                };
                if same_life {
                    let offered_once = instance.draining || !instance.actions.is_empty();
                    let ended = offered.is_empty() && offered_once && !ready.standby;
                    instance.draining = ready.draining || ended;
                    instance.standby = ready.standby;
                    let lost_sight = instance.away_since.is_some() || ready.running.is_some();
                    if lost_sight && !ready.carries.is_empty() {
                        self.accounts.insert(key.clone());
                    }
                    if instance.carries != ready.carries {
                        instance.carries.clone_from(&ready.carries);
                        self.changed.note(instance.poller);
                    }
                    instance.name = name.to_owned();
                    instance.actions = offered;
                    instance.slots = slots;
                    instance.heartbeat = heartbeat;
                    instance.note.clone_from(&ready.note);
                    instance.last_word = now;
                    instance.away_since = None;
                    let running = ready.running.as_ref();
                    let running = running.map(|running| running.iter().collect::<HashSet<_>>());
                    let all = instance.held.iter().chain(&instance.carried);
                    let held = all.map(|token| {
                        let missing = running.as_ref().is_some_and(|all| !all.contains(token));
                        (token.clone(), missing)
                    });
                    return Welcome::Back(held.collect());
                }
                if !instance.carries.is_empty() {
                    self.changed.note(poller);
                }
                instance.take_all()
            }
            None if full => return Welcome::Full,
            None => Vec::new(),
        };
        if !ready.carries.is_empty() {
            self.changed.note(poller);
            self.accounts.insert(key.clone());
        }
        let epoch = ready
            .epoch
            .clone()
            .unwrap_or_else(|| format!("connection-{}", fresh.as_str()));
        self.by_instance.insert(
            key.clone(),
            Instance {
                identity: identity.clone(),
                runner: Runner {
                    instance: key,
                    epoch,
                },
                poller,
                name: name.to_owned(),
                actions: offered,
                slots,
                heartbeat,
                last_word: now,
                away_since: None,
                draining: ready.draining,
                standby: ready.standby,
                mortal: ready.epoch.is_none(),
                held: BTreeSet::new(),
                note: ready.note.clone(),
                carries: ready.carries.clone(),
                carried: BTreeSet::new(),
            },
        );
        Welcome::Reborn(old)
    }

    /// Takes a slot of the instance that has the most of them free.
    pub(crate) fn reserve(&mut self, action: &Action, token: &Token) -> Option<Runner> {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let count = self.by_instance.len().max(1);
        let chosen = self
            .by_instance
            .values_mut()
            .enumerate()
            .filter(|(_, instance)| instance.free() > 0 && instance.actions.contains(action))
            .max_by_key(|(index, instance)| (instance.free(), (index + turn) % count))
            .map(|(_, instance)| instance)?;
        chosen.held.insert(token.clone());
        Some(chosen.runner.clone())
    }

    /// Gives the slot of a token back.
    pub(crate) fn release(&mut self, runner: &Runner, token: &Token) {
        if let Some(instance) = self.of_mut(runner) {
            instance.held.remove(token);
            instance.carried.remove(token);
        }
    }

    /// A task goes to a node by this instance.
    pub(crate) fn carries_task(&mut self, runner: &Runner, token: &Token) {
        if let Some(instance) = self.of_mut(runner) {
            instance.carried.insert(token.clone());
        }
    }

    /// Whether somebody connects nodes of this kind.
    pub(crate) fn carry(&self, kind: NodeKind) -> bool {
        let mut all = self.by_instance.values();
        all.any(|instance| instance.carries.contains(&kind))
    }

    /// Who can have the connection to a node of this kind, also who is away and may come back. A
    /// poller carries what is for itself.
    pub(crate) fn carriers(
        &self,
        node: NodeId,
        kind: NodeKind,
    ) -> impl Iterator<Item = (&str, &Runner)> {
        let name = Identity::of_poller(node).to_text();
        let one = (kind == NodeKind::Pull).then(|| self.by_instance.get_key_value(&name));
        let all = (kind != NodeKind::Pull).then(|| self.by_instance.iter());
        let all = all.into_iter().flatten().chain(one.flatten());
        all.filter(move |(_, instance)| instance.carries.contains(&kind))
            .map(|(key, instance)| (key.as_str(), &instance.runner))
    }

    /// How many there are, but for pollers.
    fn modules(&self) -> usize {
        let all = self.by_instance.values();
        all.filter(|instance| instance.poller.is_none()).count()
    }

    /// Who was there at the last look, and is not any more.
    pub(crate) fn take_out_of_sight(&mut self) -> Vec<Identity> {
        std::mem::take(&mut self.out_of_sight)
    }

    /// Who connects nodes and came or went since the last look.
    pub(crate) fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// Who is to be told of all nodes that are its own.
    pub(crate) fn take_accounts(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.accounts)
    }

    /// Where to send to this instance, whichever life it is in, if it is there.
    pub(crate) fn address_of(&self, instance: &str) -> Option<Identity> {
        self.by_instance
            .get(instance)
            .filter(|instance| instance.away_since.is_none())
            .map(|instance| instance.identity.clone())
    }

    /// The runner still has the token after all. False where the runner is gone.
    pub(crate) fn hold(&mut self, runner: &Runner, token: &Token) -> bool {
        match self.of_mut(runner) {
            Some(instance) => {
                instance.held.insert(token.clone());
                true
            }
            None => false,
        }
    }

    fn of_mut(&mut self, runner: &Runner) -> Option<&mut Instance> {
        self.by_instance
            .get_mut(&runner.instance)
            .filter(|instance| instance.runner == *runner)
    }

    /// Where to send to this runner, if it is there.
    pub(crate) fn address(&self, runner: &Runner) -> Option<Identity> {
        self.by_instance
            .get(&runner.instance)
            .filter(|instance| instance.runner == *runner && instance.away_since.is_none())
            .map(|instance| instance.identity.clone())
    }

    /// Which life of which instance this is, if it has said READY.
    pub(crate) fn life(&self, identity: &Identity) -> Option<&Runner> {
        let instance = self.by_instance.get(&identity.to_text())?;
        instance.away_since.is_none().then_some(&instance.runner)
    }

    /// Everybody who is there.
    pub(crate) fn present(&self) -> Vec<Identity> {
        self.by_instance
            .values()
            .filter(|instance| instance.away_since.is_none())
            .map(|instance| instance.identity.clone())
            .collect()
    }

    /// The module is not reachable at the moment.
    pub(crate) fn away(&mut self, identity: &Identity, now: Duration) {
        if let Some(instance) = self.by_instance.get_mut(&identity.to_text())
            && instance.away_since.is_none()
        {
            instance.away_since = Some(now);
            self.out_of_sight.push(identity.clone());
        }
    }

    pub(crate) fn next_deadline(&self, grace: Duration) -> Option<Duration> {
        self.by_instance
            .values()
            .filter_map(|instance| instance.deadline(grace))
            .min()
    }

    /// Removes whoever is away too long, and tells what they held.
    pub(crate) fn expire(&mut self, now: Duration, grace: Duration) -> Vec<Token> {
        let mut lost = Vec::new();
        for instance in self.by_instance.values_mut() {
            if instance.away_since.is_none()
                && instance
                    .deadline(grace)
                    .is_some_and(|deadline| deadline <= now)
            {
                instance.away_since = Some(now);
                self.out_of_sight.push(instance.identity.clone());
            }
        }
        let changed = &mut self.changed;
        self.by_instance.retain(|_, instance| {
            let gone = instance
                .away_since
                .is_some_and(|since| since + grace <= now);
            if gone {
                if !instance.carries.is_empty() {
                    changed.note(instance.poller);
                }
                lost.extend(instance.take_all());
            }
            !gone
        });
        lost
    }

    pub(crate) fn actions_of(&self, runner: &Runner) -> Vec<Action> {
        self.by_instance
            .get(&runner.instance)
            .map(|instance| instance.actions.clone())
            .unwrap_or_default()
    }

    /// How many there are, by the module's name and by their state.
    pub(crate) fn count(&self) -> BTreeMap<(String, &'static str), u64> {
        let mut counts = BTreeMap::new();
        for instance in self.by_instance.values() {
            let key = (instance.name.to_string(), instance.state());
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    /// For INFORMATION.
    pub(crate) fn describe(&self) -> Value {
        let all: BTreeMap<&str, Value> = self
            .by_instance
            .iter()
            .map(|(key, instance)| {
                let actions: Vec<_> = instance.actions.iter().map(|a| a.name()).collect();
                let mut about = json!({
                    "name": instance.name, "state": instance.state(), "actions": actions,
                    "slots": instance.slots, "running": instance.held.len(),
                    "carries": instance.carries, "carrying": instance.carried.len(),
                });
                if let (Some(note), Some(about)) = (&instance.note, about.as_object_mut()) {
                    about.insert("note".to_owned(), json!(note));
                }
                (key.as_str(), about)
            })
            .collect();
        json!(all)
    }
}
