//! A real terminal: a shell in tmux, typed into and read like a person would.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take to appear on the screen.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the shell shows when it waits for a line: the exit code of the one before.
const PROMPT: &str = "READY-";

/// A shell in a terminal of its own. Everything of it ends when it is dropped.
#[derive(Debug)]
pub struct Terminal {
    socket: String,
    typed: usize,
}

impl Terminal {
    /// Opens a terminal of this size, in whose shell these variables are set.
    ///
    /// # Panics
    /// When tmux is not there.
    #[must_use]
    pub fn open(columns: u16, lines: u16, variables: &[(&str, &str)]) -> Self {
        let terminal = Self {
            socket: format!("gorgone-test-{:016x}", rand::random::<u64>()),
            typed: 0,
        };
        let size = [columns.to_string(), lines.to_string()];
        let mut command = terminal.tmux();
        command
            .args(["-f", "/dev/null", "start-server", ";"])
            .args(["set-option", "-g", "history-limit", "50000", ";"])
            .args(["new-session", "-d", "-x", &size[0], "-y", &size[1]])
            .env("HISTFILE", "/dev/null")
            .env("PS1", format!("{PROMPT}$?-\\#> "));
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI", "COLORTERM"] {
            command.env_remove(name);
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        run(command.args(["bash", "--norc", "--noprofile", "-i"]));
        terminal.ready();
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .args(["-L", &self.socket])
            .stdin(Stdio::null())
            .env_remove("TMUX");
        command
    }

    /// Presses keys by their tmux names, such as `C-c` and `Tab`.
    ///
    /// # Panics
    /// When tmux refuses.
    pub fn press(&self, keys: &[&str]) {
        run(self.tmux().arg("send-keys").args(keys));
    }

    /// Types text, without Enter.
    ///
    /// # Panics
    /// When tmux refuses.
    pub fn type_text(&self, text: &str) {
        run(self.tmux().args(["send-keys", "-l", "--", text]));
    }

    /// Types a line and Enter, and does not wait for what it does.
    ///
    /// # Panics
    /// When tmux refuses.
    pub fn enter(&mut self, line: &str) {
        self.type_text(line);
        self.press(&["Enter"]);
        self.typed += 1;
    }

    /// Types a line and waits until the shell is back. Returns what it showed and its exit code.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn run(&mut self, line: &str) -> (String, i32) {
        self.enter(line);
        let code = self.ready();
        let prompt = |text: &str, number: usize| {
            text.starts_with(PROMPT) && text.contains(&format!("-{number}> "))
        };
        let shown = self.screen();
        let lines: Vec<&str> = shown.lines().collect();
        let begin = lines.iter().position(|text| prompt(text, self.typed));
        let end = lines.iter().position(|text| prompt(text, self.typed + 1));
        match (begin, end) {
            (Some(begin), Some(end)) if begin < end => {
                let said = lines[begin + 1..end].iter().map(|text| text.trim_end());
                (said.collect::<Vec<_>>().join("\n"), code)
            }
            _ => (shown, code),
        }
    }

    /// Waits until the shell wants a line; the exit code of the last one.
    ///
    /// # Panics
    /// When that does not come within a minute.
    pub fn ready(&self) -> i32 {
        // What runs in the background may write behind the prompt.
        let prompt = format!("-{}>", self.typed + 1);
        let mut code = None;
        self.until("the shell is back", |screen| {
            code = screen.lines().find_map(|line| {
                let (exit, _) = line.strip_prefix(PROMPT)?.split_once(&prompt)?;
                exit.parse().ok()
            });
            code.is_some()
        });
        code.unwrap_or(-1)
    }

    /// Waits until the screen shows what it should.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn until(&self, what: &str, mut check: impl FnMut(&str) -> bool) {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if check(&screen) {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "does not come on the terminal: {what}\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the terminal shows, and what has scrolled out of it: text without colour.
    ///
    /// # Panics
    /// When tmux refuses.
    #[must_use]
    pub fn screen(&self) -> String {
        let mut capture = self.tmux();
        run(capture.args(["capture-pane", "-p", "-J", "-S", "-"]))
    }

    /// What the terminal shows, with the sequences that make colours.
    ///
    /// # Panics
    /// When tmux refuses.
    #[must_use]
    pub fn coloured(&self) -> String {
        run(self.tmux().args(["capture-pane", "-p", "-e"]))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A server that is gone already is as good as ended.
        let _ = self.tmux().arg("kill-server").output();
    }
}

#[expect(
    clippy::expect_used,
    reason = "a machine without tmux cannot try a terminal"
)]
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .expect("tmux starts ('deploy/local/setup test' installs it)");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
