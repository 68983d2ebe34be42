//! Topics and their records, changed and shown behind every client's back.

use crate::api::NewTopic;
use crate::builder::TopicSpec;
use crate::cluster::FakeCluster;
use crate::error::FakeError;
use crate::log::{self, BatchOwner, Compaction, LoggedRecord, Record, StoredBatch, data_batch};
use crate::state::State;
use crate::topic::Partition;
use crate::topic_config::TopicConfig;

/// The state of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// The leader, if there is one.
    pub leader: Option<i32>,
    /// Its leader epoch.
    pub leader_epoch: i32,
    /// The brokers that hold the partition, preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
    /// The first offset that can be read.
    pub log_start: i64,
    /// The end of what read_committed may see.
    pub last_stable_offset: i64,
    /// The end of what read_uncommitted may see.
    pub high_watermark: i64,
    /// The offset that the next record gets.
    pub log_end: i64,
}

impl State {
    pub(crate) fn find_partition(
        &mut self,
        topic: &str,
        index: i32,
    ) -> Result<&mut Partition, FakeError> {
        let found = self
            .topics
            .get_mut(topic)
            .ok_or_else(|| FakeError::UnknownTopic {
                topic: topic.to_owned(),
            })?;
        let unknown = || FakeError::UnknownPartition {
            topic: topic.to_owned(),
            partition: index,
        };
        found.partition_mut(index).ok_or_else(unknown)
    }

    /// Changes a partition and lets parked requests see it.
    pub(crate) fn change<T>(
        &mut self,
        topic: &str,
        index: i32,
        change: impl FnOnce(&mut Partition) -> T,
    ) -> Result<T, FakeError> {
        let changed = change(self.find_partition(topic, index)?);
        self.mark_changed(topic, index);
        Ok(changed)
    }

    /// Appends an uncompressed batch of the cluster's own, as the leader would; returns its base offset.
    pub(crate) fn append_own(
        &mut self,
        topic: &str,
        index: i32,
        batch: &StoredBatch,
    ) -> Result<i64, FakeError> {
        let now_ms = self.clock.wall_ms();
        let config = self.topics.get(topic).map(|topic| &topic.config);
        let log_append_time = config.is_some_and(TopicConfig::is_log_append_time);
        let compressed = match config.and_then(TopicConfig::compression) {
            Some(compression) => log::recompress(batch, &batch.body(), compression),
            None => Ok(batch.clone()),
        };
        let batch = compressed.map_err(|_| FakeError::Unreadable {
            topic: topic.to_owned(),
            partition: index,
            offset: batch.base_offset,
        })?;
        self.change(topic, index, |partition| {
            let max_timestamp = if log_append_time {
                now_ms
            } else {
                batch.max_timestamp
            };
            let base_offset = partition.log.log_end;
            partition.log.append(batch.placed(
                base_offset,
                partition.leader_epoch,
                log_append_time,
                max_timestamp,
            ));
            base_offset
        })
    }

    fn create(&mut self, new: &NewTopic) -> Result<(), FakeError> {
        if self.topics.contains_key(&new.name) {
            return Err(FakeError::TopicExists {
                topic: new.name.clone(),
            });
        }
        let created = new.create(self).map(|_| ());
        created.map_err(|(_, reason)| FakeError::InvalidTopic {
            topic: new.name.clone(),
            reason,
        })
    }
}

/// # Topics and records
///
/// The errors are those of an unknown topic or partition, or of a cluster that is gone. A command that was sent is
/// carried out even if its future is dropped.
impl FakeCluster {
    /// Creates a topic.
    ///
    /// # Errors
    /// When it exists, or is one that Kafka refuses.
    ///
    /// # Cancel safety
    /// The topic is created even if the future is dropped.
    pub async fn create_topic(&self, topic: TopicSpec) -> Result<(), FakeError> {
        self.handle
            .try_admin(move |state| state.create(&topic.new))
            .await
    }

    /// Deletes a topic with its records and committed offsets.
    ///
    /// # Errors
    /// When there is no such topic.
    ///
    /// # Cancel safety
    /// The topic is deleted even if the future is dropped.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        let delete = move |state: &mut State| {
            if state.delete_topic(&topic) {
                Ok(())
            } else {
                Err(FakeError::UnknownTopic { topic })
            }
        };
        self.handle.try_admin(delete).await
    }

    /// Deletes a topic and creates it again at once, empty, under a new id, with as many partitions and the same
    /// settings and replicas.
    ///
    /// # Errors
    /// When there is no such topic.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn recreate_topic(&self, topic: &str) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        let recreate = move |state: &mut State| {
            let Some(old) = state.topics.get(&topic).cloned() else {
                return Err(FakeError::UnknownTopic { topic });
            };
            state.delete_topic(&topic);
            let set = old
                .config
                .entries()
                .into_iter()
                .filter(|entry| entry.is_set);
            state.create(&NewTopic {
                partitions: -1,
                replication: -1,
                assignments: old
                    .partitions
                    .iter()
                    .map(|p| (p.index, p.replicas.clone()))
                    .collect(),
                configs: set
                    .map(|entry| (entry.name.to_owned(), Some(entry.value)))
                    .collect(),
                name: topic,
            })
        };
        self.handle.try_admin(recreate).await
    }

    /// Changes a topic setting by its Kafka name.
    ///
    /// # Errors
    /// When there is no such topic or setting, or Kafka would refuse the value.
    ///
    /// # Cancel safety
    /// It is changed even if the future is dropped.
    pub async fn set_topic_config(
        &self,
        topic: &str,
        name: &str,
        value: &str,
    ) -> Result<(), FakeError> {
        let (topic, name, value) = (topic.to_owned(), name.to_owned(), value.to_owned());
        let set = move |state: &mut State| {
            let Some(found) = state.topics.get_mut(&topic) else {
                return Err(FakeError::UnknownTopic { topic });
            };
            let reason = format!("invalid setting {name}={value}");
            found
                .config
                .set(&name, &value)
                .map_err(|_| FakeError::InvalidTopic { topic, reason })
        };
        self.handle.try_admin(set).await
    }

    /// What is in a partition's log, read without any client: the truth to hold a client's claims against.
    ///
    /// # Errors
    /// For an unknown topic or partition, or a batch that cannot be decompressed.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn log(&self, topic: &str, partition: i32) -> Result<Vec<LoggedRecord>, FakeError> {
        let topic = topic.to_owned();
        let read = move |state: &mut State| {
            let log = &state.find_partition(&topic, partition)?.log;
            log::inspect(log).map_err(|offset| FakeError::Unreadable {
                topic,
                partition,
                offset,
            })
        };
        self.handle.try_admin(read).await
    }

    /// A partition's leader, replicas and offsets.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn partition(&self, topic: &str, partition: i32) -> Result<PartitionInfo, FakeError> {
        let topic = topic.to_owned();
        let show = move |state: &mut State| {
            let partition = state.find_partition(&topic, partition)?;
            Ok(PartitionInfo {
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                log_start: partition.log.log_start,
                last_stable_offset: partition.log.last_stable_offset(),
                high_watermark: partition.log.high_watermark(),
                log_end: partition.log.log_end,
            })
        };
        self.handle.try_admin(show).await
    }

    /// Appends records as one batch, without any client, compressed as the topic's `compression.type` says; returns the
    /// first one's offset. No record is no batch, and returns the log's end.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// They are appended even if the future is dropped.
    pub async fn append(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<i64, FakeError> {
        let (topic, records) = (topic.to_owned(), records.into_iter().collect::<Vec<_>>());
        let append = move |state: &mut State| {
            if records.is_empty() {
                return Ok(state.find_partition(&topic, partition)?.log.log_end);
            }
            let batch = data_batch(&records, BatchOwner::NOBODY, state.clock.wall_ms());
            state.append_own(&topic, partition, &batch)
        };
        self.handle.try_admin(append).await
    }

    /// Compacts all partitions of a topic now, whatever its cleanup policy: of each key the newest record stays, at
    /// its offset. Everything below the last stable offset is cleanable; there is no active segment that is spared.
    ///
    /// # Errors
    /// For an unknown topic or a batch that cannot be decompressed.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn compact(&self, topic: &str) -> Result<Compaction, FakeError> {
        let topic = topic.to_owned();
        let compact = move |state: &mut State| {
            let now_ms = state.clock.wall_ms();
            let Some(found) = state.topics.get_mut(&topic) else {
                return Err(FakeError::UnknownTopic { topic });
            };
            let retention = found.config.delete_retention_ms();
            let mut total = Compaction::default();
            for partition in &mut found.partitions {
                let index = partition.index;
                let offset = partition.log.log_start;
                let unreadable = |_| FakeError::Unreadable {
                    topic: topic.clone(),
                    partition: index,
                    offset,
                };
                let done =
                    log::compact(&mut partition.log, now_ms, retention).map_err(unreadable)?;
                total.add(done);
            }
            Ok(total)
        };
        self.handle.try_admin(compact).await
    }

    /// Applies `retention.ms` and `retention.bytes` of a topic now: whole batches go from the log's start, but never
    /// the last one.
    ///
    /// # Errors
    /// For an unknown topic.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn apply_retention(&self, topic: &str) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        let apply = move |state: &mut State| {
            let now_ms = state.clock.wall_ms();
            let Some(found) = state.topics.get_mut(&topic) else {
                return Err(FakeError::UnknownTopic { topic });
            };
            let (retention_ms, retention_bytes) =
                (found.config.retention_ms(), found.config.retention_bytes());
            let indices: Vec<i32> = found
                .partitions
                .iter()
                .map(|partition| partition.index)
                .collect();
            for partition in &mut found.partitions {
                partition
                    .log
                    .apply_retention(now_ms, retention_ms, retention_bytes);
            }
            for index in indices {
                state.mark_changed(&topic, index);
            }
            Ok(())
        };
        self.handle.try_admin(apply).await
    }

    /// Moves a partition's log start to `offset`, as DeleteRecords does; `false` if it lies beyond the high watermark.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<bool, FakeError> {
        let topic = topic.to_owned();
        let delete = move |state: &mut State| {
            state.change(&topic, partition, |p| p.log.delete_records(offset))
        };
        self.handle.try_admin(delete).await
    }

    /// Has a partition forget a producer, as when `producer.id.expiration.ms` has passed; `false` if it did not know
    /// it.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn expire_producer(
        &self,
        topic: &str,
        partition: i32,
        producer_id: i64,
    ) -> Result<bool, FakeError> {
        let topic = topic.to_owned();
        let expire = move |state: &mut State| {
            state.change(&topic, partition, |p| p.log.producers.forget(producer_id))
        };
        self.handle.try_admin(expire).await
    }
}
