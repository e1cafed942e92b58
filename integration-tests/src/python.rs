//! Clients and modules that are not ours.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the scripts are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// A program of the tests' own Python; the one in PATH where it has none.
#[must_use]
pub fn venv(program: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin");
    let file = folder.join(program);
    if file.exists() {
        file
    } else {
        PathBuf::from(program)
    }
}

fn command(script: &str, args: &[&str]) -> Command {
    let interpreter = match venv("python") {
        file if file.is_absolute() => file,
        _ => PathBuf::from("python3"),
    };
    let mut command = Command::new(interpreter);
    command.arg(folder().join(script)).args(args);
    command
}

/// Runs a script of `integration-tests/python` to its end and returns what it printed.
///
/// # Panics
/// When it fails, with what it printed.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a script that does not start has failed the test"
)]
pub fn python(script: &str, args: &[&str]) -> String {
    let output = command(script, args)
        .output()
        .expect("python3 starts ('make unit' sets it up)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{script} failed:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Starts a script of `integration-tests/python` and leaves it running.
///
/// # Panics
/// When it does not start.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a script that does not start has failed the test"
)]
pub fn spawn_python(script: &str, args: &[&str]) -> Child {
    command(script, args)
        .stdin(Stdio::null())
        .spawn()
        .expect("python3 starts ('make unit' sets it up)")
}
