//! The accumulator itself: its parts, the leaders of its partitions, and its end.

use std::collections::HashMap;
use std::collections::btree_map::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use ottla_cluster::Cluster;
use ottla_connection::Backoff;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::batch::SplitJob;
use super::lanes::Lane;
use super::memory::{Memory, Ticket};
use super::topics::{Broker, Partition, Topic};
use super::unassigned::Unassigned;
use crate::error::Error;
use crate::producer::metrics::ProducerMetrics;
use crate::producer::sequences::Identity;
use crate::producer::window::{Cause, Window};

/// A clock reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall_ms: i64,
}

/// What the accumulator keeps to.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The size a batch is meant to have on the wire.
    pub(crate) batch_size: usize,
    pub(crate) linger: Duration,
    pub(crate) delivery_timeout: Duration,
    /// How long brokers may deny knowing a topic that records wait for.
    pub(crate) unknown_topic_timeout: Duration,
    pub(crate) memory: usize,
    pub(crate) max_request_size: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) idempotent: bool,
    pub(crate) retry_backoff: Backoff,
}

impl Limits {
    /// What a record fails with that was not delivered in time; `reason` is what stood in its way.
    pub(super) fn expired(&self, reason: Option<&Error>) -> Error {
        let error = Error::timeout("delivering a record", self.delivery_timeout);
        match reason {
            Some(reason) => error.with_source(reason.clone()),
            None => error,
        }
    }
}

/// All records of a producer that have no outcome yet.
#[derive(Debug)]
pub(crate) struct Accumulator {
    pub(super) limits: Limits,
    pub(super) topics: Vec<Topic>,
    /// Those that records can be appended to. Never iterated.
    pub(super) by_name: HashMap<Arc<str>, usize>,
    /// The topic of the latest record, at first none.
    pub(super) last_topic: usize,
    pub(super) unassigned: Unassigned,
    pub(super) partitions: Vec<Partition>,
    pub(super) brokers: BTreeMap<Lane, Broker>,
    pub(super) memory: Memory,
    pub(super) identity: Option<Identity>,
    /// Nothing expires before this instant; `None` if there was nothing to expire.
    pub(super) next_expiry: Option<Instant>,
    /// How many batches without an outcome there are per serial they were opened under.
    pub(super) outstanding: BTreeMap<u64, u32>,
    pub(super) next_serial: u64,
    /// Closed batches without an outcome.
    pub(super) closed_batches: usize,
    /// Why nothing is taken in any more.
    pub(super) closed: Option<Error>,
    pub(super) rng: fastrand::Rng,
    pub(super) metrics: ProducerMetrics,
    pub(super) splits: Vec<SplitJob>,
    /// To be woken by whoever lets go of the lock.
    pub(super) wakers: Vec<Waker>,
    pub(super) upkeep: Arc<Notify>,
    pub(super) progress: Arc<Notify>,
}

impl Accumulator {
    pub(crate) fn new(limits: Limits, rng: fastrand::Rng) -> Self {
        Self {
            memory: Memory::new(limits.memory),
            limits,
            topics: Vec::new(),
            by_name: HashMap::new(),
            last_topic: usize::MAX,
            unassigned: Unassigned::default(),
            partitions: Vec::new(),
            brokers: BTreeMap::new(),
            identity: None,
            next_expiry: None,
            outstanding: BTreeMap::new(),
            next_serial: 0,
            closed_batches: 0,
            closed: None,
            rng,
            metrics: ProducerMetrics::default(),
            splits: Vec::new(),
            wakers: Vec::new(),
            upkeep: Arc::default(),
            progress: Arc::default(),
        }
    }

    /// Notified when something other than sending is due: see [`next_expiry`](Self::next_expiry),
    /// [`needs_identity`](Self::needs_identity) and [`has_leaderless_work`](Self::has_leaderless_work).
    pub(crate) fn upkeep(&self) -> Arc<Notify> {
        self.upkeep.clone()
    }

    /// Notified when batches have got their outcome.
    pub(crate) fn progress(&self) -> Arc<Notify> {
        self.progress.clone()
    }

    /// Who is to be woken once the lock is released.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        mem::take(&mut self.wakers)
    }

    pub(crate) fn metrics(&self) -> ProducerMetrics {
        let in_flight = self.partitions.iter().map(|p| p.window.in_flight());
        ProducerMetrics {
            buffered_bytes: self.memory.used(),
            waiting_sends: self.memory.waiting(),
            unassigned_records: self.unassigned.len(),
            undelivered_batches: self.outstanding.values().map(|n| *n as usize).sum(),
            batches_in_flight: in_flight.sum(),
            ..self.metrics.clone()
        }
    }

    /// How many partitions a topic has, if it is known.
    pub(crate) fn partition_count(&self, topic: &str) -> Option<usize> {
        let topic = self.by_name.get(topic)?;
        Some(self.topics[*topic].partitions.len())
    }

    /// Takes in a topic that somebody produces to, unless records of it wait for their partitions:
    /// they come first. Returns whether it is taken in, now or before.
    pub(crate) fn add_topic(&mut self, name: &Arc<str>, cluster: &Cluster) -> bool {
        if self.unassigned.has(name) {
            return false;
        }
        if !self.by_name.contains_key(name) {
            let topic = self.create_topic(name, cluster);
            self.by_name.insert(name.clone(), topic);
        }
        true
    }

    /// Makes the state of a topic and its partitions. Nothing can be appended to it by name yet.
    pub(super) fn create_topic(&mut self, name: &Arc<str>, cluster: &Cluster) -> usize {
        self.topics.push(Topic {
            name: name.clone(),
            id: cluster
                .topic(name)
                .map(|topic| topic.id())
                .unwrap_or_default(),
            partitions: Vec::new(),
            sticky: Default::default(),
            ratio: Default::default(),
            plain_limit: self.limits.batch_size,
        });
        self.update_cluster(cluster);
        self.topics.len() - 1
    }

    /// Follows leaders, new partitions and topic ids. A topic that the cluster does not show now
    /// keeps all its state.
    pub(crate) fn update_cluster(&mut self, cluster: &Cluster) {
        for topic in 0..self.topics.len() {
            let Some(known) = cluster.topic(&self.topics[topic].name) else {
                continue;
            };
            let (id, before) = (known.id(), self.topics[topic].id);
            if !id.is_zero() && id != before {
                self.topics[topic].id = id;
                if !before.is_zero() {
                    self.abort_topic(topic);
                }
            }
            for index in self.topics[topic].partitions.len()..known.partitions().len() {
                let partition = self.partitions.len();
                self.topics[topic].partitions.push(partition);
                self.partitions.push(Partition {
                    topic,
                    index: i32::try_from(index).unwrap_or(i32::MAX),
                    leader: None,
                    open: None,
                    window: Window::new(self.limits.max_in_flight, self.limits.idempotent),
                    aside: false,
                    slow: false,
                    queued: false,
                    in_haul: false,
                    last_size: 0,
                    last_error: None,
                });
            }
            for partition in self.topics[topic].partitions.clone() {
                let name = (
                    self.topics[topic].name.clone(),
                    self.partitions[partition].index,
                );
                let leader = cluster.leader(&name.into()).map(|(node, _)| node.0);
                self.set_leader(partition, leader);
            }
        }
    }

    fn set_leader(&mut self, partition: usize, leader: Option<i32>) {
        let state = &mut self.partitions[partition];
        // A partition without a leader for the moment keeps its last one: nobody else can have it.
        if leader.is_none() || state.leader == leader {
            return;
        }
        state.leader = leader;
        state.slow = false;
        state.queued = false;
        state.window.leader_changed();
        self.choose_lane(partition);
        self.mark_ready(partition);
    }

    fn abort_topic(&mut self, topic: usize) {
        for partition in self.topics[topic].partitions.clone() {
            self.abort_partition(partition, Cause::TopicGone);
        }
    }

    fn abort_partition(&mut self, partition: usize, cause: Cause) {
        self.close_batch(partition);
        let mut actions = Vec::new();
        self.partitions[partition].window.abort(cause, &mut actions);
        self.act(partition, actions, None);
    }

    /// Has its lane's sender look at a partition.
    pub(super) fn mark_ready(&mut self, partition: usize) {
        if !self.partitions[partition].has_work() {
            return;
        }
        let Some(lane) = self.choose_lane(partition) else {
            self.upkeep.notify_one();
            return;
        };
        let state = &mut self.partitions[partition];
        if mem::replace(&mut state.queued, true) {
            return;
        }
        let broker = self.brokers.entry(lane).or_default();
        broker.ready.push_back(partition);
        broker.notify.notify_one();
    }

    /// Whether something waits for a partition that has no leader.
    pub(crate) fn has_leaderless_work(&self) -> bool {
        let mut partitions = self.partitions.iter();
        partitions.any(|partition| partition.leader.is_none() && partition.has_work())
    }

    /// Whether a producer id has to be fetched. What was in before a close still needs one.
    pub(crate) fn needs_identity(&self) -> bool {
        let idle = self.outstanding.is_empty() && self.unassigned.is_empty();
        let done = self.closed.is_some() && idle;
        self.limits.idempotent && self.identity.is_none() && !done
    }

    /// A producer id has been fetched.
    pub(crate) fn identify(&mut self, identity: Identity) {
        self.identity = Some(identity);
        for partition in 0..self.partitions.len() {
            self.mark_ready(partition);
        }
    }

    /// When something expires, at the earliest.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Something may expire at this instant.
    pub(super) fn expire_from(&mut self, instant: Instant) {
        if self.next_expiry.is_none_or(|first| instant < first) {
            self.next_expiry = Some(instant);
            self.upkeep.notify_one();
        }
    }

    /// Fails what has passed its delivery deadline. Looks at every partition, but only once per
    /// delivery timeout unless something does expire.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.next_expiry.is_none_or(|first| first > now) {
            return;
        }
        for partition in 0..self.partitions.len() {
            if self
                .oldest_deadline(partition)
                .is_none_or(|deadline| deadline > now)
            {
                continue;
            }
            self.close_batch(partition);
            let mut actions = Vec::new();
            self.partitions[partition].window.expire(now, &mut actions);
            self.act(partition, actions, None);
            self.mark_ready(partition);
        }
        self.expire_unassigned(now);
        let deadlines = (0..self.partitions.len()).filter_map(|p| self.oldest_deadline(p));
        let unassigned = self.unassigned.first_deadline(&self.limits);
        self.next_expiry = deadlines.chain(unassigned).min();
    }

    fn oldest_deadline(&self, partition: usize) -> Option<Instant> {
        let state = &self.partitions[partition];
        let open = state.open.as_ref();
        let open = open.map(|open| open.opened + self.limits.delivery_timeout);
        state.window.deadline().or(open)
    }

    /// Closes all open batches, so that they are sent without lingering on. Returns the mark that
    /// [`is_flushed`](Self::is_flushed) takes.
    pub(crate) fn flush(&mut self) -> u64 {
        for partition in 0..self.partitions.len() {
            if self.close_batch(partition) {
                self.mark_ready(partition);
            }
        }
        self.next_serial
    }

    /// Whether everything before the mark has its outcome.
    pub(crate) fn is_flushed(&self, mark: u64) -> bool {
        let batched = self
            .outstanding
            .first_key_value()
            .map(|(serial, _)| *serial);
        let mut oldest = batched.into_iter().chain(self.unassigned.first_serial());
        oldest.all(|serial| serial >= mark)
    }

    /// Takes nothing in any more; what is in is still delivered.
    pub(crate) fn close(&mut self, reason: Error) {
        if self.closed.is_none() {
            self.closed = Some(reason);
            self.wakers.extend(self.memory.all());
            self.upkeep.notify_one();
        }
    }

    /// Takes nothing in any more, and fails what is in.
    pub(crate) fn fail_for_good(&mut self, reason: Error) {
        self.close(reason);
        self.abort(Cause::Closed);
    }

    /// No connection to a broker could be made: a reason to give, should batches for it expire.
    pub(crate) fn unreachable(&mut self, node: i32, error: &Error) {
        for partition in &mut self.partitions {
            if partition.leader == Some(node) && partition.has_work() {
                partition.last_error = Some(error.clone());
            }
        }
    }

    pub(crate) fn count_request(&mut self) {
        self.metrics.requests += 1;
    }

    /// Fails everything without an outcome. Returns how many records that were.
    pub(crate) fn abort(&mut self, cause: Cause) -> u64 {
        let failed = self.metrics.records_failed;
        for partition in 0..self.partitions.len() {
            self.abort_partition(partition, cause);
        }
        self.abort_unassigned();
        self.metrics.records_failed - failed
    }

    /// Gives up a place in the line for memory.
    pub(crate) fn leave_line(&mut self, ticket: Ticket) {
        let next = self.memory.leave(ticket);
        self.wakers.extend(next);
    }
}
