//! Static members.

use bytes::Bytes;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_codec::messages::sync_group::SyncGroupRequest;

use super::actor::{
    Actor, HEARTBEAT, JOIN, LEAVE, SYNC, await_members, describe, group, join_all, sync_all,
};
use crate::versus::run::Run;

pub(in crate::versus) async fn script(run: &mut Run) {
    for version in 5..=JOIN {
        come_back(run, version).await;
    }
    fenced_waiting(run).await;
    other_protocol(run).await;
    by_name(run).await;
}

/// A follower and a leader each come back to a stable group.
async fn come_back(run: &mut Run, version: i16) {
    let g = group(run, "g").await;
    let mut one = Actor::fixed(run, &g, "one", "A").await;
    let mut two = Actor::fixed(run, &g, "two", "B").await;
    join_all(run, &mut [&mut one, &mut two]).await;
    sync_all(&mut [&mut one, &mut two]).await;
    let name = |what: &str| format!("{what}, {version}");
    for (old, stem, instance_id) in [(&mut two, "new two", "B"), (&mut one, "new one", "A")] {
        let mut new = Actor::fixed(run, &g, stem, instance_id).await;
        let request = new.join();
        let step = name(&format!("{stem} comes"));
        let answer = new.step(run, &step, version, &request).await;
        new.note(run, &answer.expect("an answer"));
        new.protocol = Some("range".to_owned());
        run.step(&step, 5, &describe(&g)).await;
        let request = new.sync(&[]);
        new.step(run, &name(stem), SYNC, &request).await;
        let request = new.heartbeat();
        new.step(run, &name(stem), HEARTBEAT, &request).await;
        if version != JOIN {
            continue;
        }
        let request = old.heartbeat();
        old.step(run, &name(old.name), HEARTBEAT, &request).await;
        let request = old.sync(&[]);
        old.step(run, &name(old.name), SYNC, &request).await;
        let request = old.join();
        old.step(run, &name(old.name), JOIN, &request).await;
        let request = old.leave();
        old.step(run, &name(old.name), LEAVE, &request).await;
        old.instance_id = None;
        let request = old.heartbeat();
        let step = name(&format!("{stem} is nameless"));
        old.step(run, &step, HEARTBEAT, &request).await;
        old.instance_id = Some("Z".to_owned());
        let request = old.heartbeat();
        let step = name(&format!("{stem} has another name"));
        old.step(run, &step, HEARTBEAT, &request).await;
        let request = old.join();
        old.step(run, &step, JOIN, &request).await;
        let request = new.join();
        let step = name(&format!("{stem} joins with its id"));
        if stem == "new two" {
            new.step(run, &step, JOIN, &request).await;
        } else {
            new.parks(run, &step, JOIN, &request).await;
        }
    }
}

/// Who waits is fenced where it waits.
async fn fenced_waiting(run: &mut Run) {
    let g = group(run, "waiting").await;
    let mut one = Actor::fixed(run, &g, "one", "A").await;
    let mut two = Actor::fixed(run, &g, "two", "B").await;
    join_all(run, &mut [&mut one]).await;
    sync_all(&mut [&mut one]).await;
    let request = two.join();
    two.parks(run, "of a second member", JOIN, &request).await;
    let mut again = Actor::fixed(run, &g, "two again", "B").await;
    let request = again.join();
    again
        .parks(run, "of the second member again", JOIN, &request)
        .await;
    two.answer::<JoinGroupRequest>(run, "that was fenced", JOIN)
        .await;
    one.send_join(run).await;
    one.joined(run).await;
    again.joined(run).await;
    let request = again.sync(&[]);
    again
        .parks(run, "of the second member", SYNC, &request)
        .await;
    let mut third = Actor::fixed(run, &g, "two at last", "B").await;
    let request = third.join();
    third
        .parks(run, "of the second member at last", JOIN, &request)
        .await;
    again
        .answer::<SyncGroupRequest>(run, "that was fenced", SYNC)
        .await;
    let request = one.heartbeat();
    one.step(run, "of the first member", HEARTBEAT, &request)
        .await;
    let request = one.join();
    one.step(run, "of the first member", JOIN, &request).await;
    third.joined(run).await;
}

async fn other_protocol(run: &mut Run) {
    let g = group(run, "protocols").await;
    let mut one = Actor::fixed(run, &g, "one", "A").await;
    join_all(run, &mut [&mut one]).await;
    sync_all(&mut [&mut one]).await;
    let mut again = Actor::fixed(run, &g, "one again", "A").await;
    again.protocols = vec![
        ("sticky", Bytes::from_static(b"s")),
        ("range", Bytes::from_static(b"r")),
    ];
    let request = again.join();
    again
        .step(run, "with another protocol", JOIN, &request)
        .await;
    let mut none = Actor::fixed(run, &g, "one alone", "A").await;
    none.protocols = vec![("alone", Bytes::from_static(b"a"))];
    let request = none.join();
    none.step(run, "with nothing in common", JOIN, &request)
        .await;
    // Other metadata alone changes nothing.
    let g = group(run, "metadata").await;
    let mut one = Actor::fixed(run, &g, "one", "A").await;
    join_all(run, &mut [&mut one]).await;
    sync_all(&mut [&mut one]).await;
    let mut again = Actor::fixed(run, &g, "one again", "A").await;
    again.protocols = vec![("range", Bytes::from_static(b"new"))];
    let request = again.join();
    again.step(run, "with other metadata", JOIN, &request).await;
    run.step("with other metadata", 5, &describe(&g)).await;
}

/// Leaving by name.
async fn by_name(run: &mut Run) {
    let g = group(run, "named").await;
    let mut one = Actor::fixed(run, &g, "one", "A").await;
    let mut two = Actor::new(run, &g, "two").await;
    join_all(run, &mut [&mut one, &mut two]).await;
    sync_all(&mut [&mut one, &mut two]).await;
    let named = |member_id: &str, instance_id: &str| MemberIdentity {
        member_id: member_id.to_owned(),
        group_instance_id: Some(instance_id.to_owned()),
        ..Default::default()
    };
    let request = LeaveGroupRequest {
        members: vec![
            named("", "B"),
            named("raw-1", "A"),
            named(&two.id, "A"),
            named("", "A"),
            named("", "A"),
        ],
        ..two.leave()
    };
    for version in [3, 5] {
        run.step("by name", version, &request).await;
    }
    run.step("after that", 5, &describe(&g)).await;
    // Without it two is alone, and leads.
    let request = two.join();
    two.step(run, "of who is left", JOIN, &request).await;
    await_members(run, &g, 1).await;
}
