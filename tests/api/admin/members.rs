//! Groups with members, Java's or our own: how an admin sees and treats them.

use std::collections::BTreeSet;

use ottla::{Admin, Client, GroupDescription, GroupState, GroupType, ListGroups, TopicPartition};
use tokio::task::JoinHandle;

use super::groups::{Names, assert_not_empty, assert_unknown, refusal};
use crate::support::eventually;

/// A member of our own, for as long as this lives; then it is gone without a word to the coordinator.
pub(crate) struct Member(JoinHandle<()>);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has a client join a group, and read on and on.
pub(crate) fn join(client: Client, group: &str, topic: &str, instance: Option<&str>) -> Member {
    let mut settings = client.consumer().group_id(group);
    if let Some(instance) = instance {
        settings = settings.group_instance_id(instance);
    }
    let mut consumer = settings.build().unwrap();
    consumer.subscribe([topic]).unwrap();
    Member(tokio::spawn(async move {
        while consumer.next().await.expect("no error").is_some() {}
    }))
}

/// The group, once it has this many members and is stable.
pub(crate) async fn settled(admin: &Admin, group: &str, members: usize) -> GroupDescription {
    let mut settled = None;
    eventually("the group is stable", async || {
        let described = admin.describe_group(group).await;
        settled = described.ok().filter(|described| {
            described.state == GroupState::Stable && described.members.len() == members
        });
        settled.is_some()
    })
    .await;
    settled.expect("it just was")
}

/// What each member has, checked to be everything once.
pub(crate) fn assigned(
    group: &GroupDescription,
    topic: &str,
    partitions: i32,
) -> Vec<Vec<TopicPartition>> {
    let members = group.members.iter();
    let each: Vec<_> = members
        .map(|member| member.assignment.clone().unwrap())
        .collect();
    let mut all: Vec<_> = each.iter().flatten().cloned().collect();
    all.sort();
    let topic: Vec<_> = (0..partitions)
        .map(|p| TopicPartition::new(topic, p))
        .collect();
    assert_eq!(all, topic);
    each
}

/// Members are described, protected from what would pull the rug from under them, and removed. `join` has one join:
/// the group, the topic, its instance id and its client id; to drop it is to kill it.
pub(crate) async fn are_seen_and_removed<M>(
    admin: &Admin,
    Names { topic, groups }: &Names,
    join: impl AsyncFn(&str, &str, Option<&str>, &str) -> M,
) {
    let group = &groups[0];
    let fixed = join(group, topic, Some("fixed"), "one").await;
    let loose = join(group, topic, None, "two").await;
    let described = settled(admin, group, 2).await;
    assert_eq!(described.group_type, GroupType::Classic);
    assert_eq!(
        (&*described.protocol_type, &*described.protocol),
        ("consumer", "range")
    );
    let members = described.members.iter();
    let clients = members.map(|m| (m.instance_id.as_deref(), &*m.client_id));
    let clients: BTreeSet<_> = clients.collect();
    assert_eq!(clients, [(Some("fixed"), "one"), (None, "two")].into());
    assert!(
        described
            .members
            .iter()
            .all(|member| !member.host.is_empty())
    );
    assert!(
        described
            .members
            .is_sorted_by_key(|member| &member.member_id)
    );
    let each = assigned(&described, topic, 3);
    assert!(each.iter().all(|partitions| !partitions.is_empty()));
    let listed = admin.list_groups(ListGroups::new()).await.unwrap();
    let listed = listed.complete().unwrap();
    let listed = listed.iter().find(|listing| listing.group_id == *group);
    let listed = listed.unwrap();
    assert_eq!(
        (&*listed.protocol_type, listed.coordinator),
        ("consumer", described.coordinator)
    );

    let deleted = admin.delete_groups(groups).await;
    assert_not_empty(&deleted[group], group);
    assert_unknown(&deleted[&groups[1]], &groups[1]);
    let first = TopicPartition::new(topic.as_str(), 0);
    let set = admin.alter_group_offsets(group, [(first.clone(), 1)]).await;
    assert_not_empty(&set, group);
    let deleted = admin
        .delete_group_offsets(group, [first.clone()])
        .await
        .unwrap();
    assert_eq!(refusal(&deleted[&first]), "GROUP_SUBSCRIBED_TO_TOPIC");

    // Long before its session would have ended.
    drop(fixed);
    let removed = admin
        .remove_members(group, ["fixed", "nobody"], "it is gone")
        .await;
    let removed = removed.unwrap();
    assert!(removed["fixed"].is_ok(), "{removed:?}");
    assert_eq!(refusal(&removed["nobody"]), "UNKNOWN_MEMBER_ID");
    let alone = settled(admin, group, 1).await;
    assert_eq!(assigned(&alone, topic, 3).len(), 1);

    drop(loose);
    let removed = admin
        .remove_all_members(group, "all of them")
        .await
        .unwrap();
    let ids: Vec<_> = removed.keys().collect();
    assert_eq!(ids, [&alone.members[0].member_id]);
    assert!(removed.values().all(Result::is_ok), "{removed:?}");
    let described = admin.describe_group(group).await.unwrap();
    assert_eq!(
        (described.state, described.members.len()),
        (GroupState::Empty, 0)
    );
    assert_eq!(admin.remove_all_members(group, "").await.unwrap().len(), 0);
    let set = admin.alter_group_offsets(group, [(first.clone(), 1)]).await;
    assert!(set.unwrap()[&first].is_ok());
    assert!(admin.delete_groups([group]).await[group].is_ok());
    assert_unknown(&admin.describe_group(group).await, group);
}
