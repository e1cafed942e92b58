//! Follows the file that lists nodes: module `register`, `config_file`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use gorgone_runtime::Context;
use gorgone_runtime::config::read_nodes;

use crate::beside::{Done, DoneSender};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How often it is said again, so that what could not be written is written in the end.
const AGAIN: u32 = 30;

/// Which state of the file was read.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    /// When it was written last, and how long it is; none where it cannot be looked at.
    state: Option<(SystemTime, u64)>,
}

/// Runs until shutdown begins. A file that is wrong is told once, and changes nothing.
pub(crate) async fn run(done: DoneSender, context: Context) {
    let stop = context.shutdown.token();
    let mut seen = None;
    let mut taken = None;
    let mut rounds = 0;
    loop {
        let register = context.config().modules.register.clone();
        // Without a file what it listed stays, until there is one that does not list it.
        if let Some(path) = register.config_file.filter(|_| register.enable) {
            let now = Some(look(path).await);
            let new = taken != now;
            // Whoever is writing it is given the time to finish.
            let at_rest = seen == now || seen.is_none();
            rounds += 1;
            if at_rest && (new || rounds >= AGAIN) {
                rounds = 0;
                if let Some(now) = &now {
                    read(now, new, &done).await;
                }
                taken.clone_from(&now);
            }
            seen = now;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn look(path: PathBuf) -> Seen {
    let about = tokio::fs::metadata(&path).await;
    let state = about
        .ok()
        .and_then(|about| Some((about.modified().ok()?, about.len())));
    Seen { path, state }
}

async fn read(seen: &Seen, tell: bool, done: &DoneSender) {
    let path = seen.path.clone();
    let read = tokio::task::spawn_blocking(move || read_nodes(&path)).await;
    match read {
        Ok(Ok(nodes)) => {
            if tell {
                tracing::info!(file = %seen.path.display(), nodes = nodes.len(), "nodes listed");
            }
            // An error is a loop that has ended.
            let _ = done.send(Done::FileOfNodes(nodes));
        }
        Ok(Err(error)) if tell => {
            for problem in &error.problems {
                tracing::error!("{problem}");
            }
            tracing::error!("the nodes stay as they are until the file is mended");
        }
        Ok(Err(_)) => {}
        Err(error) => tracing::error!(%error, "the list of nodes could not be read"),
    }
}
