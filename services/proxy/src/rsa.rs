//! RSA beside the loop: when thousands of nodes come back at once, their handshakes wait for
//! each other, and nothing else waits for them.

use std::sync::mpsc;

use gorgone_protocol::NodeId;
use gorgone_session::Client;
use tokio::sync::mpsc::UnboundedSender;

use gorgone_carriage::{Product, Work};

/// Work of one node.
pub(crate) struct Job {
    pub(crate) node: NodeId,
    pub(crate) number: u64,
    pub(crate) session: Box<Client>,
    pub(crate) work: Work,
}

/// Work that is done.
pub(crate) struct Done {
    pub(crate) node: NodeId,
    pub(crate) number: u64,
    pub(crate) session: Box<Client>,
    pub(crate) product: Product,
}

/// One thread, which ends with this handle. Each node has one job at most.
pub(crate) struct Rsa {
    jobs: mpsc::Sender<Job>,
}

impl Rsa {
    pub(crate) fn start(done: UnboundedSender<Done>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("gorgone-rsa".to_owned())
            .spawn(move || run(&queue, &done))?;
        Ok(Self { jobs })
    }

    pub(crate) fn begin(&self, job: Job) {
        // An error is a thread that is gone, and with it the process is ending.
        let _ = self.jobs.send(job);
    }
}

fn run(queue: &mpsc::Receiver<Job>, done: &UnboundedSender<Done>) {
    let mut rng = rand::rng();
    while let Ok(job) = queue.recv() {
        let Job {
            node,
            number,
            mut session,
            work,
        } = job;
        let product = match work {
            Work::Hello => {
                let hello = session.hello(&mut rng);
                Product::Hello(hello.map_err(|error| error.to_string()))
            }
            Work::Open(frame) => Product::Opened(session.handle(&frame, &mut rng)),
        };
        let product = Done {
            node,
            number,
            session,
            product,
        };
        if done.send(product).is_err() {
            return;
        }
    }
}
