//! Classic consumer groups, as their coordinators keep them: who is a member, who leads, who gets what.
//!
//! `registry` is all groups of the cluster with their offsets and where they are coordinated; `group` one group, a
//! machine without clock or connection: requests and the present moment go in, answers to waiting [`Ticket`]s and the
//! moment of the next deadline come out. `joining`, `syncing`, `leaving` and `deadlines` are what it does, `stored`
//! what of it a coordinator finds that takes it over, `assignment` what the consumers' own protocol says inside.
//!
//! The states, timers and codes are those of Kafka's coordinator, the cases that clients do not expect included.
//!
//! # References
//! - The protocol guide's page on consumer groups; KIP-62, KIP-134 (initial delay), KIP-211, KIP-345 (static members),
//!   KIP-389 (largest size), KIP-394 (member ids required), KIP-559, KIP-814 (no assignment for a static leader)

mod answers;
mod assignment;
mod deadlines;
mod group;
mod joining;
mod leaving;
mod member;
mod offsets;
mod registry;
mod stored;
mod syncing;

pub use group::GroupState;
pub use offsets::CommittedOffset;

pub(crate) use answers::{Answer, refused_join, refused_sync};
pub(crate) use assignment::{Ownership, assigned_partitions};
pub(crate) use group::{Group, GroupOptions};
pub(crate) use joining::Joining;
pub(crate) use member::Member;
pub(crate) use registry::{Groups, Hosted};
