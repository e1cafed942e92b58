//! What core only asks a node: under a token of our own, and with an end.

use std::collections::HashMap;
use std::time::Duration;

use gorgone_protocol::Token;

/// How many may wait for one node.
const MOST: usize = 256;
/// After so long nobody waits for an answer any more: core's own deadline is shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// A question that waits for its answer.
pub(super) struct Question {
    /// Under which token core asked.
    pub(super) asked: Token,
    /// The node brings the rows of one behind it: ours are to be brought afterwards.
    pub(super) then_sync: bool,
    until: Duration,
}

/// See the module's doc.
#[derive(Default)]
pub(super) struct Questions {
    /// Under the token that the node was told.
    waiting: HashMap<Token, Question>,
}

impl Questions {
    /// False where too many wait already.
    pub(super) fn ask(
        &mut self,
        token: Token,
        asked: Token,
        then_sync: bool,
        now: Duration,
    ) -> bool {
        if self.waiting.len() >= MOST {
            return false;
        }
        let until = now + PATIENCE;
        self.waiting.insert(
            token,
            Question {
                asked,
                then_sync,
                until,
            },
        );
        true
    }

    /// The question that the node answered.
    pub(super) fn answered(&mut self, token: &Token) -> Option<Question> {
        self.waiting.remove(token)
    }

    /// Nobody is going to answer them.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Token> + use<> {
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|question| question.asked)
    }

    pub(super) fn expire(&mut self, now: Duration) {
        self.waiting.retain(|_, question| question.until > now);
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.waiting.values().map(|question| question.until).min()
    }
}
