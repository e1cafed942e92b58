//! What a module speaks over: the bus, or a session with a core on another machine.

use std::time::Duration;

use gorgone_protocol::{Endpoint, Identity};
use gorgone_transport::{Dealer, DealerEvent, DealerSender, Error, Frames, SendError, bus};
use tokio::sync::mpsc;

use crate::uplink::Letters;

/// The receiving half.
pub(crate) enum Receiver {
    Bus(Dealer),
    Uplink(mpsc::Receiver<DealerEvent>),
}

/// The sending half.
#[derive(Clone)]
pub(crate) enum Sender {
    Bus(DealerSender),
    Uplink(Letters),
}

/// Connects to core's internal endpoint.
pub(crate) fn bus(endpoint: &Endpoint, identity: &Identity) -> Result<(Receiver, Sender), Error> {
    let options = bus::ConnectOptions::new(endpoint.clone(), identity.clone());
    let (dealer, sender) = bus::connect(options)?;
    Ok((Receiver::Bus(dealer), Sender::Bus(sender)))
}

impl Receiver {
    /// The next event. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<DealerEvent> {
        match self {
            Self::Bus(dealer) => dealer.recv().await,
            Self::Uplink(events) => events.recv().await,
        }
    }

    /// Ends it; what was sent may take that long to leave.
    pub(crate) async fn close(self, linger: Duration) {
        match self {
            Self::Bus(dealer) => dealer.close(linger).await,
            Self::Uplink(mut events) => {
                events.close();
                // It ends when everything was given to the connection.
                let ended = async { while events.recv().await.is_some() {} };
                let _ = tokio::time::timeout(linger, ended).await;
            }
        }
    }
}

impl Sender {
    /// Queues a message. Never waits.
    pub(crate) fn send(&self, frames: Frames) -> Result<(), SendError> {
        match self {
            Self::Bus(sender) => sender.send(frames),
            Self::Uplink(letters) => letters.send(frames),
        }
    }
}
