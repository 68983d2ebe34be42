//! The chapters on a real broker.

use rstest::rstest;

use super::chapter::{self, Chapter};
use crate::support::raw::Broker;
use crate::support::real;

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
#[case::topics(chapter::TOPICS)]
#[case::describing(chapter::DESCRIBING)]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn answers_as_written_down(#[case] chapter: Chapter) {
    chapter.check(Broker::Real(real::brokers())).await;
}
