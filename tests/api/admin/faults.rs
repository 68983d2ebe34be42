//! Coordinators that move, hang, or have to be asked one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{Admin, Client, ErrorKind, ListGroups, TopicPartition};
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::list_groups::ListGroupsRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::FakeCluster;
use rstest::rstest;
use tokio::time::Instant;

use crate::support::fake;

const GROUPS: [&str; 6] = ["g0", "g1", "g2", "g3", "g4", "g5"];

/// Three brokers, each of which coordinates two of the groups; group `gN` has committed N.
async fn world() -> (FakeCluster, Client) {
    let cluster = fake::cluster().brokers(3).topic("t", 1);
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = fake::client_of(&cluster).build().unwrap();
    let admin = client.admin();
    for (group, offset) in GROUPS.iter().zip(0..) {
        let broker = 1 + offset as i32 % 3;
        cluster.move_coordinator(group, broker).await.unwrap();
        let set = admin.alter_group_offsets(group, [(t0(), offset)]);
        set.await.unwrap()[&t0()].as_ref().unwrap();
    }
    (cluster, client)
}

fn t0() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// What each group has committed, those left out that could not be asked.
async fn committed(admin: &Admin) -> BTreeMap<String, i64> {
    let listed = admin.list_group_offsets(GROUPS).await;
    assert_eq!(listed.len(), GROUPS.len());
    let of_group = |(group, offsets): (String, ottla::Result<BTreeMap<_, _>>)| {
        let offsets: BTreeMap<_, ottla::OffsetAndMetadata> = offsets.ok()?;
        Some((group, offsets[&t0()].offset))
    };
    listed.into_iter().filter_map(of_group).collect()
}

fn all() -> BTreeMap<String, i64> {
    GROUPS.map(String::from).into_iter().zip(0..).collect()
}

async fn requests(cluster: &FakeCluster, api: ApiKey) -> usize {
    let requests = cluster.requests().await.unwrap();
    requests.iter().filter(|request| request.api == api).count()
}

#[tokio::test(start_paused = true)]
async fn groups_are_looked_up_and_asked_about_together_where_brokers_can() {
    let (cluster, client) = world().await;
    let counts = async || {
        let looked_up = requests(&cluster, ApiKey::FindCoordinator).await;
        (looked_up, requests(&cluster, ApiKey::OffsetFetch).await)
    };
    let before = counts().await;
    assert_eq!(committed(&client.admin()).await, all());
    let after = counts().await;
    // KIP-699 and KIP-709 came with 3.0; before, there is one of each for every group.
    let expected = match fake::release() {
        ottla_fake::Release::V2_1 | ottla_fake::Release::V2_4 => (6, 6),
        _ => (1, 3),
    };
    assert_eq!((after.0 - before.0, after.1 - before.1), expected);
}

#[rstest]
#[case(ErrorCode::NotCoordinator)]
#[case(ErrorCode::CoordinatorLoadInProgress)]
#[case(ErrorCode::CoordinatorNotAvailable)]
#[tokio::test(start_paused = true)]
async fn a_coordinator_that_has_moved_is_looked_up_again(#[case] code: ErrorCode) {
    let (cluster, client) = world().await;
    cluster
        .on::<OffsetFetchRequest>()
        .broker(2)
        .times(2)
        .error(code);
    cluster.on::<FindCoordinatorRequest>().times(1).error(code);
    let admin = client.admin();
    assert_eq!(committed(&admin).await, all());
    cluster.on::<OffsetCommitRequest>().times(2).error(code);
    let set = admin.alter_group_offsets("g1", [(t0(), 11)]);
    set.await.unwrap()[&t0()].as_ref().unwrap();
    let listed = admin.list_group_offsets(["g1"]).await;
    assert_eq!(listed["g1"].as_ref().unwrap()[&t0()].offset, 11);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_hangs_fails_its_own_groups_in_time() {
    let (cluster, client) = world().await;
    cluster
        .on::<OffsetFetchRequest>()
        .broker(2)
        .always()
        .drop_request();
    let admin = client.admin().with_timeout(Duration::from_secs(40));
    let began = Instant::now();
    let answered = committed(&admin).await;
    assert!(
        began.elapsed() <= Duration::from_secs(41),
        "{:?}",
        began.elapsed()
    );
    let others = all().into_iter().filter(|(_, offset)| offset % 3 != 1);
    assert_eq!(answered, others.collect());
    let error = admin.list_group_offsets(["g1"]).await.remove("g1").unwrap();
    let error = error.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Timeout { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_that_may_not_be_seen_is_an_error_of_its_own() {
    let (cluster, client) = world().await;
    let denied = ErrorCode::GroupAuthorizationFailed;
    cluster
        .on::<OffsetFetchRequest>()
        .broker(3)
        .times(1)
        .error(denied);
    let listed = client.admin().list_group_offsets(GROUPS).await;
    for (group, offsets) in &listed {
        match (&**group, offsets) {
            ("g2" | "g5", Err(error)) => match error.kind() {
                ErrorKind::NotAuthorized { resource, .. } => {
                    assert_eq!(resource.as_ref(), Some(group));
                }
                other => panic!("{other:?}"),
            },
            (_, offsets) => drop(offsets.as_ref().unwrap()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_is_missing_from_the_list_and_named() {
    let (cluster, client) = world().await;
    let hanging = cluster.on::<ListGroupsRequest>().broker(2).always();
    drop(hanging.drop_request());
    let admin = client.admin().with_timeout(Duration::from_secs(40));
    let began = Instant::now();
    let listed = admin.list_groups(ListGroups::new()).await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(41));
    let groups: Vec<_> = listed.groups.iter().map(|group| &*group.group_id).collect();
    assert_eq!(groups, ["g0", "g2", "g3", "g5"]);
    assert_eq!(listed.failures.keys().collect::<Vec<_>>(), [&2]);
    let error = listed.complete().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Timeout { .. }),
        "{error:?}"
    );

    let denied = ErrorCode::ClusterAuthorizationFailed.code();
    let all = cluster.on::<ListGroupsRequest>().always();
    drop(all.edit(move |_, response| response.error_code = denied));
    let brief = admin.with_timeout(Duration::from_secs(1));
    let error = brief.list_groups(ListGroups::new()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotAuthorized { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_still_loads_its_groups_is_waited_for() {
    let (cluster, client) = world().await;
    let loading = ErrorCode::CoordinatorLoadInProgress.code();
    let early = cluster.on::<ListGroupsRequest>().broker(3).times(3);
    drop(early.edit(move |_, response| {
        response.error_code = loading;
        response.groups.clear();
    }));
    let listed = client.admin().list_groups(ListGroups::new()).await;
    let listed = listed.unwrap().complete().unwrap();
    assert_eq!(listed.len(), GROUPS.len());
    assert!(listed.is_sorted_by_key(|group| group.group_id.clone()));
}

#[tokio::test(start_paused = true)]
async fn nothing_asked_is_nothing_answered() {
    let (cluster, client) = world().await;
    let before = requests(&cluster, ApiKey::FindCoordinator).await;
    assert!(client.admin().list_group_offsets([""; 0]).await.is_empty());
    assert_eq!(requests(&cluster, ApiKey::FindCoordinator).await, before);
}
