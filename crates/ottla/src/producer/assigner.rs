//! Finds the partitions of records that were sent before their topic was known.
//!
//! Keeps metadata asking for the topics that records wait for, tells the accumulator what is heard of
//! them, and lets the user's partitioner choose: outside of the lock, as that is somebody else's code.
//! Owns no record and no deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ottla_codec::ErrorCode;
use tokio::time::Instant;

use super::accumulator::{Absence, Waiting};
use super::partitioner::Partitioner;
use super::sender::Context;
use crate::error::{Error, Result};
use crate::metadata::{TopicInterest, View};

pub(crate) struct Assigner {
    context: Arc<Context>,
    partitioner: Option<Arc<dyn Partitioner>>,
    /// Keeps the topics in view that records wait for, or have waited for.
    interests: BTreeMap<Arc<str>, TopicInterest>,
}

impl Assigner {
    pub(crate) fn new(context: Arc<Context>, partitioner: Option<Arc<dyn Partitioner>>) -> Self {
        Self {
            context,
            partitioner,
            interests: BTreeMap::new(),
        }
    }

    /// Moves some of the records that wait into batches, if their partitions have become known. Returns
    /// whether there are more that could move.
    pub(crate) fn assign(&mut self) -> bool {
        let context = self.context.clone();
        let metadata = &context.core.metadata;
        let topics = context.shared.with(|a| {
            // Nobody will know a topic that records have waited for in vain.
            self.interests.retain(|topic, _| a.uses_topic(topic));
            a.unassigned_topics()
        });
        let mut more = false;
        let view = metadata.view();
        for topic in topics {
            let interest = self.interests.entry(topic.clone());
            interest.or_insert_with(|| metadata.hold(&topic));
            if let Some(known) = view.topic(&topic) {
                let partitions = known.partitions().len();
                more |= self.assign_some(&topic, partitions, &view);
            } else {
                let absence = absence(&view, &topic);
                context
                    .shared
                    .with(|a| a.topic_absent(&topic, absence, Instant::now()));
                // Paced by the metadata task; its answer brings this task here again.
                metadata.request_refresh();
            }
        }
        more
    }

    fn assign_some(&self, topic: &Arc<str>, partitions: usize, view: &View) -> bool {
        let shared = &self.context.shared;
        let records = shared.with(|a| a.unassigned(topic));
        let chosen = records.into_iter().map(|record| {
            let partition = self.choose(topic, &record, partitions);
            (record, partition)
        });
        let chosen = chosen.collect();
        shared.with(|a| a.assign(topic, &view.cluster, chosen))
    }

    /// What the user's partitioner says.
    fn choose(&self, topic: &str, record: &Waiting, partitions: usize) -> Result<Option<i32>> {
        let Some(partitioner) = self
            .partitioner
            .as_ref()
            .filter(|_| !record.has_partition())
        else {
            return Ok(None);
        };
        // In a call of `send` a panic is the caller's; here it must not take the producer with it.
        let choice = || record.view(topic, |record| partitioner.partition(record, partitions));
        catch_unwind(AssertUnwindSafe(choice))
            .map_err(|_| Error::invalid_argument("the partitioner panicked"))
    }
}

impl fmt::Debug for Assigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Assigner");
        out.field("interests", &self.interests)
            .finish_non_exhaustive()
    }
}

/// Why a view lacks a topic.
fn absence(view: &View, topic: &str) -> Absence {
    let failure = view.failure(topic);
    let error = failure.map(|code| Error::about_topic("Metadata", code, topic));
    match (failure, &view.unreachable, error) {
        (Some(code), _, Some(error)) if !code.is_retriable() => Absence::Refused(error),
        (_, Some(reason), _) if !reason.is_retriable() => Absence::Refused(reason.clone()),
        (_, Some(reason), _) => Absence::Unanswered(Some(reason.clone())),
        (Some(ErrorCode::UnknownTopicOrPartition), ..) => Absence::Denied,
        (.., error) => Absence::Unanswered(error),
    }
}
