//! Waiting for the end of a request: its rows as they come, what it waits for, and Ctrl-C.

use std::io;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Action, Answer, NodeId, Status, Target, Token};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::door::{Door, words};
use crate::print::Screen;
use crate::{rows, time};

/// How often what is waited for is said anew.
const TICK: Duration = Duration::from_secs(1);
/// So long nothing is said: most requests are over by then.
const QUIET: Duration = Duration::from_millis(1500);
/// How often the server is asked why a request has not begun.
const ASK: Duration = Duration::from_secs(5);

/// How the waiting ended.
pub(crate) enum Ended {
    /// The request has ended: its terminal row.
    Row(Row),
    /// It was cancelled with Ctrl-C, and has ended: its terminal row.
    Cancelled(Row),
    /// It was left running, with a second Ctrl-C.
    Left,
}

/// A request that is waited for.
pub(crate) struct Watch<'a> {
    door: &'a Door,
    screen: &'a Screen,
    token: Token,
    action: Action,
    target: Target,
    began: Instant,
    /// When something last happened.
    heard: Instant,
    state: State,
    /// The question why the request has not begun.
    asking: Option<JoinHandle<anyhow::Result<Value>>>,
    asked: Option<Instant>,
    /// The wish that the request should end.
    cancelling: Option<JoinHandle<anyhow::Result<Answer>>>,
}

/// How far the request is, as far as is known.
enum State {
    /// No row has come; why, where the server said it.
    InLine(Option<String>),
    /// It was handed over; to whom, where the rows said it.
    HandedOver(Option<String>),
    /// Ctrl-C was pressed.
    Interrupted,
}

/// What happened while a row was waited for.
enum Event {
    Row(anyhow::Result<Option<Row>>),
    Tick,
    Interrupt,
    Why(anyhow::Result<Value>),
    Cancelled(anyhow::Result<Answer>),
}

impl<'a> Watch<'a> {
    /// `asked` is what was asked for, and of whom.
    pub(crate) fn new(
        door: &'a Door,
        screen: &'a Screen,
        token: Token,
        asked: (Action, Target),
    ) -> Self {
        let (action, target) = asked;
        let now = Instant::now();
        Self {
            door,
            screen,
            token,
            action,
            target,
            began: now,
            heard: now,
            state: State::InLine(None),
            asking: None,
            asked: None,
            cancelling: None,
        }
    }

    /// Hands over rows as they come, until the request has ended. The first Ctrl-C cancels it,
    /// a second one leaves it running.
    ///
    /// # Errors
    /// When the server does not answer any more, or the output is closed: then the request is
    /// cancelled, since nobody sees what it says.
    pub(crate) async fn run(
        mut self,
        mut each: impl FnMut(&Row) -> io::Result<()>,
    ) -> anyhow::Result<Ended> {
        let mut rows = self.door.rows(&self.token);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // One question stays under way, whatever else happens.
            let mut next = pin!(rows.next());
            let row = loop {
                let event = tokio::select! {
                    row = &mut next => Event::Row(row),
                    _ = tick.tick(), if self.screen.shows_progress() => Event::Tick,
                    Some(()) = interrupt.recv() => Event::Interrupt,
                    why = answer(&mut self.asking) => Event::Why(why),
                    said = answer(&mut self.cancelling) => Event::Cancelled(said),
                };
                match event {
                    Event::Row(row) => break row,
                    Event::Tick => self.progress(),
                    Event::Interrupt => match self.state {
                        State::Interrupted => {
                            self.left();
                            return Ok(Ended::Left);
                        }
                        State::InLine(_) | State::HandedOver(_) => self.interrupted(),
                    },
                    Event::Why(told) => self.why(told.ok().as_ref()),
                    Event::Cancelled(said) => self.cancelled(said),
                }
            };
            let row = match row {
                Ok(Some(row)) => row,
                Ok(None) => return Err(self.lost(anyhow!("its rows are over"))),
                Err(error) => return Err(self.lost(error)),
            };
            self.heard(&row);
            if let Err(error) = each(&row) {
                if !row.code.is_terminal() {
                    // Whether it worked interests nobody any more.
                    let _ = self.door.cancel(self.token.clone()).await;
                }
                return Err(error.into());
            }
            if row.code.is_terminal() {
                self.screen.clear();
                return Ok(match self.state {
                    State::Interrupted => Ended::Cancelled(row),
                    State::InLine(_) | State::HandedOver(_) => Ended::Row(row),
                });
            }
        }
    }

    fn heard(&mut self, row: &Row) {
        self.heard = Instant::now();
        if matches!(self.state, State::Interrupted) {
            return;
        }
        let data = rows::data(row);
        if let (Target::Many(_), Some(left)) = (&self.target, data["left"].as_u64()) {
            self.state = State::HandedOver(Some(format!("{left} nodes to go")));
            return;
        }
        let to = match (data["module"].as_str(), row.node, &data["node"]) {
            (Some(module), Some(node), _) => Some(format!("running in {module} of node {node}")),
            (Some(module), None, _) => Some(format!("running in {module}")),
            (None, _, Value::Number(node)) => Some(format!("node {node} has it")),
            (None, _, _) => None,
        };
        if to.is_some() || matches!(self.state, State::InLine(_)) {
            self.state = State::HandedOver(to);
        }
    }

    fn interrupted(&mut self) {
        self.screen
            .note("cancelling the request; Ctrl-C again leaves it running");
        self.state = State::Interrupted;
        self.heard = Instant::now();
        let (door, token) = (self.door.clone(), self.token.clone());
        self.cancelling = Some(tokio::spawn(async move { door.cancel(token).await }));
    }

    /// What the server says to the wish that the request should end. That it did, its terminal
    /// row tells.
    fn cancelled(&self, said: anyhow::Result<Answer>) {
        match said {
            Ok(answer) if answer.status == Status::Ok => {}
            Ok(answer) => self.screen.note(&words(&answer)),
            Err(error) => self.screen.note(&format!("{error:#}")),
        }
    }

    fn left(&self) {
        let token = &self.token;
        self.screen.note(&format!(
            "left running; 'gorgonectl log -f {token}' shows what becomes of it, \
             'gorgonectl cancel {token}' ends it"
        ));
    }

    fn lost(&self, error: anyhow::Error) -> anyhow::Error {
        let token = &self.token;
        error.context(format!(
            "the request goes on, 'gorgonectl log -f {token}' shows what becomes of it"
        ))
    }

    fn progress(&mut self) {
        if self.heard.elapsed() < QUIET {
            return;
        }
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= ASK);
        if matches!(self.state, State::InLine(_)) && due && self.asking.is_none() {
            self.asked = Some(Instant::now());
            let door = self.door.clone();
            let question = match self.target {
                Target::Here | Target::Many(_) | Target::Unreadable(_) => Action::Information,
                Target::Node(_) => Action::ConStatus,
            };
            let asking = async move { door.look(question).await };
            self.asking = Some(tokio::spawn(asking));
        }
        let what = match &self.state {
            State::InLine(Some(why)) => format!("in line: {why}"),
            State::InLine(None) => "accepted, has not begun".to_owned(),
            State::HandedOver(Some(to)) => to.clone(),
            State::HandedOver(None) => "running".to_owned(),
            State::Interrupted => "waiting for its end".to_owned(),
        };
        let hint = match self.state {
            State::Interrupted => "Ctrl-C leaves it running",
            State::InLine(_) | State::HandedOver(_) => "Ctrl-C cancels",
        };
        let seconds = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        let length = time::length(seconds);
        self.screen.progress(&format!("{what} · {length} · {hint}"));
    }

    /// Whoever may not ask for INFORMATION or CONSTATUS sees less.
    fn why(&mut self, told: Option<&Value>) {
        if let State::InLine(why) = &mut self.state {
            *why = told.map(|told| match &self.target {
                Target::Node(node) => behind_node(told, *node),
                Target::Here | Target::Many(_) | Target::Unreadable(_) => {
                    in_line(told, &self.action)
                }
            });
        }
    }
}

/// The answer to a question that is under way; for ever where none is.
async fn answer<T>(asked: &mut Option<JoinHandle<anyhow::Result<T>>>) -> anyhow::Result<T> {
    let Some(handle) = asked else {
        return std::future::pending().await;
    };
    let answer = handle.await;
    *asked = None;
    answer?
}

/// Why a request for this action has not begun, from what INFORMATION says.
fn in_line(information: &Value, action: &Action) -> String {
    let name = action.name();
    let modules = information["modules"].as_object();
    let able: Vec<_> = modules
        .into_iter()
        .flatten()
        .filter(|(_, module)| {
            let actions = module["actions"].as_array();
            actions.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(&*name)))
        })
        .collect();
    if able.is_empty() {
        return format!("no module offers {name} at the moment");
    }
    let modules: Vec<_> = able
        .iter()
        .map(|(key, module)| match module["state"].as_str() {
            Some("ready") => format!("{key} runs {} of {}", module["running"], module["slots"]),
            state => format!("{key} is {}", state.unwrap_or("away")),
        })
        .collect();
    let waiting = &information["tasks"]["waiting"];
    format!("{}, {waiting} requests wait", modules.join(", "))
}

/// Why a request for a node has not left, from what CONSTATUS says.
fn behind_node(nodes: &Value, node: NodeId) -> String {
    let about = &nodes[node.to_string()];
    let Some(state) = about["state"].as_str() else {
        return format!("node {node} is behind another node, or not known");
    };
    let error = about["error"].as_str();
    let error = error.map_or(String::new(), |error| format!(" ({error})"));
    let waiting = about["waiting"].as_u64().unwrap_or_default();
    format!("node {node} is {state}{error}, {waiting} requests wait for it")
}
