//! What the tests share: the backends under one face, and waits that end.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::{Endpoint, Identity};
use gorgone_transport::{
    Bound, Dealer, DealerEvent, DealerSender, Error, Frames, Router, RouterEvent, RouterSender,
    bus, edge, memory,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    Edge,
    Bus,
    Memory,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Tcp,
    Ipc,
}

/// A backend and a place to bind in.
pub struct Net {
    pub backend: Backend,
    pub kind: Kind,
    /// All queues as short as they can be.
    pub tight: bool,
    hub: memory::Hub,
    folder: PathBuf,
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Net {
    pub fn new(backend: Backend, kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("gorgone-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            backend,
            kind,
            tight: false,
            hub: memory::Hub::new(),
            folder,
        }
    }

    /// An endpoint that nothing is bound to. A port of 0 becomes a real one when bound.
    pub fn endpoint(&self) -> Endpoint {
        match self.kind {
            Kind::Tcp => Endpoint::parse("tcp://127.0.0.1:0").unwrap(),
            Kind::Ipc => Endpoint::Ipc {
                path: self.folder.join("socket"),
            },
        }
    }

    /// An endpoint that can be connected to before it is bound.
    pub fn known_endpoint(&self) -> Endpoint {
        if self.backend == Backend::Memory || self.kind == Kind::Ipc {
            return self.endpoint();
        }
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        Endpoint::parse(&format!("tcp://{address}")).unwrap()
    }

    fn short(&self) -> Bound {
        if self.tight {
            Bound {
                messages: 4,
                bytes: 1 << 20,
            }
        } else {
            Bound::DEFAULT
        }
    }

    pub fn edge_tuning(&self) -> edge::Tuning {
        let mut tuning = edge::Tuning::default();
        if self.tight {
            tuning.send_queue = 4;
            tuning.receive_queue = 4;
            tuning.inbox = self.short();
        }
        tuning
    }

    fn bus_tuning(&self) -> bus::Tuning {
        let mut tuning = bus::Tuning::default();
        if self.tight {
            tuning.inbox = self.short();
            tuning.in_flight = self.short();
        }
        tuning
    }

    pub fn try_bind(&self, endpoint: &Endpoint) -> Result<(Router, RouterSender), Error> {
        let endpoints = vec![endpoint.clone()];
        match self.backend {
            Backend::Edge => {
                let mut options = edge::BindOptions::new(endpoints);
                options.tuning = self.edge_tuning();
                options.tuning.inbox = Bound::DEFAULT;
                edge::bind(options)
            }
            Backend::Bus => {
                let mut options = bus::BindOptions::new(endpoints);
                options.tuning = self.bus_tuning();
                options.tuning.inbox = Bound::DEFAULT;
                bus::bind(options)
            }
            Backend::Memory => memory::bind(memory::BindOptions {
                hub: self.hub.clone(),
                endpoints,
                inbox: Bound::DEFAULT,
            }),
        }
    }

    pub fn bind(&self) -> (Router, RouterSender, Endpoint) {
        let (router, sender) = self.try_bind(&self.endpoint()).unwrap();
        let endpoint = router.local_endpoints()[0].clone();
        (router, sender, endpoint)
    }

    pub fn connect(&self, endpoint: &Endpoint, identity: &str) -> (Dealer, DealerSender) {
        let identity = id(identity);
        let endpoint = endpoint.clone();
        match self.backend {
            Backend::Edge => {
                let mut options = edge::ConnectOptions::new(endpoint, identity);
                options.tuning = self.edge_tuning();
                options.tuning.outbox = self.short();
                edge::connect(options)
            }
            Backend::Bus => {
                let mut options = bus::ConnectOptions::new(endpoint, identity);
                options.tuning = self.bus_tuning();
                options.tuning.outbox = self.short();
                bus::connect(options)
            }
            Backend::Memory => memory::connect(memory::ConnectOptions {
                hub: self.hub.clone(),
                endpoint,
                identity,
                inbox: self.short(),
            }),
        }
        .unwrap()
    }
}

pub fn id(text: &str) -> Identity {
    Identity::new(text.as_bytes())
}

pub fn frames(text: impl Into<String>) -> Frames {
    vec![Bytes::from(text.into())]
}

pub fn text(frames: &Frames) -> String {
    String::from_utf8(frames[0].to_vec()).unwrap()
}

/// An event that does not come is a failure, not a hang.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it should have happened by now")
}

/// The next message, whatever connects and disconnects before it.
pub async fn message(router: &mut Router) -> (Identity, Frames) {
    loop {
        match soon(router.recv()).await.expect("the router is open") {
            RouterEvent::Message { peer, frames, .. } => return (peer, frames),
            RouterEvent::Connected(_) | RouterEvent::Disconnected(_) => {}
            RouterEvent::Undelivered { peer, why, .. } => panic!("{why:?}: message for {peer}"),
        }
    }
}

/// Waits for an event that `wanted` picks, passing over the others.
pub async fn event<T>(router: &mut Router, wanted: impl Fn(RouterEvent) -> Option<T>) -> T {
    loop {
        let event = soon(router.recv()).await.expect("the router is open");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

pub async fn disconnected(router: &mut Router, peer: &Identity) {
    event(router, |event| {
        (event == RouterEvent::Disconnected(peer.clone())).then_some(())
    })
    .await;
}

pub async fn reply(dealer: &mut Dealer) -> Frames {
    loop {
        match soon(dealer.recv()).await.expect("the dealer is open") {
            DealerEvent::Message(frames) => return frames,
            DealerEvent::Connected | DealerEvent::Disconnected => {}
        }
    }
}

pub async fn state(dealer: &mut Dealer, wanted: DealerEvent) {
    while soon(dealer.recv()).await.expect("the dealer is open") != wanted {}
}

/// The client asks and is answered, so its connection stands and its name is known.
pub async fn round_trip(
    router: &mut Router,
    sender: &RouterSender,
    dealer: &mut Dealer,
    to_router: &DealerSender,
    identity: &str,
) {
    to_router.send(frames(format!("from {identity}"))).unwrap();
    let question = event(router, |event| match event {
        RouterEvent::Message { peer, frames, .. } if peer == id(identity) => Some(frames),
        _ => None,
    })
    .await;
    assert_eq!(text(&question), format!("from {identity}"));
    sender
        .send(&id(identity), frames(format!("to {identity}")))
        .unwrap();
    assert_eq!(text(&reply(dealer).await), format!("to {identity}"));
}
