//! What the history is told about a request.

use std::process::ExitStatus;

use gorgone_protocol::request::command::Command;
use gorgone_protocol::{Code, Reason, Token};
use serde_json::{Map, Value, json};
use std::os::unix::process::ExitStatusExt;
use tokio::sync::mpsc;

use crate::engine::ended_message;
use crate::process::{End, Outcome};

/// A row for the history. Rows of a token come in order, and its last one is its only one with
/// a terminal code.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Which request.
    pub token: Token,
    /// How far it is.
    pub code: Code,
    /// What there is to say.
    pub data: Value,
}

/// Where the rows of one request go.
pub(crate) struct Rows<'a> {
    pub(crate) token: &'a Token,
    pub(crate) sender: &'a mpsc::Sender<Row>,
}

impl Rows<'_> {
    fn row(&self, code: Code, data: Value) -> Row {
        Row {
            token: self.token.clone(),
            code,
            data,
        }
    }

    /// Waits for room. Nobody listens any more only when the service is over.
    pub(crate) fn send(&self, code: Code, data: Value) {
        let _ = self.sender.blocking_send(self.row(code, data));
    }

    /// Output as it comes; false where there is no room now.
    pub(crate) fn output(
        &self,
        stream: &str,
        output: String,
        index: Option<usize>,
        metadata: Option<&Value>,
    ) -> bool {
        let Ok(permit) = self.sender.try_reserve() else {
            return self.sender.is_closed();
        };
        let mut data = Map::new();
        data.insert("stream".into(), stream.into());
        data.insert("output".into(), output.into());
        if let Some(index) = index {
            data.insert("index".into(), index.into());
        }
        if let Some(metadata) = metadata {
            data.insert("metadata".into(), metadata.clone());
        }
        permit.send(self.row(Code::Proceed, data.into()));
        true
    }

    /// Ends the request KO.
    pub(crate) fn ko(&self, reason: Reason, message: &str, mut data: Map<String, Value>) {
        data.insert("message".into(), message.into());
        data.insert("reason".into(), reason.as_str().into());
        self.send(Code::Ko, data.into());
    }
}

/// The result of one command, and whether it went well.
pub(crate) struct Finished {
    /// None: it went well.
    pub(crate) failure: Option<Reason>,
    pub(crate) message: String,
    pub(crate) data: Map<String, Value>,
}

impl Finished {
    pub(crate) fn new(command: &Command, outcome: Outcome, start: i64, end: i64) -> Self {
        let (failure, message) = judge(outcome.end, outcome.status);
        let texts = outcome.output.into_texts();
        let mut data = Map::new();
        data.insert("stdout".into(), texts.both.into());
        data.insert(
            "output".into(),
            json!({ "out": texts.out, "err": texts.err }),
        );
        if let Some(status) = outcome.status {
            if let Some(code) = status.code() {
                data.insert("exit_code".into(), code.into());
            }
            if let Some(signal) = status.signal() {
                data.insert("signal".into(), signal.into());
                data.insert("signal_name".into(), signal_name(signal).into());
            }
        }
        if texts.truncated {
            data.insert("truncated".into(), true.into());
        }
        data.insert("start".into(), start.into());
        data.insert("end".into(), end.into());
        if let Some(metadata) = &command.metadata {
            data.insert("metadata".into(), metadata.clone());
        }
        Self {
            failure,
            message,
            data,
        }
    }

    /// A command that did not start.
    pub(crate) fn not_started(command: &Command, reason: Reason, message: String) -> Self {
        let mut data = Map::new();
        if let Some(metadata) = &command.metadata {
            data.insert("metadata".into(), metadata.clone());
        }
        Self {
            failure: Some(reason),
            message,
            data,
        }
    }

    /// The members of its row.
    pub(crate) fn row(&self) -> Map<String, Value> {
        let mut data = self.data.clone();
        data.insert("message".into(), self.message.clone().into());
        if let Some(reason) = self.failure {
            data.insert("reason".into(), reason.as_str().into());
        }
        data
    }
}

fn judge(end: End, status: Option<ExitStatus>) -> (Option<Reason>, String) {
    let lost = if status.is_none() {
        "; the process could not be killed"
    } else {
        ""
    };
    match end {
        End::Exit(0) => (None, "command has finished".to_owned()),
        End::Exit(code) => (
            Some(Reason::Failed),
            format!("command has finished with exit code {code}"),
        ),
        End::Signal(signal) => (
            Some(Reason::Failed),
            format!("command was ended by signal {}", signal_name(signal)),
        ),
        End::Timeout => (
            Some(Reason::Timeout),
            format!("command ran longer than it may and was ended{lost}"),
        ),
        End::Ended(why) => (
            Some(Reason::Cancelled),
            format!("command was ended: {}{lost}", ended_message(why)),
        ),
    }
}

fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(
        |_| format!("SIG{signal}"),
        |known| known.as_str().to_owned(),
    )
}
