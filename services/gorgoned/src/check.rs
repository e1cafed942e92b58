//! `gorgoned check`: what is wrong with a configuration, for people and scripts.

use std::io::Write;
use std::process::ExitCode;

use gorgone_runtime::config::{Config, Problem};
use gorgone_runtime::{Flags, Service, exit};

/// Tells everything that is wrong, and whether that is something: also what a start would go on
/// without.
pub(crate) fn check(flags: &Flags) -> ExitCode {
    let (lines, code) = match Config::load(&flags.sources(), Service::SUPERVISOR.checks) {
        Ok(loaded) => {
            let mut lines: Vec<String> = loaded
                .warnings
                .iter()
                .map(|warning| format!("warning: {warning}"))
                .collect();
            if loaded.left_out.is_empty() {
                lines.push("configuration is fine".to_owned());
                (lines, exit::OK)
            } else {
                lines.extend(errors(&loaded.left_out));
                (lines, exit::CONFIGURATION)
            }
        }
        Err(error) => (errors(&error.problems).collect(), exit::CONFIGURATION),
    };
    let mut out = std::io::stdout().lock();
    // Whoever closed our output knows the answer from the exit code.
    let _ = writeln!(out, "{}", lines.join("\n"));
    ExitCode::from(code)
}

fn errors(problems: &[Problem]) -> impl Iterator<Item = String> + '_ {
    problems.iter().map(|problem| format!("error: {problem}"))
}
