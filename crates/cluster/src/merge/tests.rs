use ottla_codec::messages::metadata::MetadataResponseBroker;

use super::*;

pub(crate) fn uuid(n: u8) -> Uuid {
    Uuid([n; 16])
}

/// A topic whose partitions have these (leader, epoch) pairs.
pub(crate) fn topic(name: &str, id: u8, leaders: &[(i32, i32)]) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(name.into()),
        topic_id: uuid(id),
        partitions: leaders
            .iter()
            .zip(0..)
            .map(
                |(&(leader_id, leader_epoch), partition_index)| MetadataResponsePartition {
                    partition_index,
                    leader_id,
                    leader_epoch,
                    replica_nodes: [leader_id].into(),
                    isr_nodes: [leader_id].into(),
                    ..Default::default()
                },
            )
            .collect(),
        ..Default::default()
    }
}

pub(crate) fn metadata(brokers: &[i32], topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    MetadataResponse {
        brokers: brokers
            .iter()
            .map(|&node_id| MetadataResponseBroker {
                node_id,
                host: format!("h{node_id}"),
                port: 9092,
                ..Default::default()
            })
            .collect(),
        topics,
        ..Default::default()
    }
}

pub(crate) fn cluster(response: &MetadataResponse) -> Cluster {
    Cluster::new().merge(response).cluster
}

#[test]
fn a_first_answer_is_taken_whole() {
    let merge = Cluster::new().merge(&metadata(&[1, 2], vec![topic("t", 1, &[(1, 0), (2, 3)])]));
    assert_eq!(
        merge.changes,
        [Change::Brokers, Change::TopicAdded("t".into())]
    );
    assert_eq!(
        merge.cluster.leader(&("t", 1).into()),
        Some((NodeId(2), Some(3)))
    );
    assert_eq!(merge.cluster.topic("t").unwrap().id(), uuid(1));
}

#[test]
fn an_older_leader_epoch_never_wins() {
    let before = cluster(&metadata(&[1, 2], vec![topic("t", 1, &[(1, 5)])]));
    let merge = before.merge(&metadata(&[1, 2], vec![topic("t", 1, &[(2, 4)])]));
    assert_eq!(merge.cluster, before);
    assert_eq!(merge.changes, []);
    let merge = before.merge(&metadata(&[1, 2], vec![topic("t", 1, &[(2, 6)])]));
    assert_eq!(merge.changes, [Change::Leader(("t", 0).into())]);
    assert_eq!(
        merge.cluster.leader(&("t", 0).into()),
        Some((NodeId(2), Some(6)))
    );
}

#[test]
fn o08_a_leader_move_without_a_newer_epoch_is_taken() {
    let before = cluster(&metadata(&[1, 2], vec![topic("t", 1, &[(1, -1)])]));
    let merge = before.merge(&metadata(&[1, 2], vec![topic("t", 1, &[(2, -1)])]));
    assert_eq!(
        merge.cluster.leader(&("t", 0).into()),
        Some((NodeId(2), None))
    );

    let before = cluster(&metadata(&[1, 2], vec![topic("t", 1, &[(1, 5)])]));
    let merge = before.merge(&metadata(&[1, 2], vec![topic("t", 1, &[(2, 5)])]));
    assert_eq!(
        merge.cluster.leader(&("t", 0).into()),
        Some((NodeId(2), Some(5)))
    );
}

#[test]
fn o01_a_topic_that_one_broker_lacks_or_denies_stays_known() {
    let before = cluster(&metadata(&[1], vec![topic("t", 1, &[(1, 5)])]));
    let absent = before.merge(&metadata(&[1], vec![]));
    assert_eq!(absent.cluster.topic("t"), before.topic("t"));

    let denied = MetadataResponseTopic {
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        name: Some("t".into()),
        ..Default::default()
    };
    let merge = before.merge(&metadata(&[1], vec![denied]));
    assert_eq!(merge.cluster.topic("t"), before.topic("t"));
    let error = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(
        merge.changes,
        [Change::TopicFailed {
            topic: "t".into(),
            error
        }]
    );
}

#[test]
fn an_answer_with_fewer_partitions_takes_none_away() {
    let before = cluster(&metadata(&[1], vec![topic("t", 1, &[(1, 5), (1, 5)])]));
    for fewer in [topic("t", 1, &[(1, 5)]), topic("t", 1, &[])] {
        assert_eq!(before.merge(&metadata(&[1], vec![fewer])).cluster, before);
    }
}

#[test]
fn more_partitions_are_reported() {
    let before = cluster(&metadata(&[1], vec![topic("t", 1, &[(1, 5)])]));
    let merge = before.merge(&metadata(&[1], vec![topic("t", 1, &[(1, 5), (1, 0)])]));
    assert_eq!(
        merge.changes,
        [Change::PartitionsAdded {
            topic: "t".into(),
            before: 1,
            now: 2
        }]
    );
}

#[test]
fn a_recreated_topic_is_reported_and_its_old_id_never_returns() {
    let first = cluster(&metadata(&[1], vec![topic("t", 1, &[(1, 9)])]));
    let second = first.merge(&metadata(&[1], vec![topic("t", 2, &[(1, 0)])]));
    assert_eq!(
        second.changes,
        [Change::TopicRecreated {
            topic: "t".into(),
            old: uuid(1),
            new: uuid(2)
        }]
    );
    assert_eq!(
        second.cluster.leader(&("t", 0).into()),
        Some((NodeId(1), Some(0)))
    );

    let stale = second
        .cluster
        .merge(&metadata(&[1], vec![topic("t", 1, &[(1, 9)])]));
    assert_eq!(stale.cluster, second.cluster);
    assert_eq!(stale.changes, []);
}

#[test]
fn an_id_learned_later_is_not_a_recreation() {
    let before = cluster(&metadata(&[1], vec![topic("t", 0, &[(1, 5)])]));
    let merge = before.merge(&metadata(&[1], vec![topic("t", 3, &[(1, 5)])]));
    assert_eq!(merge.changes, []);
    assert_eq!(merge.cluster.topic("t").unwrap().id(), uuid(3));
    let old_broker = merge
        .cluster
        .merge(&metadata(&[1], vec![topic("t", 0, &[(1, 5)])]));
    assert_eq!(old_broker.cluster, merge.cluster);
}

#[test]
fn a_broker_that_knows_no_brokers_destroys_none() {
    let before = cluster(&metadata(&[1, 2], vec![]));
    assert_eq!(before.merge(&metadata(&[], vec![])).cluster, before);
}

#[test]
fn brokers_that_went_away_are_gone() {
    let before = cluster(&metadata(&[1, 2], vec![topic("t", 1, &[(2, 5)])]));
    let merge = before.merge(&metadata(&[1], vec![]));
    assert_eq!(merge.changes, [Change::Brokers]);
    assert_eq!(merge.cluster.leader(&("t", 0).into()), None);
    assert_eq!(
        merge.cluster.partition(&("t", 0).into()).unwrap().leader,
        Some(NodeId(2))
    );
}

#[test]
fn nonsense_addresses_are_left_out() {
    let mut answer = metadata(&[1], vec![]);
    answer.brokers.push(MetadataResponseBroker {
        node_id: 2,
        port: 70_000,
        ..Default::default()
    });
    answer.brokers.push(MetadataResponseBroker {
        node_id: -1,
        port: 1,
        ..Default::default()
    });
    assert_eq!(cluster(&answer).brokers().len(), 1);
}

#[test]
fn a_partition_without_a_leader_has_none() {
    let merged = cluster(&metadata(&[1], vec![topic("t", 1, &[(-1, 5)])]));
    assert_eq!(merged.leader(&("t", 0).into()), None);
    assert_eq!(
        merged.partition(&("t", 0).into()).unwrap().leader_epoch,
        Some(5)
    );
}
