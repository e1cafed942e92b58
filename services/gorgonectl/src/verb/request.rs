//! `gorgonectl request`, `status` and `cancel`: one request, one answer.

use std::process::ExitCode;

use anyhow::anyhow;
use gorgone_client::Client;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::{Action, Answer, Data, Message, Status, Target};
use serde_json::{Value, json};

use crate::cli::{CancelArgs, RequestArgs, Server};
use crate::{log, print};

pub(crate) async fn run(
    server: &Server,
    json: bool,
    args: RequestArgs,
) -> anyhow::Result<ExitCode> {
    let data = Data::parse(&args.data).map_err(|error| anyhow!("DATA is not JSON: {error}"))?;
    let client = server.connect().await?;
    let message = Message {
        action: Action::parse(&args.action),
        token: args.token.map(|token| token.0),
        target: args
            .target
            .map_or(Target::Here, |node| Target::Node(node.0)),
        data,
    };
    let answer = client.ask(message, server.patience()).await?;
    show(&answer, json);
    match (answer.status, answer.token) {
        (Status::Nok, _) => Ok(ExitCode::FAILURE),
        (Status::Ok, Some(token)) if args.wait => {
            let follow = log::Follow::token(token.as_str());
            let ended = follow
                .run(&client, server, |row| log::show(row, json))
                .await?;
            Ok(log::exit_code(ended.as_ref()))
        }
        (Status::Ok, _) => Ok(ExitCode::SUCCESS),
    }
}

fn show(answer: &Answer, json: bool) {
    let data: Value = answer.data.decode().unwrap_or_default();
    if json {
        let token = answer.token.as_ref().map(gorgone_protocol::Token::as_str);
        let whole = json!({ "code": answer.status.number(), "token": token, "data": data });
        return print::line(&whole.to_string());
    }
    if let Some(token) = &answer.token {
        print::line(&format!("token  {token}"));
    }
    print::line(&format!("code   {}", answer.status.number()));
    print::line(&serde_json::to_string_pretty(&data).unwrap_or_default());
}

pub(crate) async fn cancel(
    server: &Server,
    json: bool,
    args: CancelArgs,
) -> anyhow::Result<ExitCode> {
    let client = server.connect().await?;
    let data = Data::from_value(&Cancel {
        token: args.token.0,
    });
    let message = Message::new(Action::Cancel, None, data);
    // Core waits for the runner's word before it answers.
    let patience = server.patience() + std::time::Duration::from_secs(15);
    let answer = client.ask(message, patience).await?;
    if json {
        show(&answer, true);
    } else {
        let data: Value = answer.data.decode().unwrap_or_default();
        print::line(data["message"].as_str().unwrap_or(answer.data.as_str()));
    }
    Ok(match answer.status {
        Status::Ok => ExitCode::SUCCESS,
        Status::Nok => ExitCode::FAILURE,
    })
}

pub(crate) async fn status(server: &Server, json: bool) -> anyhow::Result<ExitCode> {
    let client = server.connect().await?;
    let information = ask(&client, server, Action::Information).await?;
    let nodes = ask(&client, server, Action::ConStatus).await?;
    if json {
        let whole = json!({ "information": information, "nodes": nodes });
        print::line(&whole.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    print::line(&format!(
        "node {} ({}), requests: {} running, {} waiting",
        information["id"],
        information["hostname"].as_str().unwrap_or_default(),
        information["tasks"]["running"],
        information["tasks"]["waiting"],
    ));
    table(
        &["MODULE", "STATE", "RUNNING", "SLOTS", "ACTIONS"],
        members(&information["modules"]).map(|(name, module)| {
            let state = module["state"].as_str().unwrap_or_default();
            let colour = if state == "ready" { 32 } else { 33 };
            let actions: Vec<_> = module["actions"].as_array().into_iter().flatten().collect();
            let actions: Vec<_> = actions.iter().filter_map(|a| a.as_str()).collect();
            vec![
                name.to_owned(),
                print::coloured(colour, state),
                module["running"].to_string(),
                module["slots"].to_string(),
                actions.join(" "),
            ]
        }),
    );
    table(
        &["NODE", "TYPE", "LAST PING"],
        members(&nodes).map(|(id, node)| {
            vec![
                id.to_owned(),
                node["type"].as_str().unwrap_or_default().to_owned(),
                node["last_ping_recv"].to_string(),
            ]
        }),
    );
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &Client, server: &Server, action: Action) -> anyhow::Result<Value> {
    let answer = client
        .request(action, Target::Here, Data::empty(), server.patience())
        .await?;
    let mut data: Value = answer.data.decode()?;
    Ok(data["data"].take())
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

/// A table for people: nothing where it has no rows.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let visible = |text: &str| {
        text.split('\x1b')
            .map(|part| {
                part.split_once('m')
                    .filter(|_| part.starts_with('['))
                    .map_or(part, |(_, rest)| rest)
                    .chars()
                    .count()
            })
            .sum::<usize>()
    };
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| visible(cell))
            .chain([head[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width.saturating_sub(visible(cell)) + 2));
        }
        print::line(text.trim_end());
    };
    let head: Vec<_> = head.iter().map(|title| (*title).to_owned()).collect();
    line(&head);
    for row in &rows {
        line(row);
    }
}
