//! Where each assigned partition stands, and what has to happen before it can be read.
//!
//! Owns, for each partition: its generation, its phase, its three positions (handed out, buffered,
//! fetched), and its leader. A seek, a pause, a revocation and a leader change give the partition a new
//! generation; whatever was asked under an older one is answered to nobody, while all other partitions
//! go on.
//!
//! Knows nothing of connections, of buffered data or of what a response looks like.
//!
//! # References
//! - KIP-320: a position carries the leader epoch of the record before it
//! - KIP-392: reading from a follower

use std::collections::BTreeMap;

use ottla_cluster::{NodeId, TopicPartition};
use ottla_codec::Uuid;
use tokio::time::{Duration, Instant};

use super::lane::Via;
use super::partition::Partition;
use super::reset::ResetTo;
use crate::error::Error;

/// Tells answers to a partition's present state from answers to an earlier one.
pub(crate) type Generation = u64;

/// How long an error that needs the caller is held back before it is raised again.
const REPEAT_FAILURE_AFTER: Duration = Duration::from_millis(500);

/// An offset, and the leader epoch of the last record before it where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: Option<i32>,
}

impl Position {
    /// A position without a known epoch.
    pub(crate) fn at(offset: i64) -> Self {
        Self {
            offset,
            leader_epoch: None,
        }
    }
}

/// How a partition gets its first position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this position.
    At(Position),
    /// At an offset that the leader has to be asked for.
    Reset(ResetTo),
    /// Where the group has committed.
    Committed,
}

/// What a partition waits for.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Nothing: it has a position and may be fetched.
    Fetching,
    /// The group's committed offset.
    AwaitingCommitted,
    /// The offset that a reset leads to.
    AwaitingReset(ResetTo),
    /// The log's range, for the error that tells of a position outside of it.
    AwaitingRange,
    /// The leader's word on whether the log before the position is still what was read (KIP-320).
    AwaitingValidation,
    /// The caller, who has to seek.
    Failed(Failure),
}

/// An error that stays until the caller seeks.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    raise_at: Option<Instant>,
}

impl Failure {
    /// Takes the error, if it is due.
    pub(crate) fn raise(&mut self, now: Instant) -> Option<Error> {
        if self.raise_at.is_some_and(|at| at > now) {
            return None;
        }
        self.raise_at = Some(now + REPEAT_FAILURE_AFTER);
        Some(self.error.clone())
    }

    /// When it is due again, once it has been raised.
    pub(crate) fn raise_at(&self) -> Option<Instant> {
        self.raise_at
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            raise_at: None,
        }
    }
}

/// The broker that leads a partition, and since which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) node: NodeId,
    pub(crate) epoch: Option<i32>,
}

/// A fetch of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchTarget {
    pub(crate) partition: TopicPartition,
    pub(crate) via: Via,
    pub(crate) generation: Generation,
    pub(crate) position: Position,
    pub(crate) topic_id: Uuid,
    pub(crate) leader_epoch: Option<i32>,
    /// Whether the target broker is the leader rather than a follower.
    pub(crate) from_leader: bool,
    pub(crate) needs_bytes: Option<i32>,
}

/// Something a partition needs to know before it can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) partition: TopicPartition,
    pub(crate) generation: Generation,
    pub(crate) leader: Option<Leader>,
    pub(crate) ask: Ask,
}

/// What is asked in a [`Question`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The group's committed offset, of the group's coordinator.
    Committed,
    /// The offset a reset leads to, of the leader.
    Offset(ResetTo),
    /// The log's first and next offset, of the leader.
    Range,
    /// Where the position's epoch ends, of the leader.
    EpochEnd(Position),
}

/// What following the metadata did to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// Nothing changed.
    Same,
    /// It has another leader, or another leader epoch.
    Moved,
    /// Its topic was deleted and created again.
    Recreated,
}

/// All assigned partitions.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    partitions: BTreeMap<TopicPartition, Partition>,
    last_generation: Generation,
}

impl Positions {
    /// Adds a partition, or starts it anew.
    pub(crate) fn insert(&mut self, partition: TopicPartition, start: Start) {
        let generation = self.next_generation();
        let mut added = Partition::new(generation);
        match start {
            Start::At(position) => added.start_at(position),
            Start::Reset(to) => added.phase = Phase::AwaitingReset(to),
            Start::Committed => added.phase = Phase::AwaitingCommitted,
        }
        self.partitions.insert(partition, added);
    }

    /// Removes a partition; whether it was there.
    pub(crate) fn remove(&mut self, partition: &TopicPartition) -> bool {
        self.partitions.remove(partition).is_some()
    }

    /// All partitions, in order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Partition)> {
        self.partitions.iter()
    }

    /// How many partitions are assigned.
    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    /// One partition.
    pub(crate) fn partition(&self, partition: &TopicPartition) -> Option<&Partition> {
        self.partitions.get(partition)
    }

    /// One partition, whatever its generation.
    pub(crate) fn partition_mut(&mut self, partition: &TopicPartition) -> Option<&mut Partition> {
        self.partitions.get_mut(partition)
    }

    /// All partitions, whatever their generations.
    pub(crate) fn partitions_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.partitions.values_mut()
    }

    /// One partition, if it is still of this generation.
    pub(crate) fn current(
        &mut self,
        partition: &TopicPartition,
        generation: Generation,
    ) -> Option<&mut Partition> {
        self.partitions
            .get_mut(partition)
            .filter(|found| found.generation == generation)
    }

    /// One partition, if its positions have not jumped since.
    pub(crate) fn unbroken(
        &mut self,
        partition: &TopicPartition,
        lineage: Generation,
    ) -> Option<&mut Partition> {
        self.partitions
            .get_mut(partition)
            .filter(|found| found.lineage == lineage)
    }

    /// Takes note that what was asked under `generation` is answered, or never will be; the partition, if
    /// that still concerns it.
    pub(crate) fn answered(
        &mut self,
        partition: &TopicPartition,
        generation: Generation,
    ) -> Option<&mut Partition> {
        let found = self.partitions.get_mut(partition)?;
        if found.asked == Some(generation) {
            found.asked = None;
        }
        (found.generation == generation).then_some(found)
    }

    /// Moves a partition to a position of the caller's choice. What is buffered is the caller's to purge.
    pub(crate) fn seek(&mut self, partition: &TopicPartition, start: Start) -> bool {
        let Some(found) = self.renew(partition) else {
            return false;
        };
        found.lineage = found.generation;
        found.forget_positions();
        found.outlived = false;
        match start {
            Start::At(position) => found.start_at(position),
            Start::Reset(to) => found.phase = Phase::AwaitingReset(to),
            Start::Committed => found.phase = Phase::AwaitingCommitted,
        }
        true
    }

    /// Pauses or resumes a partition; `None` if it is not assigned, else whether that changed anything. What is under way
    /// to it still counts: whoever pauses often would have most of it fetched twice.
    pub(crate) fn set_paused(&mut self, partition: &TopicPartition, paused: bool) -> Option<bool> {
        let found = self.partitions.get_mut(partition)?;
        if found.paused == paused {
            return Some(false);
        }
        found.paused = paused;
        // Nobody has looked meanwhile.
        found.caught_up = false;
        Some(true)
    }

    /// Goes back to what was handed out: what is buffered is dropped by the caller and fetched again.
    pub(crate) fn rewind(&mut self, partition: &TopicPartition) {
        if let Some(found) = self.renew(partition) {
            found.lineage = found.generation;
            found.buffered = found.consumed;
            found.fetch = found.consumed;
            if matches!(found.phase, Phase::AwaitingValidation)
                && let Some(position) = found.consumed
            {
                // Back where the caller has sought to, say, there may be no epoch to ask about.
                found.start_at(position);
            }
        }
    }

    /// Puts an error before the caller which only a seek can clear. Handed-out and buffered records are
    /// not touched by it.
    pub(crate) fn fail(&mut self, partition: &TopicPartition, error: Error) {
        if let Some(found) = self.renew(partition) {
            found.phase = Phase::Failed(error.into());
        }
    }

    /// Takes over what the metadata says about a partition.
    pub(crate) fn follow(
        &mut self,
        partition: &TopicPartition,
        leader: Option<Leader>,
        topic_id: Uuid,
    ) -> Followed {
        let Some(found) = self.partitions.get_mut(partition) else {
            return Followed::Same;
        };
        if found.topic_id.is_zero() {
            found.topic_id = topic_id;
        }
        if !topic_id.is_zero() && found.topic_id != topic_id {
            found.topic_id = topic_id;
            found.outlived = true;
            return Followed::Recreated;
        }
        // While nobody leads, the last leader is as good a guess as any; asking it costs a refusal.
        let Some(leader) = leader.filter(|&leader| found.leader != Some(leader)) else {
            return Followed::Same;
        };
        if let Some(found) = self.renew(partition) {
            found.leader = Some(leader);
            found.replica = None;
            let epoch = found.fetch.and_then(|fetch| fetch.leader_epoch);
            if matches!(found.phase, Phase::Fetching) && epoch.is_some() {
                found.phase = Phase::AwaitingValidation;
            }
        }
        Followed::Moved
    }

    /// The partitions that one broker can be asked for now. Each counts as asked from here on.
    ///
    /// `wants` has the last word, on grounds that are none of this module's business.
    pub(crate) fn fetch_from(
        &mut self,
        via: Via,
        now: Instant,
        mut wants: impl FnMut(&TopicPartition, &Partition) -> bool,
    ) -> Vec<FetchTarget> {
        let mut targets = Vec::new();
        for (name, partition) in &mut self.partitions {
            let Some(from_leader) = partition.fetch_target(via, now) else {
                continue;
            };
            if !wants(name, partition) {
                continue;
            }
            let Some(position) = partition.fetch else {
                continue;
            };
            partition.asked = Some(partition.generation);
            targets.push(FetchTarget {
                partition: name.clone(),
                via,
                generation: partition.generation,
                position,
                topic_id: partition.topic_id,
                leader_epoch: partition.leader.and_then(|leader| leader.epoch),
                from_leader,
                needs_bytes: partition.needs_bytes,
            });
        }
        targets
    }

    /// The brokers that partitions are to be fetched from, paused ones included.
    pub(crate) fn sources(&self, now: Instant) -> Vec<NodeId> {
        let mut nodes: Vec<_> = self
            .partitions
            .values()
            .filter_map(|partition| partition.source(now).map(|(node, _)| node))
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Whether [`fetch_from`](Self::fetch_from) would find anything.
    pub(crate) fn has_fetch_from(
        &self,
        via: Via,
        now: Instant,
        mut wants: impl FnMut(&TopicPartition, &Partition) -> bool,
    ) -> bool {
        self.partitions.iter().any(|(name, partition)| {
            partition.fetch_target(via, now).is_some() && wants(name, partition)
        })
    }

    /// What has to be asked now. Each counts as asked from here on.
    pub(crate) fn questions(&mut self, now: Instant) -> Vec<Question> {
        let mut questions = Vec::new();
        for (name, partition) in &mut self.partitions {
            let ask = match partition.phase {
                Phase::AwaitingCommitted => Ask::Committed,
                Phase::AwaitingReset(to) => Ask::Offset(to),
                Phase::AwaitingRange => Ask::Range,
                Phase::AwaitingValidation => match partition.fetch {
                    Some(position) => Ask::EpochEnd(position),
                    None => continue,
                },
                Phase::Fetching | Phase::Failed(_) => continue,
            };
            let leaderless = partition.leader.is_none() && ask != Ask::Committed;
            if leaderless || partition.is_busy(now) {
                continue;
            }
            partition.asked = Some(partition.generation);
            questions.push(Question {
                partition: name.clone(),
                generation: partition.generation,
                leader: partition.leader,
                ask,
            });
        }
        questions
    }

    /// When the first pause after a failure ends that ends after `since`.
    pub(crate) fn next_retry(&self, since: Instant) -> Option<Instant> {
        let retries = self.partitions.values().filter_map(|p| p.retry_at);
        retries.filter(|&at| at > since).min()
    }

    /// Takes an error that is due. One that stops a partition is due once everything before it was
    /// handed out.
    pub(crate) fn raise(&mut self, now: Instant) -> Option<Error> {
        for partition in self.partitions.values_mut().filter(|p| p.has_error()) {
            if let Some(error) = partition.report.take() {
                return Some(error);
            }
            let is_drained = partition.is_drained();
            if let Phase::Failed(failure) = &mut partition.phase
                && is_drained
                && let Some(error) = failure.raise(now)
            {
                return Some(error);
            }
        }
        None
    }

    /// When the first error that was raised is due again after `since`.
    pub(crate) fn next_raise(&self, since: Instant) -> Option<Instant> {
        let failures = self.partitions.values().filter_map(|p| match &p.phase {
            Phase::Failed(failure) => failure.raise_at,
            _ => None,
        });
        failures.filter(|&at| at > since).min()
    }

    /// Whether any partition has an error for the caller.
    pub(crate) fn has_error(&self) -> bool {
        self.partitions.values().any(Partition::has_error)
    }

    fn renew(&mut self, partition: &TopicPartition) -> Option<&mut Partition> {
        let generation = self.next_generation();
        let found = self.partitions.get_mut(partition)?;
        found.generation = generation;
        // What was fetched but has not reached the buffer yet is lost with the old generation.
        found.fetch = found.buffered;
        found.attempts = 0;
        found.retry_at = None;
        found.drain_first = false;
        found.caught_up = false;
        Some(found)
    }

    fn next_generation(&mut self) -> Generation {
        self.last_generation += 1;
        self.last_generation
    }
}

#[cfg(test)]
mod tests;
