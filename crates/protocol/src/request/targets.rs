//! TARGETS: how far a request to many nodes is on each of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::cancel::UNKNOWN_TOKEN;
use super::lenient;
use crate::{Answer, Data, DataError, NodeId, Token, Verdict};

/// The body of TARGETS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetTargets {
    /// The token of the request.
    pub token: Token,
    /// Nodes with a higher id than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<NodeId>,
    /// At most so many nodes.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::integer"
    )]
    pub limit: Option<i64>,
}

impl GetTargets {
    /// How many nodes a page has where nobody says it, and at most.
    pub const PAGE: i64 = 1_000;
}

/// How far a request to many nodes is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Targets {
    /// What was asked for.
    pub action: String,
    /// Of whom, as it was written.
    pub target: String,
    /// Whether it has not ended everywhere.
    pub live: bool,
    /// How many nodes are how far: all of them, also those that are not in the page.
    pub counts: BTreeMap<TargetState, u64>,
    /// A page of the nodes, in the order of their ids.
    pub nodes: Vec<TargetOn>,
    /// Whether nodes were left out: ask again with the last id as `after`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// The part of one node in a request to many.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TargetOn {
    /// The node.
    pub node: NodeId,
    /// The token of its part, under which its rows stand in the history.
    pub token: String,
    /// How far it is.
    pub state: TargetState,
    /// When it ended, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
}

/// How far a request is on one node. On the wire one word: `waiting`, `leaving`, `away`,
/// `running`, or how it ended: `ok`, `failed`, `timeout` and so on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TargetState {
    /// Nobody has it.
    Waiting,
    /// It is on its way to the node.
    Leaving,
    /// The node has it.
    Away,
    /// It is with a module of this node.
    Running,
    /// It is over.
    Ended(Verdict),
}

impl TargetState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leaving => "leaving",
            Self::Away => "away",
            Self::Running => "running",
            Self::Ended(verdict) => verdict.as_str(),
        }
    }

    /// The state that a word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "waiting" => Some(Self::Waiting),
            "leaving" => Some(Self::Leaving),
            "away" => Some(Self::Away),
            "running" => Some(Self::Running),
            word => Verdict::parse(word).map(Self::Ended),
        }
    }
}

impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for TargetState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TargetState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word)
            .ok_or_else(|| serde::de::Error::custom(format!("'{word}' is no state of a request")))
    }
}

/// The answer to TARGETS.
#[must_use]
pub fn answer(token: Option<Token>, targets: &Targets) -> Answer {
    let data = json!({ "action": "targets", "message": "ok", "data": targets });
    Answer::ok(token, Data::from_value(&data))
}

/// Reads the answer to TARGETS.
///
/// # Errors
/// When the answer does not have the form.
pub fn decode_answer(answer: &Answer) -> Result<Targets, DataError> {
    #[derive(Deserialize)]
    struct Body {
        data: Targets,
    }
    Ok(answer.data.decode::<Body>()?.data)
}

/// The refusal where the token is that of a request to one node.
#[must_use]
pub fn single(token: Option<Token>) -> Answer {
    let message = "no request to many nodes has this token: it went to one node only, and its rows tell \
                   how far it is";
    Answer::refused_with(token, json!({ "message": message, "error": UNKNOWN_TOKEN }))
}
