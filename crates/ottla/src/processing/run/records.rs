//! Records on their way: taken in, begun, settled; and partitions that stop.

use ottla_cluster::TopicPartition;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::super::attempts::{Outcome, see_through};
use super::super::events::{ProcessorEvent, StopReason};
use super::super::partition::{Pace, Partition, Window};
use super::{InFlight, Run};
use crate::consumer::RecordBatch;
use crate::error::{Error, ErrorKind, Result};

impl Run {
    pub(super) fn read(&mut self, batch: RecordBatch) {
        let name = batch.partition().clone();
        let start = batch.start();
        self.share_out();
        let is_other = |known: &Partition| known.is_stopped() || start < known.next_offset();
        if self.partitions.get(&name).is_some_and(is_other) {
            // Somebody has sought or resumed, or the log was truncated: what is under way means nothing any more.
            self.renew(&name);
        }
        if !self.partitions.contains_key(&name) {
            let ownership = self.number();
            let partition = Partition::new(ownership, self.pacing.order, start);
            self.partitions.insert(name.clone(), partition);
        }
        if let Some(partition) = self.partitions.get_mut(&name) {
            partition.add(batch);
        }
        self.go_on(&name);
    }

    /// What may be in work is as much again as the consumer may hold, in equal parts.
    fn share_out(&mut self) {
        let shared = self.consumer.shared();
        let partitions = shared.with(|assignment| assignment.partitions().count());
        self.window = Window {
            records: self.pacing.window,
            bytes: (shared.config.memory_limit / partitions.max(1)).max(1),
        };
    }

    /// Takes in what there is room for, and tells the consumer whether there is more.
    pub(super) fn go_on(&mut self, name: &TopicPartition) {
        let Some(partition) = self.partitions.get_mut(name) else {
            return;
        };
        let taken_in = partition.take_in(self.window);
        if partition.is_ready() && !partition.is_in_turn {
            partition.is_in_turn = true;
            self.turns.push_back(name.clone());
        }
        // A partition that is gone needs neither.
        let _ = match partition.pace() {
            Some(Pace::Pause) => self.consumer.pause([name]),
            Some(Pace::Resume) => self.consumer.resume([name]),
            None => Ok(()),
        };
        if let Err(error) = taken_in {
            self.stop(name, i64::MAX, StopReason::Unreadable(error));
            self.step_back(name);
        }
    }

    /// Begins as many records as may be in flight, the partitions in turn.
    pub(super) fn begin(&mut self) {
        while self.in_flight.len() < self.pacing.concurrency
            && let Some(name) = self.turns.pop_front()
        {
            let number = self.number();
            let Some(partition) = self.partitions.get_mut(&name) else {
                continue;
            };
            let begun = partition.begin();
            partition.is_in_turn = partition.is_ready();
            if partition.is_in_turn {
                self.turns.push_back(name.clone());
            }
            let Some((record, lane)) = begun else {
                continue;
            };
            let in_flight = InFlight {
                partition: name,
                ownership: partition.ownership,
                offset: record.offset,
                lane,
                since: Instant::now(),
            };
            self.in_flight.insert(number, in_flight);
            let seen = see_through(self.bench.clone(), record, partition.brakes.clone());
            self.tasks.spawn(async move { (number, seen.await) });
        }
    }

    /// A record has its outcome.
    pub(super) fn settle(&mut self, ended: Result<(u64, Outcome), JoinError>) {
        // Only a runtime that is shutting down ends such a task without an outcome.
        let Ok((number, outcome)) = ended else {
            return;
        };
        let Some(record) = self.in_flight.remove(&number) else {
            return;
        };
        let InFlight {
            partition: name,
            ownership,
            offset,
            lane,
            ..
        } = record;
        let owned = self.partitions.get_mut(&name);
        let Some(partition) = owned.filter(|owned| owned.ownership == ownership) else {
            // It was given up with its partition, and that was told then.
            return;
        };
        match outcome {
            Outcome::Abandoned => return partition.give_up(),
            Outcome::Stopped(reason) => {
                partition.give_up();
                self.stop(&name, offset, reason);
                return self.step_back(&name);
            }
            Outcome::Done { attempts } => {
                self.handle.with(|metrics| {
                    metrics.processed += 1;
                    metrics.retries += u64::from(attempts) - 1;
                });
            }
            Outcome::Skipped(failure) => {
                tracing::warn!(partition = %name, offset, cause = %failure.cause, "a record is skipped");
                self.handle.with(|metrics| {
                    metrics.skipped += 1;
                    metrics.retries += u64::from(failure.attempts) - 1;
                });
                (self.listener)(ProcessorEvent::Skipped(failure));
            }
            Outcome::DeadLettered(failure, written) => {
                tracing::warn!(
                    partition = %name,
                    offset,
                    cause = %failure.cause,
                    to = %written.partition,
                    "a record is a dead letter"
                );
                self.handle.with(|metrics| {
                    metrics.dead_lettered += 1;
                    metrics.retries += u64::from(failure.attempts) - 1;
                });
                (self.listener)(ProcessorEvent::DeadLettered { failure, written });
            }
        }
        if let Some(partition) = self.partitions.get_mut(&name) {
            partition.finish(offset, lane);
            if partition.has_stepped_back() {
                self.step_back(&name);
            }
        }
        self.go_on(&name);
    }

    /// A partition goes no further than that offset; others do.
    pub(super) fn stop(&mut self, name: &TopicPartition, from: i64, reason: StopReason) {
        // One that is gone is its next owner's.
        drop(self.consumer.pause([name]));
        let offset = match self.partitions.get_mut(name) {
            Some(partition) => {
                let from = from.min(partition.next_offset());
                if !partition.stop(from) {
                    return;
                }
                Some(from)
            }
            None => {
                let positions = self.consumer.positions();
                positions.get(name).map(|position| position.offset)
            }
        };
        tracing::error!(partition = %name, ?offset, %reason, "a partition is stopped");
        self.handle
            .with(|metrics| metrics.stopped.insert(name.clone()));
        (self.listener)(ProcessorEvent::Stopped {
            partition: name.clone(),
            offset,
            reason,
        });
    }

    /// Has a stopped partition read again from its oldest record that is not done, for whoever resumes it.
    fn step_back(&mut self, name: &TopicPartition) {
        let stopped = self.partitions.get_mut(name);
        let Some(partition) = stopped.filter(|found| found.is_stopped()) else {
            return;
        };
        let position = self.consumer.positions().get(name).map(|at| at.offset);
        if let Some(offset) = partition.step_back(position) {
            // It may have gone just now.
            drop(self.consumer.seek(name, offset));
        }
    }

    /// The consumer has an error to tell.
    pub(super) fn unreadable(&mut self, error: Error) {
        let partitions = match error.kind() {
            ErrorKind::CorruptBatch { partition, .. }
            | ErrorKind::LogTruncated { partition, .. }
            | ErrorKind::NoOffset { partition }
            | ErrorKind::OffsetOutOfRange { partition, .. } => vec![partition.clone()],
            ErrorKind::TopicRecreated { topic } => {
                let assigned = self.consumer.assignment().into_iter();
                assigned.filter(|name| *name.topic == **topic).collect()
            }
            _ if error.is_retriable() => {
                tracing::warn!(%error, "the consumer reports an error");
                return (self.listener)(ProcessorEvent::Reading(error));
            }
            _ => return self.end(Err(error)),
        };
        for name in partitions {
            if let Some(partition) = self.partitions.get_mut(&name) {
                // A seek would be the word that its caller has dealt with this.
                partition.stay();
            }
            // The consumer tells it again and again.
            if !self.handle.with(|metrics| metrics.stopped.contains(&name)) {
                self.stop(&name, i64::MAX, StopReason::Unreadable(error.clone()));
            }
        }
    }
}
