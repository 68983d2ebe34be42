//! The chain on a fake cluster that breaks now and then.

use std::sync::Arc;
use std::time::Duration;

use ottla::Client;
use ottla_fake::FakeCluster;
use rstest::rstest;

use super::super::chaos::break_things;
use super::super::subject::MAX_POLL;
use super::chained::{Chain, STRATEGIES, pass_along};
use crate::support::fake;

const TOPICS: [(&str, i32); 4] = [("a", 7), ("b", 11), ("c", 5), ("d", 3)];
const GROUPS: [&str; 3] = ["ab", "bc", "cd"];

async fn through(way: usize) {
    let seed = match std::env::var("OTTLA_TEST_SEED") {
        Ok(seed) => seed.parse().expect("OTTLA_TEST_SEED is a number"),
        Err(_) => way as u64,
    };
    let (strategy, is_static) = STRATEGIES[way];
    let cluster = TOPICS.iter().fold(
        fake::cluster().seed(seed).brokers(3),
        |cluster, (topic, partitions)| cluster.topic(*topic, *partitions),
    );
    let cluster = cluster.initial_rebalance_delay(Duration::ZERO);
    let cluster = cluster.start_in_memory().await.expect("a cluster");
    let chain = Chain {
        topics: TOPICS.map(|(topic, partitions)| (topic.to_owned(), partitions)),
        groups: GROUPS.map(str::to_owned),
        strategy,
        is_static,
        at_length: way < 2,
        clients: {
            let cluster = cluster.clone();
            Arc::new(move |id, seed| client(&cluster, &id, seed))
        },
        seed,
        // A join that is lost on its way is missed after the rebalance timeout only, and there may be some in a row.
        stalls_after: MAX_POLL * 15,
    };
    let mut chaos = fastrand::Rng::with_seed(!seed);
    let topics = TOPICS.map(|(topic, _)| topic);
    tokio::select! {
        biased;
        () = pass_along(chain) => {}
        () = break_things(&cluster, (&topics, &GROUPS), &mut chaos) => {}
    }
    assert_eq!(cluster.violations().await.expect("a cluster"), []);
}

fn client(cluster: &FakeCluster, id: &str, seed: u64) -> Client {
    fake::client_of(cluster)
        .client_id(id)
        .seed(seed)
        .request_timeout(Duration::from_secs(3))
        .build()
        .expect("a client")
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn every_topic_of_a_chain_ends_with_each_key(#[values(0, 1, 2, 3)] way: usize) {
    through(way).await;
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn every_topic_of_a_chain_of_static_members_ends_with_each_key(#[values(4, 5)] way: usize) {
    through(way).await;
}
