//! LEASE: of several instances of a module one acts, and the others wait.
//!
//! ```text
//! module → core   [LEASE] [t] [] {"name":"cron","ttl":10,"wait":300}
//! core → module   [ACK] [t] {"code":0,"data":{"held":true,"fence":7}}
//!                 [ACK] [t] {"code":0,"data":{"held":false,"holder":"cron-2","left":6}}
//! ```
//! Only a module can hold a lease: one life of one instance, as its READY names it. Asking again
//! renews it, a `ttl` of 0 gives it back, and with `"anew":true` it is given back and asked for in
//! one: for a holder that does not know any more how far it came. The fence is higher with each new holder; whoever
//! writes state names it, so that one who was believed dead cannot write over its successor.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lenient;
use crate::{Answer, Data, DataError, Token};

/// The name of a lease: 1 to 64 small letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LeaseName(String);

impl LeaseName {
    /// Takes a name as a module wrote it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "'{}' is no name of a lease: 1 to 64 of a-z, 0-9, '-' and '_'",
            text.chars().take(80).collect::<String>()
        ))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for LeaseName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LeaseName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The body of LEASE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Which lease.
    pub name: LeaseName,
    /// How long it is held without being renewed; zero gives it back.
    pub ttl: Duration,
    /// How long to wait for it while somebody else holds it.
    pub wait: Duration,
    /// Whether it begins anew: what the asker held before is given back, so that the next fence
    /// is another one.
    pub anew: bool,
}

#[derive(Serialize, Deserialize)]
struct Body {
    name: LeaseName,
    #[serde(deserialize_with = "lenient::integer")]
    ttl: Option<i64>,
    #[serde(
        default,
        deserialize_with = "lenient::integer",
        skip_serializing_if = "Option::is_none"
    )]
    wait: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    anew: bool,
}

impl Lease {
    /// Longest `ttl` and `wait` in seconds; what is longer is cut to it.
    pub const MAX_SECONDS: u64 = 3600;

    /// Reads the body.
    ///
    /// # Errors
    /// When a member is missing or wrong.
    pub fn decode(data: &Data) -> Result<Self, DataError> {
        let body: Body = data.decode()?;
        let Some(ttl) = body.ttl else {
            let error: serde_json::Error = serde::de::Error::custom("'ttl' is missing");
            return Err(error.into());
        };
        let seconds =
            |number: i64| Duration::from_secs(number.max(0).unsigned_abs().min(Self::MAX_SECONDS));
        Ok(Self {
            name: body.name,
            ttl: seconds(ttl),
            wait: seconds(body.wait.unwrap_or(0)),
            anew: body.anew,
        })
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self) -> Data {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Data::from_value(&Body {
            name: self.name.clone(),
            ttl: Some(seconds(self.ttl)),
            wait: (!self.wait.is_zero()).then(|| seconds(self.wait)),
            anew: self.anew,
        })
    }
}

/// What LEASE is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grant {
    /// The asker holds it.
    Held {
        /// Higher than with any holder before.
        fence: u64,
    },
    /// The asker does not hold it.
    Free {
        /// Who does, by the name of the instance; nobody after it was given back.
        holder: Option<String>,
        /// After how many seconds it is free if it is not renewed, rounded up.
        left: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct GrantBody {
    held: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fence: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

impl Grant {
    /// Nobody holds it.
    pub const FREE: Self = Self::Free {
        holder: None,
        left: 0,
    };

    /// The answer that says so.
    #[must_use]
    pub fn answer(self, token: Token) -> Answer {
        let body = match self {
            Self::Held { fence } => GrantBody {
                held: true,
                fence: Some(fence),
                holder: None,
                left: None,
            },
            Self::Free { holder, left } => GrantBody {
                held: false,
                fence: None,
                holder,
                left: Some(left),
            },
        };
        Answer::ok(Some(token), Data::from_value(&body))
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// When it has another form.
    pub fn decode(answer: &Answer) -> Result<Self, DataError> {
        let body: GrantBody = answer.data.decode()?;
        Ok(match (body.held, body.fence) {
            (true, Some(fence)) => Self::Held { fence },
            _ => Self::Free {
                holder: body.holder,
                left: body.left.unwrap_or(0),
            },
        })
    }
}
