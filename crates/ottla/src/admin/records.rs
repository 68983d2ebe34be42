//! Deleting records from the front of partitions.

use std::collections::BTreeMap;

use ottla_cluster::TopicPartition;
use ottla_codec::ErrorCode;
use ottla_codec::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use tokio::task::JoinSet;

use super::Admin;
use crate::client::{ADMIN, Target};
use crate::error::{Error, ErrorKind, Result};

impl Admin {
    /// Deletes the records below an offset from each of these partitions, or, with -1, all that are there
    /// now. Returns each partition's new first offset.
    ///
    /// # Errors
    ///
    /// Only in the results of single partitions: one that does not exist, an offset above the log's end,
    /// a leader that could not be reached in time.
    ///
    /// # Cancel safety
    ///
    /// After a drop the records may or may not be deleted.
    pub async fn delete_records(
        &self,
        before: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> BTreeMap<TopicPartition, Result<i64>> {
        let mut deletions = JoinSet::new();
        for (partition, offset) in before {
            let admin = self.clone();
            deletions.spawn(async move {
                let result = admin.delete_before(&partition, offset).await;
                (partition, result)
            });
        }
        // A panic in one of them is a bug of ours; it must not pass for a partition left out.
        deletions.join_all().await.into_iter().collect()
    }

    async fn delete_before(&self, partition: &TopicPartition, offset: i64) -> Result<i64> {
        let deadline = self.deadline();
        let topic = self.core.metadata.topic(&partition.topic, deadline).await?;
        if topic.partition(partition.partition).is_none() {
            return Err(ErrorKind::UnknownPartition {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                count: topic.partitions().len(),
            }
            .into());
        }
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: partition.topic.to_string(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: partition.partition,
                    offset,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            timeout_ms: self.broker_timeout_ms(deadline),
            ..Default::default()
        };
        self.core
            .retrying("deleting records", deadline, || async {
                let refused = |code| Error::broker("DeleteRecords", code, Some(partition.clone()));
                let (leader, _) = self
                    .core
                    .metadata
                    .cluster()
                    .leader(partition)
                    .ok_or_else(|| refused(ErrorCode::LeaderNotAvailable))?;
                let response = self
                    .core
                    .call(
                        Target::Node(leader.0),
                        ADMIN,
                        &request,
                        self.core.request_deadline(deadline),
                    )
                    .await?;
                let answer = response
                    .topics
                    .iter()
                    .flat_map(|topic| &topic.partitions)
                    .next()
                    .ok_or_else(|| refused(ErrorCode::UnknownServerError))?;
                match ErrorCode::from_code(answer.error_code) {
                    ErrorCode::None => Ok(answer.low_watermark),
                    error => Err(refused(error)),
                }
            })
            .await
    }
}
