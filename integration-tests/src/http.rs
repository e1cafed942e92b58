//! HTTP by hand, one connection at a time: what a library would hide, a test must be able to do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a server that is just starting may refuse connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that stays open.
#[derive(Debug)]
pub struct Http {
    /// The connection itself, for whoever wants to misuse it.
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answered {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Http {
    /// Connects; a server that is just starting is waited for.
    ///
    /// # Panics
    /// When nobody takes the connection.
    pub async fn open(address: SocketAddr) -> Self {
        let began = Instant::now();
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A socket that cannot be told so is only slower.
                    let _ = stream.set_nodelay(true);
                    let buffer = Vec::new();
                    return Self { stream, buffer };
                }
                Err(error) => assert!(began.elapsed() < PATIENCE, "{address}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends text as it is.
    ///
    /// # Errors
    /// When the server has hung up.
    pub async fn send(&mut self, text: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(text).await
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// See [`Http::answer`].
    pub async fn ask(&mut self, request: &str) -> std::io::Result<Answered> {
        self.send(request.as_bytes()).await?;
        self.answer().await
    }

    /// Reads an answer that says how long it is.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub async fn answer(&mut self) -> std::io::Result<Answered> {
        loop {
            if let Some((answered, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Ok(answered);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// An answer that is there as a whole, and how many bytes it has.
fn parse(bytes: &[u8]) -> Option<(Answered, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let body = bytes[end + 4..].get(..length)?.to_vec();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((Answered { status, head, body }, end + 4 + length))
}

/// A request with a body (none where it is empty), and a credential where there is one.
#[must_use]
pub fn request(method: &str, path: &str, credential: &str, body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    if !credential.is_empty() {
        text += &format!("Authorization: {credential}\r\n");
    }
    if !body.is_empty() {
        text += &format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
    }
    text + "\r\n" + body
}
