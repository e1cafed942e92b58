//! The backend in memory: routers and dealers of one process, for tests.
//!
//! No threads and no sockets: a message is in its receiver's inbox when `send` returns. Like on
//! the bus, a second dealer with an identity in use takes the first one's place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gorgone_protocol::{Endpoint, Identity};

use crate::handle::{DealerOut, Life, RouterOut, check_identity};
use crate::queue::{self, Producer};
use crate::signal::Signal;
use crate::{
    Bound, Dealer, DealerEvent, DealerSender, Error, Frames, Router, RouterEvent, RouterSender,
    SendError, Why,
};

/// The network: what is bound in it can be reached by what connects in it. Clones are the same
/// network.
#[derive(Clone, Default)]
pub struct Hub {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next_serial: u64,
    routers: HashMap<String, BoundRouter>,
    dealers: HashMap<u64, Connection>,
}

struct BoundRouter {
    serial: u64,
    inbox: Producer<RouterEvent>,
    peers: HashMap<Identity, u64>,
}

struct Connection {
    endpoint: String,
    identity: Identity,
    inbox: Producer<DealerEvent>,
    waiting: Vec<Frames>,
    bound: Bound,
}

/// How a router is bound in memory.
#[derive(Clone)]
pub struct BindOptions {
    /// The network.
    pub hub: Hub,
    /// Where; any endpoint serves as a name.
    pub endpoints: Vec<Endpoint>,
    /// Bound of the inbox, which holds messages until they are received.
    pub inbox: Bound,
}

/// How a dealer connects in memory.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The network.
    pub hub: Hub,
    /// Where to.
    pub endpoint: Endpoint,
    /// The identity to connect with.
    pub identity: Identity,
    /// Bound of the inbox, and of the messages that wait for a router to be bound.
    pub inbox: Bound,
}

/// Binds a router.
///
/// # Errors
/// When an endpoint is in use, or there is none.
pub fn bind(options: BindOptions) -> Result<(Router, RouterSender), Error> {
    let BindOptions {
        hub,
        endpoints,
        inbox,
    } = options;
    let mut state = hub.lock();
    if endpoints.is_empty() {
        return Err(Error::NoEndpoint);
    }
    for endpoint in &endpoints {
        if state.routers.contains_key(&endpoint.to_string()) {
            return Err(Error::InUse(endpoint.clone()));
        }
    }
    let serial = state.serial();
    let (producer, consumer) = queue::bounded(inbox, None);
    for endpoint in &endpoints {
        let name = endpoint.to_string();
        let bound = BoundRouter {
            serial,
            inbox: producer.clone(),
            peers: HashMap::new(),
        };
        state.routers.insert(name.clone(), bound);
        let mut here: Vec<u64> = state
            .dealers
            .iter()
            .filter(|(_, dealer)| dealer.endpoint == name)
            .map(|(id, _)| *id)
            .collect();
        here.sort_unstable();
        for dealer in here {
            state.join(dealer);
        }
    }
    drop(state);
    let router = Router {
        inbox: consumer,
        endpoints,
        life: Life::new(Arc::new(Signal::none()), Duration::ZERO, None),
        _place: Some(Place {
            hub: hub.clone(),
            serial,
        }),
    };
    let out = RouterOut::Memory(RouterPort {
        hub,
        serial,
        inbox: producer,
    });
    Ok((router, RouterSender { out }))
}

/// Connects a dealer. The router may be bound later.
///
/// # Errors
/// When the identity is not one.
pub fn connect(options: ConnectOptions) -> Result<(Dealer, DealerSender), Error> {
    check_identity(&options.identity)?;
    let hub = options.hub;
    let (producer, consumer) = queue::bounded(options.inbox, None);
    let mut state = hub.lock();
    let serial = state.serial();
    let connection = Connection {
        endpoint: options.endpoint.to_string(),
        identity: options.identity,
        inbox: producer,
        waiting: Vec::new(),
        bound: options.inbox,
    };
    state.dealers.insert(serial, connection);
    state.join(serial);
    drop(state);
    let dealer = Dealer {
        inbox: consumer,
        life: Life::new(Arc::new(Signal::none()), Duration::ZERO, None),
        _place: Some(Place {
            hub: hub.clone(),
            serial,
        }),
    };
    let out = DealerOut::Memory(DealerPort { hub, serial });
    Ok((dealer, DealerSender { out }))
}

impl Hub {
    /// A network with nobody in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// Connects a dealer to its router, if that is bound, and hands over what waited.
    fn join(&mut self, serial: u64) {
        let Some(dealer) = self.dealers.get_mut(&serial) else {
            return;
        };
        let Some(router) = self.routers.get_mut(&dealer.endpoint) else {
            return;
        };
        router.peers.insert(dealer.identity.clone(), serial);
        let _ = dealer.inbox.push(DealerEvent::Connected);
        let _ = router
            .inbox
            .push(RouterEvent::Connected(dealer.identity.clone()));
        for frames in dealer.waiting.drain(..) {
            let _ = router.inbox.push(RouterEvent::Message {
                peer: dealer.identity.clone(),
                frames,
                from: None,
            });
        }
    }

    /// Takes a router or a dealer out, and tells the others.
    fn leave(&mut self, serial: u64) {
        if let Some(dealer) = self.dealers.remove(&serial) {
            if let Some(router) = self.routers.get_mut(&dealer.endpoint)
                && router.peers.get(&dealer.identity) == Some(&serial)
            {
                router.peers.remove(&dealer.identity);
                let _ = router
                    .inbox
                    .push(RouterEvent::Disconnected(dealer.identity));
            }
            return;
        }
        let dealers = &self.dealers;
        self.routers.retain(|_, router| {
            if router.serial != serial {
                return true;
            }
            for dealer in router.peers.values().filter_map(|id| dealers.get(id)) {
                let _ = dealer.inbox.push(DealerEvent::Disconnected);
            }
            false
        });
    }
}

/// A router's or dealer's place in the hub, given up when dropped.
pub(crate) struct Place {
    hub: Hub,
    serial: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.lock().leave(self.serial);
    }
}

#[derive(Clone)]
pub(crate) struct RouterPort {
    hub: Hub,
    serial: u64,
    inbox: Producer<RouterEvent>,
}

impl RouterPort {
    pub(crate) fn send(&self, peer: &Identity, frames: Frames) -> Result<(), SendError> {
        let state = self.hub.lock();
        let mut open = false;
        let mut dealer = None;
        for router in state.routers.values().filter(|r| r.serial == self.serial) {
            open = true;
            dealer = dealer.or_else(|| state.dealers.get(router.peers.get(peer)?));
        }
        if !open || self.inbox.is_closed() {
            return Err(SendError::Closed);
        }
        let (frames, why) = match dealer {
            None => (frames, Why::Gone),
            Some(dealer) => match dealer.inbox.push(DealerEvent::Message(frames)) {
                Ok(()) => return Ok(()),
                Err((DealerEvent::Message(frames), SendError::Full)) => (frames, Why::Full),
                Err((DealerEvent::Message(frames), SendError::Closed)) => (frames, Why::Gone),
                Err((DealerEvent::Connected | DealerEvent::Disconnected, why)) => return Err(why),
            },
        };
        let event = RouterEvent::Undelivered {
            peer: peer.clone(),
            frames,
            why,
        };
        self.inbox.push(event).map_err(|(_, why)| why)
    }
}

#[derive(Clone)]
pub(crate) struct DealerPort {
    hub: Hub,
    serial: u64,
}

impl DealerPort {
    pub(crate) fn send(&self, frames: Frames) -> Result<(), SendError> {
        let mut state = self.hub.lock();
        let State {
            routers, dealers, ..
        } = &mut *state;
        let Some(dealer) = dealers.get_mut(&self.serial) else {
            return Err(SendError::Closed);
        };
        if dealer.inbox.is_closed() {
            return Err(SendError::Closed);
        }
        match routers.get(&dealer.endpoint) {
            // A dealer whose identity was taken over has nobody to talk to.
            Some(router) if router.peers.get(&dealer.identity) == Some(&self.serial) => {
                let event = RouterEvent::Message {
                    peer: dealer.identity.clone(),
                    frames,
                    from: None,
                };
                router.inbox.push(event).map_err(|(_, why)| match why {
                    // The router is closing; it may be bound again.
                    SendError::Closed | SendError::Full => SendError::Full,
                })
            }
            _ => {
                let bytes: usize = dealer.waiting.iter().map(queue::weight).sum();
                if dealer.waiting.len() >= dealer.bound.messages
                    || (bytes > 0 && bytes + queue::weight(&frames) > dealer.bound.bytes)
                {
                    return Err(SendError::Full);
                }
                dealer.waiting.push(frames);
                Ok(())
            }
        }
    }
}
