//! What is done, committed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use ottla_cluster::TopicPartition;

use super::super::events::ProcessorEvent;
use super::super::partition::Partition;
use super::Run;
use super::handover::Departure;
use crate::consumer::{OffsetAndMetadata, PendingCommit};
use crate::error::{ErrorKind, Result};

/// Offsets to commit, with the ownership that each is of.
type Offsets = BTreeMap<TopicPartition, (u64, OffsetAndMetadata)>;

/// A commit under way.
pub(super) struct Commit {
    pending: PendingCommit,
    offsets: Offsets,
    /// What is given up when it is over.
    pub(super) leaving: Option<Departure>,
}

impl Run {
    /// Takes note of where the consumer stands, and returns that.
    pub(super) fn follow(&mut self) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
        let positions = self.consumer.positions();
        let mut moved = Vec::new();
        for (name, partition) in &mut self.partitions {
            if let Some(position) = positions.get(name)
                && !partition.pass(position.offset)
            {
                moved.push(name.clone());
            }
        }
        for name in &moved {
            self.renew(name);
        }
        positions
    }

    /// What is done of these and not committed. Of a partition whose position is being reset, nothing: what was done there is
    /// of a log that is no more.
    pub(super) fn uncommitted(
        &mut self,
        wanted: impl Fn(&TopicPartition, &Partition) -> bool,
    ) -> Offsets {
        let positions = self.follow();
        let partitions = self.partitions.iter();
        partitions
            .filter(|(name, partition)| positions.contains_key(name) && wanted(name, partition))
            .filter_map(|(name, partition)| {
                let position = partition.uncommitted()?;
                Some((name.clone(), (partition.ownership, position)))
            })
            .collect()
    }

    /// Commits these, and then gives up those that go.
    pub(super) fn commit(&mut self, offsets: Offsets, leaving: Option<Departure>) {
        if offsets.is_empty() {
            if let Some(departure) = leaving {
                self.depart(departure);
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

    /// A commit is over.
    pub(super) fn committed(&mut self, index: usize, outcome: Result<()>) {
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
        // What has gone and come back meanwhile is another matter.
        again.retain(|name, (ownership, _)| {
            let found = self.partitions.get(name);
            found.is_some_and(|found| found.ownership == *ownership)
        });
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
}

/// The first commit that is over.
pub(super) fn poll_commits(
    commits: &mut [Commit],
    context: &mut Context<'_>,
) -> Poll<(usize, Result<()>)> {
    for (index, commit) in commits.iter_mut().enumerate() {
        if let Poll::Ready(outcome) = Pin::new(&mut commit.pending).poll(context) {
            return Poll::Ready((index, outcome));
        }
    }
    Poll::Pending
}
