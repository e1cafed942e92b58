//! `gorgonectl completion`: what makes a shell complete our words.

use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::cli::{Cli, Context};

/// Print what makes a shell complete gorgonectl's words
#[derive(clap::Args)]
#[command(after_help = "Install it for yourself:
  gorgonectl completion bash > ~/.local/share/bash-completion/completions/gorgonectl
  gorgonectl completion zsh > ~/.zfunc/_gorgonectl        # a folder of your fpath
  gorgonectl completion fish > ~/.config/fish/completions/gorgonectl.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Known,
}

/// Shells that gorgonectl can be completed in.
#[derive(Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gorgonectl", &mut script);
    context.screen.raw(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
