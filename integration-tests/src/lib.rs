//! The testkit: starts a real gorgoned in a folder of its own, talks to it, kills parts of it.
//!
//! Tests use the binaries that stand beside them in the target folder: `make unit` builds them
//! first.

pub mod containers;
mod crowd;
mod forwarder;
mod history;
pub mod http;
mod keys;
mod netns;
mod node;
mod python;
mod runner;
mod terminal;

pub use crowd::Crowd;
pub use forwarder::Forwarder;
pub use history::{History, accepted, ask, ended, run, run_line, said, token};
pub use keys::{Keys, keys};
pub use netns::{Machines, Place};
pub use node::{HTTP_CREDENTIALS, Node, NodeOptions, eventually, free_port};
pub use python::{folder as python_scripts, python, spawn_python, venv};
pub use runner::{Runner, Started};
pub use terminal::Terminal;
