//! Figures in the text that Prometheus reads.

use std::fmt::Write;

/// Text that Prometheus reads, family by family.
///
/// A label's values are a closed set: routes, never paths; reasons, never words; no token, no
/// name that a peer can choose.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// One family of figures, to which samples are added.
#[derive(Debug)]
pub struct Family<'e> {
    text: &'e mut String,
    name: &'static str,
}

impl Exposition {
    /// Something that only grows while the process lives. Its name ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// Something that is so large at the moment.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            text: &mut self.text,
            name,
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// A sample without labels.
    pub fn count(&mut self, value: u64) -> &mut Self {
        self.sample(&[], value as f64)
    }

    /// A sample, told apart by its labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.text.push_str(self.name);
        for (place, (name, value)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{name}=\"");
            for character in value.chars() {
                match character {
                    '"' => self.text.push_str("\\\""),
                    '\\' => self.text.push_str("\\\\"),
                    '\n' => self.text.push_str("\\n"),
                    character => self.text.push(character),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_their_head_once_and_labels_are_escaped() {
        let mut exposition = Exposition::default();
        exposition.gauge("a", "What a is.").count(3);
        exposition
            .counter("b_total", "What b is.")
            .sample(&[("x", "\"\\\n"), ("y", "z")], 0.5)
            .sample(&[("x", ""), ("y", "")], 2.0);
        assert_eq!(
            exposition.finish(),
            "# HELP a What a is.\n# TYPE a gauge\na 3\n\
             # HELP b_total What b is.\n# TYPE b_total counter\n\
             b_total{x=\"\\\"\\\\\\n\",y=\"z\"} 0.5\nb_total{x=\"\",y=\"\"} 2\n"
        );
    }
}
