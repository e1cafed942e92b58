//! What happens to a node, what it wants done, and what it is told.

use std::time::Duration;

use bytes::Bytes;
use gorgone_crypto::{PrivateKey, PublicKey, VECTOR_BYTES};
use gorgone_protocol::Errand;
use gorgone_protocol::request::carried::Carried;
use gorgone_protocol::request::node_state::NodeState;
use gorgone_protocol::request::put_rows::PutRows;
use gorgone_protocol::{Answer, Dialect, Mark};
use gorgone_session::{Client, ClientEvent};

/// What all nodes hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a node is asked whether it is there.
    pub ping: Duration,
    /// After so long a silence the connection is made anew.
    pub silence: Duration,
    /// How often its rows are fetched where nothing else asks for it.
    pub sync_every: Duration,
    /// How long fetching may go on without a page.
    pub sync_timeout: Duration,
    /// How long one page may take before it is asked for again.
    pub page_timeout: Duration,
    /// Rows of one page.
    pub page_rows: u32,
    /// Tasks that are under way to a node without its answer.
    pub window: usize,
    /// First wait before a lost connection is made anew; it doubles up to the longest.
    pub reconnect: Duration,
    /// The longest wait.
    pub reconnect_max: Duration,
    /// How long the node may take for a step of the handshake.
    pub greeting: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(60),
            silence: Duration::from_secs(300),
            sync_every: Duration::from_secs(300),
            sync_timeout: Duration::from_secs(120),
            page_timeout: Duration::from_secs(5),
            page_rows: 500,
            window: 64,
            reconnect: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(60),
            greeting: Duration::from_secs(10),
        }
    }
}

/// How to speak with a node: what its definition says.
#[derive(Debug)]
pub struct Setup {
    /// The name in the greeting.
    pub hostname: String,
    /// Our key.
    pub key: PrivateKey,
    /// The vector of the seed's dialect.
    pub vector: [u8; VECTOR_BYTES],
    /// The length of the session key in the seed's dialect, in bytes.
    pub keysize: usize,
    /// How it spells things.
    pub dialect: Dialect,
    /// Its public key. None where it is not known yet: then the first one that it names is its
    /// own from then on.
    pub server_key: Option<PublicKey>,
    /// Where the key is known from, to be told to whoever has to mend it.
    pub known_from: String,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// What the definition says, or what is wrong with it.
    Resolved(Result<Box<Setup>, String>),
    /// Whoever is on the other side is trusted, as core is on this host: there is no handshake, and
    /// nothing is encrypted. In place of [`Event::Resolved`].
    Trusted,
    /// The connection stands.
    Connected,
    /// The connection is lost, or could not be made; why, in words.
    Lost(String),
    /// The node sent a frame.
    Frame(Bytes),
    /// The RSA work of this number is done.
    Worked(u64, Box<Client>, Product),
    /// Core has something for the node.
    Errand(Errand),
    /// What core said to the rows of this number.
    Stored(u64, Stored),
    /// Core says again that the node is ours, with its mark: it wants to hear how it is.
    Owned(Mark),
    /// The definition may have changed: connect anew.
    Renew,
    /// The node is somebody else's from now on: everything goes back to core.
    Dropped,
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// RSA work.
#[derive(Debug)]
pub enum Work {
    /// Make the frame that begins a handshake.
    Hello,
    /// Take this frame, which should bring the key.
    Open(Bytes),
}

/// What came of it.
#[derive(Debug)]
pub enum Product {
    /// The frame, or why there is none.
    Hello(Result<Vec<u8>, String>),
    /// What the frame meant.
    Opened(ClientEvent),
}

/// What became of rows that were given to core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stored {
    /// They are durable.
    Done,
    /// They do not follow on this mark: go on from it.
    Mark(Box<Mark>),
    /// Not now.
    Later,
}

/// Something is to be done, in the order in which it is fetched.
#[derive(Debug)]
pub enum Effect {
    /// Read the definition and its keys.
    Resolve,
    /// Connect, once.
    Dial,
    /// Keep this as the node's public key from now on.
    Pin(PublicKey),
    /// Drop the connection.
    HangUp,
    /// Do this beside the loop; the number comes back with the product.
    Work(u64, Box<Client>, Work),
    /// Send a frame to the node.
    Send(Vec<u8>),
    /// Tell core what became of a task.
    Carried(Carried),
    /// Answer a question of core's.
    Answer(Answer),
    /// Tell core how the node is.
    State(Box<NodeState>),
    /// Give rows to core; the number comes back with what became of them.
    PutRows(u64, PutRows),
}
