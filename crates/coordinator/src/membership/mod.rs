//! Being a member of a consumer group, by the classic protocol.
//!
//! [`Membership`] is one member: what it wants, what it holds, and what it has to say to the group's
//! coordinator. It is driven from outside and never waits:
//!
//! 1. Something happens: a command ([`subscribe`](Membership::subscribe), [`leave`](Membership::leave)),
//!    the answer to a request, or the time of a [`Step::Wait`] has come. It is handed in, with the time.
//! 2. [`step`](Membership::step) is called until it says [`Step::Wait`], and each step is done: requests
//!    are sent, partitions taken up and given up. Nothing has to be finished before the next step is
//!    asked for.
//!
//! Every request carries a [`Token`] and a deadline. Its answer goes in with that token, or
//! [`unanswered`](Membership::unanswered) says that there will be none; an answer to what has been given
//! up meanwhile is dropped. An answer that never comes is missed at the deadline, so that nothing lost
//! stops a member for good.
//!
//! # What it holds to
//!
//! - No two members hold a partition at once, even if the network is torn. What a member holds is
//!   its own only as long as the coordinator cannot have given it away: up to the session timeout after
//!   the sending of the last heartbeat that was confirmed, and, once the group may be rebalancing, up to
//!   the rebalance timeout. Then everything is [lost](Step::Lost), whoever can be reached.
//! - Fenced or unknown, it stops at once. A generation survives the coordinator's move.
//! - What the cooperative protocol withholds from everybody until its owner has given it up is not forgotten, even if
//!   a static member restarts on the way there: the leader rebalances once more. Java's leaders do not; with one of
//!   those such partitions wait for the next rebalance.
//! - Nothing is held while nobody can tell: what is to be given up is the caller's until
//!   [`revoked`](Membership::revoked), and no longer than the deadline.
//!
//! Knows no sockets, no tasks and no metadata: which topics exist is the caller's to say.
//!
//! # References
//! - KIP-62 (rebalance timeout), KIP-345, KIP-814 (static members), KIP-394 (member ids), KIP-429, KIP-792
//!   (cooperative rebalancing), KIP-800 (reasons), KIP-881 (racks), KIP-1092 (leaving or not)

mod answers;
mod asking;
mod config;
mod departing;
mod envelope;
mod error;
mod finder;
mod leader;
mod machine;
mod requests;
mod session;
mod step;

pub use config::{Backoff, Config};
pub use envelope::decode_assignment;
pub use error::{Failure, InvalidAssignors};
pub use leader::{Plan, Planning};
pub use machine::Membership;
pub use step::{
    Call, Departure, Identity, LeaveCall, Loss, Partitions, Revocation, SEVERAL_MEMBERS, State,
    Stay, Step, Token, shortened,
};

#[cfg(test)]
mod tests;
