//! `gorgonectl targets`: how far a request to many nodes is on each of them.

use std::process::ExitCode;

use gorgone_protocol::request::targets::{self, GetTargets, TargetOn, TargetState, Targets};
use gorgone_protocol::{Action, Data, Message, Status, Token, Verdict};
use serde_json::json;

use crate::cli::{Context, TokenArg};
use crate::door::{Door, refused};
use crate::print::table::{Cell, Table};
use crate::print::{BAD, GOOD, HEAD, ODD};
use crate::time;

/// How far a request to several nodes is on each of them
///
/// The token is the one that 'gorgonectl command --on …' was given. Each node's part has a token of
/// its own, under which 'gorgonectl log' has its rows and its output.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl targets 5f3c0b6a
  gorgonectl log --full 5f3c0b6a@4")]
pub(crate) struct Args {
    /// The token of the request
    token: TokenArg,
}

pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let door = context.door().await?;
    let targets = read(&door, args.token.0).await?;
    let screen = &context.screen;
    if screen.json() {
        for one in &targets.nodes {
            screen.object(&json!(one))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["NODE", "STATE", "ENDED", "TOKEN"]);
    for one in &targets.nodes {
        table.row(cells(one));
    }
    screen.table(&table)?;
    let counts = targets.counts.iter();
    let counts: Vec<_> = counts
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let live = if targets.live { "" } else { ", over" };
    screen.line(&format!(
        "{} on {}: {}{live}",
        targets.action,
        targets.target,
        counts.join(", ")
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// All pages.
async fn read(door: &Door, token: Token) -> anyhow::Result<Targets> {
    let mut all: Option<Targets> = None;
    loop {
        let last = all.as_ref().and_then(|all| all.nodes.last());
        let asked = GetTargets {
            token: token.clone(),
            after: last.map(|last| last.node),
            limit: None,
        };
        let message = Message::new(Action::Targets, None, Data::from_value(&asked));
        let answer = door.ask(message).await?;
        if answer.status == Status::Nok {
            return Err(refused(&answer, &Action::Targets));
        }
        let page = targets::decode_answer(&answer)?;
        let more = page.more && !page.nodes.is_empty();
        let before = all.map(|all| all.nodes).unwrap_or_default();
        let nodes = before.into_iter().chain(page.nodes).collect();
        let known = Targets { nodes, ..page };
        if !more {
            return Ok(known);
        }
        all = Some(known);
    }
}

fn cells(one: &TargetOn) -> Vec<Cell> {
    let style = match one.state {
        TargetState::Ended(Verdict::Ok) => GOOD,
        TargetState::Ended(Verdict::Ko(_)) => BAD,
        TargetState::Waiting | TargetState::Leaving | TargetState::Away | TargetState::Running => {
            ODD
        }
    };
    vec![
        Cell::number(one.node).in_style(HEAD),
        Cell::styled(style, one.state.as_str()),
        Cell::new(one.ended.map_or_else(|| "-".to_owned(), time::local)),
        Cell::new(&one.token),
    ]
}
