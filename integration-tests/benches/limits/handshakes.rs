//! Handshakes per second. Their limit is the server's one RSA decryption in each; what a client
//! has to do for it is told apart: its greetings are made before, and its KEYs are left closed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use gorgone_integration_tests::keys;
use gorgone_session::{Client, ClientConfig};

use crate::crowd::Crowd;
use crate::process::{self, Process};
use crate::sample::{Sample, millis, part};

const CLIENTS: usize = 64;
pub(crate) fn run() {
    println!("\nhandshakes (RSA-2048), {CLIENTS} clients");
    let sealed = keys()
        .server
        .public()
        .encrypt(&mut rand::rng(), b"HELO")
        .unwrap();
    let node = process::node();
    let core = Process::start("gorgone-core", &node);
    let crowd = Crowd::connect(&node.endpoint(), CLIENTS);
    let mut client = Client::new(ClientConfig {
        hostname: "bench".to_owned(),
        server_key: keys().server.public().clone(),
        key: keys().client.clone(),
        vector: *b"0123456789012345",
        keysize: 32,
    });
    let greetings: Vec<Vec<u8>> = (0..CLIENTS)
        .map(|_| client.hello(&mut rand::rng()).unwrap())
        .collect();
    let mut key = Vec::new();
    let mut measure = |span: Duration| {
        let began = Instant::now();
        let mut times = Vec::new();
        let mut since = vec![began; CLIENTS];
        crowd.frames(|client, answered| {
            let now = Instant::now();
            if let Some(frame) = answered {
                assert!(!frame.starts_with(b"[ACK]"), "refused");
                key = frame.to_vec();
                times.push(now - since[client]);
            }
            since[client] = now;
            (now - began < span).then(|| greetings[client].clone())
        });
        Sample::new(times, began)
    };
    let [rsa, ours] = Sample::best([
        &mut |span| {
            Sample::repeat(span, || {
                let opened = keys().server.decrypt(&mut rand::rng(), &sealed);
                black_box(opened.unwrap());
            })
        },
        &mut measure,
    ]);
    core.stop();
    let greet = Sample::repeat(Duration::from_millis(200), || {
        black_box(client.hello(&mut rand::rng()).unwrap());
    });
    let open = Sample::repeat(Duration::from_millis(500), || {
        let opened = keys().client.decrypt(&mut rand::rng(), &key);
        black_box(opened.unwrap());
    });
    println!("      {:>12.0}/s  {}", ours.rate(), ours.spread());
    println!(
        "      of decryptions, 1 thread {}",
        part(ours.rate(), rsa.rate())
    );
    println!(
        "      a client's own cost: greeting {}, opening the KEY {}",
        millis(greet.percentile(50)),
        millis(open.percentile(50)),
    );
}
