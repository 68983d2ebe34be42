//! The batches of one partition between sealing and outcome: a state machine without I/O.
//!
//! Owns which batch goes next, under which sequence number, and what an answer, a lost connection or
//! a deadline means for it and for the batches behind it. Refuses to know what a batch contains, how it
//! is encoded, and where the leader is.
//!
//! The rules, from which everything here follows:
//!
//! - A batch keeps its sequence number on every attempt, as long as one attempt may have written it
//!   (it is *uncertain*). Only batches that were certainly not written are numbered anew, and only
//!   under a higher epoch: with the same epoch a broker could take the new batch for the old one and
//!   drop it.
//! - The higher epoch also fences what is left of earlier attempts in a broker's queue: once one batch
//!   of it is written, none of the older epoch can be. So an uncertain batch is never sent again after
//!   the epoch was raised; it has failed by then.
//! - After any failure nothing is sent until every attempt has ended (*rewinding*). Then sending starts
//!   again at the oldest batch, one at a time, until the leader has accepted one.
//! - A later batch that was written pins the order: an earlier one that was not can no longer be
//!   numbered anew, it fails (*overtaken*).
//!
//! # References
//! - KIP-98 (sequences), KIP-360 (epoch bump by the client), KAFKA-5494 (several batches in flight)

use std::collections::VecDeque;

use tokio::time::Instant;

use super::sequences::{Identity, Sequences, Stamp};

/// A connection to a leader: attempts over two routes are not ordered to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) node: i32,
    pub(crate) connection: u64,
}

/// What a broker's answer says about one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is in the log, by this attempt or an earlier one.
    Written,
    /// Not now; `certain` when this attempt certainly did not write it.
    Retry { certain: bool },
    /// The sequence does not follow the last one the broker knows.
    Gap,
    /// The broker does not accept this producer id at this epoch.
    Disowned,
    /// The broker takes no batch of this size.
    TooLarge,
    /// Never; `certain` when this attempt certainly did not write it.
    Refused { certain: bool },
}

/// Why a batch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The last answer said so.
    Refused,
    /// The delivery deadline passed.
    Expired,
    /// The broker's sequence went on without this batch, which may have been written before.
    SequenceLost,
    /// A later batch is in the log and this one is not: writing it now would break the order.
    Overtaken,
    /// The producer was closed.
    Closed,
    /// The topic was deleted, perhaps created again.
    TopicGone,
}

/// What the owner has to do after an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action<B> {
    /// Report success and let go of the batch.
    Written(B),
    /// Report failure and let go of the batch.
    Failed {
        batch: B,
        cause: Cause,
        possibly_written: bool,
    },
    /// Report failure with `possibly_written`; the batch is still on the wire.
    Abandoned { serial: u64, cause: Cause },
    /// An abandoned batch came off the wire: let go of it.
    Dropped(B),
    /// Cut the batch into smaller ones and hand them to [`Window::replace`]; should it be gone by
    /// then, it has failed.
    Split { serial: u64 },
}

/// Which batch may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// None, until another input arrives.
    None,
    /// None before this instant.
    NotBefore(Instant),
    /// The one at this position.
    At(usize),
    /// One that is yet to be pushed: all others are in flight, and one more may be.
    New,
}

#[derive(Debug)]
struct Entry<B> {
    serial: u64,
    batch: B,
    records: u32,
    deadline: Instant,
    stamp: Option<Stamp>,
    in_flight: bool,
    /// An attempt ended without certainty that nothing was written.
    uncertain: bool,
    overtaken: bool,
    /// Reported as failed while still in flight.
    abandoned: bool,
    splitting: bool,
}

/// The batches of one partition, oldest first; those with a sequence number come before those without.
#[derive(Debug)]
pub(crate) struct Window<B> {
    entries: VecDeque<Entry<B>>,
    max_in_flight: usize,
    /// `None` without idempotence.
    sequences: Option<Sequences>,
    in_flight: usize,
    /// Where the attempts in flight went.
    sent_to: Option<Route>,
    /// The route that has accepted a batch since the last failure.
    accepted_by: Option<Route>,
    /// Nothing is sent until every attempt has ended.
    rewinding: bool,
    /// The sequences have a hole: number anew as soon as nothing is uncertain any more.
    hole: bool,
    /// The sequences cannot go on: number anew as soon as nothing is in flight.
    broken: bool,
    /// With `broken`: under another producer id.
    disowned: bool,
    not_before: Option<Instant>,
    failures: u32,
}

impl<B> Window<B> {
    /// A window with at most `max_in_flight` unanswered batches.
    pub(crate) fn new(max_in_flight: usize, idempotent: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            max_in_flight: max_in_flight.max(1),
            sequences: idempotent.then(Sequences::default),
            in_flight: 0,
            sent_to: None,
            accepted_by: None,
            rewinding: false,
            hole: false,
            broken: false,
            disowned: false,
            not_before: None,
            failures: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Batches that have no outcome yet.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Attempts under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Failed attempts since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn batch_mut(&mut self, serial: u64) -> Option<&mut B> {
        let position = self.position(serial)?;
        self.entries.get_mut(position).map(|entry| &mut entry.batch)
    }

    /// The delivery deadline of the oldest batch that is not given up yet.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let mut entries = self.entries.iter();
        let oldest = entries.find(|entry| !entry.abandoned)?;
        Some(oldest.deadline)
    }

    /// The batches with their serials, oldest first.
    pub(crate) fn batches_mut(&mut self) -> impl Iterator<Item = (u64, &mut B)> {
        let entries = self.entries.iter_mut();
        entries.map(|entry| (entry.serial, &mut entry.batch))
    }

    /// The batch at a position.
    pub(crate) fn batch_at(&self, position: usize) -> Option<&B> {
        self.entries.get(position).map(|entry| &entry.batch)
    }

    /// There is another leader: no need to wait for the end of a backoff.
    pub(crate) fn leader_changed(&mut self) {
        self.not_before = None;
    }

    /// Takes in a new batch behind all others. Serials ascend.
    pub(crate) fn push(&mut self, serial: u64, batch: B, records: u32, deadline: Instant) {
        self.entries.push_back(Entry {
            serial,
            batch,
            records,
            deadline,
            stamp: None,
            in_flight: false,
            uncertain: false,
            overtaken: false,
            abandoned: false,
            splitting: false,
        });
    }

    /// The batch that may go over `route` now.
    pub(crate) fn candidate(&self, now: Instant, route: Route) -> Candidate {
        if self.rewinding || self.broken {
            return Candidate::None;
        }
        if self.in_flight > 0 && self.sent_to != Some(route) {
            return Candidate::None;
        }
        let mut entries = self.entries.iter();
        let position = entries.position(|entry| !entry.in_flight);
        let position = position.unwrap_or(self.entries.len());
        let accepted = self.accepted_by == Some(route);
        let limit = if accepted { self.max_in_flight } else { 1 };
        let entry = self.entries.get(position);
        let splitting = entry.is_some_and(|entry| entry.splitting);
        let numbered = entry.is_some_and(|entry| entry.stamp.is_some());
        // A broker remembers the last five batches, so at most five may be between the oldest
        // without an outcome and the newest on the wire.
        if position >= limit || splitting || (self.hole && !numbered) {
            return Candidate::None;
        }
        match (self.not_before, entry) {
            (Some(instant), _) if instant > now => Candidate::NotBefore(instant),
            (_, Some(_)) => Candidate::At(position),
            (_, None) => Candidate::New,
        }
    }

    /// Marks the candidate as sent over `route` and returns its serial and stamp.
    ///
    /// # Errors
    /// The producer id that has to be replaced first, or `None` when there is none at all.
    pub(crate) fn dispatch(
        &mut self,
        position: usize,
        route: Route,
        current: Option<Identity>,
    ) -> Result<(u64, Option<Stamp>), Option<i64>> {
        let Some(entry) = self.entries.get_mut(position) else {
            return Err(None);
        };
        if entry.stamp.is_none()
            && let Some(sequences) = &mut self.sequences
        {
            entry.stamp = Some(sequences.number(entry.records, current)?);
        }
        entry.in_flight = true;
        self.in_flight += 1;
        self.sent_to = Some(route);
        Ok((entry.serial, entry.stamp))
    }

    /// A broker answered an attempt. `retry_at` is when to try again should it come to that.
    pub(crate) fn answered(
        &mut self,
        serial: u64,
        answer: Answer,
        retry_at: Instant,
        out: &mut Vec<Action<B>>,
    ) {
        let Some(position) = self.land(serial) else {
            return;
        };
        match answer {
            Answer::Written => self.written(position, out),
            Answer::Retry { certain } => self.retry(position, certain, retry_at, out),
            Answer::Gap if position > 0 => self.retry(position, true, retry_at, out),
            Answer::Gap => {
                // With a hole that we know of the refusal was to be expected: no reason to wait.
                let expected = self.hole;
                self.broken = self.sequences.is_some();
                self.retry(position, true, retry_at, out);
                if expected {
                    self.not_before = None;
                }
            }
            Answer::Disowned => {
                self.broken = self.sequences.is_some();
                self.disowned = self.broken;
                self.retry(position, true, retry_at, out);
            }
            Answer::TooLarge => self.too_large(position, out),
            Answer::Refused { certain } => self.refused(position, certain, out),
        }
        self.settle(out);
    }

    /// An attempt ended without an answer; `written` unless certainly no byte of it left.
    pub(crate) fn lost(
        &mut self,
        serial: u64,
        written: bool,
        retry_at: Instant,
        out: &mut Vec<Action<B>>,
    ) {
        if let Some(position) = self.land(serial) {
            self.retry(position, !written, retry_at, out);
            self.settle(out);
        }
    }

    /// Puts the parts of a batch in its place, under its sequence range.
    ///
    /// One part or none means that it cannot be split: it is refused. Parts of a batch that has
    /// failed meanwhile are handed back.
    pub(crate) fn replace(
        &mut self,
        serial: u64,
        parts: Vec<(u64, B, u32)>,
        out: &mut Vec<Action<B>>,
    ) -> Result<B, Vec<(u64, B, u32)>> {
        let Some(position) = self.position(serial) else {
            return Err(parts);
        };
        let Some(whole) = self.entries.remove(position) else {
            return Err(parts);
        };
        let mut stamp = whole.stamp;
        for (offset, (serial, batch, records)) in parts.into_iter().enumerate() {
            let entry = Entry {
                serial,
                batch,
                records,
                deadline: whole.deadline,
                stamp,
                in_flight: false,
                uncertain: whole.uncertain,
                overtaken: whole.overtaken,
                abandoned: false,
                splitting: false,
            };
            self.entries.insert(position + offset, entry);
            stamp = stamp.map(|stamp| stamp.after(records));
        }
        self.settle(out);
        Ok(whole.batch)
    }

    /// Refuses a batch that could not be sealed or split.
    pub(crate) fn reject(&mut self, serial: u64, out: &mut Vec<Action<B>>) {
        if let Some(position) = self.position(serial) {
            self.refused(position, true, out);
            self.settle(out);
        }
    }

    /// Fails what has passed its delivery deadline.
    pub(crate) fn expire(&mut self, now: Instant, out: &mut Vec<Action<B>>) {
        self.fail_where(Cause::Expired, |entry| entry.deadline <= now, out);
    }

    /// Fails everything.
    pub(crate) fn abort(&mut self, cause: Cause, out: &mut Vec<Action<B>>) {
        self.fail_where(cause, |_| true, out);
    }

    fn fail_where(
        &mut self,
        cause: Cause,
        doomed: impl Fn(&Entry<B>) -> bool,
        out: &mut Vec<Action<B>>,
    ) {
        let mut position = 0;
        while let Some(entry) = self.entries.get_mut(position) {
            if entry.abandoned || !doomed(entry) {
                position += 1;
                continue;
            }
            self.hole |= entry.stamp.is_some();
            if entry.in_flight {
                entry.abandoned = true;
                let serial = entry.serial;
                out.push(Action::Abandoned { serial, cause });
                position += 1;
            } else {
                let possibly_written = entry.uncertain;
                self.fail(position, cause, possibly_written, out);
            }
        }
        self.settle(out);
    }

    fn position(&self, serial: u64) -> Option<usize> {
        let mut entries = self.entries.iter();
        entries.position(|entry| entry.serial == serial)
    }

    /// An attempt has ended.
    fn land(&mut self, serial: u64) -> Option<usize> {
        let position = self.position(serial)?;
        let entry = self.entries.get_mut(position)?;
        if !entry.in_flight {
            return None;
        }
        entry.in_flight = false;
        self.in_flight -= 1;
        Some(position)
    }

    fn written(&mut self, position: usize, out: &mut Vec<Action<B>>) {
        if let Some(entry) = self.entries.remove(position) {
            out.push(if entry.abandoned {
                Action::Dropped(entry.batch)
            } else {
                Action::Written(entry.batch)
            });
        }
        self.overtake(position, out);
        if !self.rewinding {
            self.accepted_by = self.sent_to;
            self.failures = 0;
            self.not_before = None;
        }
    }

    /// The batches before `position` come too late, unless they are in the log already.
    fn overtake(&mut self, position: usize, out: &mut Vec<Action<B>>) {
        if self.sequences.is_none() {
            return;
        }
        for earlier in (0..position).rev() {
            let Some(entry) = self.entries.get_mut(earlier) else {
                continue;
            };
            entry.overtaken = true;
            if !entry.uncertain && !entry.in_flight {
                self.hole = true;
                self.fail(earlier, Cause::Overtaken, false, out);
            }
        }
    }

    fn retry(
        &mut self,
        position: usize,
        certain: bool,
        retry_at: Instant,
        out: &mut Vec<Action<B>>,
    ) {
        self.rewind();
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(self.not_before.map_or(retry_at, |at| at.max(retry_at)));
        let Some(entry) = self.entries.get_mut(position) else {
            return;
        };
        entry.uncertain |= !certain;
        if entry.abandoned
            && let Some(entry) = self.entries.remove(position)
        {
            out.push(Action::Dropped(entry.batch));
        }
    }

    fn too_large(&mut self, position: usize, out: &mut Vec<Action<B>>) {
        let Some(entry) = self.entries.get_mut(position) else {
            return;
        };
        if entry.records > 1 && !entry.abandoned {
            entry.splitting = true;
            out.push(Action::Split {
                serial: entry.serial,
            });
            self.rewind();
        } else {
            self.refused(position, true, out);
        }
    }

    fn refused(&mut self, position: usize, certain: bool, out: &mut Vec<Action<B>>) {
        self.rewind();
        self.hole |= self.sequences.is_some();
        let Some(entry) = self.entries.get(position) else {
            return;
        };
        let possibly_written = entry.uncertain || !certain;
        if entry.abandoned {
            if let Some(entry) = self.entries.remove(position) {
                out.push(Action::Dropped(entry.batch));
            }
        } else {
            self.fail(position, Cause::Refused, possibly_written, out);
        }
    }

    fn rewind(&mut self) {
        self.rewinding = true;
        self.accepted_by = None;
    }

    fn fail(
        &mut self,
        position: usize,
        cause: Cause,
        possibly_written: bool,
        out: &mut Vec<Action<B>>,
    ) {
        if let Some(entry) = self.entries.remove(position) {
            out.push(Action::Failed {
                batch: entry.batch,
                cause,
                possibly_written,
            });
        }
    }

    /// Once nothing is in flight: ends rewinding, and numbers anew where that is due.
    fn settle(&mut self, out: &mut Vec<Action<B>>) {
        if self.in_flight > 0 {
            return;
        }
        self.rewinding = false;
        let uncertain = self.entries.iter().any(|entry| entry.uncertain);
        if self.broken || (self.hole && !uncertain) {
            self.number_anew(out);
        }
    }

    fn number_anew(&mut self, out: &mut Vec<Action<B>>) {
        let mut position = 0;
        while let Some(entry) = self.entries.get_mut(position) {
            if entry.uncertain {
                self.fail(position, Cause::SequenceLost, true, out);
            } else if entry.overtaken {
                self.fail(position, Cause::Overtaken, false, out);
            } else {
                entry.stamp = None;
                position += 1;
            }
        }
        if let Some(sequences) = &mut self.sequences {
            if self.disowned {
                sequences.retire();
            } else {
                sequences.bump();
            }
        }
        self.hole = false;
        self.broken = false;
        self.disowned = false;
        self.accepted_by = None;
    }

    /// See [`Sequences::start_at`].
    #[cfg(test)]
    pub(crate) fn start_at(&mut self, identity: Identity, next: i32) {
        if let Some(sequences) = &mut self.sequences {
            sequences.start_at(identity, next);
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
