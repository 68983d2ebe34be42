//! Topics, partitions, and the name of one partition.

use std::fmt;
use std::sync::Arc;

use ottla_codec::Uuid;

use crate::NodeId;

/// One partition of one topic, by name.
///
/// Cheap to clone: the topic's name is shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl<T: Into<Arc<str>>> From<(T, i32)> for TopicPartition {
    fn from((topic, partition): (T, i32)) -> Self {
        Self::new(topic, partition)
    }
}

/// What is known of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The partition's index in its topic, from 0.
    pub index: i32,
    /// The leader, or `None` while there is none.
    pub leader: Option<NodeId>,
    /// The leader's epoch; `None` from brokers that do not tell (before Kafka 2.1).
    pub leader_epoch: Option<i32>,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The replicas that are in sync.
    pub isr: Vec<NodeId>,
    /// The replicas that are offline.
    pub offline: Vec<NodeId>,
}

/// What is known of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    pub(crate) internal: bool,
    /// In order of their index, without doubles.
    pub(crate) partitions: Vec<Partition>,
    /// Ids this name had before. A broker with old metadata may still report them; they never come back.
    pub(crate) retired: Vec<Uuid>,
}

impl Topic {
    /// The topic's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The topic's id, or [`Uuid::ZERO`] from brokers without topic ids (before Kafka 2.8).
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether the topic is one of Kafka's own, such as `__consumer_offsets`.
    pub fn is_internal(&self) -> bool {
        self.internal
    }

    /// The partitions, in order of their index.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with this index.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        let at = self
            .partitions
            .binary_search_by_key(&index, |partition| partition.index)
            .ok()?;
        self.partitions.get(at)
    }
}
