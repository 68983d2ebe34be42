//! The loop behind a processor: reads, begins, settles, commits, lets go.
//!
//! One future owns the consumer and all tasks; dropped, it takes all of them with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla_cluster::TopicPartition;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, Instant, sleep_until};

use super::attempts::{Bench, Outcome, see_through};
use super::events::{ProcessorEvent, ProcessorHandle, ProcessorMetrics, StopReason};
use super::lanes::Lane;
use super::partition::{Pace, Partition};
use super::processor::{Listener, ProcessingOrder};
use crate::consumer::{
    Consumer, OffsetAndMetadata, PendingCommit, Rebalance, RebalanceKind, Rebalances, RecordBatch,
};
use crate::error::{Error, ErrorKind, Result};

/// How often those that hold memory for nothing are looked for.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
/// What is kept of a deadline for the commit after the last handler: a tenth, and no more than this.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// How it goes about its work.
pub(super) struct Pacing {
    pub(super) concurrency: usize,
    pub(super) order: ProcessingOrder,
    pub(super) window: usize,
    pub(super) commit_interval: Duration,
    pub(super) shutdown_timeout: Duration,
}

/// A processor at work.
pub(super) struct Run {
    consumer: Consumer,
    rebalances: Rebalances,
    pacing: Pacing,
    bench: Arc<Bench>,
    listener: Listener,
    handle: ProcessorHandle,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Partitions with records that may begin, in turn.
    turns: VecDeque<TopicPartition>,
    tasks: JoinSet<(u64, Outcome)>,
    /// The records that have begun, in the order in which they did.
    in_flight: BTreeMap<u64, InFlight>,
    /// Numbers ownerships and tasks.
    last_number: u64,
    commits: Vec<Commit>,
    leaving: Vec<Leaving>,
    commit_at: Instant,
    upkeep_at: Instant,
    end: Option<End>,
}

struct InFlight {
    partition: TopicPartition,
    ownership: u64,
    offset: i64,
    lane: Lane,
    since: Instant,
}

/// A commit under way.
struct Commit {
    pending: PendingCommit,
    /// With the ownership that each is of.
    offsets: BTreeMap<TopicPartition, (u64, OffsetAndMetadata)>,
    /// What is given up when it is over.
    leaving: Option<Departure>,
}

/// Partitions that go; the event is acknowledged by its drop.
struct Departure {
    partitions: BTreeSet<TopicPartition>,
    _event: Option<Rebalance>,
}

/// Partitions whose handlers are waited for.
struct Leaving {
    departure: Departure,
    until: Instant,
}

/// It is coming to an end.
struct End {
    outcome: Result<()>,
    by: Instant,
}

enum Happened {
    Shutdown,
    Rebalance(Option<Rebalance>),
    Committed(usize, Result<()>),
    Read(Result<Option<RecordBatch>>),
    Ended(Option<Result<(u64, Outcome), JoinError>>),
    TimePassed,
}

impl Run {
    pub(super) fn new(
        consumer: Consumer,
        pacing: Pacing,
        bench: Bench,
        listener: Listener,
        handle: ProcessorHandle,
    ) -> Self {
        let now = Instant::now();
        Self {
            rebalances: consumer.rebalances(),
            consumer,
            commit_at: now + pacing.commit_interval,
            upkeep_at: now + UPKEEP_INTERVAL,
            pacing,
            bench: Arc::new(bench),
            listener,
            handle,
            partitions: BTreeMap::new(),
            turns: VecDeque::new(),
            tasks: JoinSet::new(),
            in_flight: BTreeMap::new(),
            last_number: 0,
            commits: Vec::new(),
            leaving: Vec::new(),
            end: None,
        }
    }

    /// Runs until it is told to shut down, or cannot go on.
    pub(super) async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<ProcessorMetrics> {
        let mut shutdown = pin!(shutdown);
        loop {
            while let Some(ended) = self.tasks.try_join_next() {
                self.settle(ended);
            }
            self.begin();
            self.look_after();
            self.let_go();
            self.publish();
            if self.is_over() {
                break;
            }
            match self.next(shutdown.as_mut()).await {
                Happened::Shutdown => self.end(Ok(())),
                Happened::Rebalance(Some(event)) => self.rebalance(event),
                Happened::Rebalance(None) | Happened::Read(Ok(None)) => self.unheard(),
                Happened::Committed(index, outcome) => self.committed(index, outcome),
                Happened::Read(Ok(Some(batch))) => self.read(batch),
                Happened::Read(Err(error)) => self.unreadable(error),
                Happened::Ended(Some(ended)) => self.settle(ended),
                Happened::Ended(None) | Happened::TimePassed => {}
            }
        }
        let Self {
            consumer,
            rebalances,
            mut tasks,
            handle,
            end,
            ..
        } = self;
        tasks.abort_all();
        // Nobody is left who had to be heard before partitions are given up.
        drop(rebalances);
        let End { outcome, by } = end.unwrap_or_else(|| End {
            outcome: Ok(()),
            by: Instant::now(),
        });
        consumer
            .close(by.saturating_duration_since(Instant::now()))
            .await;
        outcome.map(|()| handle.metrics())
    }

    async fn next(&mut self, shutdown: Pin<&mut impl Future<Output = ()>>) -> Happened {
        let is_ending = self.end.is_some();
        let due = self.due();
        let Self {
            consumer,
            rebalances,
            commits,
            tasks,
            ..
        } = self;
        let ended = async {
            match tasks.is_empty() {
                true => pending().await,
                false => tasks.join_next().await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown, if !is_ending => Happened::Shutdown,
            event = rebalances.next() => Happened::Rebalance(event),
            (index, outcome) = poll_fn(|context| poll_commits(commits, context)) => {
                Happened::Committed(index, outcome)
            }
            read = consumer.next(), if !is_ending => Happened::Read(read),
            ended = ended => Happened::Ended(ended),
            () = sleep_until(due) => Happened::TimePassed,
        }
    }

    /// When something falls due.
    fn due(&self) -> Instant {
        let until = self.leaving.iter().map(|leaving| leaving.until);
        let by = self.end.as_ref().map(|end| end.by);
        until
            .chain(by)
            .chain([self.commit_at, self.upkeep_at])
            .min()
            .unwrap_or(self.commit_at)
    }

    fn is_over(&self) -> bool {
        self.end.as_ref().is_some_and(|end| {
            let is_done = self.leaving.is_empty() && self.commits.is_empty();
            is_done || end.by <= Instant::now()
        })
    }

    // Records.

    fn read(&mut self, batch: RecordBatch) {
        let name = batch.partition().clone();
        let first = batch.records().next();
        let start = first.and_then(|record| Some(record.ok()?.offset()));
        let start = start.unwrap_or(batch.next_offset());
        let is_other = |known: &Partition| known.is_stopped() || start < known.next_offset();
        if self.partitions.get(&name).is_some_and(is_other) {
            // Somebody has sought or resumed, or the log was truncated: what is under way means nothing any more.
            self.forget([&name]);
        }
        if !self.partitions.contains_key(&name) {
            let ownership = self.number();
            let Pacing { order, window, .. } = self.pacing;
            let partition = Partition::new(ownership, order, window, start);
            self.partitions.insert(name.clone(), partition);
        }
        if let Some(partition) = self.partitions.get_mut(&name) {
            partition.add(batch);
        }
        self.go_on(&name);
    }

    /// Takes in what there is room for, and tells the consumer whether there is more.
    fn go_on(&mut self, name: &TopicPartition) {
        let Some(partition) = self.partitions.get_mut(name) else {
            return;
        };
        let taken_in = partition.take_in();
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
        }
    }

    /// Begins as many records as may be in flight, the partitions in turn.
    fn begin(&mut self) {
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
    fn settle(&mut self, ended: Result<(u64, Outcome), JoinError>) {
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
                return self.stop(&name, offset, reason);
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
        }
        self.go_on(&name);
    }

    /// A partition goes no further than that offset; others do.
    fn stop(&mut self, name: &TopicPartition, from: i64, reason: StopReason) {
        // One that is gone is its next owner's.
        drop(self.consumer.pause([name]));
        let offset = match self.partitions.get_mut(name) {
            Some(partition) => {
                let from = from.min(partition.next_offset());
                partition.stop(from);
                Some(from)
            }
            None => {
                let positions = self.consumer.positions();
                positions.get(name).map(|position| position.offset)
            }
        };
        if let Some(offset) = offset
            && !matches!(reason, StopReason::Unreadable(_))
        {
            // Whoever resumes it meets the record again, or seeks past it.
            drop(self.consumer.seek(name, offset));
        }
        tracing::error!(partition = %name, ?offset, %reason, "a partition is stopped");
        self.handle
            .with(|metrics| metrics.stopped.insert(name.clone()));
        (self.listener)(ProcessorEvent::Stopped {
            partition: name.clone(),
            offset,
            reason,
        });
    }

    /// The consumer has an error to tell.
    fn unreadable(&mut self, error: Error) {
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
            // The consumer tells it again and again.
            if !self.handle.with(|metrics| metrics.stopped.contains(&name)) {
                self.stop(&name, i64::MAX, StopReason::Unreadable(error.clone()));
            }
        }
    }

    // Partitions that come and go.

    fn rebalance(&mut self, event: Rebalance) {
        let partitions = event.partitions().clone();
        match event.kind() {
            RebalanceKind::Revoked => {
                let deadline = event.deadline().unwrap_or_else(Instant::now);
                self.leave(partitions, Some(event), deadline);
            }
            // What was known of new ones is of another time.
            RebalanceKind::Assigned | RebalanceKind::Lost => self.forget(&partitions),
        }
    }

    /// Begins nothing more of these, and gives them up when what has begun is done and committed.
    fn leave(
        &mut self,
        partitions: BTreeSet<TopicPartition>,
        event: Option<Rebalance>,
        deadline: Instant,
    ) {
        self.pass();
        for name in &partitions {
            if let Some(partition) = self.partitions.get_mut(name) {
                partition.leave();
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.leaving.push(Leaving {
            until: deadline - (left / 10).min(LONGEST_MARGIN),
            departure: Departure {
                partitions,
                _event: event,
            },
        });
    }

    /// Commits what is done of partitions that go, once nothing is in flight or time is up.
    fn let_go(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(leaving) = self.leaving.get(index) {
            let partitions = &leaving.departure.partitions;
            let is_busy = |name| {
                let found = self.partitions.get(name);
                found.is_some_and(|found: &Partition| found.in_flight > 0)
            };
            if leaving.until > now && partitions.iter().any(is_busy) {
                index += 1;
                continue;
            }
            let Leaving { departure, .. } = self.leaving.remove(index);
            self.cut(&departure.partitions);
            let offsets = self.uncommitted(|name, _| departure.partitions.contains(name));
            self.commit(offsets, Some(departure));
        }
    }

    /// Drops what knows nothing of these partitions' next owner, or of their next time here.
    fn forget<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition> + Copy) {
        self.cut(partitions);
        for name in partitions {
            self.partitions.remove(name);
            self.handle.with(|metrics| metrics.stopped.remove(name));
        }
    }

    /// Drops the handlers that are at work on these partitions.
    fn cut<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        for name in partitions {
            let Some(partition) = self.partitions.get(name) else {
                continue;
            };
            let cut = &partition.brakes.cut;
            if partition.in_flight == 0 || cut.is_cancelled() {
                continue;
            }
            cut.cancel();
            let of_it = self.in_flight.values().filter(|record| {
                record.partition == *name && record.ownership == partition.ownership
            });
            let offsets: Vec<i64> = of_it.map(|record| record.offset).collect();
            tracing::warn!(partition = %name, ?offsets, "handlers are dropped before they are done");
            self.handle
                .with(|metrics| metrics.abandoned += offsets.len() as u64);
            (self.listener)(ProcessorEvent::Abandoned {
                partition: name.clone(),
                offsets,
            });
        }
    }

    // Commits.

    /// Takes note of where the consumer stands, which may be behind more than records.
    fn pass(&mut self) {
        for (name, position) in self.consumer.positions() {
            if let Some(partition) = self.partitions.get_mut(&name) {
                partition.pass(position.offset);
            }
        }
    }

    fn uncommitted(
        &self,
        wanted: impl Fn(&TopicPartition, &Partition) -> bool,
    ) -> BTreeMap<TopicPartition, (u64, OffsetAndMetadata)> {
        let partitions = self.partitions.iter();
        partitions
            .filter(|(name, partition)| wanted(name, partition))
            .filter_map(|(name, partition)| {
                Some((
                    name.clone(),
                    (partition.ownership, partition.uncommitted()?),
                ))
            })
            .collect()
    }

    fn commit(
        &mut self,
        offsets: BTreeMap<TopicPartition, (u64, OffsetAndMetadata)>,
        leaving: Option<Departure>,
    ) {
        if offsets.is_empty() {
            if let Some(departure) = leaving {
                self.forget(&departure.partitions);
            }
            return;
        }
        let wanted = offsets.iter();
        let wanted = wanted.map(|(name, (_, position))| (name.clone(), position.clone()));
        self.commits.push(Commit {
            pending: self.consumer.commit(wanted),
            offsets,
            leaving,
        });
    }

    fn committed(&mut self, index: usize, outcome: Result<()>) {
        let Commit {
            offsets, leaving, ..
        } = self.commits.remove(index);
        let Err(error) = outcome else {
            self.handle.with(|metrics| metrics.commits += 1);
            for (name, (ownership, position)) in &offsets {
                self.note_committed(name, *ownership, position.offset);
            }
            return self.commit(BTreeMap::new(), leaving);
        };
        tracing::warn!(%error, "a commit failed");
        self.handle.with(|metrics| metrics.failed_commits += 1);
        // What can never be committed must not keep the rest from it.
        let hopeless = |name: &TopicPartition| match error.kind() {
            ErrorKind::Revoked { partition } | ErrorKind::NotAssigned { partition } => {
                partition == name
            }
            ErrorKind::TopicRecreated { topic } => *name.topic == **topic,
            _ => false,
        };
        let (never, mut again): (BTreeMap<_, _>, BTreeMap<_, _>) =
            offsets.into_iter().partition(|(name, _)| hopeless(name));
        for (name, (ownership, _)) in &never {
            self.note_committed(name, *ownership, i64::MAX);
        }
        if never.is_empty() {
            // The next one has another chance.
            again.clear();
        }
        (self.listener)(ProcessorEvent::CommitFailed(error));
        self.commit(again, leaving);
    }

    fn note_committed(&mut self, name: &TopicPartition, ownership: u64, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(name)
            && partition.ownership == ownership
        {
            partition.note_committed(offset);
        }
    }

    // What falls due.

    fn look_after(&mut self) {
        let now = Instant::now();
        if self.commit_at <= now {
            self.commit_at = now + self.pacing.commit_interval;
            if self.commits.iter().all(|commit| commit.leaving.is_some()) {
                self.pass();
                // Those that go are committed when they do.
                let offsets = self.uncommitted(|_, partition| !partition.is_leaving());
                self.commit(offsets, None);
            }
        }
        if self.upkeep_at <= now {
            self.upkeep_at = now + UPKEEP_INTERVAL;
            let is_starved = self.consumer.health().is_starved;
            for (name, partition) in &mut self.partitions {
                if partition.is_idle() && is_starved {
                    // It stays paused, and reads this again when it goes on.
                    drop(self.consumer.seek(name, partition.make_room()));
                }
            }
        }
    }

    /// Nobody tells of rebalances, or of records, any more.
    fn unheard(&mut self) {
        let outcome = match self.consumer.shared().shutdown.is_cancelled() {
            true => Ok(()),
            false => Err(Error::invalid_argument(
                "somebody else listens to the rebalances of the consumer",
            )),
        };
        self.end(outcome);
        // There is nobody to ask for a commit, or no knowing whether it is this consumer's to ask for.
        if let Some(end) = &mut self.end {
            end.by = Instant::now();
        }
    }

    fn end(&mut self, outcome: Result<()>) {
        if self.end.is_some() {
            return;
        }
        let by = Instant::now() + self.pacing.shutdown_timeout;
        self.end = Some(End { outcome, by });
        let going = self.partitions.iter();
        let going = going.filter(|(_, partition)| !partition.is_leaving());
        let going = going.map(|(name, _)| name.clone()).collect();
        self.leave(going, None, by);
    }

    fn publish(&self) {
        let in_flight = self.in_flight.len();
        let oldest = self.in_flight.values().next().map(|record| record.since);
        self.handle.with(|metrics| {
            metrics.in_flight = in_flight;
            metrics.oldest = oldest;
        });
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// The first commit that is over.
fn poll_commits(commits: &mut [Commit], context: &mut Context<'_>) -> Poll<(usize, Result<()>)> {
    for (index, commit) in commits.iter_mut().enumerate() {
        if let Poll::Ready(outcome) = Pin::new(&mut commit.pending).poll(context) {
            return Poll::Ready((index, outcome));
        }
    }
    Poll::Pending
}
