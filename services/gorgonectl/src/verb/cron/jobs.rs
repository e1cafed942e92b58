//! What gorgone-cron is asked.

use anyhow::anyhow;
use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Action, Code, Data, Target};
use serde_json::{Value, json};

use crate::door::Door;
use crate::rows;

/// Jobs of one answer.
const PAGE: usize = 500;

/// The jobs of the server.
pub(super) struct Jobs {
    pub(super) door: Door,
}

impl Jobs {
    pub(super) const fn new(door: Door) -> Self {
        Self { door }
    }

    /// All jobs, in the order of their ids.
    pub(super) async fn all(&self) -> anyhow::Result<Vec<Value>> {
        let mut jobs: Vec<Value> = Vec::new();
        loop {
            let mut parameters = json!({ "limit": PAGE });
            if let Some(last) = jobs.last() {
                parameters["after"] = last["id"].clone();
            }
            let body = json!({ "variables": [], "parameters": parameters });
            let Value::Array(page) = self.ask(Action::GetCron, body).await? else {
                return Err(anyhow!("the server's answer is no list of jobs"));
            };
            let more = page.len() == PAGE;
            jobs.extend(page);
            if !more {
                return Ok(jobs);
            }
        }
    }

    /// The definition of a job.
    pub(super) async fn one(&self, id: &str) -> anyhow::Result<Value> {
        let body = json!({ "variables": [id] });
        let mut answer = self.ask(Action::GetCron, body).await?;
        Ok(match answer.get_mut(0) {
            Some(job) => job.take(),
            None => answer,
        })
    }

    /// How a job does: its last runs and the next one.
    pub(super) async fn status(&self, id: &str) -> anyhow::Result<Value> {
        let body = json!({ "variables": [id, "status"] });
        self.ask(Action::GetCron, body).await
    }

    /// When a job is due next.
    pub(super) async fn next(&self, id: &str, count: u32) -> anyhow::Result<Value> {
        let body = json!({ "variables": [id, "next"], "parameters": { "n": count } });
        self.ask(Action::GetCron, body).await
    }

    pub(super) async fn add(&self, definitions: Vec<Value>) -> anyhow::Result<Value> {
        self.ask(Action::AddCron, json!({ "content": definitions }))
            .await
    }

    pub(super) async fn change(&self, id: &str, changes: Value) -> anyhow::Result<Value> {
        let body = json!({ "content": changes, "variables": [id] });
        self.ask(Action::UpdateCron, body).await
    }

    pub(super) async fn remove(&self, id: &str) -> anyhow::Result<Value> {
        let body = json!({ "variables": [id] });
        self.ask(Action::DeleteCron, body).await
    }

    pub(super) async fn run(&self, id: &str) -> anyhow::Result<Value> {
        let body = json!({ "variables": [id] });
        self.ask(Action::RunCron, body).await
    }

    /// Asks, and waits for the row that ends the request.
    async fn ask(&self, action: Action, body: Value) -> anyhow::Result<Value> {
        let data = Data::from_value(&body);
        let token = self.door.submit(action, Target::Here, data).await?;
        let mut rows = self.door.rows(&token);
        while let Some(row) = rows.next().await? {
            if row.code.is_terminal() {
                return ended(&row);
            }
        }
        Err(anyhow!(
            "the request has no end, see 'gorgonectl log {token}'"
        ))
    }
}

fn ended(row: &Row) -> anyhow::Result<Value> {
    let data = rows::data(row);
    if row.code == Code::Ko {
        let words = data["message"].as_str().unwrap_or(&row.data);
        return Err(anyhow!("{words}"));
    }
    Ok(data)
}
