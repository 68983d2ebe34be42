//! The test's handle on a running cluster.
//!
//! `fake_cluster` is the handle itself: addresses, rules, requests, violations; `topics` changes and shows topics and
//! their records, `groups` consumer groups, `brokers` takes brokers and leaders up, down and about, `transaction`
//! writes transactional records.

mod brokers;
mod fake_cluster;
mod groups;
mod topics;
mod transaction;

pub use fake_cluster::FakeCluster;
pub use groups::{GroupInfo, GroupMember};
pub use topics::PartitionInfo;
pub use transaction::OpenTransaction;
