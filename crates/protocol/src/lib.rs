//! The words of the gorgone protocol: what a message is, how it is written, and what each
//! request and its answer mean.
//!
//! ```text
//! [ACTION] [TOKEN] [TARGET] DATA     request
//! [ACK] [TOKEN] DATA                 answer
//! ```
//!
//! Only this crate knows how an action is spelled and which number a code has on the wire.
//! It does no IO, keeps no state, and knows neither ZeroMQ nor encryption.

mod action;
mod answer;
mod code;
mod codec;
mod data;
mod dialect;
mod endpoint;
mod errand;
mod headers;
mod lives;
mod message;
mod name;
mod near_miss;
pub mod request;
mod rights;
mod selection;
mod time;

pub use action::Action;
pub use answer::{
    Answer, AnswerName, NO_PROXY, STOPPING, Status, Why, no_node, no_route, not_known,
};
pub use code::{Code, Reason, Verdict, reason_of};
pub use codec::{DecodeError, decode, decode_answer, encode, encode_answer, peek_action};
pub use data::{Data, DataError};
pub use dialect::Dialect;
pub use endpoint::Endpoint;
pub use errand::Errand;
pub use headers::Headers;
pub use lives::{History, InvalidLife, Life, Mark};
pub use message::{Message, Target};
pub use name::{Identity, InvalidName, NodeId, Thumbprint, Token};
pub use near_miss::near_miss;
pub use rights::{Grant, GrantedActions, GrantedNodes, InvalidGrant, Rights};
pub use selection::{
    InvalidLabel, LabelKey, LabelValue, Labels, Requirement, Selection, SelectionError,
    SelectionProblem, Span,
};
pub use time::Moment;
