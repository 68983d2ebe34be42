//! What a processor tells of its work: events as they happen, and counters.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ottla_cluster::TopicPartition;
use tokio::time::Instant;

use super::failure::Failure;
use crate::error::Error;
use crate::record::RecordMetadata;

/// Something that whoever runs a [`Processor`](crate::Processor) may have to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessorEvent {
    /// A record was skipped, by the verdict on it.
    Skipped(Failure),
    /// A record was written to a topic for dead letters, by the verdict on it.
    DeadLettered {
        /// The record, and what was wrong with it.
        failure: Failure,
        /// Where it is now.
        written: RecordMetadata,
    },
    /// A partition is stopped and paused; others go on. It goes on when it is [resumed](crate::ConsumerHandle::resume): at
    /// its oldest record that is not done, or wherever a [seek](crate::ConsumerHandle::seek) has led since. What is still being
    /// handled of it then is dropped, and comes again unless the seek has passed it.
    Stopped {
        /// The partition.
        partition: TopicPartition,
        /// Nothing from this offset on is committed; `None` if it never had a position. Records before it may still be at
        /// work: if one of them fails as well, this is told again, with the offset of that one.
        offset: Option<i64>,
        /// Why.
        reason: StopReason,
    },
    /// Handlers were dropped before they were done, because their partition is this consumer's no longer or time was up. Their
    /// records come again.
    Abandoned {
        /// The partition.
        partition: TopicPartition,
        /// The records' offsets.
        offsets: Vec<i64>,
    },
    /// A commit failed. What it was to commit is committed with the next one, unless its partitions are gone.
    CommitFailed(Error),
    /// The consumer reports something that it gets over by itself, see [`Consumer::next`](crate::Consumer::next).
    Reading(Error),
}

/// Why a partition is stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// A record failed, and the verdict was to stop.
    Failed(Failure),
    /// A record failed, and its dead letter could not be written; it may be there all the same, see
    /// [`possibly_written`](crate::Error::possibly_written).
    NotDeadLettered {
        /// The record, and what was wrong with it.
        failure: Failure,
        /// What is wrong with the letter.
        error: Error,
    },
    /// A record failed, and whoever was to decide what becomes of it panicked, with this message.
    Undecided(String),
    /// Its records cannot be read.
    Unreadable(Error),
}

/// What a processor has done and is doing, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessorMetrics {
    /// Records that were handled without an error.
    pub processed: u64,
    /// Attempts beyond the first one, of records with an outcome.
    pub retries: u64,
    /// Records that were skipped.
    pub skipped: u64,
    /// Records that were written to a topic for dead letters.
    pub dead_lettered: u64,
    /// Records whose handlers were dropped before they were done.
    pub abandoned: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// Records that are being handled, those between two attempts included.
    pub in_flight: usize,
    /// Since when the record has been in flight that has been for the longest. One that grows old is a handler that is
    /// stuck, if it blocks its thread even beyond the [`attempt_timeout`](crate::Processor::attempt_timeout).
    pub oldest: Option<Instant>,
    /// The partitions that are stopped; once the processor has ended, those that were when it began to. Whoever is to be
    /// alarmed looks here, or listens to [`Stopped`](ProcessorEvent::Stopped): nothing else ends because of them.
    pub stopped: BTreeSet<TopicPartition>,
}

/// Looks at a [`Processor`](crate::Processor) that runs, from any task.
#[derive(Clone, Debug, Default)]
pub struct ProcessorHandle {
    metrics: Arc<Mutex<ProcessorMetrics>>,
}

impl ProcessorHandle {
    /// What it has done and is doing, at this moment.
    pub fn metrics(&self) -> ProcessorMetrics {
        self.with(|metrics| metrics.clone())
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut ProcessorMetrics) -> T) -> T {
        look(&mut self.metrics.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.cause.fmt(f),
            Self::NotDeadLettered { failure, error } => {
                write!(
                    f,
                    "{}; writing its dead letter failed: {error}",
                    failure.cause
                )
            }
            Self::Undecided(message) => write!(f, "deciding about a failure panicked: {message}"),
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}
