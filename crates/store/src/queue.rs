//! The queue before the writer, and the task that empties it in groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gorgone_protocol::History;
use gorgone_routing::Written;
use tokio::sync::{mpsc, oneshot};

use crate::figures::Meter;
use crate::sqlite::purge::Chunk;
use crate::sqlite::write::Writer;
use crate::{Change, Error};

/// What one transaction takes at most; a larger batch goes alone.
const GROUP_CHANGES: usize = 2_000;
const GROUP_BYTES: usize = 8 << 20;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

pub(crate) struct Batch {
    pub(crate) changes: Vec<Change>,
    pub(crate) reply: Reply<Vec<Written>>,
    /// Gives its share of the queue back when the batch is done.
    pub(crate) weight: Weight,
}

/// A share of the bytes that may wait.
pub(crate) struct Weight {
    bytes: usize,
    queued: Arc<AtomicUsize>,
}

impl Weight {
    /// Takes a share where there is room. A batch that is larger than the whole queue has room
    /// when nothing else waits.
    pub(crate) fn take(queued: &Arc<AtomicUsize>, bytes: usize, limit: usize) -> Option<Self> {
        let room = |now: usize| (now == 0 || now + bytes <= limit).then_some(now + bytes);
        queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .ok()?;
        Some(Self {
            bytes,
            queued: Arc::clone(queued),
        })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(crate) enum Job {
    Write(Batch),
    Purge(Chunk, Reply<u64>),
    Probe(Reply<()>),
    BeginLife(Reply<History>),
    /// Nothing that came later is done any more.
    Close(Reply<()>),
}

/// Runs until it is told to close or all handles are gone; what waits is written first.
pub(crate) async fn run(mut writer: Writer, mut jobs: mpsc::Receiver<Job>, meter: Arc<Meter>) {
    let mut next = None;
    loop {
        let job = match next.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => break,
            },
        };
        match job {
            Job::Write(first) => {
                let (group, other) = gather(first, &mut jobs);
                next = other;
                write(&mut writer, group, &meter).await;
            }
            Job::Purge(chunk, reply) => {
                reply.send(writer.purge(&chunk).await).ok();
            }
            Job::Probe(reply) => {
                reply.send(writer.probe().await).ok();
            }
            Job::BeginLife(reply) => {
                reply.send(writer.begin_life().await).ok();
            }
            Job::Close(reply) => {
                jobs.close();
                reply.send(writer.close().await).ok();
                return;
            }
        }
    }
    if let Err(error) = writer.close().await {
        tracing::warn!(%error, "closing the database");
    }
}

/// Takes what waits, up to the first job that is no batch.
fn gather(first: Batch, jobs: &mut mpsc::Receiver<Job>) -> (Vec<Batch>, Option<Job>) {
    let mut changes = first.changes.len();
    let mut bytes = first.weight.bytes;
    let mut group = vec![first];
    while changes < GROUP_CHANGES && bytes < GROUP_BYTES {
        match jobs.try_recv() {
            Ok(Job::Write(batch)) => {
                changes += batch.changes.len();
                bytes += batch.weight.bytes;
                group.push(batch);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// Writes a group and answers it. A batch that the database refuses takes nobody along: the
/// group is halved until the batch stands alone.
async fn write(writer: &mut Writer, group: Vec<Batch>, meter: &Meter) {
    let mut pending = vec![group];
    while let Some(mut group) = pending.pop() {
        let changes: Vec<&[Change]> = group.iter().map(|batch| &*batch.changes).collect();
        let began = Instant::now();
        let committed = writer.commit(&changes).await;
        meter.wrote(changes.len(), began.elapsed(), committed.is_ok());
        match committed {
            Ok(answers) => {
                for (batch, written) in group.into_iter().zip(answers) {
                    batch.reply.send(Ok(written)).ok();
                }
            }
            Err(error) if error.is_own_fault() && group.len() > 1 => {
                let later = group.split_off(group.len() / 2);
                pending.push(later);
                pending.push(group);
            }
            Err(error) => {
                tracing::warn!(%error, batches = group.len(), "not written");
                for batch in group {
                    batch.reply.send(Err(error.clone())).ok();
                }
            }
        }
    }
}
