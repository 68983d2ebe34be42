//! How a metadata response changes a snapshot.
//!
//! Brokers answer from what each of them knows at that moment, so an answer can be older than what is
//! already known here. Three rules keep an old answer from doing harm: leader epochs never go back, a
//! topic or partition that is missing from an answer is not gone, and a topic id that was replaced never
//! comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_codec::messages::metadata::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_codec::{ErrorCode, Uuid};

use crate::{Broker, Cluster, NodeId, Partition, Topic, TopicPartition};

/// A snapshot after a merge, and what it changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The new snapshot.
    pub cluster: Cluster,
    /// What is different, in the order of the response.
    pub changes: Vec<Change>,
}

/// One difference that a metadata response made or reported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Brokers came, went or moved.
    Brokers,
    /// A partition's leader or its epoch is another one.
    Leader(TopicPartition),
    /// A topic has more partitions than before.
    PartitionsAdded {
        /// The topic's name.
        topic: Arc<str>,
        /// How many it had.
        before: usize,
        /// How many it has.
        now: usize,
    },
    /// A topic is known that was not.
    TopicAdded(Arc<str>),
    /// A topic could not be described. What was known of it before stays.
    TopicFailed {
        /// The topic's name.
        topic: Arc<str>,
        /// Why; [`ErrorCode::UnknownTopicOrPartition`] if the broker does not know it.
        error: ErrorCode,
    },
    /// A topic was deleted and created again: the name now means another log.
    TopicRecreated {
        /// The topic's name.
        topic: Arc<str>,
        /// The id it had.
        old: Uuid,
        /// The id it has.
        new: Uuid,
    },
}

impl Cluster {
    /// Merges a metadata response into this snapshot.
    #[must_use]
    pub fn merge(&self, response: &MetadataResponse) -> Merge {
        let mut cluster = self.clone();
        let mut changes = Vec::new();
        if cluster.merge_brokers(response) {
            changes.push(Change::Brokers);
        }
        for topic in &response.topics {
            // An answer by id for an id nobody knows has no name.
            if let Some(name) = topic.name.as_deref() {
                cluster.merge_topic(name, topic, &mut changes);
            }
        }
        Merge { cluster, changes }
    }

    /// Takes the brokers, and nothing about topics, from a metadata response that somebody asked for on
    /// their own. Returns `None` if nothing changes.
    pub fn with_brokers_of(&self, response: &MetadataResponse) -> Option<Self> {
        let mut cluster = self.clone();
        cluster.merge_brokers(response).then_some(cluster)
    }

    /// Takes in brokers, cluster id and controller; whether there are other brokers now.
    fn merge_brokers(&mut self, response: &MetadataResponse) -> bool {
        let brokers: BTreeMap<NodeId, Arc<Broker>> = response
            .brokers
            .iter()
            .filter_map(|b| Broker::from_wire(b.node_id, &b.host, b.port, b.rack.as_deref()))
            .map(|broker| (broker.id, Arc::new(broker)))
            .collect();
        if let Some(id) = &response.cluster_id {
            self.cluster_id = Some(id.clone());
        }
        if let Some(controller) = NodeId::from_wire(response.controller_id) {
            self.controller = Some(controller);
        }
        // A broker that is just starting may know no brokers at all; that says nothing about them.
        let others = !brokers.is_empty() && brokers != self.brokers;
        if others {
            self.brokers = brokers;
        }
        others
    }

    fn merge_topic(
        &mut self,
        name: &str,
        answer: &MetadataResponseTopic,
        changes: &mut Vec<Change>,
    ) {
        let error = ErrorCode::from_code(answer.error_code);
        if error != ErrorCode::None {
            changes.push(Change::TopicFailed {
                topic: Arc::from(name),
                error,
            });
            return;
        }
        let known = self.topics.get(name).cloned();
        let Some(known) = known.filter(|known| known.has_partitions_or(answer)) else {
            let topic = Topic::from_wire(Arc::from(name), answer, Vec::new());
            changes.push(Change::TopicAdded(topic.name.clone()));
            self.topics.insert(topic.name.clone(), Arc::new(topic));
            return;
        };
        if known.retired.contains(&answer.topic_id) {
            return;
        }
        if !known.id.is_zero() && !answer.topic_id.is_zero() && known.id != answer.topic_id {
            let mut retired = known.retired.clone();
            retired.push(known.id);
            let topic = Topic::from_wire(known.name.clone(), answer, retired);
            changes.push(Change::TopicRecreated {
                topic: known.name.clone(),
                old: known.id,
                new: topic.id,
            });
            self.topics.insert(topic.name.clone(), Arc::new(topic));
            return;
        }
        let merged = known.merged(answer, changes);
        if merged != *known {
            self.topics.insert(merged.name.clone(), Arc::new(merged));
        }
    }
}

impl Topic {
    fn from_wire(name: Arc<str>, answer: &MetadataResponseTopic, retired: Vec<Uuid>) -> Self {
        let mut partitions: Vec<Partition> =
            answer.partitions.iter().map(Partition::from_wire).collect();
        partitions.sort_by_key(|partition| partition.index);
        partitions.dedup_by_key(|partition| partition.index);
        Self {
            name,
            id: answer.topic_id,
            internal: answer.is_internal,
            partitions,
            retired,
        }
    }

    /// A topic that was only ever seen without partitions is as good as unknown.
    fn has_partitions_or(&self, answer: &MetadataResponseTopic) -> bool {
        !self.partitions.is_empty() || answer.partitions.is_empty()
    }

    fn merged(&self, answer: &MetadataResponseTopic, changes: &mut Vec<Change>) -> Self {
        let mut next = self.clone();
        if next.id.is_zero() {
            next.id = answer.topic_id;
        }
        for partition in &answer.partitions {
            let partition = Partition::from_wire(partition);
            match next
                .partitions
                .binary_search_by_key(&partition.index, |p| p.index)
            {
                Ok(at) => {
                    let Some(known) = next.partitions.get_mut(at) else {
                        continue;
                    };
                    if !partition.is_older_than(known) {
                        if partition.leads_otherwise_than(known) {
                            changes.push(Change::Leader(TopicPartition {
                                topic: self.name.clone(),
                                partition: partition.index,
                            }));
                        }
                        *known = partition;
                    }
                }
                Err(at) => next.partitions.insert(at, partition),
            }
        }
        if next.partitions.len() > self.partitions.len() {
            changes.push(Change::PartitionsAdded {
                topic: self.name.clone(),
                before: self.partitions.len(),
                now: next.partitions.len(),
            });
        }
        next
    }
}

impl Partition {
    fn from_wire(answer: &MetadataResponsePartition) -> Self {
        let nodes = |ids: &[i32]| ids.iter().copied().filter_map(NodeId::from_wire).collect();
        Self {
            index: answer.partition_index,
            leader: NodeId::from_wire(answer.leader_id),
            leader_epoch: (answer.leader_epoch >= 0).then_some(answer.leader_epoch),
            replicas: nodes(&answer.replica_nodes),
            isr: nodes(&answer.isr_nodes),
            offline: nodes(&answer.offline_replicas),
        }
    }

    /// An answer without an epoch cannot be ordered and is taken: brokers that old know no better.
    fn is_older_than(&self, known: &Self) -> bool {
        matches!((self.leader_epoch, known.leader_epoch), (Some(new), Some(old)) if new < old)
    }

    fn leads_otherwise_than(&self, known: &Self) -> bool {
        (self.leader, self.leader_epoch) != (known.leader, known.leader_epoch)
    }
}

#[cfg(test)]
pub(crate) mod tests;
