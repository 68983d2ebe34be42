//! The broker's side: topics for the programs, and what they have left there.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ottla::{Admin, Client, NewTopic};
use ottla_codec::Uuid;
use ottla_codec::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use ottla_codec::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use tokio::time::{Instant, sleep};

use crate::Result;

const PATIENCE: Duration = Duration::from_secs(30);

/// Brokers create fewer than 10,000 partitions at a time.
const AT_ONCE: usize = 9_000;

/// What a program wants to know of a broker that its client does not say.
pub struct Log {
    admin: Admin,
}

impl Log {
    /// For the one broker at this address.
    ///
    /// # Errors
    /// It is no address.
    pub fn connect(brokers: &str) -> Result<Self> {
        let client = Client::builder().bootstrap_servers(brokers).build()?;
        Ok(Self {
            admin: client.admin().with_timeout(PATIENCE),
        })
    }

    /// Creates a topic that keeps old records, and waits until it has leaders.
    ///
    /// # Errors
    /// The broker refuses, or there are none in time.
    pub async fn create(&self, topic: &str, partitions: usize) -> Result<()> {
        let new = NewTopic::new(topic)
            .partitions(partitions.min(AT_ONCE).try_into()?)
            .replication_factor(1)
            .config("retention.ms", "-1");
        self.admin.create_topic(new).await?;
        if partitions > AT_ONCE {
            let counts = [(topic, partitions.try_into()?)];
            for (_, outcome) in self.admin.create_partitions(counts).await? {
                outcome?;
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let described = self.admin.describe_topics([topic]).await?;
            if let Some(Ok(topic)) = described.get(topic)
                && topic.partitions.len() == partitions
                && topic
                    .partitions
                    .iter()
                    .all(|partition| partition.leader.is_some())
            {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(format!("{topic} has no leaders").into())
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn delete(&self, topic: &str) -> Result<()> {
        for (_, outcome) in self.admin.delete_topics([topic]).await? {
            outcome?;
        }
        Ok(())
    }

    /// Where each partition of a topic ends, in no order.
    ///
    /// # Errors
    /// The broker does not say.
    pub async fn ends(&self, topic: &str) -> Result<Vec<i64>> {
        const LATEST: i64 = -1;
        let described = self.admin.describe_topics([topic]).await?;
        let described = described.get(topic).and_then(|topic| topic.as_ref().ok());
        let mut led: BTreeMap<Option<i32>, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for partition in &described.ok_or("no such topic")?.partitions {
            led.entry(partition.leader)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: partition.partition,
                    timestamp: LATEST,
                    ..Default::default()
                });
        }
        let mut ends = Vec::new();
        for (leader, partitions) in led {
            let request = ListOffsetsRequest {
                replica_id: -1,
                topics: vec![ListOffsetsTopic {
                    name: topic.to_owned(),
                    partitions,
                    ..Default::default()
                }],
                ..Default::default()
            };
            let response = self.admin.raw_request(leader, &request).await?;
            for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
                match answer.error_code {
                    0 => ends.push(answer.offset),
                    code => return Err(format!("error {code} for the end of {topic}").into()),
                }
            }
        }
        Ok(ends)
    }

    /// How many bytes all of a topic's batches have.
    ///
    /// # Errors
    /// The broker does not say.
    pub async fn bytes(&self, topic: &str, partitions: i32) -> Result<i64> {
        let asked = DescribableLogDirTopic {
            topic: topic.to_owned(),
            partitions: (0..partitions).collect(),
            ..Default::default()
        };
        let request = DescribeLogDirsRequest {
            topics: Some(vec![asked]),
            ..Default::default()
        };
        let response = self.admin.raw_request(None, &request).await?;
        if let Some(dir) = response.results.iter().find(|dir| dir.error_code != 0) {
            return Err(format!("error {} for the size of {topic}", dir.error_code).into());
        }
        let topics = response.results.iter().flat_map(|dir| &dir.topics);
        let partitions = topics.flat_map(|topic| &topic.partitions);
        Ok(partitions.map(|partition| partition.partition_size).sum())
    }

    /// All batches of a partition, as the broker has them.
    ///
    /// # Errors
    /// There are none.
    pub async fn fetch(&self, topic: &str, partition: i32) -> Result<Bytes> {
        let topic_id = self.topic_id(topic).await?;
        let request = FetchRequest {
            max_bytes: 1 << 22,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: topic.to_owned(),
                topic_id,
                partitions: vec![FetchPartition {
                    partition,
                    partition_max_bytes: 1 << 22,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = self.admin.raw_request(None, &request).await?;
        let mut partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions);
        let data = partitions.next().ok_or("no partition in the answer")?;
        if data.error_code != 0 {
            return Err(format!("error {} for {topic} {partition}", data.error_code).into());
        }
        let records = data.records.as_ref().ok_or("no records")?;
        Ok(records.to_bytes())
    }

    async fn topic_id(&self, topic: &str) -> Result<Uuid> {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(topic.to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let response = self.admin.raw_request(None, &request).await?;
        let topic = response.topics.first().ok_or("no topic in the answer")?;
        Ok(topic.topic_id)
    }
}
