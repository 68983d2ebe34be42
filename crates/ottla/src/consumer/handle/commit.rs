//! Committing offsets, and reading committed ones.

use std::collections::BTreeMap;

use ottla_cluster::TopicPartition;
use tokio::time::timeout_at;

use super::ConsumerHandle;
use super::positions::positions;
use crate::consumer::assignment::Assignment;
use crate::consumer::commits::PendingCommit;
use crate::consumer::offsets::{OffsetAndMetadata, Offsets};
use crate::consumer::ownership::Claim;
use crate::consumer::partition::Partition;
use crate::error::{Error, Result};

impl ConsumerHandle {
    /// The group's committed offsets; partitions without one are left out.
    ///
    /// # Errors
    ///
    /// There is no group id; access denied; a timeout after `default.api.timeout.ms`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn committed(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let partitions: Vec<_> = partitions.into_iter().collect();
        let deadline = self.shared.api_deadline();
        self.coordinator.group()?;
        // What was committed by those who came before is to be seen.
        timeout_at(deadline, self.commits.settle(deadline))
            .await
            .unwrap_or_else(|_| {
                let timeout = self.shared.config.api_timeout;
                Err(Error::timeout("looking up committed offsets", timeout))
            })?;
        self.coordinator.committed(&partitions, deadline).await
    }

    /// Commits offsets for the group: for each partition the offset of the next record to be read.
    ///
    /// The commit is asked for when this returns: awaiting it is only for the outcome. Commits take effect
    /// in the order in which they were asked for. While the group rebalances they may have to wait; what
    /// was asked for is never committed once a partition has been given up in between.
    ///
    /// A consumer that is not subscribed commits from outside, which a coordinator accepts while the group
    /// has no members.
    ///
    /// # Errors
    ///
    /// There is no group id; a partition is not [assigned](crate::ErrorKind::NotAssigned) to this
    /// subscribed consumer, or was [revoked](crate::ErrorKind::Revoked) before the commit could be sent, and
    /// then nothing was committed; its topic was [created again](crate::ErrorKind::TopicRecreated), and offsets
    /// of the old one mean nothing in it; the coordinator refuses; a timeout after `default.api.timeout.ms`, and
    /// then the commit may have taken effect or not.
    pub fn commit<O: Into<OffsetAndMetadata>>(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, O)>,
    ) -> PendingCommit {
        let offsets: BTreeMap<_, OffsetAndMetadata> = offsets
            .into_iter()
            .map(|(name, at)| (name, at.into()))
            .collect();
        self.enqueue(|assignment| {
            let claim = assignment.claim(&offsets)?;
            Ok((offsets, claim))
        })
        .unwrap_or_else(PendingCommit::refused)
    }

    /// Commits the [positions](Self::positions) of all assigned partitions, as they are now, which is behind what was
    /// handed out: for whoever has finished that. Not of those
    /// that whoever listens has not acknowledged yet, nor those that a reset gives up before the broker has accepted
    /// them.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_positions(&self) -> PendingCommit {
        self.enqueue(|assignment| {
            let offsets = positions(assignment, Partition::has_begun);
            let claim = assignment.claim_positions(&offsets)?;
            Ok((offsets, claim))
        })
        .unwrap_or_else(PendingCommit::refused)
    }

    fn enqueue(
        &self,
        what: impl FnOnce(&Assignment) -> Result<(Offsets, Claim)>,
    ) -> Result<PendingCommit> {
        self.coordinator.group()?;
        let (offsets, claim) = self.change(|assignment| what(assignment))?;
        if offsets.values().any(|at| at.offset < 0) {
            return Err(Error::invalid_argument("an offset is negative"));
        }
        if offsets.is_empty() {
            return Ok(PendingCommit::nothing());
        }
        let deadline = self.shared.api_deadline();
        Ok(self.commits.commit(offsets, claim, deadline))
    }
}
