//! The handle that everybody has.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gorgone_protocol::request::audit::{AuditPage, GetAudit};
use gorgone_protocol::request::state::{GetState, StatePage};
use gorgone_protocol::request::targets::{GetTargets, Targets};
use gorgone_protocol::{History, Mark, NodeId, Token};
use gorgone_routing::{EndedPart, StoredLease, Task, Written};
use gorgone_session::StoredSession;
use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot};

use crate::change::column_id;
use crate::figures::{Figures, Meter};
use crate::history::{Filter, Page};
use crate::queue::{self, Batch, Job, Weight};
use crate::sqlite::purge::{Chunk, Cursor};
use crate::sqlite::write::Writer;
use crate::sqlite::{audit, open, read, state, targets};
use crate::{Change, Error, OpenError, SyncMark};

/// Where the database is, and its bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// The SQLite file; created where it is missing, in a directory that exists.
    pub path: PathBuf,
    /// How long a lock that another program holds is waited for, until [`Error::Locked`].
    pub lock_timeout: Duration,
    /// How many batches may wait for the writer, until [`Error::Busy`].
    pub queue_batches: usize,
    /// How many bytes they may have together, until [`Error::Busy`].
    pub queue_bytes: usize,
    /// How many reads run at once; each has a thread and a cache of 2 MB.
    pub readers: u32,
    /// How long a read waits for its turn, until [`Error::Busy`].
    pub read_timeout: Duration,
    /// How large the database may become, until [`Error::Full`]. Nothing: as the disk allows.
    pub max_bytes: Option<u64>,
}

impl Options {
    /// The defaults for a file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            lock_timeout: Duration::from_secs(1),
            queue_batches: 16_384,
            queue_bytes: 128 << 20,
            readers: 2,
            read_timeout: Duration::from_secs(5),
            max_bytes: None,
        }
    }
}

/// What is known of a token that was accepted once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskStatus {
    /// It has not ended.
    Live(Box<Task>),
    /// It has.
    Finished {
        /// When, in seconds since 1970.
        at: i64,
    },
}

/// What is known of a token of a request to many nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetsOf {
    /// No request with it was ever accepted, or it was purged since.
    Unknown,
    /// The request went to one node.
    Single,
    /// How far it is on each of them.
    Many(Targets),
}

/// How much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Rows of the history.
    pub rows: u64,
    /// Tasks, ended ones included.
    pub tasks: u64,
    /// Tasks that have not ended.
    pub live_tasks: u64,
    /// Sessions.
    pub sessions: u64,
    /// Nodes.
    pub nodes: u64,
    /// Size of the database without its write-ahead log.
    pub bytes: u64,
}

/// From when on things are kept; seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PurgeOptions {
    /// Rows that were stored before, and tasks that ended before, go. Rows of a task that has
    /// not ended stay, however old.
    pub history_before: i64,
    /// Sessions whose peer was last heard before go.
    pub sessions_before: i64,
    /// Rows of the audit that were written before go.
    pub audit_before: i64,
    /// So many rows of the audit stay at most: the oldest go first.
    pub audit_rows: u64,
}

impl Default for PurgeOptions {
    /// Everything stays.
    fn default() -> Self {
        Self {
            history_before: i64::MIN,
            sessions_before: i64::MIN,
            audit_before: i64::MIN,
            audit_rows: u64::MAX,
        }
    }
}

/// What a purge deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purged {
    /// Rows of the history.
    pub rows: u64,
    /// Tasks that had ended.
    pub tasks: u64,
    /// Sessions.
    pub sessions: u64,
    /// Rows of the audit.
    pub audit: u64,
}

/// A database that is open. Cheap to clone; the last handle that is dropped closes it.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    queued: Arc<AtomicUsize>,
    queue_bytes: usize,
    meter: Arc<Meter>,
    readers: SqlitePool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database, creates it where it is missing, and brings it to the newest schema.
    /// Needs a tokio runtime, in which the writer then lives.
    ///
    /// # Errors
    /// What is wrong, where, and how to mend it.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let (connect, connection) = open::open(&options).await?;
        let readers = read::pool(&options, connect.clone());
        let (jobs, waiting) = mpsc::channel(options.queue_batches.max(1));
        let meter = Arc::<Meter>::default();
        let writer = Writer::new(connect, connection);
        tokio::spawn(queue::run(writer, waiting, Arc::clone(&meter)));
        Ok(Self {
            jobs,
            queued: Arc::default(),
            queue_bytes: options.queue_bytes,
            meter,
            readers,
        })
    }

    /// Writes a batch, whole or not at all. It is queued before this returns, so batches are
    /// written in the order of the calls; when the future is ready with `Ok`, it is on disk.
    /// Dropping the future does not take the batch back.
    ///
    /// # Errors
    /// [`Error::Busy`] at once where the queue is full; else what the database says. Nothing of
    /// the batch was written, and the next one may succeed: the store recovers by itself.
    pub fn write(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<Vec<Written>, Error>> + Send + 'static + use<> {
        let queued = self.enqueue(changes);
        async move { queued?.await.map_err(|_| Error::Closed)? }
    }

    /// What was written since the store was opened.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.meter.figures(self.queued.load(Ordering::Relaxed))
    }

    fn enqueue(
        &self,
        changes: Vec<Change>,
    ) -> Result<oneshot::Receiver<Result<Vec<Written>, Error>>, Error> {
        let bytes = changes.iter().map(Change::size).sum();
        let weight = Weight::take(&self.queued, bytes, self.queue_bytes).ok_or(Error::Busy)?;
        let (reply, answer) = oneshot::channel();
        let batch = Batch {
            changes,
            reply,
            weight,
        };
        self.jobs
            .try_send(Job::Write(batch))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::Busy,
                mpsc::error::TrySendError::Closed(_) => Error::Closed,
            })?;
        Ok(answer)
    }

    async fn job<T>(&self, job: impl FnOnce(queue::Reply<T>) -> Job) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(job(reply))
            .await
            .map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Rows of the history, in the order of their ids, bounded in number and bytes.
    ///
    /// # Errors
    /// What the database says.
    pub async fn history(&self, filter: &Filter) -> Result<Page, Error> {
        read::history(&self.readers, filter).await
    }

    /// All tasks that have not ended, in the order of their acceptance.
    ///
    /// # Errors
    /// What the database says.
    pub async fn live_tasks(&self) -> Result<Vec<Task>, Error> {
        read::live_tasks(&self.readers).await
    }

    /// Parts that have ended, of tasks to many nodes that have not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ended_parts(&self) -> Result<Vec<EndedPart>, Error> {
        targets::ended_parts(&self.readers).await
    }

    /// How far a request to many nodes is on each of them: a page of these.
    ///
    /// # Errors
    /// What the database says.
    pub async fn targets(&self, asked: &GetTargets) -> Result<TargetsOf, Error> {
        targets::read(&self.readers, asked).await
    }

    /// What is known of a token; `None` when no request with it was ever accepted, or when it
    /// was purged since.
    ///
    /// # Errors
    /// What the database says.
    pub async fn task(&self, token: &Token) -> Result<Option<TaskStatus>, Error> {
        read::task(&self.readers, token.as_str()).await
    }

    /// All sessions, oldest first. What an older gorgoned left without a key's owner is not
    /// among them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sessions(&self) -> Result<Vec<StoredSession>, Error> {
        read::sessions(&self.readers).await
    }

    /// The definitions of all nodes (JSON text), in the order of their ids.
    ///
    /// # Errors
    /// What the database says.
    pub async fn nodes(&self) -> Result<Vec<String>, Error> {
        read::nodes(&self.readers).await
    }

    /// Who acts for each kind of module, as it was written down last.
    ///
    /// # Errors
    /// What the database says.
    pub async fn leases(&self) -> Result<Vec<StoredLease>, Error> {
        state::leases(&self.readers).await
    }

    /// What modules keep: a page, sorted by key, bounded in number and bytes.
    ///
    /// # Errors
    /// What the database says.
    pub async fn state(&self, keys: &GetState) -> Result<StatePage, Error> {
        state::page(&self.readers, keys).await
    }

    /// Rows of the audit, in the order of their ids, bounded in number and bytes, and in how
    /// many rows are looked at: a page may be empty and say where the next one begins.
    ///
    /// # Errors
    /// What the database says.
    pub async fn audit(&self, filter: &GetAudit) -> Result<AuditPage, Error> {
        audit::read(&self.readers, filter).await
    }

    /// How far a node's log was synchronised. Written with [`Change::Mark`], in one batch with
    /// the rows that it counts.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sync_mark(&self, node: NodeId) -> Result<Option<SyncMark>, Error> {
        let mark = read::mark(&self.readers, column_id(node)?).await?;
        Ok(mark.map(|columns| SyncMark::from_columns(node, columns)))
    }

    /// How far the logs of all nodes were synchronised.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sync_marks(&self) -> Result<Vec<(NodeId, Mark)>, Error> {
        let marks = read::marks(&self.readers).await?.into_iter();
        let marks =
            marks.filter_map(|(id, mark)| Some((NodeId::new(u64::try_from(id).ok()?), mark)));
        Ok(marks.collect())
    }

    /// Begins another life of the history: whoever opens the database to write rows does so
    /// once, before the first row. See [`History`].
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin_life(&self) -> Result<History, Error> {
        self.job(Job::BeginLife).await
    }

    /// How much there is. Counts whole tables: for a person who asks, not for every second.
    ///
    /// # Errors
    /// What the database says.
    pub async fn stats(&self) -> Result<Stats, Error> {
        read::stats(&self.readers).await
    }

    /// Whether the database can be written, by writing to it behind all that waits.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), Error> {
        self.job(Job::Probe).await
    }

    /// Deletes what is old, in small transactions between which other writes go on. Space
    /// becomes free inside the file, which does not shrink: the next rows use it, and moving
    /// the file's tail would cost writes just when there are many.
    ///
    /// # Errors
    /// What the database says; what was deleted before stays deleted.
    pub async fn purge(&self, options: PurgeOptions) -> Result<Purged, Error> {
        let mut purged = Purged::default();
        let before = options.history_before;
        let mut from = Cursor::START;
        while let Some(to) = from.next(&self.readers, before).await? {
            purged.rows += self.delete(Chunk::Rows { from, to }).await?;
            from = to;
        }
        purged.tasks = self.delete_all(Chunk::Tasks { before }).await?;
        let before = options.sessions_before;
        purged.sessions = self.delete_all(Chunk::Sessions { before }).await?;
        self.delete_all(Chunk::Identities { before }).await?;
        let before = options.audit_before;
        purged.audit = self.delete_all(Chunk::Audit { before }).await?;
        let keep = i64::try_from(options.audit_rows).unwrap_or(i64::MAX);
        purged.audit += self.delete_all(Chunk::AuditBeyond { keep }).await?;
        Ok(purged)
    }

    async fn delete(&self, chunk: Chunk) -> Result<u64, Error> {
        self.job(|reply| Job::Purge(chunk, reply)).await
    }

    async fn delete_all(&self, chunk: Chunk) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            match self.delete(chunk).await? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }

    /// Writes what waits, moves everything into the one file, and closes it. Other handles get
    /// [`Error::Closed`] from then on.
    ///
    /// # Errors
    /// What the database says; what was acknowledged is safe even so.
    pub async fn close(self) -> Result<(), Error> {
        // Readers first: the last connection that is closed removes the write-ahead log.
        self.readers.close().await;
        self.job(Job::Close).await
    }
}
