//! Who gets which partition: Kafka's partition assignors as pure functions over plain Rust types.
//!
//! The leader of a classic consumer group is told what every member subscribes to and answers with what every
//! member gets. That decision is an [`Assignor`]. This crate owns the trait, the types it speaks ([`Topics`],
//! [`Member`], [`Assignment`]) and the four assignors every Kafka client is expected to know:
//!
//! | type | name in the protocol | rebalance protocols | in short |
//! |---|---|---|---|
//! | [`RangeAssignor`] | `range` | eager | per topic, consecutive partitions; follows racks; keeps co-partitioned topics together |
//! | [`RoundRobinAssignor`] | `roundrobin` | eager | all partitions in turn over the members that subscribe |
//! | [`StickyAssignor`] | `sticky` | eager | balanced, and what a member had stays with it |
//! | [`CooperativeStickyAssignor`] | `cooperative-sticky` | cooperative, eager | the same, and nothing is handed over before it is given up |
//!
//! They decide as the Java client 4.x does, so that any member of a mixed group may lead it. Where Java's answer
//! breaks its own promises (a partition that does not exist, two owners, an exception) these keep the promise;
//! each assignor's page names the differences.
//!
//! The crate knows no protocol, no network and no clock, and depends on nothing but the standard library, so it
//! also serves planners and simulations:
//!
//! ```
//! use ottla_assignor::{Assignor, Member, RoundRobinAssignor, Topics};
//!
//! let topics = Topics::new().with("orders", 4);
//! let members = [Member::new("a", ["orders"]), Member::new("b", ["orders"])];
//! let assignments = RoundRobinAssignor::new().assign(&topics, &members)?;
//! assert_eq!(assignments[0].partitions["orders"], [0, 2]);
//! assert_eq!(assignments[1].partitions["orders"], [1, 3]);
//! # Ok::<(), ottla_assignor::AssignError>(())
//! ```

mod assignor;
mod group;
mod member;
mod order;
mod racks;
mod range;
mod round_robin;
mod sticky;
mod topics;

pub use assignor::{AssignError, Assignor, RebalanceProtocol};
pub use member::{Assignment, Member, TopicPartitions};
pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::{CooperativeStickyAssignor, StickyAssignor, StickyUserData};
pub use topics::{Topic, Topics};
