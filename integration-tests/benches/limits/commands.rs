//! From COMMAND `true` to its terminal row, as a client gets it: COMMAND, ACK, GETLOG that waits
//! for the end. The limit is what the machine does when nobody asks, writes or tells anything:
//! start `sh -c true` and wait for it.

use std::process::Command;
use std::time::{Duration, Instant};

use gorgone_protocol::request::log::{self, GetLog};
use gorgone_protocol::{Action, Data, Dialect, Message, Status, Target, Token};

use crate::crowd::{Crowd, token};
use crate::process::{self, Process};
use crate::sample::{Sample, part};

pub(crate) fn run() {
    println!("\nCOMMAND true -> terminal row");
    let node = process::node();
    for (clients, threads) in [(1, 1), (4, 4), (16, 4)] {
        let _ = std::fs::remove_file(node.path("gorgone.sdb"));
        let gorgoned = Process::start("gorgoned", &node);
        let mut crowd = Crowd::with_sessions(&node.endpoint(), clients);
        let [spawned, ours] = Sample::best([&mut |span| spawning(threads, span), &mut |span| {
            commands(&mut crowd, clients, &Target::Here, span)
        }]);
        gorgoned.stop();
        println!(
            "{clients:>5} at a time {:>6.0}/s  {}",
            ours.rate(),
            ours.spread()
        );
        println!(
            "      of sh -c true, {threads} at a time {}",
            part(ours.rate(), spawned.rate())
        );
        println!("      which has {:>14}  {}", "", spawned.spread());
    }
}

/// What a client has asked for and waits for.
#[derive(Clone)]
enum Step {
    Idle,
    Ack(Token),
    End,
}

/// Has commands done by a node for so long, so many at a time.
pub(crate) fn commands(
    crowd: &mut Crowd,
    clients: usize,
    target: &Target,
    span: Duration,
) -> Sample {
    let mut steps = vec![Step::Idle; clients];
    crowd.work(span, |client, answer| {
        let step = std::mem::replace(&mut steps[client], Step::Idle);
        match (step, answer) {
            (Step::Ack(token), Some(answer)) => {
                assert_eq!(answer.status, Status::Ok);
                steps[client] = Step::End;
                Some(wait_for(&token))
            }
            (Step::End, Some(answer)) => {
                let rows = log::decode_answer(answer, Dialect::Seed).unwrap().rows;
                assert!(rows.iter().any(|row| row.code.is_terminal()), "{answer:?}");
                None
            }
            _ => {
                let token = token();
                steps[client] = Step::Ack(token.clone());
                let body = Data::parse(r#"{"command":"true"}"#).unwrap();
                Some(Message {
                    target: target.clone(),
                    ..Message::new(Action::Command, Some(token), body)
                })
            }
        }
    })
}

fn wait_for(subject: &Token) -> Message {
    let filter = GetLog {
        token: Some(subject.as_str().to_owned()),
        wait: Some(Duration::from_secs(20)),
        ..GetLog::default()
    };
    Message::new(Action::GetLog, Some(token()), filter.encode(Dialect::Seed))
}

fn spawning(threads: usize, span: Duration) -> Sample {
    let began = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            std::thread::spawn(move || {
                let mut times = Vec::new();
                while began.elapsed() < span {
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
