//! Transactional records for read_committed tests, written without a transactional producer.

use crate::cluster::FakeCluster;
use crate::error::FakeError;
use crate::log::{BatchOwner, Record, data_batch, marker};
use crate::state::State;

/// A transaction in progress. Dropping it leaves it open, as a producer does that dies.
#[derive(Debug)]
pub struct OpenTransaction {
    cluster: FakeCluster,
    producer_id: i64,
    epoch: i16,
    /// Partitions written to, with the next sequence of each.
    partitions: Vec<(String, i32, i32)>,
}

impl FakeCluster {
    /// Begins a transaction of a producer of its own.
    ///
    /// # Errors
    /// When the cluster is gone.
    ///
    /// # Cancel safety
    /// A producer id is used up when the future is dropped.
    pub async fn begin_transaction(&self) -> Result<OpenTransaction, FakeError> {
        let producer_id = self.handle.admin(|state| state.producers.new_id()).await?;
        Ok(OpenTransaction {
            cluster: self.clone(),
            producer_id,
            epoch: 0,
            partitions: Vec::new(),
        })
    }

    /// Appends records as one batch of one transaction, and its marker: committed or aborted. Returns the first
    /// record's offset.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// A transaction may stay open, and hold the last stable offset, when the future is dropped.
    pub async fn append_transaction(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = Record>,
        commit: bool,
    ) -> Result<i64, FakeError> {
        let mut transaction = self.begin_transaction().await?;
        let offset = transaction.append(topic, partition, records).await?;
        if commit {
            transaction.commit().await?
        } else {
            transaction.abort().await?
        }
        Ok(offset)
    }
}

impl OpenTransaction {
    /// The transaction's producer.
    #[must_use]
    pub fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// Appends records as one batch; returns the first one's offset. Without records the partition still takes part,
    /// and gets its marker.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// The records are appended even if the future is dropped, but the transaction does not know it then and will not
    /// end there.
    pub async fn append(
        &mut self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<i64, FakeError> {
        let records: Vec<Record> = records.into_iter().collect();
        let known = self
            .partitions
            .iter()
            .position(|(name, index, _)| name == topic && *index == partition);
        let base_sequence = known
            .and_then(|at| self.partitions.get(at))
            .map_or(0, |(.., next)| *next);
        let (producer_id, epoch) = (self.producer_id, self.epoch);
        let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
        let name = topic.to_owned();
        let append = move |state: &mut State| {
            let log = &mut state.find_partition(&name, partition)?.log;
            if records.is_empty() {
                return Ok(log.log_end);
            }
            log.producers.allow_transaction(producer_id, epoch);
            let owner = BatchOwner {
                producer_id,
                epoch,
                base_sequence,
                transactional: true,
            };
            let batch = data_batch(&records, owner, state.clock.wall_ms());
            state.append_own(&name, partition, &batch)
        };
        let offset = self.cluster.handle.try_admin(append).await?;
        match known.and_then(|at| self.partitions.get_mut(at)) {
            Some((.., next)) => *next += count,
            None => self.partitions.push((topic.to_owned(), partition, count)),
        }
        Ok(offset)
    }

    /// Commits: every partition written to gets a commit marker.
    ///
    /// # Errors
    /// When the cluster, or a topic written to, is gone.
    ///
    /// # Cancel safety
    /// The transaction ends even if the future is dropped.
    pub async fn commit(self) -> Result<(), FakeError> {
        self.end(true).await
    }

    /// Aborts: every partition written to gets an abort marker.
    ///
    /// # Errors
    /// When the cluster, or a topic written to, is gone.
    ///
    /// # Cancel safety
    /// The transaction ends even if the future is dropped.
    pub async fn abort(self) -> Result<(), FakeError> {
        self.end(false).await
    }

    async fn end(self, commit: bool) -> Result<(), FakeError> {
        let Self {
            cluster,
            producer_id,
            epoch,
            partitions,
        } = self;
        let end = move |state: &mut State| {
            let now_ms = state.clock.wall_ms();
            for (topic, partition, _) in partitions {
                state.change(&topic, partition, |partition| {
                    let place = (partition.log.log_end, partition.leader_epoch);
                    let marker = marker((producer_id, epoch), commit, place, now_ms);
                    partition.log.append_marker(marker, !commit);
                })?;
            }
            Ok(())
        };
        cluster.handle.try_admin(end).await
    }
}
