//! The client: one cluster, one pool of connections, one view of metadata, shared by every producer,
//! consumer and admin made from it.

mod builder;
mod call;
mod core;
mod handle;
mod metrics;
mod properties;
mod race;
mod security;
mod target;

pub use builder::ClientBuilder;
pub(crate) use builder::ClientConfig;
pub(crate) use core::Core;
pub use handle::Client;
pub use metrics::ClientMetrics;
pub(crate) use properties::PROPERTIES;
pub(crate) use race::first_answer;
pub(crate) use target::Target;

use ottla_connection::{ConnectionGroup, Purpose};

/// Metadata and coordinator look-ups, for all handles of a client.
pub(crate) const METADATA: ConnectionGroup = ConnectionGroup::shared(Purpose::Metadata);

/// Administration, for all handles of a client.
pub(crate) const ADMIN: ConnectionGroup = ConnectionGroup::shared(Purpose::Admin);
