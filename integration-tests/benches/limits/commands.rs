//! From COMMAND `true` to its terminal row, as a client gets it: COMMAND, ACK, GETLOG that waits
//! for the end. The limit is what the machine does when nobody asks, writes or tells anything:
//! start `sh -c true` and wait for it.

use std::process::Command;
use std::time::{Duration, Instant};

use gorgone_integration_tests::Node;
use gorgone_protocol::request::log::{self, GetLog};
use gorgone_protocol::{Action, Data, Dialect, Message, Status, Token};

use crate::crowd::{Crowd, token};
use crate::process::{self, Process};
use crate::sample::{Sample, part};

const WARM: Duration = Duration::from_millis(500);
const SPAN: Duration = Duration::from_secs(4);

pub(crate) fn run() {
    println!("\nCOMMAND true -> terminal row");
    let node = process::node();
    let alone = spawning(1);
    let four = spawning(4);
    for clients in [1, 4, 16] {
        let ours = commands(&node, clients);
        let (limit, name) = match clients {
            1 => (&alone, "sh -c true, sequential "),
            _ => (&four, "sh -c true, 4 at a time"),
        };
        println!(
            "{clients:>5} at a time {:>6.0}/s  {}",
            ours.rate(),
            ours.spread()
        );
        println!("      of {name} {}", part(ours.rate(), limit.rate()));
    }
    println!("      sh -c true, sequential: {}", alone.spread());
    println!("      sh -c true, 4 at a time: {}", four.spread());
}

/// What a client has asked for and waits for.
#[derive(Clone)]
enum Step {
    Idle,
    Ack(Token),
    End,
}

fn commands(node: &Node, clients: usize) -> Sample {
    let _ = std::fs::remove_file(node.path("gorgone.sdb"));
    let gorgoned = Process::start("gorgoned", node);
    let mut crowd = Crowd::with_sessions(&node.endpoint(), clients);
    let mut steps = vec![Step::Idle; clients];
    let mut measure = |span| {
        crowd.work(span, |client, answer| {
            let step = std::mem::replace(&mut steps[client], Step::Idle);
            match (step, answer) {
                (Step::Ack(token), Some(answer)) => {
                    assert_eq!(answer.status, Status::Ok);
                    steps[client] = Step::End;
                    Some(wait_for(&token))
                }
                (Step::End, Some(answer)) => {
                    let (rows, _) = log::decode_answer(answer, Dialect::Seed).unwrap();
                    assert!(rows.iter().any(|row| row.code.is_terminal()), "{answer:?}");
                    None
                }
                _ => {
                    let token = token();
                    steps[client] = Step::Ack(token.clone());
                    let body = Data::parse(r#"{"command":"true"}"#).unwrap();
                    Some(Message::new(Action::Command, Some(token), body))
                }
            }
        })
    };
    measure(WARM);
    let sample = measure(SPAN);
    gorgoned.stop();
    sample
}

fn wait_for(subject: &Token) -> Message {
    let filter = GetLog {
        token: Some(subject.as_str().to_owned()),
        wait: Some(Duration::from_secs(20)),
        ..GetLog::default()
    };
    Message::new(Action::GetLog, Some(token()), filter.encode(Dialect::Seed))
}

fn spawning(threads: usize) -> Sample {
    let began = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            std::thread::spawn(move || {
                let mut times = Vec::new();
                while began.elapsed() < SPAN {
                    let start = Instant::now();
                    let status = Command::new("sh").args(["-c", "true"]).status().unwrap();
                    assert!(status.success());
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let times = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap());
    Sample::new(times.collect(), began)
}
