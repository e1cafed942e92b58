//! What is said over the connection once there is a session.

use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::request::pong::Pong;
use gorgone_protocol::request::put_rows::Begun;
use gorgone_protocol::{
    Action, Answer, AnswerName, Data, Message, Moment, Status, decode_answer, encode,
};
use serde::Deserialize;

use super::link::Link;
use super::pings::Due;
use super::{Effect, Node};

impl Node {
    pub(super) fn say(&mut self, message: &Message) {
        self.say_text(&encode(message));
    }

    pub(super) fn say_text(&mut self, text: &str) {
        let frame = match &self.link {
            Link::Proving { voice, .. } | Link::Talking { voice, .. } => voice.seal(text),
            Link::Resolving { .. }
            | Link::Waiting { .. }
            | Link::Dialling(_)
            | Link::Asking { .. }
            | Link::Working(_)
            | Link::Greeting { .. } => None,
        };
        self.effects.extend(frame.map(Effect::Send));
    }

    pub(super) fn ping(&mut self, now: Moment) {
        let token = self.tokens.fresh();
        // What it does not tell it is not asked for.
        let known = Some(self.sync.mark()).filter(|mark| mark.life.is_some());
        let data = known.map_or_else(Data::empty, Data::from_value);
        let message = Message::new(Action::Ping, Some(token.clone()), data);
        self.pings.asked(token, now);
        self.pings.heard(now.monotonic);
        self.say(&message);
    }

    pub(super) fn ping_timeout(&mut self, now: Moment) {
        match self.pings.due(now.monotonic) {
            Due::Nothing => {}
            Due::Ask { missed } => {
                if missed {
                    let words = "it did not answer the last ping";
                    self.show(LinkState::Down, Some(words.to_owned()), now);
                }
                let token = self.tokens.fresh();
                let message = Message::new(Action::Ping, Some(token.clone()), Data::empty());
                self.pings.asked(token, now);
                self.say(&message);
                self.tell();
            }
            Due::Silent => {
                let seconds = self.settings.silence.as_secs();
                let why = format!("it has said nothing for {seconds} s");
                self.part(LinkState::Down, why, now);
            }
        }
    }

    /// The node said something under the session's key.
    pub(super) fn said(&mut self, text: &[u8], now: Moment) {
        let Ok(answer) = decode_answer(text) else {
            // A node asks nothing over a connection that we made.
            return;
        };
        match answer.name {
            AnswerName::SyncLogs => return self.sync.wanted(now.monotonic),
            AnswerName::Pong => return self.pong(&answer, now),
            AnswerName::Ack
            | AnswerName::ConStatus
            | AnswerName::Information
            | AnswerName::GetThumbprint => {}
        }
        if let Some(carried) = self.carry.answered(&answer) {
            return self.effects.push_back(Effect::Carried(carried));
        }
        if self.sync.answered(&answer, self.dialect, now.monotonic) {
            return;
        }
        if self.pings.awaits(answer.token.as_ref()) {
            return self.no_pong(&answer, now);
        }
        let question = answer
            .token
            .as_ref()
            .and_then(|token| self.questions.answered(token));
        if let Some(question) = question {
            if question.then_sync && answer.status == Status::Ok {
                return self.sync.wanted_by(question.asked, now.monotonic);
            }
            let answer = Answer {
                name: AnswerName::Ack,
                token: Some(question.asked),
                ..answer
            };
            self.effects.push_back(Effect::Answer(answer));
        }
    }

    fn pong(&mut self, answer: &Answer, now: Moment) {
        if !self.pings.awaits(answer.token.as_ref()) {
            return self.relay_pong(answer);
        }
        let pong = match Pong::decode(&answer.data) {
            Ok(pong) if answer.status == Status::Ok => pong,
            Ok(_) | Err(_) => return self.no_pong(answer, now),
        };
        if pong.id != self.id {
            let why = format!(
                "the node that answers there says that it is {}, not {}; mend the address, or the \
                 id of one of them",
                pong.id, self.id
            );
            return self.part(LinkState::Refused, why, now);
        }
        if !self.knows_life(&pong, now) {
            return;
        }
        self.pings.answered(now);
        self.dedups = Some(pong.dedups);
        self.learnt = pong.learnt();
        self.hostname = pong.hostname;
        self.proved(now);
        if self.state != LinkState::Up {
            self.since = now.unix();
        }
        self.state = LinkState::Up;
        self.error = None;
        self.tell();
    }

    /// Whether core knows in which life of its history the node is. Before it does, nothing goes
    /// to the node: it may have forgotten what it was sent.
    fn knows_life(&mut self, pong: &Pong, now: Moment) -> bool {
        let Some(life) = pong.life else {
            return true;
        };
        let begun = Begun {
            life,
            back_to: pong.back_to,
        };
        if self.sync.lives(begun, now.monotonic) || self.is_talking() {
            return true;
        }
        if pong.back_to.is_some() {
            let why = "the node has lost its history, or a part of it";
            let back = self.carry.give_up(why);
            self.effects.extend(back.map(Effect::Carried));
        }
        if let Link::Proving { until, .. } = &mut self.link {
            *until = now.monotonic + self.settings.greeting;
        }
        false
    }

    /// Core has answered what the node waited for before it may be given anything.
    pub(super) fn prove_again(&mut self, now: Moment) {
        if let Link::Proving { .. } = self.link {
            self.ping(now);
        }
    }

    /// The answer to a PING that core asked for.
    fn relay_pong(&mut self, answer: &Answer) {
        let question = answer
            .token
            .as_ref()
            .and_then(|token| self.questions.answered(token));
        if let Some(question) = question {
            let answer = Answer {
                name: AnswerName::Ack,
                token: Some(question.asked),
                ..answer.clone()
            };
            self.effects.push_back(Effect::Answer(answer));
        }
    }

    /// It answers a PING, but not with what one is answered with: it is stopping, for example.
    fn no_pong(&mut self, answer: &Answer, now: Moment) {
        #[derive(Deserialize, Default)]
        struct Body {
            #[serde(default)]
            message: String,
        }
        let body: Body = answer.data.decode().unwrap_or_default();
        self.pings.missed();
        let why = format!("it answers a ping with '{}'", body.message);
        self.part(LinkState::Down, why, now);
    }
}
