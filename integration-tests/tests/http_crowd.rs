//! The HTTP door in a crowd: ten thousand idle connections, a thousand waiters, requests that never
//! end, resets, a gigabyte, every kind of text. Who asks in the midst of it notices nothing.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the counts are for whoever reads them"
)]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gorgone_integration_tests::http::{Answered, Http, request};
use gorgone_integration_tests::{HTTP_CREDENTIALS, Node, NodeOptions, eventually};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

const IDLE: usize = 10_000;
const WAITERS: usize = 1_000;
const HALF_SENT: usize = 300;
const RESETS: usize = 500;
const GIGABYTE: usize = 1 << 30;
/// What the server's memory may grow by: 10,000 idle connections, and a thousand waiters.
const GROWTH: u64 = 400 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_of_every_kind_disturbs_nobody() {
    let idle = IDLE.min(descriptors().saturating_sub(4_000));
    if idle < IDLE {
        println!("ONLY {idle} idle connections: this machine allows no more open files");
    }
    let node = Node::start_with(NodeOptions {
        http: Some(
            "    requests_per_second: 0\n    max_connections: 20000\n    \
             max_connections_per_peer: 20000\n    header_timeout: 5\n    body_timeout: 5\n    \
             keep_alive_timeout: 600"
                .to_owned(),
        ),
        ..NodeOptions::default()
    })
    .await;
    let address: SocketAddr = node.http().parse().unwrap();
    let before = Server::of(&node);

    let reader = Reader::start(address);
    let crowd = idle_connections(address, idle).await;
    let with_crowd = Server::of(&node);
    println!(
        "{idle} idle connections: {} -> {} kB, {} threads",
        before.memory, with_crowd.memory, with_crowd.threads
    );

    let waiting = Instant::now();
    let gate = node.path("gate");
    let waiters = waiters(address, &gate.display().to_string()).await;
    let with_waiters = Server::of(&node);
    println!(
        "{WAITERS} waiters more: {} kB, {} threads",
        with_waiters.memory, with_waiters.threads
    );
    assert!(
        with_waiters.threads <= before.threads + 8,
        "a waiter has no thread"
    );

    let refused = half_sent(address).await;
    println!("{HALF_SENT} requests that never end: {refused} refused or cut off");
    assert_eq!(refused, HALF_SENT);
    resets(address).await;
    println!("{RESETS} resets in the middle of a request");
    let sent = gigabyte(address).await;
    println!("1 GiB announced: refused after {} kB", sent / 1024);
    let sent = endless(address).await;
    println!("1 GiB in chunks: refused after {} kB", sent / 1024);
    texts(address).await;

    fs::write(&gate, "").unwrap();
    let told = told(waiters).await;
    println!(
        "{told} of {WAITERS} waiters told, after {:.1} s",
        waiting.elapsed().as_secs_f64()
    );
    assert_eq!(told, WAITERS);
    let alive = alive(crowd).await;
    println!("{alive} of {idle} idle connections still serve");
    assert_eq!(alive, idle);

    let times = reader.stop().await;
    println!(
        "meanwhile one reader asked {} times: p50 {:.1} ms, p99 {:.1} ms, none failed",
        times.len(),
        millis(&times, 50),
        millis(&times, 99)
    );
    eventually("the server has let go of everybody", async || {
        Server::of(&node).descriptors < before.descriptors + 50
    })
    .await;
    let after = Server::of(&node);
    println!("afterwards: {} kB", after.memory);
    assert!(
        after.memory < before.memory + GROWTH,
        "{} kB -> {} kB",
        before.memory,
        after.memory
    );
}

/// Raises the limit of open files as far as it goes; both ends of a connection are on this
/// machine, but not in this process.
fn descriptors() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = hard.max(32_768);
    let raised = setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted)
        .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    raised.unwrap();
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    usize::try_from(soft).unwrap()
}

/// The server's process as the system sees it.
struct Server {
    /// Resident, kB.
    memory: u64,
    threads: u64,
    descriptors: usize,
}

impl Server {
    fn of(node: &Node) -> Self {
        let pids = node.pids("gorgone-httpserver");
        let pid = pids.first().unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.unwrap().parse().unwrap()
        };
        Self {
            memory: field("VmRSS:"),
            threads: field("Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        }
    }
}

fn get(path: &str) -> String {
    request("GET", path, HTTP_CREDENTIALS, "")
}

async fn get_on(http: &mut Http, path: &str) -> Answered {
    http.ask(&get(path)).await.unwrap()
}

/// Somebody who asks all the time, a read and a command in turn.
struct Reader {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Reader {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut http = Http::open(address).await;
            let mut times = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answered = get_on(&mut http, "/api/internal/constatus").await;
                assert_eq!(answered.status, 200, "{answered:?}");
                times.push(began.elapsed());
                let path = "/api/core/action/command?wait=30s";
                let post = request("POST", path, HTTP_CREDENTIALS, r#"{"command":"true"}"#);
                let answered = http.ask(&post).await.unwrap();
                assert_eq!(answered.json()["message"], "Logs found", "{answered:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            times.sort_unstable();
            times
        });
        Self { stop, task }
    }

    async fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

fn millis(times: &[Duration], percent: usize) -> f64 {
    let at = times.len() * percent / 100;
    times[at.min(times.len() - 1)].as_secs_f64() * 1000.0
}

/// Connections that have asked once, and then stay.
async fn idle_connections(address: SocketAddr, count: usize) -> Vec<Http> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..500.min(count - all.len()) {
            opening.spawn(async move {
                let mut http = Http::open(address).await;
                let answered = get_on(&mut http, "/api/internal/thumbprint").await;
                assert_eq!(answered.status, 200, "{answered:?}");
                http
            });
        }
        all.extend(opening.join_all().await);
    }
    all
}

async fn alive(crowd: Vec<Http>) -> usize {
    let mut alive = 0;
    for mut http in crowd {
        let answered = http.ask(&get("/api/internal/thumbprint")).await;
        alive += usize::from(answered.is_ok_and(|answered| answered.status == 200));
    }
    alive
}

/// A command that ends when a file is there, and many who wait for its end.
async fn waiters(address: SocketAddr, gate: &str) -> JoinSet<Answered> {
    let mut http = Http::open(address).await;
    let command = format!("until [ -e '{gate}' ]; do sleep 0.05; done; echo open");
    let body = json!({ "command": command, "timeout": 300 }).to_string();
    let path = "/api/core/action/command";
    let post = request("POST", path, HTTP_CREDENTIALS, &body);
    let answered = http.ask(&post).await.unwrap();
    let token = answered.json()["token"].as_str().unwrap().to_owned();
    let mut waiting = JoinSet::new();
    let mut asked = JoinSet::new();
    for _ in 0..WAITERS {
        let path = format!("/api/log/{token}?wait=300s");
        asked.spawn(async move {
            let mut http = Http::open(address).await;
            http.send(get(&path).as_bytes()).await.unwrap();
            http
        });
    }
    for mut http in asked.join_all().await {
        waiting.spawn(async move { http.answer().await.unwrap() });
    }
    // All of them are known to core before somebody looks at threads and memory.
    eventually("everybody waits", async || {
        let answered = get_on(&mut http, "/api/internal/information").await;
        answered.json()["data"]["waiters"].as_u64() >= Some(WAITERS as u64)
    })
    .await;
    waiting
}

/// How many were told the end of what they waited for.
async fn told(waiting: JoinSet<Answered>) -> usize {
    let ended = |answered: &Answered| {
        let rows = answered.json()["data"].clone();
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter().any(|row| row["code"] == 1)
    };
    let all = waiting.join_all().await;
    all.iter().filter(|answered| ended(answered)).count()
}

/// Heads and bodies that stop in the middle: how many were answered with an error or cut off.
async fn half_sent(address: SocketAddr) -> usize {
    let mut all = JoinSet::new();
    for number in 0..HALF_SENT {
        all.spawn(async move {
            let mut http = Http::open(address).await;
            let path = "/api/core/action/command";
            let whole = request("POST", path, HTTP_CREDENTIALS, r#"{"command":"true"}"#);
            let part = if number % 2 == 0 { 40 } else { whole.len() - 5 };
            http.send(&whole.as_bytes()[..part]).await.unwrap();
            match http.answer().await {
                Ok(answered) => answered.status == 408,
                Err(_) => true,
            }
        });
    }
    let all = all.join_all().await;
    all.into_iter().filter(|refused| *refused).count()
}

async fn resets(address: SocketAddr) {
    for number in 0..RESETS {
        let mut http = Http::open(address).await;
        let text = get("/api/internal/information");
        let part = 1 + number % text.len();
        // Half of them have asked for something that is then on its way.
        http.send(&text.as_bytes()[..part]).await.unwrap();
        http.stream.set_zero_linger().unwrap();
    }
}

/// A body that says how large it is: how much of it was taken.
async fn gigabyte(address: SocketAddr) -> usize {
    let mut http = Http::open(address).await;
    let head = format!(
        "POST /api/core/action/command HTTP/1.1\r\nHost: test\r\nAuthorization: {HTTP_CREDENTIALS}\r\n\
         Content-Type: application/json\r\nContent-Length: {GIGABYTE}\r\n\r\n"
    );
    http.send(head.as_bytes()).await.unwrap();
    let sent = push(&mut http, None).await;
    assert!(sent < 64 << 20, "took {sent} bytes");
    sent
}

/// A body that does not.
async fn endless(address: SocketAddr) -> usize {
    let mut http = Http::open(address).await;
    let head = format!(
        "POST /api/core/action/command HTTP/1.1\r\nHost: test\r\nAuthorization: {HTTP_CREDENTIALS}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    http.send(head.as_bytes()).await.unwrap();
    let sent = push(&mut http, Some(b"10000\r\n")).await;
    assert!(sent < 64 << 20, "took {sent} bytes");
    sent
}

/// Sends until the server says no or hangs up.
async fn push(http: &mut Http, chunk: Option<&[u8]>) -> usize {
    let block = vec![b'x'; 1 << 16];
    let mut sent = 0;
    while sent < GIGABYTE {
        let mut piece = chunk.map(<[u8]>::to_vec).unwrap_or_default();
        piece.extend_from_slice(&block);
        if chunk.is_some() {
            piece.extend_from_slice(b"\r\n");
        }
        if http.stream.write_all(&piece).await.is_err() {
            return sent;
        }
        sent += block.len();
    }
    sent
}

/// Text of every kind comes back as it was, in output and in paths.
async fn texts(address: SocketAddr) {
    let texts = [
        "grüße, 日本語, العربية, עברית, हिन्दी, ไทย",
        "👩\u{200d}👩\u{200d}👧 e\u{301} \u{202e}abc\u{202c} \u{feff}",
        "\u{10ffff}\u{fffd}\u{ffff}\u{80}\u{2028}\u{2029}",
        "tab\t quote \" backslash \\ percent % plus +",
    ];
    let mut http = Http::open(address).await;
    for text in texts {
        let body = json!({ "argv": ["printf", "%s", text] }).to_string();
        let path = "/api/core/action/command?wait=30s";
        let post = request("POST", path, HTTP_CREDENTIALS, &body);
        let answered = http.ask(&post).await.unwrap();
        let rows = answered.json()["data"].clone();
        let last = rows.as_array().unwrap().last().unwrap()["data"].clone();
        let data: Value = serde_json::from_str(last.as_str().unwrap()).unwrap();
        assert_eq!(data["stdout"], text);
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answered = get_on(&mut http, &format!("/api/log/{escaped}")).await;
        assert!(
            answered.status < 500,
            "a token of any kind is looked for or refused: {answered:?}"
        );
    }
    println!("{} kinds of text came back as they were", texts.len());
}
