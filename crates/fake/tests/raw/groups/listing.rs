//! Groups described, listed, deleted, and offsets taken back.

use ottla_codec::ErrorCode;
use ottla_codec::messages::delete_groups::DeleteGroupsRequest;
use ottla_codec::messages::describe_groups::DescribeGroupsRequest;
use ottla_codec::messages::list_groups::ListGroupsRequest;
use ottla_codec::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_fake::{FakeCluster, TopicSpec};

use super::member::{Member, assignment, cluster, stabilize, subscription};
use crate::client::Client;

async fn listed(cluster: &FakeCluster, broker: i32, states: &[&str]) -> Vec<(String, String)> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|&state| state.to_owned()).collect(),
        ..Default::default()
    };
    let answer = Client::connect(cluster, broker).await.ask(&request).await;
    assert_eq!(answer.error_code, 0);
    let groups = answer.groups.into_iter();
    groups
        .map(|group| (group.group_id, group.group_state))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn groups_are_described_and_listed_by_their_coordinators() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    let request = DescribeGroupsRequest {
        groups: vec!["g".to_owned(), "other".to_owned()],
        ..Default::default()
    };
    cluster.move_coordinator("other", 1).await.unwrap();
    let answer = member.client.ask(&request).await;
    let [group, other] = &answer.groups[..] else {
        panic!("{answer:?}");
    };
    assert_eq!((group.error_code, &*group.group_state), (0, "Stable"));
    assert_eq!(group.protocol_data, "range");
    let described = &group.members[0];
    assert_eq!(described.member_id, member.id);
    assert_eq!(described.client_id, "raw");
    assert_eq!(described.member_metadata, subscription(&[], -1));
    assert_eq!(described.member_assignment, assignment(&[0]));
    assert_eq!(other.error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(other.group_state, "Dead");
    let mut elsewhere = Client::connect(&cluster, 2).await;
    let answer = elsewhere.ask(&request).await;
    assert_eq!(
        answer.groups[0].error_code,
        ErrorCode::NotCoordinator.code()
    );

    let stable = [("g".to_owned(), "Stable".to_owned())];
    assert_eq!(listed(&cluster, 1, &[]).await, stable);
    assert_eq!(listed(&cluster, 1, &["stable"]).await, stable);
    assert_eq!(listed(&cluster, 1, &["Empty"]).await, []);
    assert_eq!(listed(&cluster, 2, &[]).await, []);
}

#[tokio::test(start_paused = true)]
async fn empty_groups_are_deleted_with_their_offsets() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    assert_eq!(member.commit(0, 5).await, ErrorCode::None);
    let delete = async |member: &mut Member| {
        let request = DeleteGroupsRequest {
            groups_names: vec!["g".to_owned(), "g".to_owned()],
            ..Default::default()
        };
        let answer = member.client.ask(&request).await;
        assert_eq!(answer.results.len(), 1);
        ErrorCode::from_code(answer.results[0].error_code)
    };
    assert_eq!(delete(&mut member).await, ErrorCode::NonEmptyGroup);
    assert_eq!(member.leave().await, ErrorCode::None);
    assert_eq!(delete(&mut member).await, ErrorCode::None);
    assert_eq!(delete(&mut member).await, ErrorCode::GroupIdNotFound);
    assert!(cluster.committed("g").await.unwrap().is_empty());
    assert_eq!(cluster.group("g").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_taken_back_where_nobody_reads() {
    let cluster = cluster().await;
    cluster.create_topic(TopicSpec::new("u", 1)).await.unwrap();
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    assert_eq!(member.commit(0, 5).await, ErrorCode::None);
    let topic = |name: &str| OffsetDeleteRequestTopic {
        name: name.to_owned(),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    };
    let request = OffsetDeleteRequest {
        group_id: "g".to_owned(),
        topics: vec![topic("t"), topic("u"), topic("v")],
    };
    let read = ErrorCode::GroupSubscribedToTopic.code();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for expected in [[read, 0, unknown], [0, 0, unknown]] {
        let answer = member.client.ask(&request).await;
        assert_eq!(answer.error_code, 0);
        let topics = answer.topics.iter();
        let codes: Vec<i16> = topics.map(|t| t.partitions[0].error_code).collect();
        assert_eq!(codes, expected);
        let left = cluster.committed("g").await.unwrap().len();
        assert_eq!(left, usize::from(expected[0] == read));
        member.leave().await;
    }
}
