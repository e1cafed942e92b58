//! `gorgonectl status`: how the server is.

use std::collections::BTreeSet;
use std::process::ExitCode;

use gorgone_protocol::Action;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::print::table::{Cell, Table};
use crate::print::text::escape;
use crate::print::{BAD, GOOD, HEAD, ODD, PLAIN};
use crate::time;

pub(super) async fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let door = context.door().await?;
    let information = door.look(Action::Information).await?;
    let nodes = door.look(Action::ConStatus).await?;
    let screen = &context.screen;
    if screen.json() {
        screen.object(&json!({ "information": information, "nodes": nodes }))?;
        return Ok(ExitCode::SUCCESS);
    }
    screen.line(&head(&information))?;
    screen.line(&work(&information, members(&nodes).count()))?;
    for table in [modules(&information), counters(&information)] {
        screen.line("")?;
        screen.table(&table)?;
    }
    if members(&information["modules"]).next().is_none() {
        let words = "no module is connected: nothing can be run until one is";
        screen.line(&screen.styled(ODD, words))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn head(information: &Value) -> String {
    let hostname = escape(information["hostname"].as_str().unwrap_or_default());
    let mut head = format!("node {} ({hostname})", information["id"]);
    if let Some(started) = information["started"].as_i64() {
        let length = time::length(time::now().saturating_sub(started));
        head.push_str(&format!(", up since {} ({length})", time::local(started)));
    }
    head
}

fn work(information: &Value, nodes: usize) -> String {
    let tasks = &information["tasks"];
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    format!(
        "requests: {} running, {} waiting; readers that wait: {}; nodes: {nodes}",
        number(&tasks["running"]),
        number(&tasks["waiting"]),
        number(&information["waiters"]),
    )
}

fn modules(information: &Value) -> Table {
    let mut table = Table::new(&["MODULE", "STATE", "RUNNING", "SLOTS", "ACTIONS"]);
    for (name, module) in members(&information["modules"]) {
        let state = module["state"].as_str().unwrap_or_default();
        let style = match state {
            "ready" => GOOD,
            "away" => BAD,
            _ => ODD,
        };
        let full = module["running"] == module["slots"] && module["slots"] != 0;
        let actions = module["actions"].as_array().into_iter().flatten();
        let actions: Vec<_> = actions.filter_map(Value::as_str).collect();
        table.row(vec![
            Cell::styled(HEAD, name),
            Cell::styled(style, state),
            Cell::number(&module["running"]).in_style(if full { ODD } else { PLAIN }),
            Cell::number(&module["slots"]),
            Cell::new(actions.join(" ")),
        ]);
    }
    table
}

/// How often each action was asked for, and from where.
fn counters(information: &Value) -> Table {
    let counters = &information["counters"];
    let origins: Vec<_> = members(counters).map(|(name, _)| name).collect();
    let actions: BTreeSet<_> = members(counters)
        .flat_map(|(_, origin)| members(&origin["actions"]))
        .map(|(action, _)| action)
        .collect();
    let titles: Vec<_> = origins.iter().map(|name| name.to_uppercase()).collect();
    let mut head = vec!["ASKED FOR"];
    head.extend(titles.iter().map(String::as_str));
    let mut table = Table::new(&head);
    for action in actions {
        let mut row = vec![Cell::new(action)];
        for origin in &origins {
            let count = &counters[*origin]["actions"][action];
            row.push(Cell::number(count.as_u64().unwrap_or_default()));
        }
        table.row(row);
    }
    table
}

/// The members of an object; none where it is no object.
pub(super) fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}
