//! The same on a real Kafka.

use std::time::Duration;

use rstest::rstest;

use super::handing_over::nothing_is_handled_twice_when_partitions_change_hands;
use super::world::World;

#[rstest]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn partitions_change_hands(#[values("range", "cooperative-sticky")] strategy: &str) {
    let world = World::real(4).await;
    let longest = Duration::from_millis(400);
    nothing_is_handled_twice_when_partitions_change_hands(world, strategy, longest).await;
}
