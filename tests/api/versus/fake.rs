//! The chapters on the fake cluster, under paused time.

use std::time::Duration;

use ottla_fake::FakeCluster;
use rstest::rstest;

use super::chapter::{self, Chapter};
use crate::support::raw::Broker;

#[rstest]
#[case::producing(chapter::PRODUCING)]
#[case::idempotence(chapter::IDEMPOTENCE)]
#[case::fetching(chapter::FETCHING)]
#[case::sessions(chapter::SESSIONS)]
#[case::lookups(chapter::LOOKUPS)]
#[case::groups(chapter::GROUPS)]
#[case::joins(chapter::JOINS)]
#[case::states(chapter::STATES)]
#[case::fixed(chapter::FIXED)]
#[case::expiry(chapter::EXPIRY)]
#[case::reload(chapter::RELOAD)]
#[case::topics(chapter::TOPICS)]
#[case::describing(chapter::DESCRIBING)]
#[tokio::test(start_paused = true)]
async fn answers_like_kafka(#[case] chapter: Chapter) {
    let cluster = FakeCluster::builder()
        .racks(["rack-1"])
        // As the brokers that xtask starts are set.
        .initial_rebalance_delay(Duration::ZERO)
        .session_timeouts(Duration::from_millis(500)..=Duration::from_secs(1800))
        .start_in_memory()
        .await
        .unwrap();
    chapter.check(Broker::Fake(cluster)).await;
}
