//! A module that asks core, against a socket that plays core.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::time::Duration;

use bytes::Bytes;
use gorgone_client::module::{Module, ModuleOptions};
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::{
    Action, Answer, Data, Dialect, Endpoint, Headers, Identity, Message, Token, decode,
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

    fn endpoint(&self) -> Endpoint {
        self.router.local_endpoints()[0].clone()
    }

    /// The next request that is not READY, and its headers.
    async fn request(&mut self) -> (Identity, Message, Headers) {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.router.recv());
            if let Some(RouterEvent::Message { peer, frames, .. }) = event.await.unwrap() {
                let message = decode(&frames[0]).unwrap();
                let headers = frames.get(1).map(|frame| Headers::decode(frame));
                if !matches!(message.action, Action::Ready(_)) {
                    return (peer, message, headers.unwrap_or_default());
                }
            }
        }
    }

    fn answer(&self, peer: &Identity, token: &Token, words: &str) {
        let data = Data::from_value(&serde_json::json!({ "message": words }));
        let text = encode_answer(&Answer::ok(Some(token.clone()), data), Dialect::Seed);
        self.sender.send(peer, vec![Bytes::from(text)]).unwrap();
    }
}

fn anywhere() -> Endpoint {
    Endpoint::parse("tcp://127.0.0.1:0").unwrap()
}

fn module(core: &Core) -> Module {
    Module::connect(ModuleOptions {
        endpoint: core.endpoint(),
        identity: Identity::new(b"asker"),
        name: "TEST".to_owned(),
        actions: Vec::new(),
        slots: 1,
    })
    .unwrap()
}

fn question(token: &str) -> Message {
    let token = Token::parse(token).unwrap();
    Message::new(Action::ConStatus, Some(token), Data::empty())
}

fn said(answer: &Answer) -> &str {
    answer.data.as_str()
}

#[tokio::test]
async fn answers_find_their_questions_by_token() {
    let mut core = Core::start(anywhere());
    let module = module(&core);
    let asker = module.asker();
    let headers = Headers {
        user: Some("alice".to_owned()),
        ..Headers::default()
    };
    // A token may look like anything, also like our own.
    let first = asker.ask(question("x-ready-1"), headers.clone(), PATIENCE);
    let second = asker.ask(question("two"), Headers::default(), PATIENCE);
    let play = async {
        let (peer, one, with) = core.request().await;
        assert_eq!(with, headers);
        let (_, two, without) = core.request().await;
        assert_eq!(without, Headers::default());
        core.answer(&peer, &two.token.unwrap(), "second");
        core.answer(&peer, &one.token.unwrap(), "first");
    };
    let (first, second, ()) = tokio::join!(first, second, play);
    assert!(said(&first.unwrap()).contains("first"));
    assert!(said(&second.unwrap()).contains("second"));
}

#[tokio::test]
async fn question_is_said_again_after_a_restart_of_core() {
    let mut core = Core::start(anywhere());
    let module = module(&core);
    let asker = module.asker();
    let asked = asker.ask(question("again"), Headers::default(), PATIENCE);
    let play = async {
        core.request().await;
        let endpoint = core.endpoint();
        core.router.close(Duration::ZERO).await;
        let mut core = Core::start(endpoint);
        let (peer, message, _) = core.request().await;
        core.answer(&peer, &message.token.unwrap(), "heard twice");
        core
    };
    let (answer, _core) = tokio::join!(asked, play);
    assert!(said(&answer.unwrap()).contains("heard twice"));
}

#[tokio::test]
async fn caller_who_gives_up_ends_its_waiting_in_core() {
    let mut core = Core::start(anywhere());
    let module = module(&core);
    let asker = module.asker();
    let wait = Message::new(
        Action::GetLog,
        Some(Token::parse("waits").unwrap()),
        Data::parse(r#"{"token":"t","wait":60}"#).unwrap(),
    );
    tokio::select! {
        _ = asker.ask(wait, Headers::default(), PATIENCE) => panic!("nobody answers"),
        (_, message, _) = core.request() => assert_eq!(message.action, Action::GetLog),
    }
    let (_, message, _) = core.request().await;
    assert_eq!(message.action, Action::Cancel);
    let cancel: Cancel = message.data.decode().unwrap();
    assert_eq!(cancel.token.as_str(), "waits");
}
