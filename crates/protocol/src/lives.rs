//! The lives of a history, and how far a node's history is known elsewhere.
//!
//! Row ids only grow, as long as the database is the same one. With an empty database they begin
//! at 1 again, and with an older copy at some number that was used before, for other rows. So a
//! core begins a new life of its history each time it opens the database, and gives it a name
//! that nothing else bears:
//!
//! ```text
//! what was         a ─ 60 │ b ─ 100 │                    rows 61 to 100 were written in life b
//! a copy of then   a ─ 60 │ c ─ 75 …                     nobody knows b here: its rows are lost
//! ```
//! Whoever fetches the rows remembers the life that it was told last, and up to which row of
//! each life it has them. As long as that life is one of the history's, nothing is lost; else
//! both tell from their lists up to where they have the same rows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of one life of a history: 16 hexadecimal digits, random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Life(u64);

/// A text that names no life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a life of a history is named by 16 hexadecimal digits")]
pub struct InvalidLife;

impl Life {
    /// A name out of random bits.
    #[must_use]
    pub const fn from_random(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Life {
    type Err = InvalidLife;

    fn from_str(text: &str) -> Result<Self, InvalidLife> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        bits.map(Self).ok_or(InvalidLife)
    }
}

impl TryFrom<String> for Life {
    type Error = InvalidLife;

    fn try_from(text: String) -> Result<Self, InvalidLife> {
        text.parse()
    }
}

impl From<Life> for String {
    fn from(life: Life) -> Self {
        life.to_string()
    }
}

/// How far a node's history is known by whoever fetches it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    /// The node's own id of its last row that is known: 0 where there is none.
    #[serde(default, rename = "mark")]
    pub id: i64,
    /// The life that the node was in when it said so last; none where it never did, as old
    /// daemons do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<Life>,
    /// Lives whose rows are known, each with the last of them; the one that was fetched last is
    /// last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lives: Vec<(Life, i64)>,
}

impl Mark {
    /// How many lives are remembered: to find the place in a copy that is older than all of
    /// these, rows are fetched again, and recognised.
    pub const MAX_LIVES: usize = 32;

    /// Rows up to this one are known, the last of them written in this life.
    pub fn stored(&mut self, life: Option<Life>, upto: i64) {
        self.id = upto;
        let Some(life) = life else {
            return;
        };
        let before = self.lives.iter().position(|(known, _)| *known == life);
        let last = before.map_or(upto, |at| self.lives.remove(at).1.max(upto));
        self.lives.push((life, last));
        let surplus = self.lives.len().saturating_sub(Self::MAX_LIVES);
        self.lives.drain(..surplus);
    }

    /// The node is in this life now. `back_to`: of what is known, it has nothing after this row.
    pub fn began(&mut self, life: Life, back_to: Option<i64>) {
        self.life = Some(life);
        self.id = back_to.unwrap_or(self.id);
    }
}

/// The lives of the history of this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// Lives that are over, oldest first, each with the last row that it may have written.
    pub past: Vec<(Life, i64)>,
    /// The present one.
    pub life: Life,
}

impl History {
    /// The last row of a life; none for one that is not of this history.
    fn last_of(&self, life: Life) -> Option<i64> {
        if life == self.life {
            return Some(i64::MAX);
        }
        let past = self.past.iter().find(|(known, _)| *known == life);
        past.map(|(_, last)| *last)
    }

    /// Whether somebody knows rows that this history does not have, and the row up to which
    /// both have the same.
    #[must_use]
    pub fn back_to(&self, mark: &Mark) -> Option<i64> {
        // Rows may be known of a life that came after the one that was told: the node has begun
        // it since.
        let told = self.last_of(mark.life?);
        let newest = mark.lives.last();
        let newest = newest.and_then(|(life, _)| self.last_of(*life));
        if told.is_some() && told.max(newest).is_some_and(|last| mark.id <= last) {
            return None;
        }
        let mut known = mark.lives.iter().rev();
        let common = known.find_map(|(life, id)| Some(self.last_of(*life)?.min(*id)));
        Some(common.unwrap_or(0).min(mark.id))
    }

    /// In which life the rows after this one were written, and where that life ends, if it is
    /// over.
    #[must_use]
    pub fn after(&self, id: i64) -> (Life, Option<i64>) {
        let past = self.past.iter().find(|(_, last)| *last > id);
        past.map_or((self.life, None), |(life, last)| (*life, Some(*last)))
    }
}
