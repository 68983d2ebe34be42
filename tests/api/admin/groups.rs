//! What is asked of any cluster about groups without members.

use std::collections::BTreeMap;

use ottla::{
    Admin, ErrorKind, GroupState, GroupType, ListGroups, OffsetAndMetadata, OffsetsOf, Result,
    TopicPartition,
};

/// The error code of a broker's refusal.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: &Result<T>) -> &'static str {
    match result.as_ref().unwrap_err().kind() {
        ErrorKind::Broker { code, .. } => code.name(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_unknown<T: std::fmt::Debug>(result: &Result<T>, group: &str) {
    let kind = result.as_ref().unwrap_err().kind();
    let group = group.to_owned();
    assert_eq!(*kind, ErrorKind::UnknownGroup { group });
}

#[track_caller]
pub(crate) fn assert_not_empty<T: std::fmt::Debug>(result: &Result<T>, group: &str) {
    let kind = result.as_ref().unwrap_err().kind();
    let group = group.to_owned();
    assert_eq!(*kind, ErrorKind::GroupNotEmpty { group });
}

/// A topic with three partitions, and two names that no group has yet.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) topic: String,
    pub(crate) groups: [String; 2],
}

impl Names {
    fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), partition)
    }
}

/// Offsets are set and listed, by group and by partition.
pub(crate) async fn offsets_are_set_and_listed(admin: &Admin, names: &Names) {
    let [a, b] = &names.groups;
    let listed = admin.list_group_offsets(&names.groups).await;
    for group in [a, b] {
        assert_eq!(*listed[group].as_ref().unwrap(), BTreeMap::new());
    }

    let five = OffsetAndMetadata::new(5).with_metadata("five");
    let offsets = [
        (names.partition(0), five.clone()),
        (names.partition(1), 7.into()),
        (names.partition(99), 1.into()),
    ];
    let set = admin.alter_group_offsets(a, offsets).await.unwrap();
    assert!(set[&names.partition(0)].is_ok() && set[&names.partition(1)].is_ok());
    let refused = refusal(&set[&names.partition(99)]);
    assert_eq!(refused, "UNKNOWN_TOPIC_OR_PARTITION");
    let set = admin
        .alter_group_offsets(b, [(names.partition(1), 3)])
        .await;
    assert!(set.unwrap()[&names.partition(1)].is_ok());

    let listed = admin.list_group_offsets([a, b]).await;
    let of_a = [(names.partition(0), five), (names.partition(1), 7.into())];
    assert_eq!(*listed[a].as_ref().unwrap(), of_a.clone().into());
    let of_b = BTreeMap::from([(names.partition(1), 3.into())]);
    assert_eq!(*listed[b].as_ref().unwrap(), of_b);
    let some = OffsetsOf::group(a).partitions([names.partition(1), names.partition(2)]);
    let listed = admin.list_group_offsets([some]).await;
    assert_eq!(
        *listed[a].as_ref().unwrap(),
        of_a[1..].iter().cloned().collect()
    );
}

/// Groups that have offsets and no members are listed, described and deleted.
pub(crate) async fn groups_without_members_come_and_go(admin: &Admin, names: &Names) {
    let [a, b] = &names.groups;
    for group in [a, b] {
        let offsets = (0..3).map(|partition| (names.partition(partition), 1));
        let set = admin.alter_group_offsets(group, offsets).await.unwrap();
        assert!(set.values().all(Result::is_ok), "{set:?}");
    }
    for which in [
        ListGroups::new(),
        ListGroups::new().states([GroupState::Empty]),
        ListGroups::new().types([GroupType::Classic]),
    ] {
        let listed = admin.list_groups(which).await.unwrap().complete().unwrap();
        let ours = listed
            .iter()
            .filter(|group| names.groups.contains(&group.group_id));
        let ours: Vec<_> = ours.collect();
        assert_eq!(ours.len(), 2, "{listed:?}");
        assert!(ours.iter().all(|group| group.state == GroupState::Empty));
        assert!(
            ours.iter()
                .all(|group| group.group_type == GroupType::Classic)
        );
    }
    for which in [
        ListGroups::new().states([GroupState::Stable, GroupState::Dead]),
        ListGroups::new().types([GroupType::Share]),
    ] {
        let listed = admin.list_groups(which).await.unwrap().complete().unwrap();
        assert!(
            !listed
                .iter()
                .any(|group| names.groups.contains(&group.group_id))
        );
    }

    let nobody = format!("{a}-of-nobody");
    let described = admin.describe_groups([a, &nobody]).await;
    let group = described[a].as_ref().unwrap();
    assert_eq!((group.state, group.members.len()), (GroupState::Empty, 0));
    let brokers = admin.describe_cluster().await.unwrap().brokers;
    assert!(brokers.iter().any(|broker| broker.id == group.coordinator));
    assert_unknown(&described[&nobody], &nobody);

    let deleted = [0, 1].map(|partition| names.partition(partition));
    let deleted = admin.delete_group_offsets(a, deleted).await.unwrap();
    assert!(deleted.values().all(Result::is_ok), "{deleted:?}");
    let unheard_of = TopicPartition::new(nobody.as_str(), 0);
    let refused = admin
        .delete_group_offsets(a, [unheard_of.clone()])
        .await
        .unwrap();
    assert_eq!(refusal(&refused[&unheard_of]), "UNKNOWN_TOPIC_OR_PARTITION");
    assert_unknown(
        &admin.delete_group_offsets(&nobody, [unheard_of]).await,
        &nobody,
    );
    let listed = admin.list_group_offsets([a]).await;
    let left = BTreeMap::from([(names.partition(2), 1.into())]);
    assert_eq!(*listed[a].as_ref().unwrap(), left);

    let deleted = admin.delete_groups([a, b, &nobody]).await;
    assert!(deleted[a].is_ok() && deleted[b].is_ok(), "{deleted:?}");
    assert_unknown(&deleted[&nobody], &nobody);
    assert_unknown(&admin.describe_group(a).await, a);
    let listed = admin.list_group_offsets([a]).await;
    assert_eq!(*listed[a].as_ref().unwrap(), BTreeMap::new());
}
