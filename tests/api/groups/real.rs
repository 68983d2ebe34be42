//! The same on a real Kafka.

use rstest::rstest;

use super::away::a_slow_handler_loses_its_partitions_and_comes_back;
use super::handing_over::nothing_is_read_twice_if_the_listener_commits;
use super::sharing::two_share_and_one_leaves;
use super::static_members::a_static_member_comes_back_unnoticed;
use super::subject::Subject;

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
