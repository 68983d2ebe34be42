//! The same on a real Kafka.

use std::sync::Arc;

use ottla::Client;
use rstest::rstest;

use super::away::a_slow_handler_loses_its_partitions_and_comes_back;
use super::chain::{Chain, STRATEGIES, pass_along};
use super::handing_over::nothing_is_read_twice_if_the_listener_commits;
use super::sharing::two_share_and_one_leaves;
use super::static_members::a_static_member_comes_back_unnoticed;
use super::subject::{SESSION, Subject};
use crate::support::real;

#[rstest]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn two_members_share_and_one_leaves(
    #[values("range", "sticky", "cooperative-sticky")] strategy: &str,
) {
    two_share_and_one_leaves(Subject::real(4).await, strategy).await;
}

#[rstest]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn a_listener_commits_inside_revoked(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::real(4).await;
    nothing_is_read_twice_if_the_listener_commits(subject, strategy).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn a_static_member_finds_its_partitions_again() {
    a_static_member_comes_back_unnoticed(Subject::real(4).await).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn a_slow_handler_is_told_and_comes_back() {
    a_slow_handler_loses_its_partitions_and_comes_back(Subject::real(4).await).await;
}

/// As on the fake cluster; here, nothing breaks but members.
#[rstest]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn every_topic_of_a_chain_ends_with_each_key(#[values(0, 1, 2, 3, 4, 5)] way: usize) {
    let onlooker = real::client();
    let mut topics = Vec::new();
    for partitions in [7, 11, 5, 3] {
        let topic = real::topic(&onlooker, "chain", partitions, &[]).await;
        topics.push((topic, partitions));
    }
    let (strategy, is_static) = STRATEGIES[way];
    let client = |id: String, seed| {
        let client = Client::builder().bootstrap_servers(real::brokers());
        let client = client.client_id(id).seed(seed).build();
        client.expect("a client")
    };
    pass_along(Chain {
        topics: topics.try_into().expect("four topics"),
        groups: ["ab", "bc", "cd"].map(real::unique),
        strategy,
        is_static,
        at_length: way < 2,
        clients: Arc::new(client),
        seed: way as u64,
        // A session, and a rebalance that waits for somebody who is late, on a machine that has more to do.
        stalls_after: SESSION * 10,
    })
    .await;
}
