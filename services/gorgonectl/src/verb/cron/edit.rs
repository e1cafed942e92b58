//! `gorgonectl cron add` and `edit`.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueHint;
use gorgone_protocol::Action;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::jobs::Jobs;
use super::list::STATE;
use super::words;
use crate::cli::Context;
use crate::print::Screen;
use crate::print::text::escape;

/// Add a job, or several from a file
///
/// Several are added together or not at all.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl cron add backup '30 2 * * mon-fri' -- /usr/local/bin/backup --full
  gorgonectl cron add ping '*/5 * * * *' --target 4 --overlap forbid -- 'ping -c 1 db'
  gorgonectl cron add --file jobs.yml")]
pub(crate) struct AddArgs {
    /// Its name, unique on the server
    #[arg(required_unless_present = "file")]
    id: Option<String>,
    /// When: minute, hour, day of month, month, day of week, and perhaps seconds; or @daily and
    /// the like
    #[arg(required_unless_present = "file")]
    timespec: Option<String>,
    /// A definition or a list of them, in YAML or JSON; - is the standard input
    #[arg(short, long, conflicts_with_all = ["id", "timespec", "Fields"], value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    #[command(flatten)]
    fields: Fields,
}

/// Change a job; without a field, in an editor
///
/// What a flag names takes the place of what was there; the rest stays. In the editor a field
/// that is removed goes back to its default.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl cron edit backup                    in $VISUAL or $EDITOR
  gorgonectl cron edit backup --timespec '0 3 * * *' --retries 2
  gorgonectl cron edit backup --unset overlap")]
pub(crate) struct EditArgs {
    /// The job
    id: String,
    /// When it is due
    #[arg(long)]
    timespec: Option<String>,
    /// Bring the default of a field back; may be given several times
    #[arg(long, value_name = "FIELD")]
    unset: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

pub(super) async fn add(context: &Context, jobs: &Jobs, args: AddArgs) -> anyhow::Result<ExitCode> {
    let definitions = match &args.file {
        Some(file) => read(file)?,
        None => {
            let mut job = args.fields.members()?;
            job.insert("id".into(), args.id.into());
            job.insert("timespec".into(), args.timespec.into());
            job.entry("action")
                .or_insert_with(|| Action::Command.name().into());
            vec![job.into()]
        }
    };
    let said = jobs.add(definitions.clone()).await?;
    let screen = &context.screen;
    if screen.json() {
        screen.object(&said)?;
        return Ok(ExitCode::SUCCESS);
    }
    for job in &definitions {
        tell(screen, job, "added")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn edit(
    context: &Context,
    jobs: &Jobs,
    args: EditArgs,
) -> anyhow::Result<ExitCode> {
    let mut changes = args.fields.members()?;
    if let Some(timespec) = args.timespec {
        changes.insert("timespec".into(), timespec.into());
    }
    for field in args.unset {
        changes.insert(field, Value::Null);
    }
    let mut kept = None;
    if changes.is_empty() {
        let definition = definition(jobs.one(&args.id).await?);
        let file = edited_file(&args.id, &definition)?;
        changes = difference(&definition, &edited(&file)?);
        kept = Some(file);
    }
    let screen = &context.screen;
    if changes.is_empty() {
        forget(kept.as_deref());
        screen.note("nothing was changed");
        return Ok(ExitCode::SUCCESS);
    }
    let said = jobs.change(&args.id, changes.into()).await;
    let said = match (said, &kept) {
        (Err(error), Some(file)) => {
            return Err(error.context(format!("what you wrote is in {}", file.display())));
        }
        (said, _) => said?,
    };
    forget(kept.as_deref());
    if screen.json() {
        screen.object(&said)?;
        return Ok(ExitCode::SUCCESS);
    }
    tell(screen, &jobs.one(&args.id).await?, "changed")?;
    Ok(ExitCode::SUCCESS)
}

fn tell(screen: &Screen, job: &Value, word: &str) -> anyhow::Result<()> {
    let id = job["id"]
        .as_str()
        .map_or_else(|| job["id"].to_string(), str::to_owned);
    screen.line(&format!("{}: {word}, {}", escape(&id), words(job)))?;
    Ok(())
}

/// What a file defines.
fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let value: Value = serde_saphyr::from_str(&text)
        .map_err(|error| anyhow!("{} is neither YAML nor JSON: {error}", file.display()))?;
    match value {
        Value::Array(jobs) => Ok(jobs),
        one @ Value::Object(_) => Ok(vec![one]),
        _ => bail!(
            "{} is neither a definition nor a list of them",
            file.display()
        ),
    }
}

/// The fields that can be changed.
fn definition(job: Value) -> Map<String, Value> {
    let Value::Object(mut members) = job else {
        return Map::new();
    };
    members.retain(|name, _| !STATE.contains(&name.as_str()));
    members
}

/// A file with the definition, for an editor.
fn edited_file(id: &str, definition: &Map<String, Value>) -> anyhow::Result<PathBuf> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal for an editor; name what to change with flags");
    }
    let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let file = std::env::temp_dir().join(format!("gorgonectl-{}-{name}.json", std::process::id()));
    let text = format!("{:#}\n", Value::Object(definition.clone()));
    // Parameters may be nobody else's business.
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn edited(file: &Path) -> anyhow::Result<Map<String, Value>> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|editor| !editor.is_empty()))
        .unwrap_or_else(|| "vi".to_owned());
    // As git and crontab do: the variable may hold arguments.
    let status = Command::new("/bin/sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file)
        .status()
        .with_context(|| format!("cannot start the editor '{editor}'"))?;
    if !status.success() {
        bail!(
            "the editor '{editor}' failed; nothing was changed, what you wrote is in {}",
            file.display()
        );
    }
    let text = std::fs::read_to_string(file)?;
    serde_saphyr::from_str(&text).map_err(|error| {
        anyhow!(
            "this is not JSON, and nothing was changed: {error}; what you wrote is in {}",
            file.display()
        )
    })
}

/// What has to be said to come from one to the other.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut changes: Map<String, Value> = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        changes.insert(name.clone(), Value::Null);
    }
    changes
}

fn forget(file: Option<&Path>) {
    if let Some(file) = file {
        // One that stays behind does no harm.
        let _ = std::fs::remove_file(file);
    }
}
