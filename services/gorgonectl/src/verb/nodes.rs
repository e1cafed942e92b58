//! `gorgonectl nodes`: which nodes the server knows, and whether they answer.

use std::process::ExitCode;

use gorgone_protocol::Action;
use serde_json::{Value, json};

use super::status::members;
use crate::cli::Context;
use crate::print::table::{Cell, Table};
use crate::print::{BAD, FAINT, GOOD, HEAD, ODD, PLAIN};
use crate::time;

pub(super) async fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let door = context.door().await?;
    let nodes = door.look(Action::ConStatus).await?;
    let mut known: Vec<_> = members(&nodes).collect();
    known.sort_by_key(|(id, _)| (id.parse::<u64>().unwrap_or(u64::MAX), *id));
    let screen = &context.screen;
    if screen.json() {
        for (id, node) in known {
            let id = id.parse::<u64>().map_or_else(|_| id.into(), Value::from);
            let mut whole = json!({ "id": id });
            if let (Some(whole), Some(node)) = (whole.as_object_mut(), node.as_object()) {
                whole.extend(node.clone());
            }
            screen.object(&whole)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        "NODE",
        "TYPE",
        "STATE",
        "LAST SEEN",
        "PINGS",
        "FAILED",
        "WAITING",
        "THERE",
        "BEHIND",
        "ABOUT",
    ]);
    if known.is_empty() {
        let words = "no nodes are registered; REGISTERNODES or module 'register' makes them known";
        screen.line(&screen.styled(FAINT, words))?;
    }
    for (id, node) in known {
        table.row(cells(id, node));
    }
    screen.table(&table)?;
    Ok(ExitCode::SUCCESS)
}

fn cells(id: &str, node: &Value) -> Vec<Cell> {
    let number = |name: &str| node[name].as_u64();
    let state = node["state"].as_str().unwrap_or("-");
    let failed = number("ping_failed").unwrap_or_default();
    let waiting = number("waiting").unwrap_or_default() + number("leaving").unwrap_or_default();
    let behind = number("behind").map_or_else(|| "-".to_owned(), |rows| rows.to_string());
    vec![
        Cell::number(id).in_style(HEAD),
        Cell::new(node["type"].as_str().unwrap_or_default()),
        Cell::styled(
            match state {
                "up" => GOOD,
                "connecting" => ODD,
                _ => BAD,
            },
            state,
        ),
        seen(&node["last_ping_recv"]),
        Cell::number(number("ping_ok").unwrap_or_default()),
        Cell::number(failed).in_style(if failed > 0 { ODD } else { PLAIN }),
        Cell::number(waiting),
        Cell::number(number("away").unwrap_or_default()),
        Cell::number(behind),
        Cell::new(about(node)),
    ]
}

/// When a node last answered.
fn seen(at: &Value) -> Cell {
    match at.as_i64() {
        Some(at) if at > 0 => {
            let ago = time::length(time::now().saturating_sub(at));
            Cell::new(format!("{ago} ago"))
        }
        _ => Cell::styled(FAINT, "never"),
    }
}

/// What is wrong with it, how it calls itself, what is behind it.
fn about(node: &Value) -> String {
    let mut parts = Vec::new();
    parts.extend(node["error"].as_str().map(str::to_owned));
    parts.extend(node["hostname"].as_str().map(str::to_owned));
    let labels: Vec<_> = members(&node["labels"])
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if !labels.is_empty() {
        parts.push(labels.join(" "));
    }
    let subnodes: Vec<_> = members(&node["nodes"]).map(|(id, _)| id).collect();
    if !subnodes.is_empty() {
        parts.push(format!("subnodes {}", subnodes.join(" ")));
    }
    parts.join("; ")
}
