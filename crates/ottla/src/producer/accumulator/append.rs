//! Taking a record in.

use std::task::Waker;

use ottla_codec::records::{AppendError, BATCH_HEADER_LEN, BatchBuilder};

use super::batch::{Batch, OpenBatch, Payload};
use super::memory::Ticket;
use super::state::{Accumulator, Now};
use super::topics::Topic;
use crate::error::{Error, ErrorKind, Result};
use crate::producer::delivery::{Delivery, Outcome, Timestamps};
use crate::producer::partitioner;
use crate::record::Record;

/// The memory a batch begins with, unless the one before has shown that it will need more.
const FIRST_CHUNK: usize = 2 * 1024;

/// Whether a record was taken in.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is in a batch.
    Admitted(Delivery),
    /// Nothing is known of its topic.
    TopicUnknown,
    /// There is no memory, or others wait for it.
    Full,
}

impl Accumulator {
    /// Encodes a record into the open batch of its partition.
    ///
    /// Happens for every record: what happens for every batch only is in functions of its own, so that the rest can
    /// become one, and a delivery goes through registers. `partition` is what a user's partitioner has chosen; `ticket` the place in the line of a caller
    /// that was told [`Admission::Full`] before. The clock is read only if a batch is opened.
    ///
    /// # Errors
    /// The record can never be taken in.
    #[inline]
    pub(crate) fn append(
        &mut self,
        record: &Record<'_>,
        partition: Option<i32>,
        ticket: Option<Ticket>,
        clock: impl FnOnce() -> Now,
    ) -> Result<Admission> {
        if let Some(reason) = &self.closed {
            return Err(reason.clone());
        }
        let Some(topic) = self.topic(record.topic) else {
            return Ok(Admission::TopicUnknown);
        };
        let size = self.size(record)?;
        let chosen = self.choose(topic, record, partition)?;
        if !self.memory.is_next(ticket) {
            return Ok(Admission::Full);
        }
        let Some(partition) = self.partition_for(topic, chosen, size) else {
            return Ok(Admission::TopicUnknown);
        };
        if !self.make_room(topic, partition, size, None, clock) {
            self.relieve(partition);
            return Ok(Admission::Full);
        }
        let delivery = self.encode(partition, record)?;
        self.appended(topic, partition, chosen.is_none(), size);
        self.admitted(ticket);
        Ok(Admission::Admitted(delivery))
    }

    /// Puts a record that was taken in before into the open batch of its partition, whatever memory
    /// there is: what it held has just been given back, and was more than it takes here.
    ///
    /// # Errors
    /// The record can never be put into a batch.
    pub(super) fn place(
        &mut self,
        topic: usize,
        record: &Record<'_>,
        partition: Option<i32>,
        serial: u64,
        admitted: Now,
    ) -> Result<Delivery> {
        let size = record_size(record);
        let chosen = self.choose(topic, record, partition)?;
        let partition = self.partition_for(topic, chosen, size).ok_or_else(|| {
            let topic = record.topic.to_owned();
            Error::new(ErrorKind::UnknownTopic { topic })
        })?;
        if !self.make_room(topic, partition, size, Some(serial), || admitted) {
            self.end_batch(partition);
            let charge = BATCH_HEADER_LEN + size;
            self.memory.add(charge);
            self.open_batch(partition, charge, serial, admitted);
        }
        let delivery = self.encode(partition, record)?;
        self.appended(topic, partition, chosen.is_none(), size);
        Ok(delivery)
    }

    /// A record has been taken in, perhaps out of the line for memory.
    #[inline]
    pub(super) fn admitted(&mut self, ticket: Option<Ticket>) {
        self.metrics.records_sent += 1;
        if let Some(ticket) = ticket {
            self.leave_line(ticket);
        }
    }

    /// How many bytes a record takes in a batch, at most.
    ///
    /// # Errors
    /// Too many.
    #[inline]
    pub(super) fn size(&self, record: &Record<'_>) -> Result<usize> {
        let size = record_size(record);
        if size + BATCH_HEADER_LEN > self.limits.max_request_size {
            return Err(self.too_large(size + BATCH_HEADER_LEN));
        }
        Ok(size)
    }

    #[inline]
    fn topic(&mut self, name: &str) -> Option<usize> {
        // Most records are for the same topic as the one before, which spares hashing its name.
        let last = self.topics.get(self.last_topic);
        if last.is_none_or(|topic| *topic.name != *name) {
            self.last_topic = *self.by_name.get(name)?;
        }
        Some(self.last_topic)
    }

    /// Joins the line for memory, or stays in it.
    pub(crate) fn wait_in_line(&mut self, ticket: Option<Ticket>, waker: &Waker) -> Ticket {
        self.memory.wait(ticket, waker)
    }

    /// The partition that the record, its key or the user's partitioner calls for, if any does.
    #[inline]
    fn choose(
        &self,
        topic: usize,
        record: &Record<'_>,
        partition: Option<i32>,
    ) -> Result<Option<usize>> {
        let partitions = &self.topics[topic].partitions;
        let index = match (record.partition.or(partition), record.key) {
            (Some(index), _) => usize::try_from(index).unwrap_or(usize::MAX),
            (None, Some(key)) => partitioner::of_key(key, partitions.len()),
            (None, None) => return Ok(None),
        };
        match partitions.get(index) {
            Some(partition) => Ok(Some(*partition)),
            None => Err(ErrorKind::UnknownPartition {
                topic: record.topic.to_owned(),
                partition: record.partition.or(partition).unwrap_or_default(),
                count: partitions.len(),
            }
            .into()),
        }
    }

    /// The partition for a record of `size` bytes, its open batch closed if that cannot take so many.
    #[inline]
    fn partition_for(&mut self, topic: usize, chosen: Option<usize>, size: usize) -> Option<usize> {
        if let Some(partition) = chosen.or_else(|| self.sticky_of_the_moment(topic)) {
            if self.fits(topic, partition, size) {
                return Some(partition);
            }
            self.end_batch(partition);
            if chosen.is_some() {
                return chosen;
            }
            // With its batch its turn has ended.
        }
        let next = self.draw_sticky(topic)?;
        if !self.fits(topic, next, size) {
            self.end_batch(next);
        }
        Some(next)
    }

    /// A record was put into the open batch of a partition: closes that if it is full now.
    #[inline]
    fn appended(&mut self, topic: usize, partition: usize, sticky: bool, size: usize) {
        let full = !self.fits(topic, partition, 1);
        if full {
            self.end_batch(partition);
        }
        if sticky {
            let share = self.limits.batch_size;
            self.topics[topic].sticky.produced(size, full, share);
        }
    }

    /// The partition of the moment for records that may go to any.
    #[inline]
    fn sticky_of_the_moment(&self, topic: usize) -> Option<usize> {
        let state = &self.topics[topic];
        state.partitions.get(state.sticky.partition()?).copied()
    }

    /// The next one.
    fn draw_sticky(&mut self, topic: usize) -> Option<usize> {
        let Topic {
            partitions, sticky, ..
        } = &mut self.topics[topic];
        let states = &self.partitions;
        let queues = partitions.iter().map(|partition| {
            let state = &states[*partition];
            state.leader.map(|_| state.window.len())
        });
        let index = sticky.draw(queues, &mut self.rng)?;
        partitions.get(index).copied()
    }

    /// Whether the open batch, if there is one, is still to take `size` bytes.
    #[inline]
    fn fits(&self, topic: usize, partition: usize, size: usize) -> bool {
        let limit = self.topics[topic].plain_limit;
        let open = self.partitions[partition].open.as_ref();
        open.is_none_or(|open| open.builder.size_bytes() + size <= limit)
    }

    /// Sees to it that there is an open batch with memory for `size` more bytes. One that has to be
    /// opened is opened under `serial`, or the next one.
    #[inline]
    fn make_room(
        &mut self,
        topic: usize,
        partition: usize,
        size: usize,
        serial: Option<u64>,
        clock: impl FnOnce() -> Now,
    ) -> bool {
        match &self.partitions[partition].open {
            Some(open) => {
                let needed = open.builder.size_bytes() + size;
                needed <= open.charge || self.grow(topic, partition, needed)
            }
            None => match self.take_first_chunk(topic, partition, BATCH_HEADER_LEN + size) {
                Some(charge) => {
                    let serial = serial.unwrap_or_else(|| self.take_serial());
                    self.open_batch(partition, charge, serial, clock());
                    true
                }
                None => false,
            },
        }
    }

    /// Takes memory for an open batch to hold `needed` bytes.
    fn grow(&mut self, topic: usize, partition: usize, needed: usize) -> bool {
        let limit = self.topics[topic].plain_limit;
        let Some(open) = &mut self.partitions[partition].open else {
            return false;
        };
        // As a vector grows, by doubling, but to no more than a batch is to hold; or by what memory is
        // left, if that is worth a copy of the batch. It must not grow by itself: that would go over the
        // budget.
        let ample = needed.max(limit.min(open.charge * 2));
        let worthwhile = needed.max(ample.min(open.charge + open.charge / 8));
        let target = ample.min(open.charge + self.memory.free());
        if target < worthwhile || !self.memory.take(target - open.charge) {
            return false;
        }
        open.charge = target;
        open.builder.reserve_exact(target - BATCH_HEADER_LEN);
        true
    }

    /// Takes the memory that a batch begins with: at least `needed` bytes, and a little more than the
    /// batch before has come to, since the next one that comes to about as much is not to grow, which is
    /// to be copied.
    fn take_first_chunk(&mut self, topic: usize, partition: usize, needed: usize) -> Option<usize> {
        let before = self.partitions[partition].last_size;
        let limit = self.topics[topic].plain_limit.max(FIRST_CHUNK);
        let guess = (before + before / 8).clamp(FIRST_CHUNK, limit);
        [needed.max(guess), needed]
            .into_iter()
            .find(|charge| self.memory.take(*charge))
    }

    pub(super) fn take_serial(&mut self) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        serial
    }

    fn open_batch(&mut self, partition: usize, charge: usize, serial: u64, now: Now) {
        self.outstanding.insert(serial, 1);
        self.expire_from(now.instant + self.limits.delivery_timeout);
        let state = &mut self.partitions[partition];
        state.open = Some(OpenBatch {
            serial,
            builder: BatchBuilder::new(charge - BATCH_HEADER_LEN),
            outcome: Outcome::new(),
            opened: now.instant,
            timestamp: now.wall_ms,
            timestamps: Timestamps::All(now.wall_ms),
            charge,
        });
        match self.choose_lane(partition) {
            Some(lane) if !self.limits.linger.is_zero() => {
                let due = now.instant + self.limits.linger;
                self.brokers
                    .entry(lane)
                    .or_default()
                    .look_again(due, partition);
            }
            _ => self.mark_ready(partition),
        }
    }

    #[inline]
    fn encode(&mut self, partition: usize, record: &Record<'_>) -> Result<Delivery> {
        let state = &mut self.partitions[partition];
        let Some(open) = &mut state.open else {
            return Err(Error::invalid_argument("no open batch"));
        };
        let timestamp = record.timestamp.unwrap_or(open.timestamp);
        let headers = record
            .headers
            .iter()
            .map(|header| (header.key, header.value));
        match open
            .builder
            .try_append(timestamp, record.key, record.value, headers)
        {
            Ok(index) => {
                if index == 0 {
                    open.timestamps = Timestamps::All(timestamp);
                }
                open.timestamps.push(index, timestamp);
                // The buffer may have grown further than asked for.
                let held = open.builder.capacity() + BATCH_HEADER_LEN;
                if held > open.charge {
                    self.memory.add(held - open.charge);
                    open.charge = held;
                }
                Ok(Delivery::new(open.outcome.clone(), index))
            }
            Err(error) => {
                if open.builder.is_empty()
                    && let Some(open) = state.open.take()
                {
                    self.forget(open.serial, open.charge);
                }
                Err(match error {
                    AppendError::RecordTooLarge { size } => self.too_large(size),
                    other => Error::invalid_argument(other.to_string()),
                })
            }
        }
    }

    /// No memory is left: has batches sent that would otherwise linger on, because only their end
    /// brings memory back.
    fn relieve(&mut self, partition: usize) {
        if self.close_batch(partition) {
            self.mark_ready(partition);
        } else {
            self.relieve_any();
        }
    }

    /// The same where no partition is known to be in need of it.
    pub(super) fn relieve_any(&mut self) {
        if self.closed_batches == 0 {
            self.flush();
        }
    }

    /// The open batch of a partition takes no more records.
    fn end_batch(&mut self, partition: usize) {
        self.close_batch(partition);
        self.mark_ready(partition);
    }

    /// Closes the open batch of a partition; false if there is none.
    pub(super) fn close_batch(&mut self, partition: usize) -> bool {
        let state = &mut self.partitions[partition];
        let Some(open) = state.open.take() else {
            return false;
        };
        state.last_size = open.builder.size_bytes();
        let records = open.builder.record_count();
        let deadline = open.opened + self.limits.delivery_timeout;
        let batch = Batch {
            origin: open.serial,
            payload: Payload::Unsealed(open.builder),
            outcome: open.outcome,
            timestamps: open.timestamps,
            records,
            charge: open.charge,
            attempts: 0,
        };
        state.window.push(open.serial, batch, records, deadline);
        self.closed_batches += 1;
        true
    }

    fn too_large(&self, size: usize) -> Error {
        ErrorKind::RecordTooLarge {
            size,
            limit: self.limits.max_request_size,
            limit_name: "max.request.size",
        }
        .into()
    }
}

#[inline]
fn record_size(record: &Record<'_>) -> usize {
    let headers = record
        .headers
        .iter()
        .map(|header| (header.key, header.value));
    BatchBuilder::record_size_upper_bound(record.key, record.value, headers)
}
