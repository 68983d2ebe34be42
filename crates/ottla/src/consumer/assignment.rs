//! A consumer's assigned partitions with what was fetched for them: the state that the caller and the
//! fetchers share.
//!
//! Owns positions and buffer together, because an event that changes one must change the other in the
//! same step: after a seek returns, no record from before it can be handed out. Whoever assigns the
//! partitions, the caller or a group, adds and revokes them here.
//!
//! Does no I/O and never waits; it is used under one short lock. What follows from a change (a reader or
//! a fetcher to be woken) is noted and carried out by the lock's holder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;

use ottla_cluster::{Cluster, NodeId, TopicPartition};
use ottla_codec::records::BatchError;
use tokio::time::Instant;

use super::buffer::{Buffer, Entry};
use super::buffered::Fetched;
use super::decoder::Step;
use super::lane::{Lane, Via};
use super::metrics::Counters;
use super::partition::{LogEnds, Partition};
use super::positions::{
    FetchTarget, Followed, Generation, Leader, Position, Positions, Question, Start,
};
use super::presence::Presence;
use super::reset::AutoOffsetReset;
use super::standing::Standing;
use super::stream::Progress;
use crate::error::{Error, ErrorKind};

/// What the caller gets next.
#[derive(Debug)]
pub(crate) enum HandOut {
    /// A batch. It counts as handed out only once [`Assignment::accept`] says so.
    Batch {
        partition: TopicPartition,
        /// Tells whether the partition's positions have jumped meanwhile.
        lineage: Generation,
        fetched: Fetched,
    },
    /// An error of one partition.
    Error(Error),
    /// Nothing yet.
    Nothing,
}

/// Assigned partitions, their positions and their buffered records.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(super) positions: Positions,
    pub(super) buffer: Buffer<Fetched>,
    pub(super) policy: AutoOffsetReset,
    pub(super) counters: Counters,
    pub(super) presence: Presence,
    pub(super) standing: Standing,
    limits: Limits,
    /// Brokers whose main lane has a request out.
    waiting_at: BTreeSet<NodeId>,
    reader: Option<Waker>,
    wakes: Wakes,
    closed: bool,
    /// Counts changes in which partitions are assigned.
    version: u64,
    /// The batch whose records a stream is yielding.
    streaming: Option<(TopicPartition, Arc<Progress>)>,
}

/// How much may wait in one partition's queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The whole budget in bytes.
    pub(crate) budget: usize,
    /// One partition's share of one response in bytes.
    pub(crate) partition: usize,
}

/// Who has to be woken once the lock is released.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    pub(crate) reader: Option<Waker>,
    pub(crate) work: bool,
    pub(crate) group: bool,
}

impl Assignment {
    pub(crate) fn new(policy: AutoOffsetReset, limits: Limits) -> Self {
        Self {
            positions: Positions::default(),
            buffer: Buffer::default(),
            policy,
            counters: Counters::default(),
            presence: Presence::default(),
            standing: Standing::default(),
            limits,
            waiting_at: BTreeSet::new(),
            reader: None,
            wakes: Wakes::default(),
            closed: false,
            version: 0,
            streaming: None,
        }
    }

    /// Who has to be woken; asked once, when the lock is released.
    pub(crate) fn take_wakes(&mut self) -> Wakes {
        std::mem::take(&mut self.wakes)
    }

    // What the caller, or a group, asks for.

    /// Assigns exactly these partitions.
    pub(crate) fn replace(&mut self, partitions: BTreeMap<TopicPartition, Start>) {
        let gone: Vec<_> = self
            .positions
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !partitions.contains_key(name))
            .cloned()
            .collect();
        for name in gone {
            self.revoke(&name);
        }
        for (name, start) in partitions {
            self.add(name, start);
        }
    }

    /// Assigns one more partition, or starts it anew.
    pub(crate) fn add(&mut self, partition: TopicPartition, start: Start) {
        self.disown_buffered(&partition);
        self.positions.insert(partition, start);
        self.version += 1;
        self.wakes.work = true;
    }

    /// Takes a partition away. Nothing of it is handed out after this; whether it was assigned.
    pub(crate) fn revoke(&mut self, partition: &TopicPartition) -> bool {
        self.disown_buffered(partition);
        self.version += 1;
        self.wakes.work = true;
        self.positions.remove(partition)
    }

    /// Moves a partition.
    pub(crate) fn seek(&mut self, partition: &TopicPartition, start: Start) -> Result<(), Error> {
        if !self.positions.seek(partition, start) {
            return Err(not_assigned(partition));
        }
        self.disown_buffered(partition);
        self.wakes.work = true;
        Ok(())
    }

    /// Stops or continues handing out and fetching a partition. What is buffered stays.
    pub(crate) fn set_paused(
        &mut self,
        partition: &TopicPartition,
        paused: bool,
    ) -> Result<(), Error> {
        let changed = self.positions.set_paused(partition, paused);
        if changed.ok_or_else(|| not_assigned(partition))? {
            self.interrupt_stream(partition);
            self.wakes.work = true;
            self.wake_reader();
        }
        Ok(())
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// One partition.
    pub(crate) fn partition(&self, partition: &TopicPartition) -> Result<&Partition, Error> {
        self.positions
            .partition(partition)
            .ok_or_else(|| not_assigned(partition))
    }

    /// All partitions.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&TopicPartition, &Partition)> {
        self.positions.iter()
    }

    /// What responses have told of a partition's log.
    pub(crate) fn log(&self, partition: &TopicPartition) -> Option<LogEnds> {
        self.positions.partition(partition).map(Partition::log)
    }

    /// Bytes that wait to be handed out.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.bytes()
    }

    /// Ends everything: the reader is told.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.replace(BTreeMap::new());
        self.standing.close();
        self.wake_reader();
        self.wakes.work = true;
        self.wakes.group = true;
    }

    /// Another number whenever other partitions are assigned.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    // What the reader asks for.

    /// The next thing for the caller, the partitions taking turns. By asking, the caller has come back from
    /// what it was handed before.
    pub(crate) fn hand_out(&mut self, now: Instant) -> HandOut {
        self.attend();
        let next = self.next_thing(now);
        if !matches!(next, HandOut::Nothing) {
            self.presence.leave(now);
        }
        next
    }

    fn next_thing(&mut self, now: Instant) -> HandOut {
        if let Some(error) = self.standing.raise(now) {
            self.wakes.work = true;
            return HandOut::Error(error);
        }
        if self.positions.has_error()
            && let Some(error) = self.positions.raise(now)
        {
            // It may be due again later, and somebody has to watch the time.
            self.wakes.work = true;
            return HandOut::Error(error);
        }
        let positions = &self.positions;
        let may = |name: &TopicPartition| positions.partition(name).is_some_and(Partition::is_open);
        let Some((partition, fetched)) = self.buffer.take(may) else {
            return HandOut::Nothing;
        };
        let Some(lineage) = positions.partition(&partition).map(Partition::lineage) else {
            return HandOut::Nothing;
        };
        HandOut::Batch {
            partition,
            lineage,
            fetched,
        }
    }

    /// Counts a batch that was taken as handed out and gives it back; `None` if its partition has been
    /// moved, paused or revoked meanwhile.
    pub(crate) fn accept(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
        fetched: Fetched,
    ) -> Option<Fetched> {
        let found = self.positions.unbroken(partition, lineage)?;
        if !found.is_open() {
            self.buffer.put_back(partition, fetched);
            return None;
        }
        if let Some(before) = found.position() {
            self.presence.hand(partition, before);
        }
        self.counters.batches += 1;
        self.counters.records += fetched.records_count();
        self.consume(partition, lineage, fetched.end, fetched.bytes());
        Some(fetched)
    }

    /// Counts what goes up to `end`, and took `bytes` in the buffer, as handed out.
    pub(crate) fn consume(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
        end: Position,
        bytes: usize,
    ) {
        let limit = self.queue_limit();
        let left = self.buffer.bytes_of(partition);
        let is_empty = self.buffer.is_empty(partition);
        if let Some(found) = self.positions.unbroken(partition, lineage) {
            found.consumed_to(end, is_empty);
            // It was held back for lack of room, or until it had drained: it goes on now, not later.
            if found.must_drain() || (left < limit && left.saturating_add(bytes) >= limit) {
                self.wakes.work = true;
            }
        }
    }

    /// Puts back a batch that was taken, or what is left of it, unless the positions have jumped.
    pub(crate) fn put_back(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
        fetched: Fetched,
    ) {
        if self.positions.unbroken(partition, lineage).is_some() {
            self.buffer.put_back(partition, fetched);
            self.wake_reader();
        }
    }

    /// A stream begins to yield a batch that was taken; false if its partition has been moved, paused or
    /// revoked meanwhile.
    pub(crate) fn begin_stream(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
        progress: &Arc<Progress>,
        records: u64,
    ) -> bool {
        let found = self.positions.unbroken(partition, lineage);
        if found.is_none_or(|found| !found.is_open()) {
            return false;
        }
        self.counters.batches += 1;
        self.counters.records += records;
        self.streaming = Some((partition.clone(), progress.clone()));
        true
    }

    /// A stream has yielded all of its batch.
    pub(crate) fn end_stream(&mut self) {
        self.streaming = None;
    }

    /// A stream gives back what it has not yielded of its batch, from `position` on.
    pub(crate) fn give_back(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
        position: Position,
        rest: Fetched,
    ) {
        if self.positions.unbroken(partition, lineage).is_some() {
            self.settle_stream(partition);
        }
        self.streaming = None;
        if let Some(found) = self.positions.unbroken(partition, lineage) {
            found.consumed_to(position, false);
            self.put_back(partition, lineage, rest);
        }
    }

    /// Behind what the caller was handed; `None` while the partition has no position.
    pub(crate) fn position(&self, partition: &TopicPartition) -> Result<Option<Position>, Error> {
        let position = self.partition(partition)?.position();
        Ok(match (&self.streaming, position) {
            (Some((streaming, progress)), Some(position)) if streaming == partition => {
                Some(Position {
                    offset: progress.next_offset().max(position.offset),
                    ..position
                })
            }
            _ => position,
        })
    }

    /// Behind what the caller was handed and has come back from: what is safe to commit in its name. Nothing is, while
    /// it holds something from before a reset.
    pub(crate) fn returned(&self, partition: &TopicPartition) -> Option<Position> {
        let position = self.position(partition).ok()??;
        let before = match &self.streaming {
            Some((streaming, progress)) if streaming == partition => {
                Some(Position::at(progress.returned()))
            }
            _ => match self.presence.in_hand(partition) {
                Some(before) => Some(before?),
                None => None,
            },
        };
        Some(
            before
                .filter(|at| at.offset < position.offset)
                .unwrap_or(position),
        )
    }

    /// How far the stream has come that is yielding a batch.
    pub(super) fn streamed(&self) -> Option<i64> {
        let (_, progress) = self.streaming.as_ref()?;
        Some(progress.next_offset())
    }

    /// Ends the turn of a batch that a stream is yielding; what is left of it is given back.
    pub(super) fn interrupt_streams(&mut self) {
        if let Some((_, progress)) = &self.streaming {
            progress.interrupt();
        }
    }

    fn interrupt_stream(&mut self, partition: &TopicPartition) {
        if let Some((streaming, progress)) = &self.streaming
            && streaming == partition
        {
            progress.interrupt();
        }
    }

    /// Drops what waits of a partition, and what the caller holds of it says nothing any more.
    fn disown_buffered(&mut self, partition: &TopicPartition) {
        self.interrupt_stream(partition);
        self.presence.forget(partition);
        self.buffer.purge(partition);
    }

    /// Takes over how far a stream has come, before the rest of its batch is disowned.
    fn settle_stream(&mut self, partition: &TopicPartition) {
        if let Some((streaming, progress)) = &self.streaming
            && streaming == partition
            && progress.returned() < progress.next_offset()
        {
            let before = Position::at(progress.returned());
            self.presence.hand(partition, before);
        }
        if let Ok(Some(position)) = self.position(partition)
            && let Some(found) = self.positions.partition_mut(partition)
        {
            found.consumed_to(position, false);
        }
        self.interrupt_stream(partition);
    }

    /// Registers who waits for something to hand out.
    pub(crate) fn set_reader(&mut self, waker: &Waker) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(waker),
            None => self.reader = Some(waker.clone()),
        }
    }

    /// Wakes whoever waits for something to hand out.
    pub(crate) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.wakes.reader = Some(reader);
        }
    }

    /// Tells those who follow the group's affairs.
    pub(crate) fn wake_group(&mut self) {
        self.wakes.group = true;
    }

    /// Wakes fetchers and owner: there may be something to do.
    pub(crate) fn wake_work(&mut self) {
        self.wakes.work = true;
    }

    /// Gives up what waits for paused partitions, if nothing else waits: called when there is no room
    /// left to fetch for the others. It is fetched again after the pause.
    pub(crate) fn make_room(&mut self) {
        let positions = &self.positions;
        let open =
            |name: &TopicPartition| positions.partition(name).is_some_and(Partition::is_open);
        if self.buffer.has(open) {
            return;
        }
        let names: Vec<_> = self.buffer.line().cloned().collect();
        for name in names {
            self.rewind(&name);
        }
    }

    // What fetchers ask for.

    /// What to fetch from a broker now. It counts as asked.
    pub(crate) fn fetch_from(
        &mut self,
        node: NodeId,
        lane: Lane,
        now: Instant,
    ) -> Vec<FetchTarget> {
        let via = Via { node, lane };
        if !self.is_lane_open(via) {
            return Vec::new();
        }
        let wanted = wanted(&self.buffer, lane, self.queue_limit());
        self.positions.fetch_from(via, now, wanted)
    }

    /// Whether [`fetch_from`](Self::fetch_from) would find anything.
    pub(crate) fn has_fetch_from(&self, node: NodeId, lane: Lane, now: Instant) -> bool {
        let via = Via { node, lane };
        let wanted = wanted(&self.buffer, lane, self.queue_limit());
        self.is_lane_open(via) && self.positions.has_fetch_from(via, now, wanted)
    }

    /// The side lane fetches only while the main lane waits.
    fn is_lane_open(&self, via: Via) -> bool {
        via.lane == Lane::Main || self.waiting_at.contains(&via.node)
    }

    /// Tells the other fetchers if partitions that one of them has just had an answer for are theirs now.
    pub(crate) fn wake_other_lanes(
        &mut self,
        node: NodeId,
        lane: Lane,
        partitions: &[TopicPartition],
        now: Instant,
    ) {
        let elsewhere = |name: &TopicPartition| {
            let found = self.positions.partition(name);
            found.is_some_and(|found| found.source(now).is_some_and(|(at, _)| at != node))
        };
        let main_is_idle = lane == Lane::Side && !self.waiting_at.contains(&node);
        if main_is_idle || partitions.iter().any(elsewhere) {
            self.wakes.work = true;
        }
    }

    /// A broker's main lane has a request out, or has none any more.
    pub(crate) fn set_waiting_at(&mut self, node: NodeId, waiting: bool) {
        let changed = if waiting {
            self.waiting_at.insert(node)
        } else {
            self.waiting_at.remove(&node)
        };
        self.wakes.work |= changed && waiting;
    }

    /// Puts a run before the caller; whether there is anything to be had behind it.
    pub(crate) fn push_all(
        &mut self,
        partition: &TopicPartition,
        generation: Generation,
        run: Vec<Step>,
    ) -> bool {
        for step in run {
            match step {
                Step::Push(fetched) => self.push(partition, generation, fetched),
                Step::Pass(end) => self.pass(partition, generation, end),
                Step::Corrupt(error) => {
                    self.corrupt(partition, generation, error);
                    return false;
                }
            }
        }
        let found = self.positions.current(partition, generation);
        if found.is_some_and(|found| found.is_buffered_to_fetch() && !found.is_asked()) {
            // From here on another lane may fetch it.
            self.wakes.work = true;
        }
        true
    }

    /// Puts a batch before the caller.
    fn push(&mut self, partition: &TopicPartition, generation: Generation, fetched: Fetched) {
        let Some(found) = self.positions.current(partition, generation) else {
            return;
        };
        found.buffered_to(fetched.end, false);
        self.counters.bytes += fetched.bytes() as u64;
        self.buffer.push(partition, fetched);
        // Also if it is paused: somebody may wait for the room that this takes.
        self.wake_reader();
    }

    /// Moves the position over offsets that hold nothing for the caller, once what comes before them has
    /// been handed out.
    fn pass(&mut self, partition: &TopicPartition, generation: Generation, end: Position) {
        let is_empty = self.buffer.is_empty(partition);
        if let Some(found) = self.positions.current(partition, generation) {
            // A batch that is being handed out is no longer in the buffer, but is not behind us either.
            found.buffered_to(end, is_empty && found.is_consumed_to_buffered());
            self.wakes.work = true;
        }
    }

    /// The batch that comes next cannot be read.
    fn corrupt(&mut self, partition: &TopicPartition, generation: Generation, source: BatchError) {
        let Some(found) = self.positions.current(partition, generation) else {
            return;
        };
        let offset = found.buffered_position().map_or(-1, |at| at.offset);
        self.positions
            .fail(partition, corrupt_batch(partition, offset, source));
        self.wake_reader();
    }

    /// The batch that was taken for the caller cannot be read; what waits behind it is dropped.
    pub(crate) fn corrupt_at_hand_out(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
        source: BatchError,
    ) {
        let Some(found) = self.positions.unbroken(partition, lineage) else {
            return;
        };
        let offset = found.position().map_or(-1, |at| at.offset);
        self.rewind(partition);
        self.positions
            .fail(partition, corrupt_batch(partition, offset, source));
    }

    /// A record inside a batch cannot be read; what comes before it has been handed out.
    pub(crate) fn corrupt_in_stream(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
        position: Position,
        source: BatchError,
    ) {
        self.streaming = None;
        if let Some(found) = self.positions.unbroken(partition, lineage) {
            found.consumed_to(position, false);
            self.corrupt_at_hand_out(partition, lineage, source);
        }
    }

    /// Goes back to what was handed out, dropping what waits: it is fetched again.
    pub(super) fn rewind(&mut self, partition: &TopicPartition) {
        self.settle_stream(partition);
        self.buffer.purge(partition);
        self.positions.rewind(partition);
    }

    // What the owner task asks for.

    /// Takes over leaders and topic ids.
    pub(crate) fn follow(&mut self, cluster: &Cluster) {
        let names: Vec<_> = self
            .positions
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let Some(topic) = cluster.topic(&name.topic) else {
                continue;
            };
            let leader = cluster
                .leader(&name)
                .map(|(node, epoch)| Leader { node, epoch });
            match self.positions.follow(&name, leader, topic.id()) {
                Followed::Same => {}
                Followed::Moved => self.wakes.work = true,
                Followed::Recreated => {
                    self.positions.fail(&name, recreated(&name));
                    self.wake_reader();
                }
            }
        }
    }

    /// Tells the caller of something about a partition, once.
    pub(crate) fn report(&mut self, partition: &TopicPartition, error: Error) {
        if let Some(found) = self.positions.partition_mut(partition) {
            found.report(error);
            self.wake_reader();
        }
    }

    /// Brokers that are to be fetched from.
    pub(crate) fn sources(&self, now: Instant) -> Vec<NodeId> {
        self.positions.sources(now)
    }

    /// What has to be asked now. It counts as asked.
    pub(crate) fn questions(&mut self, now: Instant) -> Vec<Question> {
        self.positions.questions(now)
    }

    /// The first time after `since` when something is due that nothing else announces: a retry, or an
    /// error to be raised again.
    pub(crate) fn next_due(&self, since: Instant) -> Option<Instant> {
        let retry = self.positions.next_retry(since);
        let raise = self.positions.next_raise(since);
        let group = self.standing.next_raise(since);
        [retry, raise, group].into_iter().flatten().min()
    }

    /// Bytes that may wait in one partition's queue before it is fetched no further: its share of half
    /// the budget, but never less than one response may bring.
    fn queue_limit(&self) -> usize {
        let share = self.limits.budget / 2 / self.positions.len().max(1);
        share.max(self.limits.partition)
    }
}

/// Which partitions a lane fetches: those whose queue has room, and over the side lane only what may be
/// there already.
fn wanted(
    buffer: &Buffer<Fetched>,
    lane: Lane,
    limit: usize,
) -> impl Fn(&TopicPartition, &Partition) -> bool {
    move |name, partition| {
        buffer.bytes_of(name) < limit && (lane == Lane::Main || !partition.is_caught_up())
    }
}

/// The error about a partition that is not assigned.
pub(crate) fn not_assigned(partition: &TopicPartition) -> Error {
    ErrorKind::NotAssigned {
        partition: partition.clone(),
    }
    .into()
}

/// The error about a partition whose topic is another one now.
pub(crate) fn recreated(partition: &TopicPartition) -> Error {
    let topic = partition.topic.to_string();
    ErrorKind::TopicRecreated { topic }.into()
}

fn corrupt_batch(partition: &TopicPartition, offset: i64, source: BatchError) -> Error {
    Error::from(ErrorKind::CorruptBatch {
        partition: partition.clone(),
        offset,
    })
    .with_source(source)
}
