//! `gorgonectl man`: the manual pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, ValueHint};

use crate::cli::{Cli, Context};
use crate::manual;

/// Write the manual pages
///
/// One for gorgonectl and one for each verb, into a folder; without a folder, the one of gorgonectl
/// to the output.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl man | man -l -
  gorgonectl man ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// The folder; made if it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = unhidden(Cli::command()).disable_help_subcommand(true);
    command.build();
    match &args.dir {
        None => context.screen.raw(&manual::page(command)?.text)?,
        Some(dir) => {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            write(&command, dir)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a page shows and the short help does not.
fn unhidden(command: clap::Command) -> clap::Command {
    command
        .subcommand_help_heading("VERBS")
        .mut_args(|arg| arg.hide_short_help(false))
        .mut_subcommands(unhidden)
}

fn write(command: &clap::Command, dir: &Path) -> anyhow::Result<()> {
    let page = manual::page(command.clone())?;
    let file = dir.join(&page.file);
    fs::write(&file, page.text).with_context(|| format!("cannot write {}", file.display()))?;
    command
        .get_subcommands()
        .try_for_each(|verb| write(verb, dir))
}
