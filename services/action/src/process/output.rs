//! What a process writes: kept up to a limit, as it came and each stream by itself.

/// Which of its two outputs a process wrote to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(crate) const ALL: [Self; 2] = [Self::Out, Self::Err];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// Both outputs. Memory is bounded by four times the limit.
#[derive(Debug, Default)]
pub(crate) struct Output {
    limit: usize,
    both: Vec<u8>,
    streams: [Kept; 2],
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// How many came after the limit.
    dropped: u64,
    /// How many of `bytes` were shown already.
    shown: usize,
}

/// What came, as text. Bytes that are not UTF-8 stand as U+FFFD.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Texts {
    pub(crate) both: String,
    pub(crate) out: String,
    pub(crate) err: String,
    /// Whether one of them was cut.
    pub(crate) truncated: bool,
}

impl Output {
    /// Keeps `limit` bytes of each stream.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = &mut self.streams[stream as usize];
        let room = self.limit - kept.bytes.len();
        let (take, drop) = bytes.split_at(room.min(bytes.len()));
        kept.bytes.extend_from_slice(take);
        kept.dropped += drop.len() as u64;
        self.both.extend_from_slice(take);
    }

    /// How much was kept and not shown yet.
    pub(crate) fn unshown(&self) -> usize {
        self.streams
            .iter()
            .map(|kept| kept.bytes.len() - kept.shown)
            .sum()
    }

    pub(crate) fn any_shown(&self) -> bool {
        self.streams.iter().any(|kept| kept.shown > 0)
    }

    /// What of a stream was not shown yet, without the beginning of a character whose end is
    /// still to come, and up to where it goes.
    pub(crate) fn unshown_of(&self, stream: Stream) -> Option<(String, usize)> {
        let kept = &self.streams[stream as usize];
        let fresh = &kept.bytes[kept.shown..];
        let fresh = &fresh[..fresh.len() - unfinished(fresh)];
        (!fresh.is_empty()).then(|| {
            let text = String::from_utf8_lossy(fresh).into_owned();
            (text, kept.shown + fresh.len())
        })
    }

    /// A stream was shown up to there.
    pub(crate) fn shown(&mut self, stream: Stream, upto: usize) {
        self.streams[stream as usize].shown = upto;
    }

    /// All of it as text. Counted as in JSON, each stream has at most `limit` bytes.
    pub(crate) fn into_texts(self) -> Texts {
        let [out, err] = self.streams;
        let dropped = out.dropped + err.dropped;
        let (both, cut) = text(&self.both, dropped, self.limit.saturating_mul(2));
        let (out, out_cut) = text(&out.bytes, out.dropped, self.limit);
        let (err, err_cut) = text(&err.bytes, err.dropped, self.limit);
        Texts {
            both,
            out,
            err,
            truncated: cut || out_cut || err_cut,
        }
    }
}

/// How many bytes at the end are the beginning of a longer character.
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if back < length { back } else { 0 };
    }
    0
}

fn text(bytes: &[u8], dropped: u64, limit: usize) -> (String, bool) {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    let mut dropped = dropped;
    let mut room = limit;
    let end = text
        .char_indices()
        .find(|(_, c)| match room.checked_sub(json_length(*c)) {
            Some(left) => {
                room = left;
                false
            }
            None => true,
        });
    if let Some((end, _)) = end {
        dropped += (text.len() - end) as u64;
        text.truncate(end);
    }
    if dropped > 0 {
        text.push_str(&format!("\n[output cut here: {dropped} more bytes]\n"));
    }
    (text, dropped > 0)
}

const fn json_length(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}
