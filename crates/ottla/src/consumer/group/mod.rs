//! Being a member of a consumer group.
//!
//! Who does what when is decided by [`ottla_coordinator::membership`], without I/O. Here is what carries it
//! out: one task for each subscribed consumer (`member`) that sends what the machine wants sent
//! (`calls`), gives partitions to the assignment and takes them away, and tells whoever listens
//! (`rebalances`). `subscription` follows the cluster's topics, `health` says how it goes.
//!
//! ```text
//! handle: subscribe, leave -> member -> Membership.step -> join, sync, heartbeat, leave -> answers
//!                               |  `-> revoke, assigned, lost -> assignment, Rebalance events
//!                               `---- reader away, commit refused, topics changed
//! ```

mod calls;
mod command;
mod health;
mod member;
mod rebalances;
mod settings;
mod subscription;

pub use command::CloseMode;
pub(crate) use command::{Command, Group};
pub(crate) use health::MemberHealth;
pub use health::{ConsumerHealth, GroupMetadata, MemberState};
pub(crate) use member::Member;
pub use rebalances::{Rebalance, RebalanceKind, Rebalances};
pub(crate) use settings::{GroupConfig, Offer, assignors};
pub(crate) use subscription::Subscription;
