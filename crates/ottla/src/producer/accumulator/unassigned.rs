//! Records of topics whose partitions are not known yet.
//!
//! They count as taken in: they hold memory, have a delivery to await and a delivery deadline. Once
//! their topic is known they move into the batches of their partitions, in the order in which they came
//! and before any later record of the topic, which until then waits behind them.
//!
//! Owns their order and how long they wait. Refuses to know how metadata is got, and runs no partitioner:
//! both are the [`assigner`](crate::producer::assigner)'s.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeBounds;
use std::sync::Arc;

use ottla_cluster::Cluster;
use ottla_codec::records::BATCH_HEADER_LEN;
use tokio::time::Instant;

use super::append::Admission;
use super::memory::Ticket;
use super::state::{Accumulator, Limits, Now};
use crate::error::{Error, ErrorKind, Result};
use crate::producer::delivery::{Delivery, Outcome};
use crate::record::{Header, Record};

/// What a record holds besides its bytes, and the header of the batch that it may have to open.
const OVERHEAD: usize =
    BATCH_HEADER_LEN + size_of::<Waiting>() + size_of::<Outcome>() + 4 * size_of::<usize>();

/// How many bytes of the budget move into batches at a time: what is done under the lock is short.
const SLICE: usize = 64 * 1024;

/// A record that waits for the partitions of its topic to be known.
#[derive(Debug)]
pub(crate) struct Waiting {
    serial: u64,
    admitted: Now,
    partition: Option<i32>,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: Box<[OwnedHeader]>,
    timestamp: i64,
    outcome: Arc<Outcome>,
    /// Bytes of the budget it holds.
    charge: usize,
}

type OwnedHeader = (Box<str>, Option<Box<[u8]>>);

/// A record that waits no more, and why.
type Failed = (Arc<Waiting>, Error);

impl Waiting {
    /// Shows the record as it was sent.
    pub(crate) fn view<T>(&self, topic: &str, to: impl FnOnce(&Record<'_>) -> T) -> T {
        let headers = self.headers.iter().map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        });
        to(&Record {
            topic,
            partition: self.partition,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers.collect::<Vec<_>>(),
            timestamp: Some(self.timestamp),
        })
    }

    /// Whether its partition was given with it.
    pub(crate) fn has_partition(&self) -> bool {
        self.partition.is_some()
    }

    fn deadline(&self, limits: &Limits) -> Instant {
        self.admitted.instant + limits.delivery_timeout
    }
}

/// Why the partitions of a topic are not known.
#[derive(Clone, Debug)]
pub(crate) enum Absence {
    /// Nobody has said anything about it, for this reason if there is one.
    Unanswered(Option<Error>),
    /// Brokers do not know the topic. It may have been created just now.
    Denied,
    /// They never will be.
    Refused(Error),
}

/// The records that wait, by topic. A topic without any is not there.
#[derive(Debug, Default)]
pub(super) struct Unassigned {
    queues: BTreeMap<Arc<str>, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Arc<Waiting>>,
    /// Where the topic is among all, once the first of its records have moved.
    topic: Option<usize>,
    /// Since when brokers have denied knowing the topic.
    denied: Option<Instant>,
    /// What stands in the way.
    reason: Option<Error>,
}

impl Queue {
    fn first_deadline(&self, limits: &Limits) -> Option<Instant> {
        let oldest = self.records.front();
        let expiry = oldest.map(|record| record.deadline(limits));
        expiry.into_iter().chain(self.given_up(limits)).min()
    }

    /// When brokers have denied knowing the topic for long enough.
    fn given_up(&self, limits: &Limits) -> Option<Instant> {
        self.denied
            .map(|since| since + limits.unknown_topic_timeout)
    }

    /// Takes records out.
    fn fail(
        &mut self,
        range: impl RangeBounds<usize>,
        error: &Error,
    ) -> impl Iterator<Item = Failed> {
        let records = self.records.drain(range);
        records.map(|record| (record, error.clone()))
    }
}

impl Unassigned {
    pub(super) fn has(&self, topic: &str) -> bool {
        self.queues.contains_key(topic)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(|queue| queue.records.len()).sum()
    }

    /// The serial of the oldest record.
    pub(super) fn first_serial(&self) -> Option<u64> {
        let oldest = self.queues.values().filter_map(|q| q.records.front());
        oldest.map(|record| record.serial).min()
    }

    /// When the first record fails, unless its topic becomes known.
    pub(super) fn first_deadline(&self, limits: &Limits) -> Option<Instant> {
        let queues = self.queues.values();
        queues.filter_map(|q| q.first_deadline(limits)).min()
    }

    /// Takes out what has waited too long.
    fn expire(&mut self, now: Instant, limits: &Limits) -> Vec<Failed> {
        let mut failed = Vec::new();
        for (topic, queue) in &mut self.queues {
            if queue.given_up(limits).is_some_and(|at| at <= now) {
                failed.extend(queue.fail(.., &unknown(topic)));
            }
            let expired = queue.records.partition_point(|r| r.deadline(limits) <= now);
            let error = limits.expired(queue.reason.as_ref());
            failed.extend(queue.fail(..expired, &error));
        }
        failed
    }
}

impl Accumulator {
    /// Takes in a record of a topic whose partitions are not known; `None` if they have become known.
    ///
    /// # Errors
    /// The record can never be taken in.
    pub(crate) fn put_aside(
        &mut self,
        record: &Record<'_>,
        ticket: Option<Ticket>,
        now: Now,
    ) -> Result<Option<Admission>> {
        if self.by_name.contains_key(record.topic) {
            return Ok(None);
        }
        if let Some(reason) = &self.closed {
            return Err(reason.clone());
        }
        let headers = record.headers.len() * size_of::<OwnedHeader>();
        let charge = self.size(record)? + headers + OVERHEAD;
        if !self.memory.is_next(ticket) {
            return Ok(Some(Admission::Full));
        }
        if !self.memory.take(charge) {
            self.relieve_any();
            return Ok(Some(Admission::Full));
        }
        let headers = record.headers.iter();
        let headers = headers.map(|header| (header.key.into(), header.value.map(Box::from)));
        let outcome = Outcome::new();
        let waiting = Waiting {
            serial: self.take_serial(),
            admitted: now,
            partition: record.partition,
            key: record.key.map(Box::from),
            value: record.value.map(Box::from),
            headers: headers.collect(),
            timestamp: record.timestamp.unwrap_or(now.wall_ms),
            outcome: outcome.clone(),
            charge,
        };
        let queues = &mut self.unassigned.queues;
        match queues.get_mut(record.topic) {
            Some(queue) => queue.records.push_back(Arc::new(waiting)),
            None => {
                let queue = queues.entry(Arc::from(record.topic)).or_default();
                queue.records.push_back(Arc::new(waiting));
                self.upkeep.notify_one();
            }
        }
        self.expire_from(now.instant + self.limits.delivery_timeout);
        self.admitted(ticket);
        Ok(Some(Admission::Admitted(Delivery::new(outcome, 0))))
    }

    /// The topics that records wait for.
    pub(crate) fn unassigned_topics(&self) -> Vec<Arc<str>> {
        self.unassigned.queues.keys().cloned().collect()
    }

    /// Whether records of a topic are in, or can be appended.
    pub(crate) fn uses_topic(&self, topic: &str) -> bool {
        self.by_name.contains_key(topic) || self.unassigned.has(topic)
    }

    /// The oldest records that wait for a topic, as many as are to be assigned at a time.
    pub(crate) fn unassigned(&self, topic: &str) -> Vec<Arc<Waiting>> {
        let Some(queue) = self.unassigned.queues.get(topic) else {
            return Vec::new();
        };
        let mut bytes = 0;
        let slice = queue.records.iter().take_while(|record| {
            let fits = bytes < SLICE;
            bytes += record.charge;
            fits
        });
        slice.cloned().collect()
    }

    /// Moves records into batches. `chosen` are the topic's oldest, each with what a partitioner says.
    /// Returns whether more of them wait.
    pub(crate) fn assign(
        &mut self,
        name: &Arc<str>,
        cluster: &Cluster,
        chosen: Vec<(Arc<Waiting>, Result<Option<i32>>)>,
    ) -> bool {
        let Some(queue) = self.unassigned.queues.get(name) else {
            return false;
        };
        let topic = queue
            .topic
            .unwrap_or_else(|| self.create_topic(name, cluster));
        for (record, partition) in chosen {
            let Some(queue) = self.unassigned.queues.get_mut(name) else {
                break;
            };
            queue.topic = Some(topic);
            queue.denied = None;
            // Some may have expired while their partitions were chosen.
            let oldest = queue.records.front();
            if oldest.is_none_or(|oldest| oldest.serial != record.serial) {
                continue;
            }
            queue.records.pop_front();
            self.wakers.extend(self.memory.give_back(record.charge));
            let (serial, admitted) = (record.serial, record.admitted);
            let placed = partition.and_then(|partition| {
                record.view(name, |r| self.place(topic, r, partition, serial, admitted))
            });
            match placed {
                Ok(delivery) => record.outcome.moved(vec![(0, delivery)], &mut self.wakers),
                Err(error) => self.refuse(&record, error),
            }
        }
        self.sweep();
        self.unassigned.has(name)
    }

    /// Takes note of why the partitions of a topic are not known.
    pub(crate) fn topic_absent(&mut self, topic: &str, absence: Absence, now: Instant) {
        let Some(queue) = self.unassigned.queues.get_mut(topic) else {
            return;
        };
        match absence {
            Absence::Unanswered(reason) => {
                queue.denied = None;
                queue.reason = reason.or(queue.reason.take());
            }
            Absence::Denied => {
                let since = *queue.denied.get_or_insert(now);
                queue.reason = Some(unknown(topic));
                self.expire_from(since + self.limits.unknown_topic_timeout);
            }
            Absence::Refused(error) => {
                let failed = queue.fail(.., &error).collect();
                self.fail_unassigned(failed);
            }
        }
    }

    /// Fails records that have waited too long.
    pub(super) fn expire_unassigned(&mut self, now: Instant) {
        let expired = self.unassigned.expire(now, &self.limits);
        self.fail_unassigned(expired);
    }

    /// Fails all records that wait, as closed.
    pub(super) fn abort_unassigned(&mut self) {
        let error = self.closed_by();
        let queues = self.unassigned.queues.values_mut();
        let failed = queues.map(|queue| queue.fail(.., &error));
        let failed = failed.flatten().collect();
        self.fail_unassigned(failed);
    }

    fn fail_unassigned(&mut self, failed: Vec<Failed>) {
        if let Some((_, error)) = failed.first() {
            let records = failed.len();
            tracing::debug!(records, %error, "records were not delivered");
            let unheard = failed
                .iter()
                .filter(|(record, _)| !record.outcome.is_followed());
            let records = unheard.count();
            if records > 0 && !matches!(error.kind(), ErrorKind::Closed { .. }) {
                tracing::warn!(records, %error, "records were not delivered, and nobody waits to hear of it");
            }
        }
        for (record, error) in failed {
            self.wakers.extend(self.memory.give_back(record.charge));
            self.refuse(&record, error);
        }
        self.sweep();
    }

    /// A record that holds no memory any more fails.
    fn refuse(&mut self, record: &Waiting, error: Error) {
        self.metrics.records_failed += 1;
        record.outcome.failed(error, &mut self.wakers);
        self.progress.notify_waiters();
    }

    /// Lets go of topics that no record waits for. From now on those that are known are appended to.
    fn sweep(&mut self) {
        let mut known = Vec::new();
        self.unassigned.queues.retain(|name, queue| {
            let empty = queue.records.is_empty();
            known.extend(queue.topic.filter(|_| empty).map(|t| (name.clone(), t)));
            !empty
        });
        for (name, topic) in known {
            self.by_name.insert(name, topic);
            // They have waited long enough, and somebody may wait for a flush.
            for partition in self.topics[topic].partitions.clone() {
                if self.close_batch(partition) {
                    self.mark_ready(partition);
                }
            }
        }
    }
}

fn unknown(topic: &str) -> Error {
    let topic = topic.to_owned();
    ErrorKind::UnknownTopic { topic }.into()
}

#[cfg(test)]
mod tests;
