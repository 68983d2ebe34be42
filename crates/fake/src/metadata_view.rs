//! The cluster as a broker's metadata shows it; a frozen broker keeps showing an old one.

use std::collections::BTreeMap;

use ottla_codec::Uuid;

use crate::state::State;

/// What Metadata and its like answer from.
#[derive(Clone, Debug)]
pub(crate) struct MetadataView {
    pub(crate) controller: i32,
    pub(crate) brokers: Vec<BrokerView>,
    pub(crate) topics: BTreeMap<String, TopicView>,
}

#[derive(Clone, Debug)]
pub(crate) struct BrokerView {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
    pub(crate) running: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct TopicView {
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<PartitionView>,
}

#[derive(Clone, Debug)]
pub(crate) struct PartitionView {
    pub(crate) index: i32,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) offline: Vec<i32>,
}

impl MetadataView {
    /// The cluster as it is.
    pub(crate) fn of(state: &State) -> Self {
        let brokers = state.brokers.values().map(|broker| BrokerView {
            id: broker.id,
            host: broker.host.clone(),
            port: i32::from(broker.port),
            rack: broker.rack.clone(),
            running: broker.running,
        });
        let brokers: Vec<_> = brokers.collect();
        let topics = state.topics.iter().map(|(name, topic)| {
            let partitions = topic.partitions.iter().map(|partition| PartitionView {
                index: partition.index,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                offline: partition
                    .replicas
                    .iter()
                    .copied()
                    .filter(|&id| !state.is_running(id))
                    .collect(),
            });
            (
                name.clone(),
                TopicView {
                    id: topic.id,
                    partitions: partitions.collect(),
                },
            )
        });
        Self {
            controller: state.controller().unwrap_or(-1),
            brokers,
            topics: topics.collect(),
        }
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&String> {
        self.topics
            .iter()
            .find(|(_, topic)| topic.id == id)
            .map(|(name, _)| name)
    }
}

impl State {
    /// What `broker` believes.
    pub(crate) fn metadata_of(&self, broker: i32) -> std::sync::Arc<MetadataView> {
        let frozen = self
            .brokers
            .get(&broker)
            .and_then(|broker| broker.frozen_metadata.clone());
        frozen.unwrap_or_else(|| std::sync::Arc::new(MetadataView::of(self)))
    }
}
