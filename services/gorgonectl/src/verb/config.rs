//! `gorgonectl config`: checks a configuration of gorgoned, shows the settings of gorgonectl.
//! Needs no server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueHint};
use gorgone_runtime::Service;
use gorgone_runtime::config::{Config, Place, Problem, Sources};
use serde_json::{Map, Value, json};

use crate::cli::{Context, exit};
use crate::print::table::{Cell, Table};
use crate::print::text::escape;
use crate::print::{BAD, FAINT, GOOD, HEAD, ODD};
use crate::settings::{Key, Origin, Setting, Settings};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Check a configuration of gorgoned: tells everything that is wrong, as 'gorgoned check'
    /// does
    Check {
        /// The file
        #[arg(value_name = "FILE", default_value = "config/gorgoned.yml", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Show the settings of gorgonectl that are in force, and where each comes from
    Show,
}

pub(super) fn run(context: &Context, verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Check { file } => check(context, file),
        Verb::Show => show(context),
    }
}

fn check(context: &Context, file: &Path) -> anyhow::Result<ExitCode> {
    let sources = Sources::from_environment(file.to_owned());
    let (problems, warnings) = match Config::load(&sources, Service::SUPERVISOR.checks) {
        Ok(loaded) => (loaded.left_out, loaded.warnings),
        Err(error) => (error.problems, Vec::new()),
    };
    let well = problems.is_empty();
    let screen = &context.screen;
    if screen.json() {
        let list = |all: &[Problem]| all.iter().map(as_json).collect::<Value>();
        screen.object(&json!({
            "ok": well, "problems": list(&problems), "warnings": list(&warnings),
        }))?;
        return Ok(exit::ok_if(well));
    }
    for (style, kind, all) in [(ODD, "warning:", &warnings), (BAD, "error:", &problems)] {
        for problem in all {
            let kind = screen.styled(style, kind);
            screen.line(&format!("{kind} {}", escape(&problem.to_string())))?;
        }
    }
    if well {
        screen.line(&screen.styled(GOOD, "configuration is fine"))?;
    }
    Ok(exit::ok_if(well))
}

fn as_json(problem: &Problem) -> Value {
    let mut about = Map::new();
    match &problem.place {
        Place::File { path, line, column } => {
            about.insert("file".into(), path.display().to_string().into());
            if *line > 0 {
                about.insert("line".into(), (*line).into());
                about.insert("column".into(), (*column).into());
            }
        }
        Place::Environment(name) => {
            about.insert("environment".into(), name.as_str().into());
        }
        Place::Flag(flag) => {
            about.insert("flag".into(), flag.as_str().into());
        }
    }
    if !problem.key.is_empty() {
        about.insert("key".into(), problem.key.as_str().into());
    }
    about.insert("message".into(), problem.message.as_str().into());
    about.into()
}

fn show(context: &Context) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    let screen = &context.screen;
    let set = Key::ALL
        .into_iter()
        .filter_map(|key| Some((key, settings.get(key)?)));
    let value = |key: Key, setting: &Setting| match key.is_secret() {
        true => "(secret)".to_owned(),
        false => setting.value.clone(),
    };
    if screen.json() {
        let all: Map<String, Value> = set
            .map(|(key, setting)| {
                let about = json!({
                    "value": value(key, setting), "from": setting.origin.to_string(),
                });
                (key.name().to_owned(), about)
            })
            .collect();
        let file = settings
            .file
            .as_ref()
            .map(|file| file.display().to_string());
        screen.object(&json!({
            "profile": settings.profile, "profiles": file, "settings": all,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for (key, setting) in set {
        let origin = Cell::new(setting.origin.to_string());
        table.row(vec![
            Cell::styled(HEAD, key.name()),
            Cell::new(value(key, setting)),
            match setting.origin {
                Origin::Default => origin.in_style(FAINT),
                _ => origin,
            },
        ]);
    }
    screen.table(&table)?;
    screen.line("")?;
    screen.line(&escape(&about_file(&settings)))?;
    Ok(ExitCode::SUCCESS)
}

fn about_file(settings: &Settings) -> String {
    let Some(file) = &settings.file else {
        return "there is no profile file, since there is no home".to_owned();
    };
    let shown = file.display();
    match &settings.profile {
        Some(name) => format!("profile '{name}' of {shown}"),
        None if file.exists() => format!("no profile of {shown} is used"),
        None => format!("no profile: {shown} does not exist"),
    }
}
