//! A module that carries, against a socket that plays core.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::time::Duration;

use bytes::Bytes;
use gorgone_client::carrier::{Carrier, CarrierEvent};
use gorgone_client::module::{Module, ModuleOptions};
use gorgone_protocol::Errand;
use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::nodes::NodeKind;
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{
    Action, Answer, Data, Dialect, Endpoint, Headers, Identity, Message, NodeId, Token, decode,
    encode_answer,
};
use gorgone_transport::{Router, RouterEvent, RouterSender, bus};

const PATIENCE: Duration = Duration::from_secs(30);

struct Core {
    router: Router,
    sender: RouterSender,
}

impl Core {
    fn start(endpoint: Endpoint) -> Self {
        let (router, sender) = bus::bind(bus::BindOptions::new(vec![endpoint])).unwrap();
        Self { router, sender }
    }

    async fn hears(&mut self) -> Message {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.router.recv());
            if let Some(RouterEvent::Message { frames, .. }) = event.await.unwrap() {
                return decode(&frames[0]).unwrap();
            }
        }
    }

    async fn ready(&mut self) -> Ready {
        loop {
            let message = self.hears().await;
            if matches!(message.action, Action::Ready(_)) {
                return message.data.decode().unwrap();
            }
        }
    }

    async fn carried(&mut self) -> (Token, Carried) {
        loop {
            let message = self.hears().await;
            if message.action == Action::Carried {
                return (message.token.unwrap(), message.data.decode().unwrap());
            }
        }
    }

    fn says(&self, text: &str, headers: &Headers) {
        let mut frames = vec![Bytes::from(text.to_owned())];
        frames.extend(headers.encode().map(Bytes::from));
        let peer = Identity::new(b"carrier");
        self.sender.send(&peer, frames).unwrap();
    }

    fn acknowledges(&self, token: Token) {
        let answer = Answer::ok(Some(token), Data::empty());
        self.says(&encode_answer(&answer, Dialect::Seed), &Headers::default());
    }
}

fn carrier(core: &Core) -> (Module, Carrier) {
    let options = ModuleOptions {
        endpoint: core.router.local_endpoints()[0].clone(),
        identity: Identity::new(b"carrier"),
        name: "PROXY".to_owned(),
        actions: Vec::new(),
        slots: 1,
    };
    Module::carrying(options, vec![NodeKind::PushZmq]).unwrap()
}

fn hand_over(attempt: u32) -> Headers {
    Headers {
        attempt: Some(attempt),
        via: Some(NodeId::new(4)),
        ..Headers::default()
    }
}

async fn errand(carrier: &mut Carrier) -> Errand {
    let event = tokio::time::timeout(PATIENCE, carrier.next());
    match event.await.unwrap().unwrap() {
        CarrierEvent::Errand(errand) => errand,
        other @ CarrierEvent::Nodes(_) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn task_is_given_out_once_and_its_outcome_is_said_until_core_has_it() {
    let mut core = Core::start(Endpoint::parse("tcp://127.0.0.1:0").unwrap());
    let endpoint = core.router.local_endpoints()[0].clone();
    let (module, mut carrier) = carrier(&core);
    let ready = core.ready().await;
    assert_eq!(ready.carries, [NodeKind::PushZmq]);
    core.says("[COMMAND] [t] [400] {}", &hand_over(1));
    core.says("[COMMAND] [t] [400] {}", &hand_over(1));
    let task = errand(&mut carrier).await;
    assert_eq!((task.via, task.attempt), (NodeId::new(4), Some(1)));
    let carried = Carried {
        token: task.token,
        node: task.via,
        attempt: 1,
        outcome: Outcome::Accepted,
        message: String::new(),
    };
    module.teller().carried(carried.clone());
    assert_eq!(core.carried().await.1, carried);
    // Core dies before it has written that down: the next one hears it, too.
    core.router.close(Duration::from_millis(100)).await;
    let mut core = Core::start(endpoint);
    assert_eq!(core.ready().await.running.unwrap().len(), 1);
    let (message, again) = core.carried().await;
    assert_eq!(again, carried);
    core.acknowledges(message);
    // A later hand-over of the same token is another one. The first one's copy never came out.
    core.says("[COMMAND] [t] [400] {}", &hand_over(2));
    assert_eq!(errand(&mut carrier).await.attempt, Some(2));
    module.teller().carried(Carried {
        attempt: 2,
        ..carried
    });
    let (message, _) = core.carried().await;
    core.acknowledges(message);
    assert!(module.close(PATIENCE).await);
}

#[tokio::test]
async fn nodes_and_questions_reach_the_carrier_and_nothing_else_does() {
    let mut core = Core::start(Endpoint::parse("tcp://127.0.0.1:0").unwrap());
    let (module, mut carrier) = carrier(&core);
    core.ready().await;
    let nodes = r#"[NODES] [] [] {"all":true,"nodes":[{"definition":{"id":4,"type":"push_zmq"},"mark":17}]}"#;
    core.says(nodes, &Headers::default());
    let event = tokio::time::timeout(PATIENCE, carrier.next()).await;
    let Some(CarrierEvent::Nodes(nodes)) = event.unwrap() else {
        panic!("not the nodes");
    };
    assert!(nodes.all);
    assert_eq!(nodes.nodes[0].mark.id, 17);
    let headers = Headers {
        via: Some(NodeId::new(4)),
        ..Headers::default()
    };
    core.says(r#"[CANCEL] [c] [4] {"token":"t"}"#, &headers);
    let question = errand(&mut carrier).await;
    assert_eq!(question.attempt, None);
    assert_eq!(question.message.action, Action::Cancel);
    assert!(carrier.try_next().is_none());
    drop(module);
}
