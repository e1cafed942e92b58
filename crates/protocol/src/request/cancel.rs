//! CANCEL: end a request that was accepted earlier.

use serde::{Deserialize, Serialize};

use crate::Token;

/// The body of CANCEL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// The token of the request to end.
    pub token: Token,
}
