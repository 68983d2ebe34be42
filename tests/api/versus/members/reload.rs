//! What a coordinator knows of its groups once it has loaded them again.

use bytes::Bytes;
use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_codec::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};

use super::actor::{
    Actor, HEARTBEAT, JOIN, LEAVE, SYNC, await_members, await_state, describe, group, join_all,
    loaded, sync_all,
};
use crate::support::raw::TopicRef;
use crate::versus::run::Run;

pub(in crate::versus) async fn script(run: &mut Run) {
    let topic = run.topic("t", 1, &[]).await;

    // A generation that is not assigned yet.
    let unassigned = group(run, "unassigned").await;
    let mut one = Actor::new(run, &unassigned, "one").await;
    let mut two = Actor::new(run, &unassigned, "two").await;
    join_all(run, &mut [&mut one]).await;
    sync_all(&mut [&mut one]).await;
    two.send_join(run).await;
    await_members(run, &unassigned, 2).await;
    one.send_join(run).await;
    one.joined(run).await;
    two.joined(run).await;

    // A first generation that is not assigned yet.
    let first = group(run, "first").await;
    let mut fresh = Actor::new(run, &first, "fresh").await;
    join_all(run, &mut [&mut fresh]).await;

    // A member that has left while the other has not joined again.
    let deserted = group(run, "deserted").await;
    let mut stayer = Actor::new(run, &deserted, "stayer").await;
    let mut leaver = Actor::new(run, &deserted, "leaver").await;
    join_all(run, &mut [&mut stayer, &mut leaver]).await;
    sync_all(&mut [&mut stayer, &mut leaver]).await;
    let request = leaver.leave();
    leaver
        .step(run, "before the restart", LEAVE, &request)
        .await;
    await_state(run, &deserted, "PreparingRebalance").await;

    // A static member that has come back.
    let fixed = group(run, "fixed").await;
    let mut old = Actor::fixed(run, &fixed, "old", "A").await;
    join_all(run, &mut [&mut old]).await;
    sync_all(&mut [&mut old]).await;
    let mut new = Actor::fixed(run, &fixed, "new", "A").await;
    new.send_join(run).await;
    new.joined(run).await;

    // A group that everybody has left.
    let empty = group(run, "empty").await;
    let mut gone = Actor::new(run, &empty, "gone").await;
    join_all(run, &mut [&mut gone]).await;
    sync_all(&mut [&mut gone]).await;
    let request = gone.leave();
    gone.step(run, "of the only member", LEAVE, &request).await;
    await_state(run, &empty, "Empty").await;

    // A group that only offsets have made, and an id that was never used.
    let simple = group(run, "simple").await;
    run.step("of a simple group", 8, &commit(&simple, &topic))
        .await;
    let unused = group(run, "unused").await;
    let mut stranger = Actor::new(run, &unused, "stranger").await;
    stranger.get_id(run).await;

    // A choice between two protocols.
    let choice = group(run, "choice").await;
    let mut chooser = Actor::new(run, &choice, "chooser").await;
    let range = chooser.protocols[0].1.clone();
    chooser.protocols.push(("sticky", range.clone()));
    join_all(run, &mut [&mut chooser]).await;
    sync_all(&mut [&mut chooser]).await;

    run.restart().await;
    let all = [
        &unassigned,
        &first,
        &deserted,
        &fixed,
        &empty,
        &simple,
        &unused,
        &choice,
    ];
    for group in all {
        loaded(run, group).await;
        run.step(
            &format!("of {}", run.names.name(group)),
            6,
            &describe(group),
        )
        .await;
    }
    after(run, &mut one, "of the unassigned generation").await;
    one.generation -= 1;
    after(run, &mut one, "of the generation before").await;
    after(run, &mut two, "of a newer member").await;
    after(run, &mut fresh, "of a first generation").await;
    after(run, &mut leaver, "of who has left").await;
    after(run, &mut stayer, "of who has stayed").await;
    after(run, &mut old, "of the old id").await;
    after(run, &mut new, "of the new id").await;
    after(run, &mut gone, "of who has left before").await;
    after(run, &mut stranger, "of an unused id").await;
    let mut other = Actor::new(run, &choice, "other").await;
    other.protocols = vec![("sticky", range), ("other", Bytes::new())];
    let request = other.join();
    other
        .step(run, "for what was not chosen", JOIN, &request)
        .await;
    let fetch = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: simple,
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    run.step("of a simple group", 9, &fetch).await;
    // The generations go on where they were.
    let mut next = Actor::new(run, &empty, "next").await;
    next.get_id(run).await;
    let request = next.join();
    next.step(run, "of a group that was empty", JOIN, &request)
        .await;
}

/// What a member is told that has not noticed.
async fn after(run: &mut Run, member: &mut Actor, who: &str) {
    member.reconnect(run).await;
    let request = member.heartbeat();
    member.step(run, who, HEARTBEAT, &request).await;
    let request = member.sync(&[]);
    member.step(run, who, SYNC, &request).await;
}

fn commit(group: &str, topic: &TopicRef) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.name.clone(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 5,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
