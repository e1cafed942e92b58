//! The fields of a job as flags.

use anyhow::anyhow;
use clap::ValueHint;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value};

use crate::cli::TargetArg;
use crate::time::MomentArg;

/// The fields of a job. What is not given is left at its default, or as it is.
#[derive(clap::Args)]
#[command(next_help_heading = "Fields")]
pub(super) struct Fields {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The action that it asks for; COMMAND for a new job
    #[arg(long)]
    action: Option<String>,
    /// The node that does it; or several, as for 'gorgonectl command --on'
    #[arg(long, value_name = "NODES", visible_alias = "on")]
    target: Option<TargetArg>,
    /// DATA of the request: JSON. A command behind -- is the short way for COMMAND
    #[arg(long, value_name = "JSON", conflicts_with = "command")]
    parameters: Option<String>,
    /// How many seconds the command may run
    #[arg(long, value_name = "SECONDS", requires = "command")]
    timeout: Option<u64>,
    /// Every run has the id of the job for its token
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    keep_token: Option<bool>,
    /// The time zone of the timespec, such as Europe/Paris
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// When the run before has not ended
    #[arg(long, value_parser = PossibleValuesParser::new(["allow", "forbid", "replace", "queue"]))]
    overlap: Option<String>,
    /// Of the runs that were missed
    #[arg(long, value_parser = PossibleValuesParser::new(["none", "latest", "all"]))]
    catchup: Option<String>,
    /// What was missed longer ago is not caught up with
    #[arg(long, value_name = "SECONDS")]
    catchup_window: Option<u64>,
    /// A run that cannot begin within this time does not begin
    #[arg(long, value_name = "SECONDS")]
    start_deadline: Option<u64>,
    /// Begins up to so much later, always the same
    #[arg(long, value_name = "SECONDS")]
    jitter: Option<u64>,
    /// Not before this time, such as '2027-01-31 08:00'
    #[arg(long, value_name = "TIME")]
    starts_at: Option<MomentArg>,
    /// Not from this time on
    #[arg(long, value_name = "TIME")]
    expires_at: Option<MomentArg>,
    /// How often a run that failed is begun again
    #[arg(long, value_name = "COUNT")]
    retries: Option<u64>,
    /// How long to wait before that: seconds, which double, or JSON with first, factor and max
    #[arg(long, value_name = "SECONDS")]
    retry_backoff: Option<String>,
    /// A run that takes longer is cancelled
    #[arg(long, value_name = "SECONDS")]
    max_runtime: Option<u64>,
    /// How many runs are kept to be shown
    #[arg(long, value_name = "COUNT")]
    keep_runs: Option<u64>,
    /// What COMMAND runs: one argument is a line for the shell; several are a program and its
    /// arguments, run without a shell
    #[arg(last = true, value_hint = ValueHint::CommandWithArguments)]
    command: Vec<String>,
}

impl Fields {
    /// Those that were given, as members of a definition.
    pub(super) fn members(self) -> anyhow::Result<Map<String, Value>> {
        let parameters = match (&self.parameters, self.command.as_slice()) {
            (Some(text), _) => Some(json("--parameters", text)?),
            (None, []) => None,
            (None, words) => {
                let mut command = Map::new();
                match words {
                    [line] => command.insert("command".into(), line.as_str().into()),
                    words => command.insert("argv".into(), words.into()),
                };
                if let Some(timeout) = self.timeout {
                    command.insert("timeout".into(), timeout.into());
                }
                Some(command.into())
            }
        };
        let backoff = match &self.retry_backoff {
            Some(text) => Some(json("--retry-backoff", text)?),
            None => None,
        };
        let given = [
            ("description", self.description.map(Value::from)),
            ("action", self.action.map(Value::from)),
            (
                "target",
                self.target.map(|target| target.0.to_string().into()),
            ),
            ("parameters", parameters),
            ("keep_token", self.keep_token.map(Value::from)),
            ("timezone", self.timezone.map(Value::from)),
            ("overlap", self.overlap.map(Value::from)),
            ("catchup", self.catchup.map(Value::from)),
            ("catchup_window", self.catchup_window.map(Value::from)),
            ("start_deadline", self.start_deadline.map(Value::from)),
            ("jitter", self.jitter.map(Value::from)),
            ("starts_at", self.starts_at.map(|at| at.0.into())),
            ("expires_at", self.expires_at.map(|at| at.0.into())),
            ("retries", self.retries.map(Value::from)),
            ("retry_backoff", backoff),
            ("max_runtime", self.max_runtime.map(Value::from)),
            ("keep_runs", self.keep_runs.map(Value::from)),
        ];
        Ok(given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect())
    }
}

fn json(flag: &str, text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).map_err(|error| anyhow!("{flag} is not JSON: {error}"))
}
