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
//! They decide as the Java client 4.x does, so that any member of a mixed group may lead it; of answers that are
//! equally good, between which Java chooses by the order of a hash map, they take the first by ids. Where Java's answer
//! breaks its own promises (a partition that does not exist, two owners, an exception) these keep the promise;
//! each assignor's page names the differences. [`StickyAssignor::as_aiokafka`] balances as aiokafka does.
//!
//! What all four keep to, whatever members say: every partition of a topic somebody subscribes to has one owner, who
//! subscribes to it (the cooperative one may withhold it until its present owner has given it up); the order of
//! members and of their topics means nothing; no members or no topics are an empty answer and no input is an error.
//! The sticky two also leave things where they are: assigning again moves nothing; with equal subscriptions a member
//! that leaves moves nothing of the others', and one that joins takes from them exactly what it gets, at most its
//! even share rounded up. With unequal ones every movement lowers the sum of the squares of all members' counts by
//! at least two, so that half of what that sum loses when a member joins is the most that moves. Racks come before
//! stickiness, and [`StickyAssignor::as_aiokafka`] takes topics listed in another order for another subscription.
//!
//! Two members of one id are two members, and [`check`] names them alike; telling them apart is the caller's.
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
//!
//! # An assignor of one's own
//!
//! Suppose some members run on larger machines and are to get a larger share. What a member has to say for itself
//! goes into [`user_data`](Assignor::user_data), which the leader finds in [`Member::user_data`]; what the leader
//! decides is one [`Assignment`] for each member, in the order in which they are listed. The whole of it:
//!
//! ```
//! use ottla_assignor::{AssignError, Assignment, Assignor, Member, Topics, check};
//!
//! /// Gives each member a share in proportion to its weight.
//! struct Weighted {
//!     weight: u8,
//! }
//!
//! impl Assignor for Weighted {
//!     fn name(&self) -> &str {
//!         "weighted"
//!     }
//!
//!     fn user_data(&self, _topics: &[String]) -> Option<Vec<u8>> {
//!         Some(vec![self.weight])
//!     }
//!
//!     fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
//!         let weight = |member: &Member| match member.user_data.as_deref() {
//!             Some(&[weight]) if weight > 0 => Ok(u32::from(weight)),
//!             other => Err(AssignError::new(format!("weight of {}: {other:?}", member.id))),
//!         };
//!         let weights = members.iter().map(weight).collect::<Result<Vec<u32>, _>>()?;
//!         let mut given = vec![Assignment::default(); members.len()];
//!         for (topic, known) in topics.iter() {
//!             for partition in 0..known.partition_count() as i32 {
//!                 let subscribers = (0..members.len()).filter(|&m| members[m].topics.iter().any(|t| t == topic));
//!                 // Whoever has the least for its weight; of equals the least id, as the order of members means nothing.
//!                 let load = |m: usize| (given[m].partition_count() as u32 * 1000 / weights[m], &members[m].id);
//!                 if let Some(next) = subscribers.min_by_key(|&m| load(m)) {
//!                     given[next].partitions.entry(topic.to_owned()).or_default().push(partition);
//!                 }
//!             }
//!         }
//!         Ok(given)
//!     }
//! }
//!
//! // A group is a list of members: no broker is needed to see what it would get.
//! let topics = Topics::new().with("orders", 9);
//! let member = |id: &str, weight: u8| Member {
//!     user_data: Weighted { weight }.user_data(&[]),
//!     ..Member::new(id, ["orders"])
//! };
//! let members = [member("small", 1), member("large", 2)];
//! let leader = Weighted { weight: 1 };
//! let given = leader.assign(&topics, &members)?;
//! check(&topics, &members, &given).map_err(AssignError::new)?;
//! assert_eq!(given.iter().map(Assignment::partition_count).collect::<Vec<_>>(), [3, 6]);
//!
//! // A member that says nothing fails the rebalance, and the error says whose fault it is.
//! let error = leader.assign(&topics, &[Member::new("mute", ["orders"])]).unwrap_err();
//! assert_eq!(error.to_string(), "cannot assign partitions: weight of mute: None");
//! # Ok::<(), AssignError>(())
//! ```
//!
//! [`check`] refuses an answer that gives a partition twice, or to somebody who did not ask for it. What it cannot see
//! is a partition that nobody is given, and that nobody therefore reads: hold answers for many groups against the
//! rules you promise, as `tests/laws.rs` does for those in here. An assignor may forward to another: a field of type
//! [`StickyAssignor`] whose answer is adjusted needs no more than the trait.
//!
//! To move from another client, see `MIGRATION.md` in the repository.

mod assignor;
mod check;
mod group;
mod member;
mod order;
mod racks;
mod range;
mod round_robin;
mod sticky;
mod topics;

pub use assignor::{AssignError, Assignor, RebalanceProtocol};
pub use check::{InvalidAssignment, check};
pub use member::{Assignment, Member, TopicPartitions};
pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::{CooperativeStickyAssignor, StickyAssignor, StickyUserData};
pub use topics::{Topic, Topics};

/// The examples in the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
