//! The snapshot itself: what can be asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_codec::Uuid;

use crate::{Broker, NodeId, Partition, Topic, TopicPartition};

/// An immutable view of a cluster. Cloning shares everything but the two maps' spines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<NodeId>,
    pub(crate) brokers: BTreeMap<NodeId, Arc<Broker>>,
    pub(crate) topics: BTreeMap<Arc<str>, Arc<Topic>>,
}

impl Cluster {
    /// A view that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cluster's id, once a broker has told it.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The broker to send controller requests to. With KRaft this is any live broker, which forwards them.
    pub fn controller(&self) -> Option<NodeId> {
        self.controller
    }

    /// All brokers, in order of their ids.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// The broker with this id.
    pub fn broker(&self, id: NodeId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// All topics known here, in order of their names.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic with this id. Looks at each topic: meant for errors and events, not for every record.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics
            .values()
            .find(|topic| topic.id == id && !id.is_zero())
    }

    /// One partition.
    pub fn partition(&self, of: &TopicPartition) -> Option<&Partition> {
        self.topic(&of.topic)?.partition(of.partition)
    }

    /// The leader of one partition and its epoch, if both the leader and its address are known.
    pub fn leader(&self, of: &TopicPartition) -> Option<(NodeId, Option<i32>)> {
        let partition = self.partition(of)?;
        let leader = partition.leader?;
        self.brokers
            .contains_key(&leader)
            .then_some((leader, partition.leader_epoch))
    }
}
