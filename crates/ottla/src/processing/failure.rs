//! A record whose handling failed, and what is to become of it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::dead_letters::DeadLetters;
use crate::consumer::ConsumedRecord;

/// What handlers fail with: any error.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// A record whose handling failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The record.
    pub record: ConsumedRecord,
    /// How often it was handed to the handler since it was read, this time included.
    pub attempts: u32,
    /// What went wrong the last time.
    pub cause: FailureCause,
}

/// What went wrong with a record.
#[derive(Debug)]
#[non_exhaustive]
pub enum FailureCause {
    /// The handler's error.
    Error(Box<dyn StdError + Send + Sync>),
    /// The handler panicked, with this message.
    Panicked(String),
    /// The handler was not done within the [`attempt_timeout`](crate::Processor::attempt_timeout), and was dropped.
    TimedOut(Duration),
}

/// What is to become of a record whose handling failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It is handled again after a while, see [`retry_backoff`](crate::Processor::retry_backoff). Meanwhile it keeps its
    /// place: what is to follow it in order waits.
    Retry,
    /// It counts as done.
    Skip,
    /// It is written to another topic, and done once that is acknowledged. If that fails, its partition stops.
    DeadLetter(DeadLetters),
    /// Its partition [stops](crate::ProcessorEvent::Stopped) here, and others go on. What came before it is committed; it and
    /// what follows come again to whoever has the partition next: another member, or this one when it has it anew or
    /// resumes it.
    Stop,
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked(message) => write!(f, "the handler panicked: {message}"),
            Self::TimedOut(after) => write!(f, "the handler was not done within {after:?}"),
        }
    }
}
