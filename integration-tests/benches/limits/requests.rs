//! From a request to the ACK that says that it is durable.
//!
//! The request is a COMMAND while no runner is there: core accepts it, writes it down, answers,
//! and has nothing else to do. Its limits are the two things that an ACK cannot do without: the
//! way there and back (ZeroMQ echo), and the write (the same records, in groups).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gorgone_integration_tests::Node;
use gorgone_protocol::{Action, Data, Endpoint, Message, Status, Target};
use gorgone_routing::{Record, Task, TaskState, Written};
use gorgone_store::{Change, Options, Store};
use gorgone_transport::{RouterEvent, edge};
use tokio::runtime::Runtime;

use crate::crowd::{Crowd, token};
use crate::process::{self, Process};
use crate::sample::{Sample, part};

/// About the size of the sealed request.
const FRAME: usize = 176;
const BODY: &str = r#"{"command":"true"}"#;

pub(crate) fn run() {
    println!("\nrequest -> durable ACK, one request per client at a time");
    let node = process::node();
    for clients in [1, 16, 256] {
        let echo = Echo::start(clients);
        let inserts = Inserts::start(&node, clients);
        let mut requests = Requests::start(&node, clients);
        let [echoed, inserted, ours] = Sample::best([
            &mut |span| echo.measure(span),
            &mut |span| inserts.measure(span),
            &mut |span| requests.measure(span),
        ]);
        // Who has only one processor's time does one after the other.
        let both = 1.0 / (1.0 / echoed.rate() + 1.0 / inserted.rate());
        println!(
            "{clients:>5} clients {:>8.0}/s  {}",
            ours.rate(),
            ours.spread()
        );
        println!(
            "      of ZeroMQ echo          {}",
            part(ours.rate(), echoed.rate())
        );
        println!(
            "      of grouped inserts      {}",
            part(ours.rate(), inserted.rate())
        );
        println!("      of one after the other  {}", part(ours.rate(), both));
        println!(
            "      core's processor time   {:>8.1} us each",
            requests.cost()
        );
        echo.stop();
        inserts.stop();
        requests.core.stop();
    }
}

/// A core that accepts, and its clients.
struct Requests {
    core: Process,
    crowd: Crowd,
    busy: Duration,
    count: usize,
}

impl Requests {
    fn start(node: &Node, clients: usize) -> Self {
        let _ = std::fs::remove_file(node.path("gorgone.sdb"));
        let core = Process::start("gorgone-core", node);
        let crowd = Crowd::with_sessions(&node.endpoint(), clients);
        Self {
            core,
            crowd,
            busy: Duration::ZERO,
            count: 0,
        }
    }

    fn measure(&mut self, span: Duration) -> Sample {
        let before = self.core.busy();
        let sample = self.crowd.work(span, |_, answer| match answer {
            None => Some(Message::new(
                Action::Command,
                Some(token()),
                Data::parse(BODY).unwrap(),
            )),
            Some(answer) => {
                assert_eq!(answer.status, Status::Ok);
                None
            }
        });
        self.busy += self.core.busy() - before;
        self.count += sample.count();
        sample
    }

    /// Microseconds for one request.
    fn cost(&self) -> f64 {
        self.busy.as_secs_f64() * 1e6 / self.count as f64
    }
}

/// A server that sends back what comes, and its clients.
struct Echo {
    crowd: Crowd,
    clients: usize,
    ended: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

impl Echo {
    fn start(clients: usize) -> Self {
        let endpoint = Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 0,
        };
        let (mut router, sender) = edge::bind(edge::BindOptions::new(vec![endpoint])).unwrap();
        let address = router.local_endpoints()[0].to_string();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                while !end.load(Ordering::Relaxed) {
                    let event = tokio::time::timeout(Duration::from_millis(50), router.recv());
                    if let Ok(Some(RouterEvent::Message { peer, frames, .. })) = event.await {
                        sender.send(&peer, frames).unwrap();
                    }
                }
                router.close(Duration::ZERO).await;
            });
        });
        Self {
            crowd: Crowd::connect(&address, clients),
            clients,
            ended,
            server,
        }
    }

    fn measure(&self, span: Duration) -> Sample {
        let began = Instant::now();
        let mut times = Vec::new();
        let mut since = vec![began; self.clients];
        self.crowd.frames(|client, answered| {
            let now = Instant::now();
            if answered.is_some() {
                times.push(now - since[client]);
            }
            since[client] = now;
            (now - began < span).then(|| vec![7; FRAME])
        });
        Sample::new(times, began)
    }

    fn stop(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.server.join().unwrap();
    }
}

/// The store alone, with as many writers as there are clients.
struct Inserts {
    runtime: Runtime,
    store: Store,
    writers: usize,
}

impl Inserts {
    fn start(node: &Node, writers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let path = node.path(&format!("limit-{writers}.sdb"));
        let store = runtime.block_on(Store::open(Options::new(path))).unwrap();
        Self {
            runtime,
            store,
            writers,
        }
    }

    fn measure(&self, span: Duration) -> Sample {
        self.runtime
            .block_on(write_for(span, &self.store, self.writers))
    }

    fn stop(self) {
        self.runtime.block_on(self.store.close()).unwrap();
    }
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
        parent: None,
    })
}
