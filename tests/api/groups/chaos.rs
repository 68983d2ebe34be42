//! A cluster that breaks now and then, by a seed.

use std::time::Duration;

use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::leave_group::LeaveGroupRequest;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_codec::messages::sync_group::SyncGroupRequest;
use ottla_codec::{ApiKey, Request};
use ottla_fake::FakeCluster;
use tokio::time::sleep;

/// Breaks things now and then, until it is dropped.
pub(super) async fn break_things(
    cluster: &FakeCluster,
    (topics, groups): (&[&str], &[&str]),
    rng: &mut fastrand::Rng,
) {
    let mut down: Option<i32> = None;
    loop {
        sleep(Duration::from_millis(rng.u64(1..1000))).await;
        let broker = rng.i32(1..=3);
        let topic = topics[rng.usize(..topics.len())];
        let group = groups[rng.usize(..groups.len())];
        match rng.u32(..24) {
            0 => cluster.cut_connections(broker).await.unwrap(),
            1..4 => {
                let load_time = Duration::from_millis(rng.u64(0..2000));
                // A broker that is down coordinates nothing.
                drop(
                    cluster
                        .move_coordinator_slowly(group, broker, load_time)
                        .await,
                );
            }
            4 => match down.take() {
                Some(broker) => cluster.start_broker(broker).await.unwrap(),
                None => {
                    cluster.kill_broker(broker).await.unwrap();
                    down = Some(broker);
                }
            },
            5 | 6 => {
                let not_ready = Duration::from_millis(rng.u64(0..500));
                drop(
                    cluster
                        .move_leader_slowly(topic, 0, broker, not_ready)
                        .await,
                );
            }
            7 => drop(cluster.on::<MetadataRequest>().close()),
            8..11 => disturb::<JoinGroupRequest>(cluster, rng),
            11..14 => disturb::<SyncGroupRequest>(cluster, rng),
            14..17 => disturb::<HeartbeatRequest>(cluster, rng),
            17..19 => disturb::<OffsetCommitRequest>(cluster, rng),
            19..21 => disturb::<OffsetFetchRequest>(cluster, rng),
            21 => disturb::<FindCoordinatorRequest>(cluster, rng),
            22 => disturb::<LeaveGroupRequest>(cluster, rng),
            _ => drop(cluster.on::<FetchRequest>().apply_then_close()),
        }
    }
}

/// One of the next requests of that kind does not get through, or its answer does not.
fn disturb<R: Request>(cluster: &FakeCluster, rng: &mut fastrand::Rng) {
    let next = cluster.on::<R>().skip(rng.u64(0..3));
    drop(match rng.u32(..12) {
        0 | 1 => next.apply_then_close(),
        2 | 3 => next.apply_then_drop_response(),
        4 | 5 => next.close(),
        6 | 7 => next.drop_request(),
        8 | 9 => next.cut_response_anywhere(),
        // What is delayed alone may come to pass after what was sent later over another connection. No broker serves
        // an older commit in such an order, or the join of a static member that is dead.
        10 if !matches!(R::KEY, ApiKey::OffsetCommit | ApiKey::JoinGroup) => {
            next.delay(Duration::from_millis(rng.u64(1..8000)))
        }
        _ => next.stall(Duration::from_millis(rng.u64(1..8000))),
    });
}
