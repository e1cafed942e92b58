//! The client's side of the edge: one session with a core, and requests over it.
//!
//! ```text
//! connecting ──HELO──▶ greeting ──KEY──▶ talking ──session forgotten──▶ greeting
//!                         └──refused three times──▶ refused
//! ```
//! Requests that were not answered are sent again after a lost connection or session: each
//! carries a token, by which core recognises one that it has accepted already.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use gorgone_protocol::request::log::{self, GetLog, Row};
use gorgone_protocol::{
    Action, Answer, AnswerName, Data, Dialect, Endpoint, Identity, Message, Status, Target, Token,
    decode_answer, encode,
};
use gorgone_session::{ClientConfig, ClientEvent};
use gorgone_transport::{Dealer, DealerEvent, DealerSender, edge};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// How long the server may take to answer HELO before it is said again. A first message may
/// get lost where an old connection of the same name is still believed alive.
const GREETING: Duration = Duration::from_secs(5);
/// How often a refused handshake is tried again: the server also refuses when it has too many.
const REFUSALS: u32 = 3;

/// Whom to talk to, and as whom.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The server's external endpoint.
    pub endpoint: Endpoint,
    /// The ZeroMQ identity to connect with: unique among the server's peers.
    pub identity: Identity,
    /// The two keys and what the session cipher must agree on.
    pub session: ClientConfig,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket could not be opened.
    #[error("cannot connect: {0}")]
    Socket(String),
    /// Nobody answered in time.
    #[error(
        "no answer from {endpoint} within {seconds} s; is gorgoned running there, and the port open?"
    )]
    Silent {
        /// Who was asked.
        endpoint: Endpoint,
        /// How long.
        seconds: u64,
    },
    /// The server refused the handshake.
    #[error(
        "{endpoint} refused the handshake; check that the server's public key is the right one \
         and that authorized_clients has this client's thumbprint {thumbprint}"
    )]
    Refused {
        /// Who refused.
        endpoint: Endpoint,
        /// Whom.
        thumbprint: String,
    },
    /// The server answered code 1.
    #[error("{0}")]
    Nok(String),
    /// The answer makes no sense.
    #[error("the answer makes no sense: {0}")]
    Unreadable(String),
    /// The client was closed.
    #[error("the connection is closed")]
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Greeting,
    Talking,
    Refused,
}

struct Order {
    message: Message,
    reply: oneshot::Sender<Answer>,
}

/// A session with a core. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Receiver<State>,
    endpoint: Endpoint,
    thumbprint: String,
}

impl Client {
    /// Connects and opens a session.
    ///
    /// # Errors
    /// When nobody answers within `patience`, or the server refuses.
    pub async fn connect(options: ClientOptions, patience: Duration) -> Result<Self, ClientError> {
        let connect = edge::ConnectOptions::new(options.endpoint.clone(), options.identity.clone());
        let (dealer, sender) =
            edge::connect(connect).map_err(|error| ClientError::Socket(error.to_string()))?;
        let (orders, receiver) = mpsc::unbounded_channel();
        let (state_sender, state) = watch::channel(State::Greeting);
        let thumbprint = options
            .session
            .key
            .public()
            .thumbprint()
            .as_str()
            .to_owned();
        let pump = Pump {
            session: gorgone_session::Client::new(options.session),
            sender,
            state: state_sender,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            refusals: 0,
            greeted: None,
        };
        tokio::spawn(pump.run(dealer, receiver));
        let client = Self {
            orders,
            state,
            endpoint: options.endpoint,
            thumbprint,
        };
        client.established(patience).await?;
        Ok(client)
    }

    async fn established(&self, patience: Duration) -> Result<(), ClientError> {
        let mut state = self.state.clone();
        let decided = state.wait_for(|state| *state != State::Greeting);
        match tokio::time::timeout(patience, decided).await {
            Err(_) => Err(self.silent(patience)),
            Ok(Err(_)) => Err(ClientError::Closed),
            Ok(Ok(state)) if *state == State::Refused => Err(self.refused()),
            Ok(Ok(_)) => Ok(()),
        }
    }

    fn silent(&self, patience: Duration) -> ClientError {
        ClientError::Silent {
            endpoint: self.endpoint.clone(),
            seconds: patience.as_secs(),
        }
    }

    fn refused(&self) -> ClientError {
        ClientError::Refused {
            endpoint: self.endpoint.clone(),
            thumbprint: self.thumbprint.clone(),
        }
    }

    /// Sends a request and waits for its answer, whatever its code. A request without a token
    /// gets one here, so that it can be said again without being done again.
    ///
    /// # Errors
    /// When there is no answer within `patience`, or no session any more.
    pub async fn ask(
        &self,
        mut message: Message,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        message
            .token
            .get_or_insert_with(|| Token::from_random(rand::random()));
        let (reply, answer) = oneshot::channel();
        self.orders
            .send(Order { message, reply })
            .map_err(|_| ClientError::Closed)?;
        let mut state = self.state.clone();
        tokio::select! {
            answer = tokio::time::timeout(patience, answer) => match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err(ClientError::Closed),
                Err(_) => Err(self.silent(patience)),
            },
            Ok(_) = state.wait_for(|state| *state == State::Refused) => Err(self.refused()),
        }
    }

    /// Like [`Client::ask`], where a code 1 is an error.
    ///
    /// # Errors
    /// Also when the server answers code 1, with its words.
    pub async fn request(
        &self,
        action: Action,
        target: Target,
        data: Data,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let message = Message {
            action,
            token: None,
            target,
            data,
        };
        let answer = self.ask(message, patience).await?;
        match answer.status {
            Status::Ok => Ok(answer),
            Status::Nok => Err(ClientError::Nok(words(&answer))),
        }
    }

    /// Reads rows of the history.
    ///
    /// # Errors
    /// See [`Client::request`]; `patience` counts beyond the time that the request may wait.
    pub async fn log(
        &self,
        filter: &GetLog,
        patience: Duration,
    ) -> Result<(Vec<Row>, bool), ClientError> {
        let dialect = Dialect::Seed;
        let patience = patience + filter.wait.unwrap_or_default();
        let data = filter.encode(dialect);
        let answer = self
            .request(Action::GetLog, Target::Here, data, patience)
            .await?;
        log::decode_answer(&answer, dialect)
            .map(|page| (page.rows, page.more))
            .map_err(|error| ClientError::Unreadable(error.to_string()))
    }
}

/// What an answer says in words.
pub(crate) fn words(answer: &Answer) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }
    match answer.data.decode::<Body>() {
        Ok(body) => body.message,
        Err(_) => answer.data.as_str().to_owned(),
    }
}

struct Pump {
    session: gorgone_session::Client,
    sender: DealerSender,
    state: watch::Sender<State>,
    waiting: HashMap<Token, Order>,
    /// Tokens in the order in which they were asked: answers to what the server could not read
    /// bear none.
    order: VecDeque<Token>,
    refusals: u32,
    greeted: Option<Instant>,
}

impl Pump {
    async fn run(mut self, mut dealer: Dealer, mut orders: mpsc::UnboundedReceiver<Order>) {
        self.greet();
        loop {
            let again = self.greeted.map(|at| at + GREETING);
            tokio::select! {
                event = dealer.recv() => match event {
                    Some(DealerEvent::Message(frames)) => {
                        if let Some(frame) = frames.into_iter().next() {
                            self.frame(&frame);
                        }
                    }
                    Some(DealerEvent::Connected) => self.send_again(),
                    Some(DealerEvent::Disconnected) => {}
                    None => return,
                },
                order = orders.recv() => match order {
                    Some(order) => self.order(order),
                    None => break,
                },
                () = sleep_until(again) => self.greet(),
            }
        }
        dealer.close(Duration::from_millis(500)).await;
    }

    fn greet(&mut self) {
        self.greeted = Some(Instant::now());
        match self.session.hello(&mut rand::rng()) {
            Ok(frame) => self.send(frame),
            Err(error) => tracing::error!(%error, "cannot greet the server"),
        }
    }

    fn send(&self, frame: Vec<u8>) {
        // A full outbox is a server that is away: everything is said again when it is back.
        let _ = self.sender.send(vec![Bytes::from(frame)]);
    }

    fn order(&mut self, order: Order) {
        let Some(token) = order.message.token.clone() else {
            return;
        };
        self.say(&order.message);
        self.order.push_back(token.clone());
        self.waiting.insert(token, order);
        if self.order.len() > 2 * self.waiting.len() + 64 {
            let waiting = &self.waiting;
            self.order.retain(|token| waiting.contains_key(token));
        }
    }

    fn say(&self, message: &Message) {
        if *self.state.borrow() == State::Talking
            && let Some(frame) = self.session.seal(&encode(message))
        {
            self.send(frame);
        }
    }

    fn send_again(&mut self) {
        self.waiting.retain(|_, order| !order.reply.is_closed());
        for token in &self.order {
            if let Some(order) = self.waiting.get(token) {
                self.say(&order.message);
            }
        }
    }

    fn frame(&mut self, frame: &[u8]) {
        match self.session.handle(frame, &mut rand::rng()) {
            ClientEvent::Established => {
                self.greeted = None;
                self.refusals = 0;
                self.state.send_replace(State::Talking);
                self.send_again();
            }
            ClientEvent::Message(text) => self.answer(&text),
            ClientEvent::Refused => {
                self.refusals += 1;
                if self.refusals >= REFUSALS {
                    self.greeted = None;
                    self.state.send_replace(State::Refused);
                } else {
                    self.state.send_replace(State::Greeting);
                    self.greet();
                }
            }
            // The machine has the new key already.
            ClientEvent::Rotated => {}
            ClientEvent::Unreadable => tracing::warn!("the server said something unreadable"),
        }
    }

    fn answer(&mut self, text: &[u8]) {
        let Ok(answer) = decode_answer(text) else {
            tracing::warn!("the server's answer makes no sense");
            return;
        };
        if answer.name == AnswerName::SyncLogs {
            return;
        }
        let token = match &answer.token {
            Some(token) => Some(token.clone()),
            None => {
                let waiting = &self.waiting;
                self.order
                    .iter()
                    .find(|token| waiting.contains_key(token))
                    .cloned()
            }
        };
        if let Some(order) = token.and_then(|token| self.waiting.remove(&token)) {
            // An error is a caller who lost patience.
            let _ = order.reply.send(answer);
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
