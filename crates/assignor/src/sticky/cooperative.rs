//! The sticky assignor of the cooperative protocol.

use std::borrow::Cow;
use std::sync::atomic::{AtomicI32, Ordering};

use super::balance::Situation;
use super::claims::{Claim, NO_GENERATION};
use super::user_data;
use crate::{AssignError, Assignment, Assignor, Member, RebalanceProtocol, Topics};

/// Kafka's `cooperative-sticky`: assigns as [`StickyAssignor`](crate::StickyAssignor) does, in two steps, so that
/// members keep working on what stays with them (KIP-429).
///
/// Members hold on to their partitions during a rebalance and name them in [`Member::owned`]. A partition that is to
/// move is first in nobody's assignment: its owner sees that, gives it up and has the group rebalance again, and
/// only then does the new owner get it. [`target`](Self::target) tells where it will all end.
///
/// A claim's generation is [`Member::generation`]; for members whose subscription is too old to carry it, it is in
/// their user data.
///
/// Differences from Java: besides those of [`StickyAssignor`](crate::StickyAssignor), a partition is also withheld
/// when its new owner has no more than an old claim to it while another member's is newer. Java hands such a
/// partition over at once, although that member still holds it.
#[derive(Debug)]
#[doc(alias = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")]
pub struct CooperativeStickyAssignor {
    generation: AtomicI32,
}

impl CooperativeStickyAssignor {
    /// The assignor of a member that was not given anything yet.
    pub fn new() -> Self {
        Self {
            generation: AtomicI32::new(NO_GENERATION),
        }
    }

    /// The assignment aimed at: what [`assign`](Assignor::assign) answers, with the partitions that other members
    /// must first give up.
    pub fn target(&self, topics: &Topics, members: &[Member]) -> Vec<Assignment> {
        let situation = situation(topics, members);
        situation.assignments(&situation.balance())
    }
}

impl Default for CooperativeStickyAssignor {
    fn default() -> Self {
        Self::new()
    }
}

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn supported_protocols(&self) -> &[RebalanceProtocol] {
        &[RebalanceProtocol::Cooperative, RebalanceProtocol::Eager]
    }

    fn user_data(&self, _topics: &[String]) -> Option<Vec<u8>> {
        Some(user_data::encode_cooperative(
            self.generation.load(Ordering::Relaxed),
        ))
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        let situation = situation(topics, members);
        let mut owners = situation.balance();
        situation.withhold(&mut owners);
        Ok(situation.assignments(&owners))
    }

    fn on_assignment(&self, _assignment: &Assignment, generation: i32) {
        self.generation.store(generation, Ordering::Relaxed);
    }
}

fn situation<'a>(topics: &'a Topics, members: &'a [Member]) -> Situation<'a> {
    let claims: Vec<Claim<'_>> = members.iter().map(claim).collect();
    Situation::new(topics, members, &claims)
}

fn claim(member: &Member) -> Claim<'_> {
    let in_user_data = || {
        member
            .user_data
            .as_deref()
            .and_then(user_data::decode_cooperative)
    };
    Claim {
        partitions: Cow::Borrowed(&member.owned),
        generation: member
            .generation
            .or_else(in_user_data)
            .unwrap_or(NO_GENERATION),
    }
}
