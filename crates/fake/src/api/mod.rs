//! The APIs: what each request does to the cluster's state.
//!
//! [`SERVED`](dispatch::SERVED) is the only list of what is served: the dispatcher and ApiVersions use it, and a
//! test holds the crate's documentation to it.

mod configs;
mod coordinators;
mod create_topics;
mod delete_topics;
mod describe_cluster;
mod dispatch;
mod epochs;
pub(crate) mod fetch;
mod find_coordinator;
mod groups;
mod hints;
mod init_producer_id;
mod list_offsets;
mod membership;
mod metadata;
mod offsets;
mod operations;
mod partitions;
pub(crate) mod produce;
pub(crate) mod purgatory;
mod records;
mod sasl;
pub(crate) mod sessions;
mod topic_partitions;
mod unserved;
mod versions;

pub(crate) use create_topics::NewTopic;
pub(crate) use dispatch::{Outcome, code, serve};
pub(crate) use find_coordinator::{KeyType, coordinator_of};
pub(crate) use purgatory::Parked;
