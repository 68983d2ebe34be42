//! Joining: in every version, refused, and again.

use bytes::Bytes;
use ottla_codec::messages::describe_groups::DescribeGroupsRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::leave_group::LeaveGroupRequest;
use ottla_codec::messages::sync_group::SyncGroupRequest;

use super::actor::{
    Actor, HEARTBEAT, JOIN, LEAVE, SYNC, await_members, await_state, describe, group, join_all,
    subscription, sync_all, written,
};
use crate::versus::run::Run;

pub(in crate::versus) async fn script(run: &mut Run) {
    for version in 0..=JOIN {
        alone(run, version).await;
    }
    refused(run).await;
    again(run).await;
    votes(run).await;
}

/// One member's whole life.
async fn alone(run: &mut Run, version: i16) {
    let g = group(run, "g").await;
    let mut member = Actor::new(run, &g, "one").await;
    let request = member.join();
    let name = format!("by a stranger, {version}");
    let answer = member.step(run, &name, version, &request).await;
    let mut answer = answer.expect("an answer");
    if version >= 4 {
        written(run, &g).await;
        for describes in [4, 5, 6] {
            let name = format!("before anybody has joined, {version}");
            run.step(&name, describes, &describe(&g)).await;
        }
        member.is_called(run, answer.member_id);
        let name = format!("with the id, {version}");
        let request = member.join();
        let second = member.step(run, &name, version, &request).await;
        answer = second.expect("an answer");
    }
    member.note(run, &answer);
    let mut request = member.sync(&[(&member.id, "all")]);
    let sync = version.min(SYNC);
    let name = format!("by the only member, {version}");
    if sync < 5 {
        (request.protocol_type, request.protocol_name) = (None, None);
    }
    member.step(run, &name, sync, &request).await;
    let request = member.heartbeat();
    member
        .step(run, &name, version.min(HEARTBEAT), &request)
        .await;
    if version == JOIN {
        for describes in 0..=6 {
            let asks = |include_authorized_operations| DescribeGroupsRequest {
                include_authorized_operations,
                ..describe(&g)
            };
            run.step("of a stable group", describes, &asks(false)).await;
            if describes >= 3 {
                run.step("with operations", describes, &asks(true)).await;
            }
        }
    }
    let leave = version.min(LEAVE);
    let request = match leave {
        ..3 => LeaveGroupRequest {
            group_id: g.clone(),
            member_id: member.id.clone(),
            ..Default::default()
        },
        _ => member.leave(),
    };
    member.step(run, &name, leave, &request).await;
    let name = format!("once more, {version}");
    member.step(run, &name, leave, &request).await;
    run.step(&format!("after {version}"), 5, &describe(&g))
        .await;
}

async fn refused(run: &mut Run) {
    type Change = fn(&mut JoinGroupRequest);
    let changes: [(&str, Change); 8] = [
        ("without a group", |join| join.group_id.clear()),
        ("too short a session", |join| join.session_timeout_ms = 499),
        ("too long a session", |join| {
            join.session_timeout_ms = 1_800_001;
        }),
        ("an unknown id", |join| join.member_id = "raw-1".to_owned()),
        ("no protocols", |join| join.protocols.clear()),
        ("no type", |join| join.protocol_type.clear()),
        ("another type", |join| {
            join.protocol_type = "connect".to_owned();
        }),
        ("another protocol", |join| {
            join.protocols[0].name = "sticky".to_owned();
        }),
    ];
    let taken = group(run, "taken").await;
    let mut owner = Actor::new(run, &taken, "owner").await;
    join_all(run, &mut [&mut owner]).await;
    sync_all(&mut [&mut owner]).await;
    for version in [3, 5, 9] {
        for (stem, is_new) in [("new", true), ("taken", false)] {
            for (step, change) in changes {
                let step = format!("{step}, group {stem}");
                if is_new && step.contains("another") {
                    continue;
                }
                let g = if is_new {
                    group(run, "new").await
                } else {
                    taken.clone()
                };
                let actor = Actor::new(run, &g, "stranger").await;
                let mut request = actor.join();
                change(&mut request);
                run.step(&step, version, &request).await;
                if is_new {
                    written(run, &g).await;
                    let step = format!("after {step}, {version}");
                    run.step(&step, 5, &describe(&g)).await;
                }
            }
        }
    }
    // A group of other members than consumers.
    let g = group(run, "workers").await;
    let mut worker = Actor::new(run, &g, "worker").await;
    worker.protocol_type = "connect";
    worker.protocols = vec![("default", Bytes::from_static(b"where"))];
    join_all(run, &mut [&mut worker]).await;
    sync_all(&mut [&mut worker]).await;
    run.step("of workers", 5, &describe(&g)).await;
    let actor = Actor::new(run, &g, "stranger").await;
    run.step("of a consumer to workers", JOIN, &actor.join())
        .await;
}

/// Joins of members that are members already.
async fn again(run: &mut Run) {
    let g = group(run, "again").await;
    let mut one = Actor::new(run, &g, "one").await;
    let mut two = Actor::new(run, &g, "two").await;
    join_all(run, &mut [&mut one, &mut two]).await;
    let request = one.join();
    one.step(run, "the leader before it syncs", JOIN, &request)
        .await;
    let request = two.join();
    two.step(run, "a follower before it syncs", JOIN, &request)
        .await;
    let request = two.sync(&[]);
    two.parks(run, "by a follower first", SYNC, &request).await;
    let request = one.sync(&[(&one.id, "one"), ("nobody", "nothing")]);
    one.step(run, "that leaves the follower out", SYNC, &request)
        .await;
    two.answer::<SyncGroupRequest>(run, "by a follower, answered", SYNC)
        .await;
    let request = two.join();
    two.step(run, "a follower of a stable group", JOIN, &request)
        .await;
    let request = two.sync(&[(&two.id, "mine")]);
    two.step(run, "by a follower of a stable group", SYNC, &request)
        .await;
    let request = one.sync(&[(&one.id, "other")]);
    one.step(run, "by the leader of a stable group", SYNC, &request)
        .await;
    two.protocols = vec![("range", subscription(&["else"]))];
    let request = two.join();
    two.parks(run, "a follower that has changed its mind", JOIN, &request)
        .await;
    let request = one.heartbeat();
    one.step(run, "while a follower joins", HEARTBEAT, &request)
        .await;
    let request = one.join();
    let answer = one.step(run, "of the leader then", JOIN, &request).await;
    one.note(run, &answer.expect("an answer"));
    let answer = two
        .answer::<JoinGroupRequest>(run, "of the follower then", JOIN)
        .await;
    two.note(run, &answer.expect("an answer"));
    sync_all(&mut [&mut one, &mut two]).await;
    let request = one.join();
    one.parks(run, "of the leader alone", JOIN, &request).await;
    let request = two.sync(&[]);
    two.step(run, "while the leader joins", SYNC, &request)
        .await;
    let request = two.join();
    two.step(run, "of the follower as well", JOIN, &request)
        .await;
    one.joined(run).await;
    two.generation = one.generation;
    two.protocols = vec![("range", subscription(&["more"]))];
    let request = one.sync(&[]);
    one.step(run, "of the leader that gives nothing", SYNC, &request)
        .await;
    one.send_join(run).await;
    await_state(run, &g, "PreparingRebalance").await;
    let request = two.join();
    two.step(run, "of the follower with another mind", JOIN, &request)
        .await;
    one.joined(run).await;
    two.generation = one.generation;
    two.protocols = vec![("range", subscription(&["less"]))];
    let request = two.join();
    two.parks(run, "with another mind before the sync", JOIN, &request)
        .await;
    let request = one.sync(&[]);
    one.step(run, "by the leader too late", SYNC, &request)
        .await;
    // A third one, whose id alone holds the group up.
    let mut three = Actor::new(run, &g, "three").await;
    three.get_id(run).await;
    let request = one.join();
    one.parks(run, "while an id is not used", JOIN, &request)
        .await;
    let request = three.leave();
    three
        .step(run, "by who has not joined", LEAVE, &request)
        .await;
    one.joined(run).await;
    two.joined(run).await;
    sync_all(&mut [&mut one, &mut two]).await;
    three.id.clear();
    three.get_id(run).await;
    let request = three.heartbeat();
    three
        .step(run, "by who has not joined", HEARTBEAT, &request)
        .await;
    let request = three.leave();
    three
        .step(run, "by who has not joined a stable group", LEAVE, &request)
        .await;
    let request = one.heartbeat();
    one.step(run, "after that", HEARTBEAT, &request).await;
}

/// Several protocols.
async fn votes(run: &mut Run) {
    let g = group(run, "votes").await;
    let lists: [&[&'static str]; 3] = [
        &["sticky", "range", "roundrobin"],
        &["roundrobin", "sticky", "range"],
        &["own", "roundrobin", "range"],
    ];
    let mut members = Vec::new();
    for (name, names) in ["one", "two", "three"].into_iter().zip(lists) {
        let mut member = Actor::new(run, &g, name).await;
        member.protocols = names
            .iter()
            .map(|name| (*name, subscription(&[])))
            .collect();
        members.push(member);
    }
    let mut members = members.into_iter();
    let [mut one, mut two, mut three] = std::array::from_fn(|_| members.next().expect("three"));
    let request = {
        one.get_id(run).await;
        one.join()
    };
    let answer = one.step(run, "its favourite", JOIN, &request).await;
    one.note(run, &answer.expect("an answer"));
    two.send_join(run).await;
    await_members(run, &g, 2).await;
    three.send_join(run).await;
    await_members(run, &g, 3).await;
    let request = one.join();
    let answer = one.step(run, "most votes", JOIN, &request).await;
    one.note(run, &answer.expect("an answer"));
    two.joined(run).await;
    three.joined(run).await;
    run.step("of a group that is not synced", 5, &describe(&g))
        .await;
}
