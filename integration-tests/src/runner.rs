//! A module that does nothing, well: it offers an action, notes what it is asked for and when,
//! and ends it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use gorgone_client::module::{Module, ModuleEvent, ModuleOptions};
use gorgone_protocol::{Action, Code, Endpoint, Identity};
use serde_json::json;
use tokio::task::JoinHandle;

/// A request that was handed over.
#[derive(Clone, PartialEq, Debug)]
pub struct Started {
    /// Its token.
    pub token: String,
    /// When it came; milliseconds since 1970.
    pub at_ms: i64,
}

/// See the module's doc. It ends when it is dropped.
#[derive(Debug)]
pub struct Runner {
    started: Arc<Mutex<Vec<Started>>>,
    task: JoinHandle<()>,
}

/// The clock on the wall; milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

impl Runner {
    /// Connects to a node's internal endpoint and offers `action`.
    ///
    /// # Panics
    /// When it cannot connect at all.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a module that cannot connect has failed the test"
    )]
    pub fn offer(internal: &str, action: &str) -> Self {
        let (_, path) = internal.split_once("://").expect("an endpoint");
        let mut module = Module::connect(ModuleOptions {
            endpoint: Endpoint::Ipc { path: path.into() },
            identity: Identity::new(b"test-runner"),
            name: "TEST".to_owned(),
            actions: vec![Action::parse(action)],
            slots: 1_000,
        })
        .expect("a connection");
        let started = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&started);
        let task = tokio::spawn(async move {
            let reporter = module.reporter();
            while let Some(event) = module.next().await {
                if let ModuleEvent::Request(request) = event {
                    let note = Started {
                        token: request.token.as_str().to_owned(),
                        at_ms: now_ms(),
                    };
                    notes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(note);
                    reporter.report(&request.token, Code::Ok, json!({ "message": "done" }));
                }
            }
        });
        Self { started, task }
    }

    /// Everything that it was asked for by now.
    #[must_use]
    pub fn started(&self) -> Vec<Started> {
        self.started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}
