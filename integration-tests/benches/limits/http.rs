//! The HTTP door: a read, and a command that is waited for, over connections that stay open. The
//! limits are a bare axum handler that answers the same bytes, and the ZeroMQ door.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gorgone_integration_tests::http::{Http, request};
use gorgone_integration_tests::{HTTP_CREDENTIALS, Node};
use gorgone_protocol::{Action, Data, Message, Target};
use tokio::runtime::Runtime;

use crate::commands;
use crate::crowd::{Crowd, token};
use crate::process::{self, Process};
use crate::sample::{Sample, part};

const READ: &str = "/api/internal/constatus";
const COMMAND: &str = "/api/core/action/command?wait=30s";
const BODY: &str = r#"[{"command":"true"}]"#;

pub(crate) fn run() {
    println!("\nHTTP: GET {READ}");
    let node = process::http_node();
    for connections in [1, 8, 64] {
        let _ = std::fs::remove_file(node.path("gorgone.sdb"));
        let gorgoned = Process::start("gorgoned", &node);
        let mut clients = Crowd::with_sessions(&node.endpoint(), connections);
        let door = Door::open(http_address(&node), connections);
        let answer = door.answer_to(&read());
        let bare = Bare::start(answer);
        let limit = Door::open(bare.address, connections);
        let [axum, zeromq, ours] = Sample::best([
            &mut |span| limit.work(&read(), span),
            &mut |span| statuses(&mut clients, span),
            &mut |span| door.work(&read(), span),
        ]);
        report(
            connections,
            &ours,
            &[("bare axum", &axum), ("the ZeroMQ door", &zeromq)],
        );
        gorgoned.stop();
    }

    println!("\nHTTP: POST {COMMAND} of true");
    for connections in [1, 8, 64] {
        let _ = std::fs::remove_file(node.path("gorgone.sdb"));
        let gorgoned = Process::start("gorgoned", &node);
        let mut clients = Crowd::with_sessions(&node.endpoint(), connections);
        let door = Door::open(http_address(&node), connections);
        let [zeromq, ours] = Sample::best([
            &mut |span| commands::commands(&mut clients, connections, &Target::Here, span),
            &mut |span| door.work(&command(), span),
        ]);
        report(connections, &ours, &[("the ZeroMQ door", &zeromq)]);
        gorgoned.stop();
    }
}

fn report(connections: usize, ours: &Sample, limits: &[(&str, &Sample)]) {
    println!(
        "{connections:>5} connections {:>6.0}/s  {}",
        ours.rate(),
        ours.spread()
    );
    for (name, limit) in limits {
        println!("      of {name:<21}{}", part(ours.rate(), limit.rate()));
        println!("      which has {:>14}  {}", "", limit.spread());
    }
}

fn http_address(node: &Node) -> SocketAddr {
    node.http().parse().unwrap()
}

fn read() -> String {
    request("GET", READ, HTTP_CREDENTIALS, "")
}

fn command() -> String {
    request("POST", COMMAND, HTTP_CREDENTIALS, BODY)
}

/// The same question by ZeroMQ.
fn statuses(clients: &mut Crowd, span: Duration) -> Sample {
    clients.work(span, |_, answer| match answer {
        None => Some(Message::new(
            Action::ConStatus,
            Some(token()),
            Data::empty(),
        )),
        Some(_) => None,
    })
}

/// Connections to a server, driven by one thread.
struct Door {
    runtime: Runtime,
    connections: RefCell<Vec<Http>>,
}

impl Door {
    fn open(address: SocketAddr, count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let connections = runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..count {
                all.push(Http::open(address).await);
            }
            all
        });
        Self {
            runtime,
            connections: RefCell::new(connections),
        }
    }

    /// The body of one answer.
    fn answer_to(&self, request: &str) -> String {
        let mut connections = self.connections.borrow_mut();
        let answered = self.runtime.block_on(connections[0].ask(request));
        String::from_utf8(answered.unwrap().body).unwrap()
    }

    /// Every connection asks again and again for so long.
    fn work(&self, request: &str, span: Duration) -> Sample {
        let began = Instant::now();
        let mut connections = self.connections.borrow_mut();
        let times = self.runtime.block_on(async {
            let all = connections.iter_mut().map(|connection| async {
                let mut times = Vec::new();
                while began.elapsed() < span {
                    let start = Instant::now();
                    let answered = connection.ask(request).await.unwrap();
                    assert_eq!(answered.status, 200, "{answered:?}");
                    times.push(start.elapsed());
                }
                times
            });
            futures::future::join_all(all).await
        });
        Sample::new(times.concat(), began)
    }
}

/// A bare axum handler that answers the same to everything.
struct Bare {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Bare {
    fn start(answer: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let handler = move || {
            let answer = answer.clone();
            async move { ([("content-type", "application/json")], answer) }
        };
        let app = axum::Router::new().route(READ, axum::routing::get(handler));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            _runtime: runtime,
        }
    }
}
