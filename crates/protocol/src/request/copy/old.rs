//! PROCESSCOPY as older daemons say it.
//!
//! ```text
//! {"content":{"status":"inprogress","type":"regular","chunk":{"data":"…","size":N},
//!             "destination":"/b","cache_dir":"/c"}}                        in order, one token
//! {"content":{"status":"end","type":"regular","md5":"…","destination":"/b","cache_dir":"/c"}}
//! ```
//! Chunks have no offset: they are taken in the order in which they come, and what is said twice
//! is taken twice. The MD5 at the end tells.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::task::absolute;
use super::{Mode, Problem, Trouble};
use crate::Data;

/// What the chunks are put together to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OldKind {
    /// A file.
    Regular,
    /// A tar, perhaps with gzip, whose contents go into the destination.
    Archive,
}

/// A chunk, or the end.
#[derive(Clone, PartialEq, Debug)]
pub struct OldStep {
    /// What the chunks are.
    pub kind: OldKind,
    /// The bytes; none: it is the end.
    pub chunk: Option<Vec<u8>>,
    /// Of everything together, lower-case hex; told at the end.
    pub md5: Option<String>,
    /// What the file is to be called, or the directory of an archive's contents.
    pub destination: String,
    /// To whom it is to belong.
    pub owner: Option<String>,
    /// To which group.
    pub group: Option<String>,
    /// Permission bits.
    pub mode: Option<Mode>,
}

impl OldStep {
    /// Reads the body. None where it is not in this form.
    ///
    /// # Errors
    /// When it is, and a member cannot be used.
    pub fn decode(data: &Data) -> Result<Option<Self>, Problem> {
        #[derive(Deserialize)]
        struct Outer {
            #[serde(default)]
            content: Option<Body>,
        }
        #[derive(Deserialize)]
        struct Body {
            status: String,
            #[serde(rename = "type")]
            kind: OldKind,
            #[serde(default)]
            chunk: Option<Chunk>,
            #[serde(default)]
            md5: Option<String>,
            destination: String,
            #[serde(default)]
            owner: Option<String>,
            #[serde(default)]
            group: Option<String>,
            #[serde(default)]
            mode: Option<Mode>,
        }
        #[derive(Deserialize)]
        struct Chunk {
            data: String,
        }
        let wrong = |words: String| {
            Problem::new(Trouble::Rejected, format!("PROCESSCOPY is wrong: {words}"))
        };
        let outer: Outer = data.decode().map_err(|error| wrong(error.to_string()))?;
        let Some(body) = outer.content else {
            return Ok(None);
        };
        let chunk = match (body.status.as_str(), body.chunk) {
            ("inprogress", Some(chunk)) => {
                // They break it into lines.
                let text: String = chunk.data.split_ascii_whitespace().collect();
                let bytes = STANDARD.decode(text);
                Some(bytes.map_err(|error| wrong(format!("'data' is no base64: {error}")))?)
            }
            ("inprogress", None) => return Err(wrong("a chunk is missing".to_owned())),
            ("end", _) => None,
            (other, _) => {
                let words = format!("'status' must be inprogress or end, it is '{other}'");
                return Err(wrong(words));
            }
        };
        let destination = absolute(&body.destination)
            .map_err(|problem| wrong(format!("'destination' {problem}")))?;
        Ok(Some(Self {
            kind: body.kind,
            chunk,
            md5: body.md5.map(|md5| md5.to_lowercase()),
            destination,
            owner: body.owner,
            group: body.group,
            mode: body.mode,
        }))
    }
}
