//! Giving batches out: to be sealed, and to be sent.

use std::cmp::Reverse;

use ottla_cluster::Uuid;
use ottla_codec::records::SealedBatch;
use std::sync::Arc;
use tokio::time::Instant;

use super::batch::{Payload, SealJob};
use super::lanes::Lane;
use super::state::Accumulator;
use crate::error::Error;
use crate::producer::window::{Candidate, Route};

/// How many batches of a partition are sealed beyond those that may be in flight.
const SEALED_AHEAD: usize = 3;

/// What one look at a broker's partitions brought.
#[derive(Debug, Default)]
pub(crate) struct Haul {
    /// To be sealed first.
    pub(crate) jobs: Vec<SealJob>,
    /// For one request.
    pub(crate) parcels: Vec<Parcel>,
    /// When to look again, if nothing else happens.
    pub(crate) wake_at: Option<Instant>,
}

/// A batch on its way to a leader.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) partition: usize,
    pub(crate) serial: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: Uuid,
    pub(crate) index: i32,
    pub(crate) batch: SealedBatch,
}

impl Accumulator {
    /// When this lane's partitions are to be looked at, if at all.
    pub(crate) fn peek(&mut self, lane: Lane, now: Instant) -> Option<Instant> {
        let broker = self.brokers.get_mut(&lane)?;
        // Partitions that have moved on are no reason to go on dialling a broker that may be gone.
        let partitions = &self.partitions;
        let moved = |partition: usize| partitions[partition].lane() != Some(lane);
        while broker.ready.front().is_some_and(|first| moved(*first)) {
            broker.ready.pop_front();
        }
        if !broker.ready.is_empty() {
            return Some(now);
        }
        while let Some(Reverse((at, first))) = broker.timers.peek().copied() {
            if !moved(first) {
                return Some(at);
            }
            broker.timers.pop();
        }
        None
    }

    /// Takes out at most one batch per partition that may go over `route` now. Each is in flight from
    /// here on: [`answered`](Self::answered) or [`lost`](Self::lost) has to follow.
    pub(crate) fn collect(&mut self, lane: Lane, route: Route, now: Instant) -> Haul {
        let mut haul = Haul::default();
        self.fire_timers(lane, now);
        let mut room = self.limits.max_request_size;
        let looks = self
            .brokers
            .get(&lane)
            .map_or(0, |broker| broker.ready.len());
        for _ in 0..looks {
            let Some(partition) = self.next_ready(lane) else {
                break;
            };
            // It may be in the queue twice, if its leader went away and came back.
            if self.partitions[partition].in_haul {
                continue;
            }
            let position = self.next_batch(partition, lane, route, now);
            self.seal_ahead(partition, &mut haul);
            let Some((position, size)) = position.and_then(|p| self.sealed_size(partition, p))
            else {
                continue;
            };
            if size > room && !haul.parcels.is_empty() {
                // Its turn comes first in the next request.
                self.mark_ready_first(partition);
                break;
            }
            room = room.saturating_sub(size);
            if let Some(parcel) = self.dispatch(partition, position, route) {
                haul.parcels.push(parcel);
                self.partitions[partition].in_haul = true;
            }
        }
        for parcel in &haul.parcels {
            self.partitions[parcel.partition].in_haul = false;
            self.mark_ready(parcel.partition);
        }
        haul.wake_at = self.peek(lane, now);
        haul
    }

    /// A batch has been sealed, or cannot be.
    pub(crate) fn sealed(
        &mut self,
        partition: usize,
        serial: u64,
        sealed: Result<SealedBatch, Error>,
    ) {
        let state = &mut self.partitions[partition];
        let topic = &mut self.topics[state.topic];
        match sealed {
            Ok(sealed) => {
                topic.ratio.observe(sealed.compression_ratio());
                topic.plain_limit = topic
                    .ratio
                    .plain_bytes(self.limits.batch_size, self.limits.memory);
                if let Some(batch) = state.window.batch_mut(serial) {
                    // Without compression the sealed batch is the buffer that was charged.
                    if sealed.size_bytes() < sealed.uncompressed_size_bytes() {
                        let charge = sealed.size_bytes();
                        let freed = batch.charge.saturating_sub(charge);
                        batch.charge -= freed;
                        self.wakers.extend(self.memory.give_back(freed));
                    }
                    batch.payload = Payload::Sealed(sealed);
                }
                self.mark_ready(partition);
            }
            Err(error) => {
                let mut actions = Vec::new();
                state.window.reject(serial, &mut actions);
                self.act(partition, actions, Some(error));
            }
        }
    }

    fn fire_timers(&mut self, lane: Lane, now: Instant) {
        while let Some(broker) = self.brokers.get_mut(&lane)
            && let Some(Reverse((at, partition))) = broker.timers.peek().copied()
            && at <= now
        {
            broker.timers.pop();
            if self.partitions[partition].lane() == Some(lane) {
                self.mark_ready(partition);
            }
        }
    }

    fn next_ready(&mut self, lane: Lane) -> Option<usize> {
        let broker = self.brokers.get_mut(&lane)?;
        while let Some(partition) = broker.ready.pop_front() {
            let state = &mut self.partitions[partition];
            if state.lane() == Some(lane) {
                state.queued = false;
                return Some(partition);
            }
        }
        None
    }

    fn mark_ready_first(&mut self, partition: usize) {
        let state = &mut self.partitions[partition];
        if let Some(broker) = state.lane().and_then(|lane| self.brokers.get_mut(&lane)) {
            state.queued = true;
            broker.ready.push_front(partition);
        }
    }

    /// The position of the batch that goes next, if one may go now.
    fn next_batch(
        &mut self,
        partition: usize,
        lane: Lane,
        route: Route,
        now: Instant,
    ) -> Option<usize> {
        if self.wants_aside(partition) != self.partitions[partition].aside {
            // It changes lanes when the last of what is in flight has come back.
            return None;
        }
        let state = &mut self.partitions[partition];
        let later = match state.window.candidate(now, route) {
            Candidate::At(position) => return Some(position),
            Candidate::NotBefore(instant) => instant,
            Candidate::None => return None,
            Candidate::New => {
                let due = state.open.as_ref()?.opened + self.limits.linger;
                if due <= now {
                    self.close_batch(partition);
                    let window = &self.partitions[partition].window;
                    return window.len().checked_sub(1);
                }
                due
            }
        };
        let broker = self.brokers.entry(lane).or_default();
        broker.timers.push(Reverse((later, partition)));
        None
    }

    /// Hands out the oldest batches to be sealed, those whose turn has not come included: compressing
    /// them takes time.
    fn seal_ahead(&mut self, partition: usize, haul: &mut Haul) {
        let ahead = self.limits.max_in_flight + SEALED_AHEAD;
        for (serial, batch) in self.partitions[partition].window.batches_mut().take(ahead) {
            if let Payload::Unsealed(builder) = &mut batch.payload {
                let builder = std::mem::take(builder);
                batch.payload = Payload::Sealing;
                haul.jobs.push(SealJob {
                    partition,
                    serial,
                    builder,
                });
            }
        }
    }

    /// The batch at a position with its size, if it is sealed.
    fn sealed_size(&self, partition: usize, position: usize) -> Option<(usize, usize)> {
        match &self.partitions[partition]
            .window
            .batch_at(position)?
            .payload
        {
            Payload::Sealed(sealed) => Some((position, sealed.size_bytes())),
            Payload::Sealing | Payload::Unsealed(_) => None,
        }
    }

    fn dispatch(&mut self, partition: usize, position: usize, route: Route) -> Option<Parcel> {
        let state = &mut self.partitions[partition];
        match state.window.dispatch(position, route, self.identity) {
            Ok((serial, stamp)) => {
                let batch = state.window.batch_mut(serial)?;
                batch.attempts += 1;
                self.metrics.retries += u64::from(batch.attempts > 1);
                let Payload::Sealed(sealed) = &mut batch.payload else {
                    return None;
                };
                if let Some(stamp) = stamp {
                    let identity = stamp.identity;
                    sealed.set_producer(identity.id, identity.epoch, stamp.base_sequence);
                }
                self.metrics.batches_sent += 1;
                self.metrics.bytes_sent += sealed.size_bytes() as u64;
                let topic = &self.topics[state.topic];
                Some(Parcel {
                    partition,
                    serial,
                    topic: topic.name.clone(),
                    topic_id: topic.id,
                    index: state.index,
                    batch: sealed.clone(),
                })
            }
            Err(retired) => {
                if self
                    .identity
                    .is_some_and(|identity| Some(identity.id) == retired)
                {
                    self.identity = None;
                }
                self.upkeep.notify_one();
                None
            }
        }
    }
}
