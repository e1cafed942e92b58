//! Whoever made a request.

use std::net::IpAddr;
use std::sync::Arc;

use gorgone_protocol::Headers;

/// A caller who was let in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Caller {
    /// As whom; none where nobody is asked.
    pub(crate) user: Option<Arc<str>>,
    /// From where.
    pub(crate) peer: IpAddr,
}

impl Caller {
    /// What core is told of the caller: it decides what they may ask for.
    pub(crate) fn headers(&self) -> Headers {
        Headers {
            user: self.user.as_deref().map(str::to_owned),
            from: Some(self.peer.to_string()),
            ..Headers::default()
        }
    }
}
