//! Processing records beside each other: bounded, in order, with commits that follow what is done.
//!
//! A [`Processor`] runs a handler for each record that a [`Consumer`](crate::Consumer) of a group reads, and sees to
//! what is hard about that: order by key, commits that pass nothing unfinished, records that fail, partitions that come
//! and go. It stands on what anybody can call: batches, `pause`, `seek`, `commit` and the listener for rebalances; the
//! consumer knows nothing of it.
//!
//! ```text
//! run: consumer.next -> partition.take -> lanes (order) -> attempts (a task per record) -> partition.settle
//!      -> watermark (what can be committed) -> consumer.commit, at an interval and before a partition goes
//! ```
//!
//! What decides is without I/O: `watermark`, `lanes`, and of a partition as a whole `partition`.

mod attempts;
mod dead_letters;
mod events;
mod failure;
mod lanes;
mod partition;
mod processor;
mod run;
mod watermark;

pub use dead_letters::DeadLetters;
pub use events::{ProcessorEvent, ProcessorHandle, ProcessorMetrics, StopReason};
pub use failure::{Failure, FailureCause, Verdict};
pub use processor::{ProcessingOrder, Processor};
