//! RSA beside the loop: a handshake costs a millisecond or ten, and nobody waits for it but
//! its own peer. How many may wait, and how many per second are begun, is `session`'s to say.

use std::sync::{Arc, Mutex, mpsc};

use gorgone_crypto::PrivateKey;
use gorgone_session::HelloJob;

use crate::beside::{Done, DoneSender};

/// Threads that do RSA. They end with the handle.
pub(crate) struct Handshakes {
    jobs: mpsc::Sender<HelloJob>,
}

impl Handshakes {
    /// Starts one thread for every second core of the machine: a storm of handshakes leaves
    /// the others to everybody else.
    pub(crate) fn start(key: PrivateKey, done: DoneSender) -> Self {
        let (jobs, queue) = mpsc::channel::<HelloJob>();
        let queue = Arc::new(Mutex::new(queue));
        let key = Arc::new(key);
        for _ in 0..threads() {
            let (queue, key, done) = (Arc::clone(&queue), Arc::clone(&key), done.clone());
            let spawned = std::thread::Builder::new()
                .name("gorgone-rsa".to_owned())
                .spawn(move || work(&queue, &key, &done));
            if let Err(error) = spawned {
                tracing::error!(%error, "cannot start a thread for handshakes");
            }
        }
        Self { jobs }
    }

    pub(crate) fn open(&self, job: HelloJob) {
        // An error is threads that are gone: the handshake is not answered, and tried again.
        let _ = self.jobs.send(job);
    }
}

/// How many handshakes run at a time.
pub(crate) fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    (cores / 2).max(1)
}

fn work(queue: &Mutex<mpsc::Receiver<HelloJob>>, key: &PrivateKey, done: &DoneSender) {
    let mut rng = rand::rng();
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else {
            return;
        };
        let id = job.id();
        let outcome = job.run(key, &mut rng);
        if done.send(Done::Hello(id, outcome)).is_err() {
            return;
        }
    }
}
