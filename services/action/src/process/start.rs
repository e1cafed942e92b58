//! Starting a process.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::{Uid, User};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::helper::user_command;
use crate::policy::{Plan, Program};

/// A process that cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("there is no user '{0}'")]
    NoUser(String),
    #[error("cannot run as user '{0}': gorgone-action does not run as root")]
    NotRoot(String),
    #[error("cannot run as user '{0}': gorgone-action does not find its own program")]
    NoHelper(String),
    #[error("working directory '{dir}': {error}")]
    Cwd { dir: String, error: io::Error },
    #[error("cannot start '{program}': {error}")]
    Program { program: String, error: io::Error },
    #[error("cannot watch the process: {0}")]
    Watch(io::Error),
}

impl StartError {
    /// Whether the request asks for what may not be, rather than for what failed today.
    pub(crate) const fn is_rejection(&self) -> bool {
        matches!(self, Self::NoUser(_) | Self::NotRoot(_) | Self::NoHelper(_))
    }
}

/// A process, leader of a group of its own, with what it writes.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) group: Pid,
    /// Readable once the process ended.
    pub(crate) pidfd: OwnedFd,
    pub(crate) out: Option<OwnedFd>,
    pub(crate) err: Option<OwnedFd>,
}

/// Variables that are the daemon's own business: overrides of its configuration may be
/// secrets, and the rest would make a child believe that it is the service.
const OWN_VARIABLES: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "RUST_LOG",
];

fn is_own(name: &str) -> bool {
    name.starts_with("GORGONE_") || name.starts_with("OTEL_") || OWN_VARIABLES.contains(&name)
}

/// Starts what was planned. Nothing is inherited but the environment without the daemon's own
/// variables; standard input is empty.
pub(crate) fn start(plan: &Plan, helper: Option<&Path>) -> Result<Running, StartError> {
    let user = plan.user.as_deref().map(wanted_user).transpose()?.flatten();
    let (program, args): (&str, Vec<&str>) = match &plan.program {
        // The `--` keeps a line that begins with a dash from being read as an option.
        Program::Shell(line) if line.starts_with(['-', '+']) => ("/bin/sh", vec!["-c", "--", line]),
        Program::Shell(line) => ("/bin/sh", vec!["-c", line]),
        Program::Argv(argv) => match argv.split_first() {
            Some((program, args)) => (program, args.iter().map(String::as_str).collect()),
            None => ("", Vec::new()),
        },
    };
    let mut command = match (&user, helper) {
        (None, _) => Command::new(program),
        (Some(user), Some(helper)) => user_command(helper, user, plan.cwd.as_deref(), program),
        (Some(user), None) => return Err(StartError::NoHelper(user.name.clone())),
    };
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_own) {
            command.env_remove(name);
        }
    }
    if let Some(user) = &user {
        command
            .env("HOME", &user.dir)
            .env("USER", &user.name)
            .env("LOGNAME", &user.name);
    } else if let Some(dir) = &plan.cwd {
        command.current_dir(dir);
    }
    command.envs(&plan.env);
    let mut child = command
        .spawn()
        .map_err(|error| explain(error, program, plan.cwd.as_deref()))?;
    let watch = || StartError::Watch(io::ErrorKind::NotFound.into());
    let out = child.stdout.take().map(OwnedFd::from);
    let err = child.stderr.take().map(OwnedFd::from);
    let group = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(watch)?;
    match pidfd_open(group, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Running {
            child,
            group,
            pidfd,
            out,
            err,
        }),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(StartError::Watch(error.into()))
        }
    }
}

/// The user to change to; none where it is who we are.
fn wanted_user(name: &str) -> Result<Option<User>, StartError> {
    let found = match name.parse::<u32>() {
        Ok(id) => User::from_uid(Uid::from_raw(id)),
        Err(_) => User::from_name(name),
    };
    let user = found
        .ok()
        .flatten()
        .ok_or_else(|| StartError::NoUser(name.to_owned()))?;
    let own = Uid::effective();
    if user.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        return Err(StartError::NotRoot(name.to_owned()));
    }
    Ok(Some(user))
}

/// The system says the same for a directory and a program that are not there.
fn explain(error: io::Error, program: &str, cwd: Option<&str>) -> StartError {
    if let Some(dir) = cwd {
        let path = PathBuf::from(dir);
        let wrong = match std::fs::metadata(&path) {
            Err(error) => Some(error),
            Ok(found) if !found.is_dir() => Some(io::ErrorKind::NotADirectory.into()),
            Ok(_) => None,
        };
        if let Some(error) = wrong {
            return StartError::Cwd {
                dir: dir.to_owned(),
                error,
            };
        }
    }
    StartError::Program {
        program: program.to_owned(),
        error,
    }
}
