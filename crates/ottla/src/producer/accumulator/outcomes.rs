//! Taking in what became of attempts, and deciding outcomes.

use std::ops::Range;

use ottla_codec::ErrorCode;
use ottla_codec::records::{BATCH_HEADER_LEN, SealedBatch};
use tokio::time::Instant;

use super::batch::{Batch, Payload, SplitJob};
use super::state::Accumulator;
use crate::TopicPartition;
use crate::error::{Error, ErrorKind};
use crate::producer::delivery::{Delivery, Outcome, Timestamps, Written};
use crate::producer::window::{Action, Answer, Cause};

/// A broker's answer about one batch.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// What the broker said, unless it was good.
    pub(crate) error: Option<Error>,
    /// The offset of the batch's first record.
    pub(crate) base_offset: Option<i64>,
    /// The timestamp that the broker has given all records.
    pub(crate) log_append_time: Option<i64>,
    /// It has waited for replicas, and there were not enough in time.
    pub(crate) in_vain: bool,
}

impl Reply {
    /// The batch is written; nothing more is known.
    pub(crate) fn written() -> Self {
        Self {
            answer: Answer::Written,
            error: None,
            base_offset: None,
            log_append_time: None,
            in_vain: false,
        }
    }
}

impl Accumulator {
    /// A broker answered an attempt.
    pub(crate) fn answered(&mut self, partition: usize, serial: u64, reply: Reply, now: Instant) {
        let retry_at = now + self.backoff(partition);
        let state = &mut self.partitions[partition];
        if let Some(error) = &reply.error {
            state.last_error = Some(error.clone());
        }
        if reply.answer == Answer::Written || reply.in_vain {
            state.slow = reply.in_vain;
        }
        let mut actions = Vec::new();
        state
            .window
            .answered(serial, reply.answer, retry_at, &mut actions);
        if reply.answer == Answer::Written {
            self.act_written(partition, actions, &reply);
        } else {
            self.act(partition, actions, reply.error);
        }
        self.mark_ready(partition);
    }

    /// An attempt ended without an answer; `written` unless certainly no byte of it left.
    pub(crate) fn lost(
        &mut self,
        partition: usize,
        serial: u64,
        error: Error,
        written: bool,
        now: Instant,
    ) {
        // A connection that had gone before the request could leave says nothing about the next one.
        let first = self.partitions[partition].window.failures() == 0;
        let retry_at = if first && !written {
            now
        } else {
            now + self.backoff(partition)
        };
        let state = &mut self.partitions[partition];
        state.last_error = Some(error);
        let mut actions = Vec::new();
        state.window.lost(serial, written, retry_at, &mut actions);
        self.act(partition, actions, None);
        self.mark_ready(partition);
    }

    /// Batches to be cut into smaller ones.
    pub(crate) fn take_splits(&mut self) -> Vec<SplitJob> {
        std::mem::take(&mut self.splits)
    }

    /// A batch has been cut into parts, or cannot be.
    pub(crate) fn split(
        &mut self,
        partition: usize,
        serial: u64,
        parts: Result<Vec<(Range<u32>, SealedBatch)>, Error>,
    ) {
        let state = &mut self.partitions[partition];
        let Some(whole) = state.window.batch_mut(serial) else {
            return;
        };
        let parts = match parts {
            Ok(parts) if parts.len() > 1 => parts,
            failed => {
                let mut actions = Vec::new();
                state.window.reject(serial, &mut actions);
                let reason = failed.err().or_else(|| state.last_error.clone());
                self.act(partition, actions, reason);
                return self.mark_ready(partition);
            }
        };
        let origin = whole.origin;
        let (mut places, mut batches, mut charge) = (Vec::new(), Vec::new(), 0);
        for (range, part) in parts {
            let outcome = Outcome::new();
            places.push((range.start, Delivery::new(outcome.clone(), 0)));
            let batch = Batch {
                origin,
                outcome,
                timestamps: whole.timestamps.slice(range),
                records: part.record_count(),
                charge: part.size_bytes(),
                attempts: 0,
                payload: Payload::Sealed(part),
            };
            charge += batch.charge;
            let records = batch.records;
            batches.push((self.next_serial, batch, records));
            self.next_serial += 1;
        }
        whole.outcome.moved(places, &mut self.wakers);
        let count = batches.len();
        let mut actions = Vec::new();
        if let Ok(whole) = state.window.replace(serial, batches, &mut actions) {
            self.memory.add(charge);
            self.wakers.extend(self.memory.give_back(whole.charge));
            self.closed_batches += count - 1;
            if let Some(open) = self.outstanding.get_mut(&origin) {
                *open += u32::try_from(count - 1).unwrap_or(u32::MAX);
            }
            self.metrics.batches_split += 1;
        }
        self.act(partition, actions, None);
        self.mark_ready(partition);
    }

    fn backoff(&mut self, partition: usize) -> std::time::Duration {
        let failures = self.partitions[partition].window.failures();
        let backoff = self.limits.retry_backoff;
        backoff.delay(failures.saturating_add(1), &mut self.rng)
    }

    fn act_written(&mut self, partition: usize, actions: Vec<Action<Batch>>, reply: &Reply) {
        let name = self.name(partition);
        let mut others = Vec::new();
        for action in actions {
            let Action::Written(batch) = action else {
                others.push(action);
                continue;
            };
            self.metrics.batches_written += 1;
            self.metrics.records_written += u64::from(batch.records);
            let written = Written {
                partition: name.clone(),
                base_offset: reply.base_offset,
                timestamps: reply
                    .log_append_time
                    .map_or(batch.timestamps, Timestamps::All),
            };
            batch.outcome.written(written, &mut self.wakers);
            self.closed_batches -= 1;
            self.forget(batch.origin, batch.charge);
        }
        self.partitions[partition].last_error = None;
        self.act(partition, others, None);
    }

    /// Does what a window asks for. `reason` is what the attempt failed with that led to it.
    pub(super) fn act(
        &mut self,
        partition: usize,
        actions: Vec<Action<Batch>>,
        reason: Option<Error>,
    ) {
        for action in actions {
            match action {
                Action::Written(batch) => {
                    self.act_written(partition, vec![Action::Written(batch)], &Reply::written());
                }
                Action::Failed {
                    batch,
                    cause,
                    possibly_written,
                } => {
                    self.fail(partition, &batch, cause, possibly_written, reason.as_ref());
                    self.closed_batches -= 1;
                    self.forget(batch.origin, batch.charge);
                }
                Action::Abandoned { serial, cause } => {
                    let Some(batch) = self.partitions[partition].window.batch_mut(serial) else {
                        continue;
                    };
                    // Its memory is not free before it is off the wire.
                    let light = Batch {
                        origin: batch.origin,
                        payload: Payload::Sealing,
                        outcome: batch.outcome.clone(),
                        timestamps: Timestamps::All(0),
                        records: batch.records,
                        charge: 0,
                        attempts: batch.attempts,
                    };
                    self.fail(partition, &light, cause, true, reason.as_ref());
                    self.forget(light.origin, 0);
                }
                Action::Dropped(batch) => {
                    self.closed_batches -= 1;
                    self.wakers.extend(self.memory.give_back(batch.charge));
                }
                Action::Split { serial } => self.ask_to_split(partition, serial),
            }
        }
    }

    fn ask_to_split(&mut self, partition: usize, serial: u64) {
        let state = &mut self.partitions[partition];
        self.topics[state.topic].ratio.reset();
        self.topics[state.topic].plain_limit = self.limits.batch_size;
        let Some(batch) = state.window.batch_mut(serial) else {
            return;
        };
        if let Payload::Sealed(sealed) = &batch.payload {
            // Half of what was too much, or a batch as it was meant to be.
            let half = BATCH_HEADER_LEN + sealed.body().len().div_ceil(2);
            let target = half.min(self.limits.batch_size);
            self.splits.push(SplitJob {
                partition,
                serial,
                batch: sealed.clone(),
                target,
            });
        }
    }

    fn fail(
        &mut self,
        partition: usize,
        batch: &Batch,
        cause: Cause,
        possibly_written: bool,
        reason: Option<&Error>,
    ) {
        self.metrics.batches_failed += 1;
        self.metrics.records_failed += u64::from(batch.records);
        let error = self.failure(partition, cause, reason);
        let error = error.with_possibly_written(possibly_written);
        let (name, records) = (self.name(partition), batch.records);
        // Whoever closes a producer is told by the call how many records were left.
        if batch.outcome.is_followed() || cause == Cause::Closed {
            tracing::debug!(partition = %name, records, %error, possibly_written, "records were not delivered");
        } else {
            tracing::warn!(partition = %name, records, %error, possibly_written,
                "records were not delivered, and nobody waits to hear of it");
        }
        batch.outcome.failed(error, &mut self.wakers);
    }

    fn failure(&self, partition: usize, cause: Cause, reason: Option<&Error>) -> Error {
        let last = reason.or(self.partitions[partition].last_error.as_ref());
        let name = self.name(partition);
        let sequence = || {
            let code = ErrorCode::OutOfOrderSequenceNumber;
            Error::broker("Produce", code, Some(name.clone()))
        };
        match cause {
            Cause::Refused => last.cloned().unwrap_or_else(sequence),
            Cause::Expired => self.limits.expired(last),
            Cause::SequenceLost | Cause::Overtaken => sequence(),
            Cause::Closed => self.closed_by(),
            Cause::TopicGone => {
                let topic = name.topic.to_string();
                ErrorKind::TopicRecreated { topic }.into()
            }
        }
    }

    /// What a record fails with that was in when the producer was closed.
    pub(super) fn closed_by(&self) -> Error {
        let closed = self.closed.clone();
        closed.unwrap_or_else(|| ErrorKind::Closed { what: "producer" }.into())
    }

    pub(super) fn name(&self, partition: usize) -> TopicPartition {
        let state = &self.partitions[partition];
        TopicPartition::new(self.topics[state.topic].name.clone(), state.index)
    }

    /// A batch has its outcome: gives its memory back and tells those who wait for it.
    pub(super) fn forget(&mut self, origin: u64, charge: usize) {
        self.wakers.extend(self.memory.give_back(charge));
        if let Some(open) = self.outstanding.get_mut(&origin) {
            *open -= 1;
            if *open == 0 {
                self.outstanding.remove(&origin);
                self.progress.notify_waiters();
            }
        }
    }
}
