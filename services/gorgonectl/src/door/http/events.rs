//! Server-sent events, as the WHATWG describes them: text in lines, an empty line ends an event.

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Event {
    /// Its type; `message` where the server names none.
    pub(super) kind: String,
    pub(super) data: String,
}

/// Puts events together from the pieces in which they arrive.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The beginning of a line that has not ended.
    rest: Vec<u8>,
    kind: String,
    data: Option<String>,
}

/// Longest line: more than the largest row.
const MAX_LINE: usize = 64 << 20;

impl Events {
    /// Takes a piece and gives out the events that it completes. None where a line is longer
    /// than any server of ours sends.
    pub(super) fn take(&mut self, piece: &[u8]) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.rest);
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        self.rest.extend_from_slice(rest);
        let held = self.rest.len() + self.data.as_ref().map_or(0, String::len);
        (held <= MAX_LINE).then_some(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            let data = self.data.take()?;
            let kind = if kind.is_empty() {
                "message".to_owned()
            } else {
                kind
            };
            return Some(Event { kind, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments keep the connection alive; the number of a row stands in the row.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Events};

    #[test]
    fn events_are_put_together_however_they_are_cut() {
        let text =
            ": hello\r\n\r\nid: 7\nevent: row\ndata: {\"ä\":\ndata:1}\n\ndata: x\n\nevent: end\n\n";
        let event = |kind: &str, data: &str| Event {
            kind: kind.to_owned(),
            data: data.to_owned(),
        };
        let whole = [event("row", "{\"ä\":\n1}"), event("message", "x")];
        for size in 1..text.len() {
            let mut events = Events::default();
            let pieces = text.as_bytes().chunks(size);
            let got: Vec<_> = pieces
                .flat_map(|piece| events.take(piece).unwrap())
                .collect();
            assert_eq!(got, whole, "in pieces of {size}");
        }
    }
}
