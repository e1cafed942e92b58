//! Deletes what is old: history and ended tasks, sessions of peers that went silent, and the
//! audit.

use std::time::Duration;

use gorgone_runtime::Context;
use gorgone_store::{PurgeOptions, Store};

/// How often it looks. Small enough that a purge never has much to do.
const EVERY: Duration = Duration::from_secs(600);

/// Runs until shutdown begins.
pub(crate) async fn run(store: Store, context: Context) {
    let stop = context.shutdown.token();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let config = context.config();
        let (cleaner, audit) = (&config.modules.dbcleaner, &config.core.audit);
        let now = context.clock.now().unix();
        let before = |age: Duration| now - i64::try_from(age.as_secs()).unwrap_or(now);
        let options = PurgeOptions {
            history_before: if cleaner.enable {
                before(cleaner.purge_history_time)
            } else {
                i64::MIN
            },
            sessions_before: before(cleaner.purge_sessions_time),
            audit_before: before(audit.keep),
            audit_rows: audit.max_rows,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            purged = store.purge(options) => match purged {
                Ok(purged) => tracing::debug!(?purged, "purged"),
                Err(error) => tracing::warn!(%error, "could not purge; tried again later"),
            }
        }
    }
}
