//! What is wrong with a definition.

use std::fmt;

/// A definition that is refused: everything that is wrong with it, at once.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", sentence(.problems))]
pub struct DefinitionError {
    /// At least one.
    pub problems: Vec<FieldProblem>,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldProblem {
    /// The field, such as `timespec` or `retry_backoff.first`; empty for the whole.
    pub field: String,
    /// What is wrong, and the mend.
    pub reason: String,
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

fn sentence(problems: &[FieldProblem]) -> String {
    let problems: Vec<String> = problems.iter().map(FieldProblem::to_string).collect();
    problems.join("; ")
}
