//! Looking after a cluster: topics, partitions, records, brokers, groups and their offsets.
//!
//! Each call routes itself: to the controller, to a partition's leader, to a group's coordinator or to any
//! broker, and tries again when that broker has changed its role. Where one call is about many things, each
//! has its own result.

mod coordinators;
mod describe;
mod group_listing;
mod group_members;
mod group_offsets;
mod groups;
mod records;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use describe::{
    BrokerDescription, ClusterDescription, PartitionDescription, TopicDescription, TopicListing,
};
pub use group_listing::{GroupListing, GroupListings, GroupState, GroupType, ListGroups};
pub use group_offsets::OffsetsOf;
pub use groups::{GroupDescription, MemberDescription};
pub use topics::NewTopic;

use crate::client::Core;
use crate::env::after;

/// Looks after a cluster. Made by [`Client::admin`](crate::Client::admin); cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) core: Arc<Core>,
    timeout: Duration,
}

impl Admin {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            timeout: Duration::from_secs(60),
        }
    }

    /// The same admin with another limit for each call, retries included. Default: 60 s.
    #[doc(alias = "default.api.timeout.ms")]
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            core: self.core.clone(),
            timeout,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        after(self.timeout)
    }

    /// What is left until `deadline`, as requests that brokers time themselves say it.
    fn broker_timeout_ms(&self, deadline: Instant) -> i32 {
        let left = self
            .core
            .request_deadline(deadline)
            .saturating_duration_since(Instant::now());
        i32::try_from(left.as_millis()).unwrap_or(i32::MAX)
    }
}
