//! What can be asked in each state of a group.

use ottla_codec::messages::delete_groups::DeleteGroupsRequest;
use ottla_codec::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_codec::messages::list_groups::ListGroupsRequest;
use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_codec::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_codec::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use ottla_codec::messages::sync_group::SyncGroupRequest;

use super::actor::{
    Actor, HEARTBEAT, JOIN, LEAVE, SYNC, await_members, await_state, describe, group, join_all,
    subscription, sync_all,
};
use crate::support::raw::TopicRef;
use crate::versus::run::Run;

pub(in crate::versus) async fn script(run: &mut Run) {
    let read = run.topic("read", 2, &[]).await;
    let unread = run.topic("unread", 2, &[]).await;
    let g = group(run, "g").await;
    let mut one = Actor::new(run, &g, "one").await;
    one.protocols = vec![("range", subscription(&[&read.name]))];
    let mut two = Actor::new(run, &g, "two").await;
    two.protocols.clone_from(&one.protocols);
    let topics = [&read, &unread];
    probe(run, "no group", &mut one, topics).await;
    join_all(run, &mut [&mut one]).await;
    probe(run, "not synced", &mut one, topics).await;
    sync_all(&mut [&mut one]).await;
    probe(run, "stable", &mut one, topics).await;
    two.send_join(run).await;
    await_members(run, &g, 2).await;
    probe(run, "joining", &mut one, topics).await;
    one.send_join(run).await;
    one.joined(run).await;
    two.joined(run).await;
    let request = two.sync(&[]);
    two.parks(run, "of a follower", SYNC, &request).await;
    probe(run, "syncing", &mut one, topics).await;
    sync_by(run, &mut one).await;
    two.synced().await;
    let request = LeaveGroupRequest {
        members: vec![two.identity(), identity("nobody", None), one.identity()],
        ..one.leave()
    };
    one.step(run, "of both and another", LEAVE, &request).await;
    probe(run, "empty", &mut one, topics).await;
    let request = DeleteGroupsRequest {
        groups_names: vec![g.clone(), "nothing".to_owned(), g.clone()],
        ..Default::default()
    };
    run.step("twice, and another", 2, &request).await;
    probe(run, "deleted", &mut one, topics).await;
    others(run, topics).await;
    parked_leave(run).await;
}

async fn sync_by(run: &mut Run, leader: &mut Actor) {
    let request = leader.sync(&[(&leader.id, "one")]);
    leader.step(run, "of the leader", SYNC, &request).await;
}

fn identity(member_id: &str, instance_id: Option<&str>) -> MemberIdentity {
    MemberIdentity {
        member_id: member_id.to_owned(),
        group_instance_id: instance_id.map(str::to_owned),
        ..Default::default()
    }
}

/// Asks all that changes nothing about the members.
async fn probe(run: &mut Run, state: &str, member: &mut Actor, topics: [&TopicRef; 2]) {
    let g = member.group.clone();
    let (id, generation) = (member.id.clone(), member.generation);
    run.step(&format!("{state} v5"), 5, &describe(&g)).await;
    run.step(state, 6, &describe(&g)).await;
    list(run, state).await;
    let who = [
        ("itself", id.as_str(), generation),
        ("an older generation", &id, generation - 1),
        ("no generation", &id, -1),
        ("another id", "raw-1", generation),
        ("no id", "", generation),
        ("nobody", "", -1),
    ];
    for (name, member_id, generation) in who {
        let step = format!("{state}, {name}");
        if !(name == "itself" && state == "not synced") {
            let request = SyncGroupRequest {
                member_id: member_id.to_owned(),
                generation_id: generation,
                ..member.sync(&[])
            };
            // A sync of the leader's would change the state.
            if name != "itself" || state != "syncing" {
                member.step(run, &step, SYNC, &request).await;
            }
        }
        let request = ottla_codec::messages::heartbeat::HeartbeatRequest {
            member_id: member_id.to_owned(),
            generation_id: generation,
            ..member.heartbeat()
        };
        member.step(run, &step, HEARTBEAT, &request).await;
        for version in [8, 9] {
            let request = commit(&g, topics, member_id, generation);
            run.step(&step, version, &request).await;
        }
    }
    for (name, protocol_type, protocol) in [
        ("another type", Some("connect"), Some("range")),
        ("another protocol", Some("consumer"), Some("sticky")),
        ("no type", None, Some("range")),
        ("no protocol", Some("consumer"), None),
    ] {
        let request = SyncGroupRequest {
            protocol_type: protocol_type.map(str::to_owned),
            protocol_name: protocol.map(str::to_owned),
            ..member.sync(&[])
        };
        let step = format!("{state}, {name}");
        member.step(run, &step, SYNC, &request).await;
    }
    let strangers = LeaveGroupRequest {
        members: vec![
            identity("raw-1", None),
            identity("", None),
            identity("", Some("x")),
            identity("raw-1", Some("x")),
        ],
        ..member.leave()
    };
    run.step(&format!("{state}, strangers"), LEAVE, &strangers)
        .await;
    fetch(run, state, &g).await;
    if state != "empty" {
        let request = DeleteGroupsRequest {
            groups_names: vec![g.clone()],
            ..Default::default()
        };
        run.step(state, 2, &request).await;
    }
    let request = delete_offsets(&g, topics);
    run.step(state, 0, &request).await;
}

async fn list(run: &mut Run, state: &str) {
    run.step(state, 3, &ListGroupsRequest::default()).await;
    let by = |states: &[&str], types: &[&str]| ListGroupsRequest {
        states_filter: states.iter().map(|&state| state.to_owned()).collect(),
        types_filter: types.iter().map(|&kind| kind.to_owned()).collect(),
        ..Default::default()
    };
    for wanted in [
        "Stable",
        "stable",
        "PreparingRebalance",
        "Empty",
        "Dead",
        "None",
    ] {
        let step = format!("{state}, only {wanted}");
        run.step(&step, 5, &by(&[wanted], &[])).await;
    }
    for wanted in ["classic", "Classic", "consumer", "other"] {
        let step = format!("{state}, only {wanted}");
        run.step(&step, 5, &by(&[], &[wanted])).await;
    }
}

fn commit(
    group: &str,
    topics: [&TopicRef; 2],
    member_id: &str,
    generation: i32,
) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member_id.to_owned(),
        topics: topics
            .iter()
            .map(|topic| OffsetCommitRequestTopic {
                name: topic.name.clone(),
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: 5,
                    ..Default::default()
                }],
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

async fn fetch(run: &mut Run, state: &str, group: &str) {
    for (name, member_id, epoch) in [("nobody", None, -1), ("a stranger", Some("raw-1"), 7)] {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                member_id: member_id.map(str::to_owned),
                member_epoch: epoch,
                topics: None,
                ..Default::default()
            }],
            ..Default::default()
        };
        run.step(&format!("{state}, {name}"), 9, &request).await;
    }
}

/// Offsets of partitions that were committed, that were not, and that are none.
fn delete_offsets(group: &str, topics: [&TopicRef; 2]) -> OffsetDeleteRequest {
    let partitions =
        [0, 1, 9].map(|partition_index| OffsetDeleteRequestPartition { partition_index });
    let names = topics.iter().map(|topic| topic.name.clone());
    OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: names
            .chain(["nothing".to_owned()])
            .map(|name| OffsetDeleteRequestTopic {
                name,
                partitions: partitions.to_vec(),
            })
            .collect(),
    }
}

/// Members of whom it is not known what they read.
async fn others(run: &mut Run, topics: [&TopicRef; 2]) {
    for (stem, protocol_type) in [("workers", "connect"), ("mumblers", "consumer")] {
        let g = group(run, stem).await;
        let mut member = Actor::new(run, &g, stem).await;
        member.protocol_type = protocol_type;
        member.protocols = vec![("default", bytes::Bytes::from_static(b"x"))];
        join_all(run, &mut [&mut member]).await;
        sync_all(&mut [&mut member]).await;
        let (id, generation) = (member.id.clone(), member.generation);
        run.step(stem, 8, &commit(&g, topics, &id, generation))
            .await;
        run.step(stem, 0, &delete_offsets(&g, topics)).await;
    }
    let g = group(run, "simple").await;
    run.step("simple", 8, &commit(&g, topics, "", -1)).await;
    run.step("of a simple group", 6, &describe(&g)).await;
    list(run, "simple").await;
    run.step("simple", 0, &delete_offsets(&g, topics)).await;
    run.step("without a group", 0, &delete_offsets("", topics))
        .await;
    let request = OffsetDeleteRequest {
        topics: Vec::new(),
        ..delete_offsets(&g, topics)
    };
    run.step("of nothing", 0, &request).await;
    let mut member = Actor::new(run, &g, "one").await;
    join_all(run, &mut [&mut member]).await;
    fetch(run, "joined", &g).await;
}

/// Who leaves while its join or its sync waits.
async fn parked_leave(run: &mut Run) {
    let g = group(run, "leavers").await;
    let mut one = Actor::new(run, &g, "one").await;
    let mut two = Actor::new(run, &g, "two").await;
    join_all(run, &mut [&mut one]).await;
    sync_all(&mut [&mut one]).await;
    two.get_id(run).await;
    let request = two.join();
    two.parks(run, "that will be left", JOIN, &request).await;
    let request = LeaveGroupRequest {
        members: vec![two.identity()],
        ..one.leave()
    };
    one.step(run, "of another that joins", LEAVE, &request)
        .await;
    two.answer::<ottla_codec::messages::join_group::JoinGroupRequest>(run, "that was left", JOIN)
        .await;
    await_state(run, &g, "PreparingRebalance").await;
    one.send_join(run).await;
    one.joined(run).await;
    let mut two = Actor::new(run, &g, "two").await;
    two.send_join(run).await;
    await_members(run, &g, 2).await;
    one.send_join(run).await;
    one.joined(run).await;
    two.joined(run).await;
    two.send_sync(&[]).await;
    let request = two.sync(&[]);
    let mut elsewhere = Actor::new(run, &g, "two").await;
    elsewhere.id.clone_from(&two.id);
    elsewhere.generation = two.generation;
    elsewhere
        .parks(run, "that will be left", SYNC, &request)
        .await;
    let request = LeaveGroupRequest {
        members: vec![two.identity()],
        ..one.leave()
    };
    one.step(run, "of another that syncs", LEAVE, &request)
        .await;
    let step = "that was left";
    elsewhere
        .is_silent::<SyncGroupRequest>(run, step, SYNC)
        .await;
}
