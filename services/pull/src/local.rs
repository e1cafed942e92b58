//! The connection to our own core: as whom, and on whose behalf.

use bytes::Bytes;
use gorgone_protocol::{Endpoint, Headers, Identity, NodeId};
use gorgone_transport::{Dealer, DealerEvent, DealerSender, Error, SendError, bus};

/// One attempt to connect.
pub(crate) struct Local {
    dealer: Dealer,
    sender: DealerSender,
    for_central: Option<Bytes>,
}

impl Local {
    /// Connects under the name that a proxy of the central would have: what comes from there is not
    /// sent back there.
    pub(crate) fn dial(core: &Endpoint, central: NodeId, own: NodeId) -> Result<Self, Error> {
        let name = format!("gorgone-proxy-{central}-{own}");
        let identity = Identity::new(name.as_bytes());
        let options = bus::ConnectOptions::new(core.clone(), identity);
        let (dealer, sender) = bus::connect(options)?;
        let headers = Headers {
            central: Some(central),
            ..Headers::default()
        };
        Ok(Self {
            dealer,
            sender,
            for_central: headers.encode().map(Bytes::from),
        })
    }

    /// What happens next. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<DealerEvent> {
        self.dealer.recv().await
    }

    /// Says something to core: what bears a target is the central's request.
    pub(crate) fn send(&self, text: Vec<u8>) -> Result<(), SendError> {
        let for_central = has_target(&text).then(|| self.for_central.clone());
        let mut frames = vec![Bytes::from(text)];
        frames.extend(for_central.flatten());
        self.sender.send(frames)
    }
}

/// Whether the third field of a message is not empty.
fn has_target(text: &[u8]) -> bool {
    let mut fields = text.split(|byte| *byte == b']');
    let target = fields.nth(2).unwrap_or_default().trim_ascii();
    target != b"["
}

#[cfg(test)]
mod tests {
    use super::has_target;

    #[test]
    fn a_request_of_the_central_is_told_from_a_word_of_our_own_by_its_target() {
        assert!(has_target(
            b"[COMMAND] [t] [7] {\"command\":\"[x] [y] []\"}"
        ));
        assert!(has_target(b"[PING] [t] [7] {}"));
        assert!(!has_target(b"[PING] [t] [] {}"));
        assert!(!has_target(b"[GETLOG] [gorgone-1] [] {\"id\":7}"));
    }
}
