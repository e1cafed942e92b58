//! ZeroMQ, and nothing else: messages of frames go in and come out, peers come and go.
//!
//! ```text
//!  edge    libzmq    anybody who can reach the port     ROUTER ── clients, other nodes
//!  dial    our own   other nodes, thousands of them     DEALERs ── their edges
//!  bus     zeromq    a few trusted peers                ROUTER ── modules
//!  memory            tests in one process               ROUTER ── both
//! ```
//!
//! All but `dial`, which has handles for many peers, give the same ones: [`Router`] and
//! [`RouterSender`] for the bound side, [`Dealer`] and [`DealerSender`] for the connecting side.
//! A receiver is owned by one task, a sender is cloned into as many as need it; sending never
//! waits. Sockets live on threads of their own behind these handles, and end with them.
//!
//! A peer is known by its ZeroMQ identity, which is a name and proves nothing. This crate does
//! not know what is in a frame: neither encryption nor sessions nor actions.
//!
//! # What a message may count on
//!
//! - Messages of one sender to one peer arrive in order.
//! - A message for a peer that is not there, or that has as much in flight as it may have,
//!   comes back as `Undelivered`: it was provably not received. A message that did not come
//!   back may still be lost with its connection; who needs to know asks for an answer.
//! - Every queue is bounded, in messages and in bytes. A peer that does not read fills its own
//!   share and stops nobody else.

pub mod bus;
pub mod dial;
pub mod edge;
mod error;
mod files;
mod handle;
mod ipc;
pub mod memory;
mod queue;
mod signal;

pub use error::{Error, SendError};
pub use handle::{
    Counters, Dealer, DealerEvent, DealerSender, Router, RouterEvent, RouterSender, Why,
};
pub use queue::Bound;

/// The parts of a message, without the identity of its peer. Never empty.
pub type Frames = Vec<bytes::Bytes>;

/// Most parts a message may have; the protocol's have one or two. Longer ones are dropped and
/// counted ([`Counters::malformed`]).
pub const MAX_PARTS: usize = 4;
