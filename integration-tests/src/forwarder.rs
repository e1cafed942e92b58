//! A TCP forwarder between two nodes that can be made to stall: both connections stay open, and
//! nothing passes, as behind a NAT table that has forgotten them.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards while it lives.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    stalled: watch::Sender<bool>,
    accepted: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Listens on a port of its own and passes on what comes to `to`.
    ///
    /// # Panics
    /// When there is no port.
    #[expect(
        clippy::expect_used,
        reason = "a machine without a free port cannot test"
    )]
    pub async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (stalled, stall) = watch::channel(false);
        let (count, accepted) = watch::channel(0);
        let to: Arc<str> = to.into();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                tokio::spawn(connection(near, Arc::clone(&to), stall.clone()));
            }
        });
        Self {
            address,
            stalled,
            accepted,
            task,
        }
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on nothing passes over the connections that there are. New ones are served.
    pub fn stall(&self) {
        self.stalled.send_replace(true);
        self.stalled.send_replace(false);
    }

    /// How many connections it has had.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.accepted.borrow()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(near: TcpStream, to: Arc<str>, mut stall: watch::Receiver<bool>) {
    stall.mark_unchanged();
    let Ok(far) = TcpStream::connect(&*to).await else {
        return;
    };
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    let mut here = vec![0; 16 * 1024];
    let mut there = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            // Both stay open, until the forwarder ends.
            _ = stall.changed() => std::future::pending().await,
            read = near_in.read(&mut here) => match read {
                Ok(count) if count > 0 => {
                    if far_out.write_all(&here[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            read = far_in.read(&mut there) => match read {
                Ok(count) if count > 0 => {
                    if near_out.write_all(&there[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
