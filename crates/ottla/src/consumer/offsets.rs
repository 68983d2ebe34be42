//! Offsets as they are committed, and what a group has committed so far.
//!
//! Reading them back is nobody's task but the asker's: it waits behind no commit, and a caller who goes
//! away takes nothing from anybody.

use std::collections::BTreeMap;

use ottla_cluster::TopicPartition;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_connection::Connection;
use ottla_coordinator::offsets::{self, Committed};
use tokio::time::Instant;

use super::coordinator::{Coordinator, refused};
use super::positions::Position;
use crate::error::Result;

/// An offset to commit, or that was committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The offset of the next record to be read.
    pub offset: i64,
    /// The leader epoch of the last record read (KIP-320), where known: with it, a truncated log is
    /// noticed when reading goes on from here.
    pub leader_epoch: Option<i32>,
    /// Whatever the committer wants to keep with the offset.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset without anything else.
    pub fn new(offset: i64) -> Self {
        Self {
            offset,
            ..Self::default()
        }
    }

    /// The same with metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: impl Into<String>) -> Self {
        Self {
            metadata: metadata.into(),
            ..self
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
        }
    }
}

impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> Self {
        Self::new(offset)
    }
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

impl Coordinator {
    /// Looks up committed offsets; partitions without one are left out.
    pub(crate) async fn committed(
        &self,
        partitions: &[TopicPartition],
        deadline: Instant,
    ) -> Result<Offsets> {
        let core = &self.shared.core;
        core.retrying("looking up committed offsets", deadline, async || {
            let deadline = core.request_deadline(deadline);
            let connection = self
                .connection(self.shared.coordination(), deadline)
                .await?;
            self.note(fetch(&connection, self.group()?, partitions, deadline).await)
        })
        .await
    }
}

async fn fetch(
    connection: &Connection,
    group: &str,
    partitions: &[TopicPartition],
    deadline: Instant,
) -> Result<Offsets> {
    let version = connection
        .versions()
        .pick::<OffsetFetchRequest>(offsets::FETCH_VERSIONS)?;
    let names = partitions.iter().map(|name| (&*name.topic, name.partition));
    let request = offsets::fetch(group, names, version);
    let response = connection.request(&request, version, deadline).await?;
    let fetched = offsets::fetched(&response, group, version)
        .map_err(|refusal| refused("OffsetFetch", refusal))?;
    Ok(fetched
        .into_iter()
        .map(|((topic, partition), offset)| (TopicPartition::new(topic, partition), offset.into()))
        .collect())
}

impl From<Position> for OffsetAndMetadata {
    fn from(position: Position) -> Self {
        Self {
            offset: position.offset,
            leader_epoch: position.leader_epoch,
            metadata: String::new(),
        }
    }
}

impl From<OffsetAndMetadata> for Committed {
    fn from(offset: OffsetAndMetadata) -> Self {
        let OffsetAndMetadata {
            offset,
            leader_epoch,
            metadata,
        } = offset;
        Self {
            offset,
            leader_epoch,
            metadata,
        }
    }
}

impl From<Committed> for OffsetAndMetadata {
    fn from(committed: Committed) -> Self {
        let Committed {
            offset,
            leader_epoch,
            metadata,
        } = committed;
        Self {
            offset,
            leader_epoch,
            metadata,
        }
    }
}
