//! Effects that nobody has asked for yet.

use std::collections::VecDeque;
use std::time::Duration;

use gorgone_protocol::{Action, Code, Data, Message, Token};
use serde_json::Value;

use super::event::{AskId, Effect};

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    effects: VecDeque<Effect>,
    next_ask: u64,
}

impl Outbox {
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Asks core something about this node.
    pub(crate) fn ask(&mut self, action: Action, data: Data, patience: Duration) -> AskId {
        self.send(Message::new(action, None, data), patience)
    }

    pub(crate) fn send(&mut self, message: Message, patience: Duration) -> AskId {
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        self.push(Effect::Ask {
            ask,
            message,
            patience,
        });
        ask
    }

    pub(crate) fn report(&mut self, token: Token, code: Code, data: Value) {
        self.push(Effect::Report { token, code, data });
    }
}
