//! `gorgonectl nodes`: which nodes the server knows, and whether they answer.

use std::process::ExitCode;

use gorgone_protocol::Action;
use serde_json::{Value, json};

use super::status::members;
use crate::cli::Context;
use crate::print::table::{Cell, Table};
use crate::print::{BAD, FAINT, HEAD, PLAIN};
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
        "LAST SEEN",
        "PINGS OK",
        "FAILED",
        "SUBNODES",
    ]);
    if known.is_empty() {
        let words = "no nodes are registered; REGISTERNODES or module 'register' makes them known";
        screen.line(&screen.styled(FAINT, words))?;
    }
    for (id, node) in known {
        let failed = node["ping_failed"].as_u64().unwrap_or_default();
        let subnodes: Vec<_> = members(&node["nodes"]).map(|(id, _)| id).collect();
        table.row(vec![
            Cell::number(id).in_style(HEAD),
            Cell::new(node["type"].as_str().unwrap_or_default()),
            seen(&node["last_ping_recv"]),
            Cell::number(node["ping_ok"].as_u64().unwrap_or_default()),
            Cell::number(failed).in_style(if failed > 0 { BAD } else { PLAIN }),
            Cell::new(subnodes.join(" ")),
        ]);
    }
    screen.table(&table)?;
    Ok(ExitCode::SUCCESS)
}

/// When a node last answered.
fn seen(at: &Value) -> Cell {
    match at.as_i64() {
        Some(at) if at > 0 => {
            let ago = time::length(time::now().saturating_sub(at));
            Cell::new(format!("{} ({ago} ago)", time::local(at)))
        }
        _ => Cell::styled(FAINT, "never"),
    }
}
