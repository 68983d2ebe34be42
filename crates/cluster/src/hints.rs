//! Leaders named in the error responses of Produce and Fetch (KIP-951).
//!
//! A hint moves one partition. It adds the brokers it names and touches no others.

use std::sync::Arc;

use crate::{Broker, Cluster, NodeId, TopicPartition};

/// "This partition is led by that broker since that epoch", as a refusing broker puts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The partition.
    pub partition: TopicPartition,
    /// Its leader.
    pub leader: NodeId,
    /// The leader's epoch.
    pub leader_epoch: i32,
}

impl Cluster {
    /// Applies hints and the endpoints that came with them.
    ///
    /// A hint counts if its epoch is newer than the known one and its leader's address is known, from
    /// here or from `endpoints`. Returns `None` if nothing changes.
    pub fn apply_hints(
        &self,
        hints: impl IntoIterator<Item = LeaderHint>,
        endpoints: impl IntoIterator<Item = Broker>,
    ) -> Option<Self> {
        let mut next = self.clone();
        let mut changed = false;
        for broker in endpoints {
            if next
                .brokers
                .get(&broker.id)
                .is_none_or(|known| **known != broker)
            {
                next.brokers.insert(broker.id, Arc::new(broker));
                changed = true;
            }
        }
        for hint in hints {
            if !next.brokers.contains_key(&hint.leader) {
                continue;
            }
            let Some(topic) = next.topics.get_mut(&hint.partition.topic) else {
                continue;
            };
            let Ok(at) = topic
                .partitions
                .binary_search_by_key(&hint.partition.partition, |partition| partition.index)
            else {
                continue;
            };
            let newer = topic.partitions.get(at).is_some_and(|partition| {
                partition
                    .leader_epoch
                    .is_none_or(|known| hint.leader_epoch > known)
            });
            if newer && let Some(partition) = Arc::make_mut(topic).partitions.get_mut(at) {
                partition.leader = Some(hint.leader);
                partition.leader_epoch = Some(hint.leader_epoch);
                changed = true;
            }
        }
        changed.then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::{cluster, metadata, topic};

    fn hint(leader: i32, leader_epoch: i32) -> LeaderHint {
        LeaderHint {
            partition: TopicPartition::new("t", 0),
            leader: NodeId(leader),
            leader_epoch,
        }
    }

    fn endpoint(id: i32) -> Broker {
        Broker {
            id: NodeId(id),
            host: format!("h{id}"),
            port: 9092,
            rack: None,
        }
    }

    #[test]
    fn a_newer_hint_moves_its_partition_only() {
        let before = cluster(&metadata(&[1, 2], vec![topic("t", 7, &[(1, 5), (1, 5)])]));
        let after = before.apply_hints([hint(2, 6)], []).unwrap();
        assert_eq!(after.leader(&("t", 0).into()), Some((NodeId(2), Some(6))));
        assert_eq!(after.leader(&("t", 1).into()), Some((NodeId(1), Some(5))));
        assert_eq!(before.leader(&("t", 0).into()), Some((NodeId(1), Some(5))));
    }

    #[test]
    fn an_older_or_equal_hint_changes_nothing() {
        let before = cluster(&metadata(&[1, 2], vec![topic("t", 7, &[(1, 5)])]));
        assert_eq!(before.apply_hints([hint(2, 5)], []), None);
        assert_eq!(before.apply_hints([hint(2, 4)], []), None);
    }

    #[test]
    fn f12_a_hint_with_endpoints_keeps_every_other_broker() {
        let before = cluster(&metadata(&[1, 2], vec![topic("t", 7, &[(1, 5)])]));
        let after = before.apply_hints([hint(3, 6)], [endpoint(3)]).unwrap();
        let ids: Vec<i32> = after.brokers().map(|broker| broker.id.0).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(after.leader(&("t", 0).into()), Some((NodeId(3), Some(6))));
    }

    #[test]
    fn a_hint_to_an_unknown_broker_or_partition_is_left_alone() {
        let before = cluster(&metadata(&[1], vec![topic("t", 7, &[(1, 5)])]));
        assert_eq!(before.apply_hints([hint(9, 6)], []), None);
        let elsewhere = LeaderHint {
            partition: ("t", 4).into(),
            ..hint(1, 6)
        };
        assert_eq!(before.apply_hints([elsewhere], []), None);
    }
}
