//! Partitions that come and go.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::TopicPartition;
use tokio::time::{Duration, Instant};

use super::super::events::ProcessorEvent;
use super::super::partition::Partition;
use super::Run;
use crate::consumer::{Rebalance, RebalanceKind};

/// What is kept of a deadline for the commit after the last handler: a tenth, and no more than this.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// Partitions that go, of these ownerships; the event is acknowledged by its drop.
pub(super) struct Departure {
    partitions: BTreeMap<TopicPartition, u64>,
    _event: Option<Rebalance>,
}

/// Partitions whose handlers are waited for.
pub(super) struct Leaving {
    departure: Departure,
    pub(super) until: Instant,
}

impl Run {
    pub(super) fn rebalance(&mut self, event: Rebalance) {
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
    pub(super) fn leave(
        &mut self,
        partitions: BTreeSet<TopicPartition>,
        event: Option<Rebalance>,
        deadline: Instant,
    ) {
        self.follow();
        let mut owned = BTreeMap::new();
        for name in partitions {
            match self.partitions.get_mut(&name) {
                Some(partition) => {
                    partition.leave();
                    owned.insert(name, partition.ownership);
                }
                None => self.forget([&name]),
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.leaving.push(Leaving {
            until: deadline - (left / 10).min(LONGEST_MARGIN),
            departure: Departure {
                partitions: owned,
                _event: event,
            },
        });
    }

    /// Commits what is done of partitions that go, once nothing is in flight or time is up.
    pub(super) fn let_go(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(leaving) = self.leaving.get(index) {
            let going = self.still_here(&leaving.departure);
            let is_busy = |name| {
                let found = self.partitions.get(name);
                found.is_some_and(|found| found.in_flight > 0)
            };
            if leaving.until > now && going.iter().any(is_busy) {
                index += 1;
                continue;
            }
            let Leaving { departure, .. } = self.leaving.remove(index);
            self.cut(&going);
            let offsets = self.uncommitted(|name, _| going.contains(name));
            self.commit(offsets, Some(departure));
        }
    }

    /// Gives partitions up for good.
    pub(super) fn depart(&mut self, departure: Departure) {
        let going = self.still_here(&departure);
        self.forget(&going);
    }

    /// Those that have not gone otherwise meanwhile: they may be back, and are not meant then.
    fn still_here(&self, departure: &Departure) -> BTreeSet<TopicPartition> {
        let is_same = |(name, ownership): &(&TopicPartition, &u64)| {
            let found = self.partitions.get(*name);
            found.is_some_and(|found| found.ownership == **ownership)
        };
        let going = departure.partitions.iter().filter(is_same);
        going.map(|(name, _)| name.clone()).collect()
    }

    /// Has a partition that is still this consumer's begin anew with the next batch.
    pub(super) fn renew(&mut self, name: &TopicPartition) {
        let is_paused = self.partitions.get(name).is_some_and(Partition::is_paused);
        self.forget([name]);
        if is_paused {
            // It may have gone just now.
            drop(self.consumer.resume([name]));
        }
    }

    /// Drops what is known of partitions, which means nothing to their next owner, or the next time here.
    pub(super) fn forget<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition> + Copy,
    ) {
        self.cut(partitions);
        for name in partitions {
            self.partitions.remove(name);
            self.handle.with(|metrics| metrics.stopped.remove(name));
        }
    }

    /// Drops the handlers that are at work on these partitions.
    pub(super) fn cut<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
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
}
