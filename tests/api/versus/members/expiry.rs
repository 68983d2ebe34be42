//! What happens to members that are silent.

use ottla_codec::ErrorCode;

use super::actor::{
    Actor, HEARTBEAT, JOIN, SYNC, await_members, await_state, describe, group, join_all, sync_all,
};
use crate::versus::run::Run;

/// Long enough for the steps of a script on a busy machine.
const SESSION_MS: i32 = 3_000;
const REBALANCE_MS: i32 = 3_000;

pub(in crate::versus) async fn script(run: &mut Run) {
    silent(run).await;
    late_join(run).await;
    late_sync(run).await;
    unused_id(run).await;
    replaced_before_its_sync(run).await;
}

async fn pair(run: &mut Run, stem: &'static str) -> (Actor, Actor) {
    let g = group(run, stem).await;
    let one = Actor::new(run, &g, "one").await;
    let two = Actor::new(run, &g, "two").await;
    (one, two)
}

/// A session runs out.
async fn silent(run: &mut Run) {
    let (mut one, mut two) = pair(run, "silent").await;
    two.session_timeout_ms = SESSION_MS;
    join_all(run, &mut [&mut one, &mut two]).await;
    sync_all(&mut [&mut one, &mut two]).await;
    one.beats_until(ErrorCode::RebalanceInProgress).await;
    let g = one.group.clone();
    run.step("after a session has ended", 5, &describe(&g))
        .await;
    let request = two.heartbeat();
    two.step(run, "after its session", HEARTBEAT, &request)
        .await;
    let request = two.sync(&[]);
    two.step(run, "after its session", SYNC, &request).await;
    let request = two.join();
    two.step(run, "after its session", JOIN, &request).await;
    let request = one.join();
    one.step(run, "of the other", JOIN, &request).await;
    // The last one's end empties the group.
    one.session_timeout_ms = SESSION_MS;
    let request = one.join();
    one.step(run, "before the end", JOIN, &request).await;
    let (mut three, _) = pair(run, "ending").await;
    three.session_timeout_ms = SESSION_MS;
    join_all(run, &mut [&mut three]).await;
    sync_all(&mut [&mut three]).await;
    let g = three.group.clone();
    await_state(run, &g, "Empty").await;
    run.step("after the end", 5, &describe(&g)).await;
}

/// Who lives, but does not join again in time.
async fn late_join(run: &mut Run) {
    let (mut one, mut two) = pair(run, "late").await;
    (one.rebalance_timeout_ms, two.rebalance_timeout_ms) = (REBALANCE_MS, REBALANCE_MS);
    join_all(run, &mut [&mut one]).await;
    sync_all(&mut [&mut one]).await;
    two.send_join(run).await;
    two.joined(run).await;
    let request = one.heartbeat();
    one.step(run, "too late", HEARTBEAT, &request).await;
    let request = one.join();
    one.step(run, "too late", JOIN, &request).await;
    let g = one.group.clone();
    run.step("without who came late", 5, &describe(&g)).await;
}

/// Who joins, but never asks for its assignment.
async fn late_sync(run: &mut Run) {
    let (mut one, mut two) = pair(run, "unsynced").await;
    (one.rebalance_timeout_ms, two.rebalance_timeout_ms) = (REBALANCE_MS, REBALANCE_MS);
    join_all(run, &mut [&mut one, &mut two]).await;
    let request = one.sync(&[]);
    one.step(run, "of the leader alone", SYNC, &request).await;
    one.beats_until(ErrorCode::RebalanceInProgress).await;
    let request = two.sync(&[]);
    two.step(run, "too late", SYNC, &request).await;
    let request = one.join();
    let answer = one
        .step(run, "without who never synced", JOIN, &request)
        .await;
    one.note(run, &answer.expect("an answer"));
    let mut two = Actor::new(run, &one.group, "two").await;
    two.rebalance_timeout_ms = REBALANCE_MS;
    two.send_join(run).await;
    await_members(run, &one.group, 2).await;
    one.send_join(run).await;
    one.joined(run).await;
    two.joined(run).await;
    // This time it is the leader that does not come.
    let request = two.sync(&[]);
    two.step(run, "while the leader is silent", SYNC, &request)
        .await;
    let request = one.heartbeat();
    one.step(run, "of the silent leader", HEARTBEAT, &request)
        .await;
}

/// An id that is never used expires.
async fn unused_id(run: &mut Run) {
    let (mut one, mut two) = pair(run, "unused").await;
    join_all(run, &mut [&mut one]).await;
    sync_all(&mut [&mut one]).await;
    two.session_timeout_ms = SESSION_MS;
    two.get_id(run).await;
    let request = one.join();
    one.parks(run, "while an id waits to be used", JOIN, &request)
        .await;
    one.joined(run).await;
    let request = two.join();
    two.step(run, "with an id that has expired", JOIN, &request)
        .await;
}

/// A static member that comes back before it has asked for its assignment.
async fn replaced_before_its_sync(run: &mut Run) {
    let g = group(run, "replaced").await;
    let mut one = Actor::fixed(run, &g, "one", "A").await;
    let mut two = Actor::fixed(run, &g, "two", "B").await;
    (one.rebalance_timeout_ms, two.rebalance_timeout_ms) = (REBALANCE_MS, REBALANCE_MS);
    join_all(run, &mut [&mut one, &mut two]).await;
    let request = one.sync(&[(&two.id, "two")]);
    one.step(run, "before the other", SYNC, &request).await;
    let mut again = Actor::fixed(run, &g, "two again", "B").await;
    again.rebalance_timeout_ms = REBALANCE_MS;
    let request = again.join();
    let answer = again.step(run, "instead of a sync", JOIN, &request).await;
    again.note(run, &answer.expect("an answer"));
    again.protocol = Some("range".to_owned());
    let request = again.sync(&[]);
    again.step(run, "of the new one", SYNC, &request).await;
    // The old one's sync is still expected.
    one.beats_until(ErrorCode::RebalanceInProgress).await;
    run.step("after that", 5, &describe(&g)).await;
}
