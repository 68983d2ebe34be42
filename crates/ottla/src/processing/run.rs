//! The loop behind a processor: reads, begins, settles, commits, lets go.
//!
//! One future owns the consumer and all tasks; dropped, it takes all of them with it. What it does with records is in
//! `records`, with partitions that go in `handover`, with what is done in `commits`.

mod commits;
mod handover;
mod records;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;

use ottla_cluster::TopicPartition;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, Instant, sleep_until};

use self::commits::{Commit, poll_commits};
use self::handover::Leaving;
use super::attempts::{Bench, Outcome};
use super::events::{ProcessorHandle, ProcessorMetrics};
use super::lanes::Lane;
use super::partition::{Partition, Window};
use super::processor::{Listener, ProcessingOrder};
use crate::consumer::{Consumer, Rebalance, Rebalances, RecordBatch};
use crate::env::after;
use crate::error::{Error, Result};

/// How often those that hold memory for nothing are looked for.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Each partition's.
    window: Window,
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

/// It is coming to an end.
struct End {
    outcome: Result<()>,
    by: Instant,
    /// The partitions that were stopped when it began.
    stopped: BTreeSet<TopicPartition>,
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
            commit_at: after(pacing.commit_interval),
            upkeep_at: now + UPKEEP_INTERVAL,
            pacing,
            bench: Arc::new(bench),
            listener,
            handle,
            partitions: BTreeMap::new(),
            window: Window::default(),
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
        let End {
            outcome,
            by,
            stopped,
        } = end.unwrap_or_else(|| End {
            outcome: Ok(()),
            by: Instant::now(),
            stopped: BTreeSet::new(),
        });
        consumer
            .close(by.saturating_duration_since(Instant::now()))
            .await;
        let metrics = handle.with(|metrics| {
            metrics.in_flight = 0;
            metrics.oldest = None;
            metrics.stopped = stopped;
            metrics.clone()
        });
        outcome.map(|()| metrics)
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

    fn look_after(&mut self) {
        let now = Instant::now();
        if self.commit_at <= now {
            self.commit_at = after(self.pacing.commit_interval);
            if self.commits.iter().all(|commit| commit.leaving.is_some()) {
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
                    // It reads this again when it goes on, unless it has gone just now.
                    let again = partition.make_room();
                    let paused = self.consumer.pause([name]);
                    drop(paused.and_then(|()| self.consumer.seek(name, again)));
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
        let by = after(self.pacing.shutdown_timeout);
        self.end = Some(End {
            outcome,
            by,
            stopped: self.handle.metrics().stopped,
        });
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
