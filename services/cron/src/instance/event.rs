//! What happens to an instance, and what it wants done.

use std::time::Duration;

use gorgone_client::AskError;
use gorgone_client::module::Request;
use gorgone_protocol::{Action, Answer, Code, Message, Token};
use gorgone_schedule::Definition;
use serde_json::Value;

/// A question to core that was not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AskId(pub(crate) u64);

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// Core knows this instance; also each time it is known again.
    Ready,
    /// A question was answered, or will not be.
    Answered {
        /// Which one.
        ask: AskId,
        /// The answer, whatever its code.
        answer: Result<Answer, AskError>,
    },
    /// Core hands a request over.
    Request(Request),
    /// The jobs of the configuration, all of them.
    Configured(Vec<Definition>),
    /// The system's clock was set.
    ClockSet,
    /// It is time: [`Wake`] has passed.
    Timeout,
    /// Nothing more is begun.
    Stop,
}

/// What is wanted.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Ask core, and report with [`Event::Answered`].
    Ask {
        /// The question's name.
        ask: AskId,
        /// The question.
        message: Message,
        /// How long to wait for the answer.
        patience: Duration,
    },
    /// Nobody waits for the questions of before any more.
    Forget,
    /// Offer these actions from now on.
    Offer(Vec<Action>),
    /// Report what became of a request.
    Report {
        /// Its token.
        token: Token,
        /// How far it has come.
        code: Code,
        /// What there is to say.
        data: Value,
    },
}

/// When to wake the instance, if nothing else happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wake {
    /// When the system's clock shows this or more; milliseconds since 1970.
    pub wall_ms: Option<i64>,
    /// After this time, whatever the system's clock shows.
    pub after: Option<Duration>,
}
