//! From a request to the ACK that says that it is durable.
//!
//! The request is a COMMAND while no runner is there: core accepts it, writes it down, answers,
//! and has nothing else to do. Its limits are the two things that an ACK cannot do without: the
//! way there and back (ZeroMQ echo), and the write (the same records, in groups).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gorgone_integration_tests::Node;
use gorgone_protocol::{Action, Data, Endpoint, Message, Status, Target};
use gorgone_routing::{Record, Task, TaskState, Written};
use gorgone_store::{Change, Options, Store};
use gorgone_transport::{RouterEvent, edge};

use crate::crowd::{Crowd, token};
use crate::process::{self, Process};
use crate::sample::{Sample, part};

const WARM: Duration = Duration::from_millis(500);
const SPAN: Duration = Duration::from_secs(3);
/// About the size of the sealed request.
const FRAME: usize = 176;
const BODY: &str = r#"{"command":"true"}"#;

pub(crate) fn run() {
    println!("\nrequest -> durable ACK, one request per client at a time");
    let node = process::node();
    for clients in [1, 16, 256] {
        let echo = echo(clients);
        let inserts = inserts(&node, clients);
        let ours = requests(&node, clients);
        // Who has only one processor's time does one after the other.
        let both = 1.0 / (1.0 / echo.rate() + 1.0 / inserts.rate());
        println!(
            "{clients:>5} clients {:>8.0}/s  {}",
            ours.rate(),
            ours.spread()
        );
        println!(
            "      of ZeroMQ echo          {}",
            part(ours.rate(), echo.rate())
        );
        println!(
            "      of grouped inserts      {}",
            part(ours.rate(), inserts.rate())
        );
        println!("      of one after the other  {}", part(ours.rate(), both));
    }
}

fn requests(node: &Node, clients: usize) -> Sample {
    let _ = std::fs::remove_file(node.path("gorgone.sdb"));
    let core = Process::start("gorgone-core", node);
    let mut crowd = Crowd::with_sessions(&node.endpoint(), clients);
    let mut measure = |span| {
        crowd.work(span, |_, answer| match answer {
            None => Some(Message::new(
                Action::Command,
                Some(token()),
                Data::parse(BODY).unwrap(),
            )),
            Some(answer) => {
                assert_eq!(answer.status, Status::Ok);
                None
            }
        })
    };
    measure(WARM);
    let sample = measure(SPAN);
    core.stop();
    sample
}

fn echo(clients: usize) -> Sample {
    let endpoint = Endpoint::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 0,
    };
    let (mut router, sender) = edge::bind(edge::BindOptions::new(vec![endpoint])).unwrap();
    let address = router.local_endpoints()[0].to_string();
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            while !ended.load(Ordering::Relaxed) {
                let event = tokio::time::timeout(Duration::from_millis(50), router.recv()).await;
                if let Ok(Some(RouterEvent::Message { peer, frames })) = event {
                    sender.send(&peer, frames).unwrap();
                }
            }
            router.close(Duration::ZERO).await;
        });
    });
    let crowd = Crowd::connect(&address, clients);
    let measure = |span| {
        let began = Instant::now();
        let mut times = Vec::new();
        let mut since = vec![began; clients];
        crowd.frames(|client, answered| {
            let now = Instant::now();
            if answered.is_some() {
                times.push(now - since[client]);
            }
            since[client] = now;
            (now - began < span).then(|| vec![7; FRAME])
        });
        Sample::new(times, began)
    };
    measure(WARM);
    let sample = measure(SPAN);
    done.store(true, Ordering::Relaxed);
    server.join().unwrap();
    sample
}

fn inserts(node: &Node, writers: usize) -> Sample {
    let path = node.path("limit.sdb");
    let _ = std::fs::remove_file(&path);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::open(Options::new(path)).await.unwrap();
        write_for(WARM, &store, writers).await;
        let sample = write_for(SPAN, &store, writers).await;
        store.close().await.unwrap();
        sample
    })
}

async fn write_for(span: Duration, store: &Store, writers: usize) -> Sample {
    let began = Instant::now();
    let writers: Vec<_> = (0..writers)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while began.elapsed() < span {
                    let start = Instant::now();
                    let written = store.write(vec![Change::Routing(record())]).await.unwrap();
                    assert_eq!(written, [Written::Done]);
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for writer in writers {
        times.extend(writer.await.unwrap());
    }
    Sample::new(times, began)
}

/// What core writes for the request.
fn record() -> Record {
    Record::Accept(Task {
        token: token(),
        action: Action::Command,
        target: Target::Here,
        data: Data::parse(BODY).unwrap(),
        origin: "bench-0123456789abcdef".to_owned(),
        accepted_ms: 1_800_000_000_000,
        expires_ms: 1_800_086_400_000,
        retries: 0,
        attempt: 0,
        state: TaskState::Queued,
    })
}
