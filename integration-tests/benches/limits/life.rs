//! Memory, and how long a node takes to start and to stop; then the same with 10,000 sessions.

use std::time::{Duration, Instant};

use gorgone_crypto::SessionKey;
use gorgone_integration_tests::{Node, keys};
use gorgone_protocol::{Dialect, Identity};
use gorgone_session::{Record, StoredSession};
use gorgone_store::{Change, Options, Store};

use crate::crowd::Crowd;
use crate::process::{self, Memory, Process, name};
use crate::sample::{millis, verdict};

const SESSIONS: usize = 10_000;
const TIMES: usize = 5;
/// What the idle set may have, in kB.
const IDLE: u64 = 60 * 1024;
const READY: Duration = Duration::from_millis(300);
const STOPPED: Duration = Duration::from_secs(1);

pub(crate) fn run() {
    let node = process::node();
    println!("\nidle");
    measure(&node);
    println!("\nwith {SESSIONS} sessions");
    open_sessions(&node);
    measure(&node);
}

fn measure(node: &Node) {
    let mut ready = Vec::new();
    let mut stopped = Vec::new();
    for last in (0..TIMES).rev() {
        let began = Instant::now();
        let gorgoned = Process::start("gorgoned", node);
        let mut crowd = Crowd::connect(&node.endpoint(), 1);
        crowd.greet();
        ready.push(began.elapsed());
        if last == 0 {
            // What was needed to start is given back, and the other services are there.
            std::thread::sleep(Duration::from_secs(1));
            memory(&gorgoned);
        }
        stopped.push(gorgoned.stop());
    }
    print_times("from exec to the first session", ready, READY);
    print_times("from SIGTERM to the end", stopped, STOPPED);
}

fn memory(gorgoned: &Process) {
    let mut all = Memory::default();
    for pid in gorgoned.family() {
        let memory = Memory::of(pid);
        all.resident += memory.resident;
        all.proportional += memory.proportional;
        print_memory(&name(pid), memory, "");
    }
    print_memory("together", all, verdict(all.resident < IDLE));
}

fn print_memory(name: &str, memory: Memory, verdict: &str) {
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!(
        "      {name:<16} VmRSS {:>6.1} MB  PSS {:>6.1} MB  {verdict}",
        mib(memory.resident),
        mib(memory.proportional),
    );
}

fn print_times(what: &str, mut times: Vec<Duration>, aim: Duration) {
    times.sort_unstable();
    let (half, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "      {what:<31} median {:>10}  longest {:>10}  aim {:>10} {}",
        millis(half),
        millis(most),
        millis(aim),
        verdict(half <= aim),
    );
}

/// Writes sessions as core would have, for a core that is not running.
fn open_sessions(node: &Node) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    runtime.block_on(async {
        let store = Store::open(Options::new(node.path("gorgone.sdb")))
            .await
            .unwrap();
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|number| {
                let session = StoredSession {
                    identity: Identity::new(format!("client-{number:08}").as_bytes()),
                    thumbprint: keys().client.public().thumbprint(),
                    dialect: Dialect::Seed,
                    key: SessionKey::generate(&mut rand::rng(), 32, *b"0123456789012345").unwrap(),
                    created: now,
                    last_seen: now,
                    parent_until: 0,
                };
                Change::Session(Record::Open(session))
            })
            .collect();
        for batch in sessions.chunks(1000) {
            store.write(batch.to_vec()).await.unwrap();
        }
        assert!(store.sessions().await.unwrap().len() >= SESSIONS);
        store.close().await.unwrap();
    });
}
