//! What `gorgone-action` does when it is started by itself: watch over what it started, and
//! change the user before a command. Both are other processes because nothing else in Rust
//! without `unsafe` can do them.
//!
//! The guard is one small process. It sleeps until the service that started it is gone, however
//! it went, and then ends the process groups that were running. It is never woken otherwise:
//! which groups run stands in a file in memory that both have open, one number per slot.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::unistd::{Uid, User, initgroups, setgid, setuid};
use rustix::process::{Pid, Signal, kill_process_group};

const GUARD: &str = "--as-guard";
const USER: &str = "--as-user";

/// Exit code of a command that could not be started as another user: what a shell gives.
const CANNOT_START: u8 = 127;

/// Does the work of a helper if the arguments of this process ask for one. Call it first in
/// `main`: nothing else of the service runs then.
#[must_use]
pub fn helper() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let kind = args.next()?;
    if kind == OsStr::new(GUARD) {
        Some(guard())
    } else if kind == OsStr::new(USER) {
        Some(as_user(args))
    } else {
        None
    }
}

/// Standard input ends with the service; standard output is the file of groups.
fn guard() -> ExitCode {
    let mut signals = SigSet::empty();
    for signal in [NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGHUP] {
        signals.add(signal);
    }
    // A signal to the whole service must not end the guard first.
    let _ = signals.thread_block();
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let Ok(groups) = io::stdout().as_fd().try_clone_to_owned().map(File::from) else {
        return ExitCode::FAILURE;
    };
    let mut cell = [0; 4];
    let mut offset = 0;
    while groups.read_exact_at(&mut cell, offset).is_ok() {
        if let Some(group) = Pid::from_raw(i32::from_ne_bytes(cell)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        offset += 4;
    }
    ExitCode::SUCCESS
}

/// Arguments: user id, directory (empty: stay), program, its arguments.
fn as_user(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(user), Some(dir), Some(program)) = (args.next(), args.next(), args.next()) else {
        return ExitCode::from(CANNOT_START);
    };
    let error = become_user(&user)
        .and_then(|()| {
            if dir.is_empty() {
                Ok(())
            } else {
                std::env::set_current_dir(&dir)
                    .map_err(|error| format!("directory {}: {error}", dir.display()))
            }
        })
        .map_or_else(
            |error| error,
            |()| {
                let error = Command::new(&program).args(args).exec();
                format!("{}: {error}", program.display())
            },
        );
    let _ = io::Write::write_all(
        &mut io::stderr(),
        format!("gorgone-action: cannot start {error}\n").as_bytes(),
    );
    ExitCode::from(CANNOT_START)
}

fn become_user(uid: &OsStr) -> Result<(), String> {
    let wrong = |what: &str| format!("as user {}: {what}", uid.display());
    let id = uid
        .to_str()
        .and_then(|text| text.parse::<u32>().ok())
        .ok_or_else(|| wrong("no such user"))?;
    let user = User::from_uid(Uid::from_raw(id))
        .ok()
        .flatten()
        .ok_or_else(|| wrong("no such user"))?;
    let name =
        std::ffi::CString::new(user.name.as_str()).map_err(|_| wrong("its name is unusable"))?;
    initgroups(&name, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| wrong(error.desc()))
}

/// A command that starts another one as a user.
pub(crate) fn user_command(
    helper: &Path,
    user: &User,
    cwd: Option<&str>,
    program: &str,
) -> Command {
    let mut command = Command::new(helper);
    command
        .arg(USER)
        .arg(user.uid.to_string())
        .arg(cwd.unwrap_or_default())
        .arg(program);
    command
}

/// The service's side of the guard.
pub(crate) struct Guard {
    groups: File,
    child: Child,
    /// Closed when the service ends, in whatever way.
    lifeline: Option<ChildStdin>,
}

impl Guard {
    pub(crate) fn start(helper: &Path) -> io::Result<Self> {
        let groups = File::from(rustix::fs::memfd_create(
            "gorgone-action-groups",
            rustix::fs::MemfdFlags::CLOEXEC,
        )?);
        let mut child = Command::new(helper)
            .arg(GUARD)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(groups.try_clone()?)
            .process_group(0)
            .spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self {
            groups,
            child,
            lifeline,
        })
    }

    /// A process group runs in this slot.
    pub(crate) fn enter(&self, slot: usize, group: i32) {
        self.write(slot, group);
    }

    /// None runs there any more. To be called before the group's leader is waited for, while
    /// its number cannot belong to anybody else.
    pub(crate) fn leave(&self, slot: usize) {
        self.write(slot, 0);
    }

    fn write(&self, slot: usize, group: i32) {
        let offset = u64::try_from(slot).unwrap_or_default() * 4;
        if let Err(error) = self.groups.write_all_at(&group.to_ne_bytes(), offset) {
            tracing::warn!(%error, "cannot note a process group for the guard");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.child.wait();
    }
}
