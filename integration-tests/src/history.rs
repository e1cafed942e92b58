//! Requests with tokens of the test's own, and the history that tells what became of them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use gorgone_client::{Client, ClientError};
use gorgone_protocol::request::log::{GetLog, Row, WaitFor};
use gorgone_protocol::{Action, Answer, Code, Data, Message, Status, Token};
use serde_json::{Value, json};

/// How long any one answer may take: longer than a restart of everything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A token of the test's own.
///
/// # Panics
/// When the text is no token.
#[must_use]
#[expect(clippy::expect_used, reason = "a wrong text has failed the test")]
pub fn token(text: &str) -> Token {
    Token::parse(text).expect("a token")
}

/// What a JSON text says; null where it is none.
#[must_use]
pub fn said(data: &str) -> Value {
    serde_json::from_str(data).unwrap_or_default()
}

/// Asks for something, whatever the answer's code.
///
/// # Errors
/// When there is no answer.
pub async fn ask(
    client: &Client,
    action: &str,
    token: Option<Token>,
    data: Data,
) -> Result<Answer, ClientError> {
    let message = Message::new(Action::parse(action), token, data);
    client.ask(message, PATIENCE).await
}

/// A page of the history. A core that is stopping refuses; then the next one is asked.
async fn page(client: &Client, filter: &GetLog) -> (Vec<Row>, bool) {
    let began = Instant::now();
    loop {
        match client.log(filter, PATIENCE).await {
            Ok(page) => return page,
            Err(ClientError::Nok(_)) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("the history cannot be read: {error}"),
        }
    }
}

/// Has a COMMAND accepted and returns its token.
///
/// # Panics
/// When it is not accepted.
pub async fn accepted(client: &Client, body: Value) -> Token {
    let answer = ask(client, "COMMAND", None, Data::from_value(&body)).await;
    match answer {
        Ok(Answer {
            status: Status::Ok,
            token: Some(token),
            ..
        }) => token,
        other => panic!("{body} was not accepted: {other:?}"),
    }
}

/// The terminal row of a token that was accepted.
///
/// # Panics
/// When it does not end within a minute.
pub async fn ended(client: &Client, token: &Token) -> Row {
    let mut filter = GetLog {
        token: Some(token.as_str().to_owned()),
        wait: Some(PATIENCE),
        wait_for: WaitFor::End,
        ..GetLog::default()
    };
    // A core that stops lets its readers go before there is an end.
    for _ in 0..20 {
        let (rows, _) = page(client, &filter).await;
        if let Some(row) = rows.into_iter().find(|row| row.code.is_terminal()) {
            return row;
        }
        filter.wait = Some(Duration::from_secs(5));
    }
    panic!("{token} does not end");
}

/// Runs a COMMAND to its end and returns its terminal row.
///
/// # Panics
/// When it is not accepted, or does not end.
pub async fn run(client: &Client, body: Value) -> Row {
    let token = accepted(client, body).await;
    ended(client, &token).await
}

/// Runs a line in the shell and says whether it ended OK.
pub async fn run_line(client: &Client, line: &str) -> bool {
    run(client, json!({ "command": line })).await.code == Code::Ok
}

/// Everything that the history has, read once each row.
#[derive(Debug, Default)]
pub struct History {
    last: i64,
    rows: HashMap<String, Vec<Row>>,
}

impl History {
    /// Reads what came since the last time.
    ///
    /// # Panics
    /// When the history cannot be read within a minute, or is not in the order of ids.
    pub async fn read(&mut self, client: &Client) {
        loop {
            let filter = GetLog {
                id: Some(self.last),
                ..GetLog::default()
            };
            let (rows, more) = page(client, &filter).await;
            for row in rows {
                assert!(row.id > self.last, "row {} comes late", row.id);
                self.last = row.id;
                self.rows.entry(row.token.clone()).or_default().push(row);
            }
            if !more {
                return;
            }
        }
    }

    /// All rows of a token, in the order of their ids.
    #[must_use]
    pub fn of(&self, token: &str) -> &[Row] {
        self.rows.get(token).map_or(&[], Vec::as_slice)
    }

    /// How many of these tokens have a terminal row.
    #[must_use]
    pub fn ended(&self, tokens: &[Token]) -> usize {
        let ended = |token: &&Token| {
            self.of(token.as_str())
                .iter()
                .any(|row| row.code.is_terminal())
        };
        tokens.iter().filter(ended).count()
    }

    /// Counts how these tokens ended: "OK", or the reason of KO.
    ///
    /// # Panics
    /// When one has not exactly one terminal row, or rows after it, or a KO without a reason.
    #[must_use]
    pub fn outcomes(&self, tokens: &[Token]) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for token in tokens {
            *counts.entry(self.outcome(token)).or_default() += 1;
        }
        counts
    }

    /// How one token ended; see [`History::outcomes`].
    ///
    /// # Panics
    /// See [`History::outcomes`].
    #[must_use]
    pub fn outcome(&self, token: &Token) -> String {
        let rows = self.of(token.as_str());
        let terminal = rows.iter().filter(|row| row.code.is_terminal()).count();
        assert_eq!(terminal, 1, "terminal rows of {token}: {rows:?}");
        match rows.last() {
            Some(row) if row.code == Code::Ok => "OK".to_owned(),
            Some(row) if row.code == Code::Ko => {
                let reason = said(&row.data)["reason"].as_str().map(str::to_owned);
                reason.unwrap_or_else(|| panic!("{token} has no reason: {row:?}"))
            }
            other => panic!("the last row of {token} is not its end: {other:?}"),
        }
    }
}
