//! What the manual pages and the long help say beside the flags.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// What each exit code means.
const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "it went well"),
    (
        "N",
        "'command': the exit code of the command; 128 and the number of the signal that ended it",
    ),
    ("1", "an error, or the request ended KO"),
    ("2", "the command line cannot be understood"),
    ("124", "'command': it ran longer than it may"),
    ("130", "Ctrl-C ended the waiting"),
    ("141", "'command': nobody reads the output any more"),
];

/// Beside the settings, which have a variable each.
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "GORGONECTL_…",
        "one variable for each setting, as the flags tell; flags win",
    ),
    ("NO_COLOR", "no colour, unless --color says otherwise"),
    ("TZ", "the time zone of the times that are shown and read"),
];

const FILES: &[(&str, &str)] = &[(
    "~/.config/gorgone/ctl.yml",
    "profiles; $XDG_CONFIG_HOME instead of ~/.config where it is set",
)];

/// Behind the long help.
pub(crate) fn after_help() -> String {
    let mut help = String::new();
    for (title, entries) in [
        ("Exit codes", EXIT_CODES),
        ("Environment", ENVIRONMENT),
        ("Files", FILES),
    ] {
        let widest = entries.iter().map(|(name, _)| name.chars().count()).max();
        help.push_str(&format!("{title}:\n"));
        for (name, words) in entries {
            let width = widest.unwrap_or(0);
            help.push_str(&format!("  {name:width$}  {words}\n"));
        }
        help.push('\n');
    }
    help.push_str("A profile file:\n");
    for line in PROFILE.lines() {
        help.push_str(&format!("  {line}\n"));
    }
    help
}

const PROFILE: &str = "\
default: central
profiles:
  central:
    server: tcp://central.example:5555
    server_key: central.pem
    key: privkey.pem
  web:
    server: https://central.example:8443
    login: admin
    password_file: password
    ca_file: ca.pem";

/// A manual page.
pub(crate) struct Page {
    /// The name of its file.
    pub(crate) file: String,
    pub(crate) text: String,
}

/// The page of gorgonectl, or of one of its verbs.
///
/// # Errors
/// When it cannot be written into memory, which does not happen.
pub(crate) fn page(command: Command) -> anyhow::Result<Page> {
    let whole = command.has_subcommands();
    let top = command.get_name() == "gorgonectl";
    let examples = command.get_after_help().map(ToString::to_string);
    let has_options = command.get_arguments().next().is_some();
    let page = Man::new(command)
        .manual("Gorgone")
        .source(format!("gorgone {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    if whole {
        page.render_subcommands_section(&mut text)?;
    }
    if has_options {
        page.render_options_section(&mut text)?;
    }
    if top {
        list("EXIT STATUS", EXIT_CODES, &mut text)?;
        list("ENVIRONMENT", ENVIRONMENT, &mut text)?;
        list("FILES", FILES, &mut text)?;
        literal(PROFILE, &mut text)?;
    } else if let Some((title, examples)) =
        examples.as_deref().and_then(|all| all.split_once(":\n"))
    {
        section(&title.to_uppercase(), &mut text)?;
        literal(examples, &mut text)?;
    }
    Ok(Page {
        file: page.get_filename(),
        text: String::from_utf8(text)?,
    })
}

fn section(title: &str, into: &mut Vec<u8>) -> io::Result<()> {
    Roff::new().control("SH", [title]).to_writer(into)
}

fn list(title: &str, entries: &[(&str, &str)], into: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (name, words) in entries {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*words)]);
    }
    roff.to_writer(into)
}

/// Lines that stay as they are.
fn literal(lines: &str, into: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("PP", []);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(into)
}
