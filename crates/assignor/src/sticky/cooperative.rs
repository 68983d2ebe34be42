//! The sticky assignor of the cooperative protocol.

use std::sync::atomic::{AtomicI32, Ordering};

use super::balance::Situation;
use super::claims::{Claim, NO_GENERATION};
use super::user_data;
use crate::group::Owners;
use crate::{AssignError, Assignment, Assignor, Member, RebalanceProtocol, Topics};

/// Kafka's `cooperative-sticky`: assigns as [`StickyAssignor`](crate::StickyAssignor) does, in two steps, so that
/// members keep working on what stays with them (KIP-429).
///
/// Members hold on to their partitions during a rebalance and name them in [`Member::owned`]. A partition that is to
/// move is first in nobody's assignment: its owner sees that, gives it up and has the group rebalance again, and
/// only then does the new owner get it. [`target`](Self::target) tells what is aimed at. Two or three rounds settle a
/// group of cooperative members; where members name their racks and subscribe to different topics, mostly as few.
///
/// A claim's generation is [`Member::generation`]; for members whose subscription is too old to carry it, it is in
/// their user data.
///
/// Differences from Java: besides those of [`StickyAssignor`](crate::StickyAssignor), a partition is also withheld
/// when its new owner has no more than an old claim to it while another member's is newer. Java hands such a
/// partition over at once, although that member still holds it. And with racks and unequal subscriptions some groups, one
/// in tens of thousands of random ones, rebalance for ever under Java: each round undoes what an earlier one did for
/// another answer as good. Here the rounds to come are looked at beforehand, and such a group is answered as if no member
/// had named its rack.
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
    /// must first give up. The next round aims anew, and may settle on another answer as good as this.
    pub fn target(&self, topics: &Topics, members: &[Member]) -> Vec<Assignment> {
        let (situation, target) = aim(topics, members);
        situation.assignments(&target)
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
        let (situation, mut owners) = aim(topics, members);
        situation.withhold(&mut owners);
        Ok(situation.assignments(&owners))
    }

    fn on_assignment(&self, _assignment: &Assignment, generation: i32) {
        self.generation.store(generation, Ordering::Relaxed);
    }
}

/// What the members say, and the assignment to aim at: one that looks at racks, if the group comes to rest with it.
fn aim<'a>(topics: &'a Topics, members: &'a [Member]) -> (Situation<'a>, Owners) {
    let claims: Vec<Claim<'_>> = members.iter().map(claim).collect();
    let mut situation = Situation::new(topics, members, &claims);
    let mut target = situation.balance();
    if situation.rack_aware {
        let mut given = target.clone();
        situation.withhold(&mut given);
        if !situation.comes_to_rest(given) {
            situation = Situation::without_racks(situation.group, situation.claims);
            target = situation.balance();
        }
    }
    (situation, target)
}

fn claim(member: &Member) -> Claim<'_> {
    let in_user_data = || {
        member
            .user_data
            .as_deref()
            .and_then(user_data::decode_cooperative)
    };
    Claim {
        partitions: member
            .owned
            .iter()
            .map(|(topic, numbers)| (topic.into(), numbers.into()))
            .collect(),
        generation: member
            .generation
            .filter(|&generation| generation > NO_GENERATION)
            .or_else(in_user_data)
            .unwrap_or(NO_GENERATION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicPartitions;

    fn holding(id: &str, topics: &[&str], partitions: &[i32]) -> Member {
        Member {
            owned: TopicPartitions::from([("t".to_owned(), partitions.to_vec())]),
            generation: Some(7),
            ..Member::new(id, topics.iter().copied())
        }
    }

    fn owners_of_t(members: &[Member], assignments: &[Assignment]) -> Vec<Option<String>> {
        let owner = |number: i32| {
            let has = |assignment: &Assignment| {
                assignment
                    .partitions
                    .get("t")
                    .is_some_and(|numbers| numbers.contains(&number))
            };
            assignments
                .iter()
                .position(has)
                .map(|member| members[member].id.clone())
        };
        (0..3).map(owner).collect()
    }

    fn given(topics: &Topics, members: &[Member]) -> Vec<Option<String>> {
        let assignments = CooperativeStickyAssignor::new()
            .assign(topics, members)
            .unwrap();
        owners_of_t(members, &assignments)
    }

    #[test]
    fn what_two_hold_goes_to_neither_if_subscriptions_are_equal() {
        let topics = Topics::new().with("t", 3);
        let members = [holding("a", &["t"], &[0, 1]), holding("b", &["t"], &[1, 2])];
        assert_eq!(
            given(&topics, &members),
            [Some("a".to_owned()), None, Some("b".to_owned())]
        );
        let again = [holding("a", &["t"], &[0]), holding("b", &["t"], &[2])];
        assert!(given(&topics, &again).iter().all(Option::is_some));
    }

    #[test]
    fn what_two_hold_stays_with_one_if_subscriptions_are_unequal() {
        let topics = Topics::new().with("t", 3).with("u", 1);
        let members = [
            holding("a", &["t"], &[0, 1]),
            holding("b", &["t", "u"], &[1, 2]),
        ];
        assert_eq!(
            given(&topics, &members),
            ["a", "a", "b"].map(|id| Some(id.to_owned()))
        );
    }

    #[test]
    fn an_old_claim_does_not_hand_over_what_a_newer_one_holds() {
        let topics = Topics::new().with("t", 3).with("u", 3);
        let back = Member {
            generation: Some(3),
            ..holding("a", &["t"], &[1])
        };
        let members = [back, holding("b", &["t", "u"], &[0, 1, 2])];
        let target = CooperativeStickyAssignor::new().target(&topics, &members);
        assert_eq!(owners_of_t(&members, &target)[1], Some("a".to_owned()));
        assert_eq!(given(&topics, &members)[1], None);
    }

    #[test]
    fn the_generation_may_be_in_the_user_data() {
        let memory = CooperativeStickyAssignor::new();
        assert_eq!(memory.user_data(&[]), Some((-1i32).to_be_bytes().to_vec()));
        memory.on_assignment(&Assignment::default(), 8);
        // On the wire -1 stands for none.
        for generation in [None, Some(-1)] {
            let newer = Member {
                generation,
                user_data: memory.user_data(&[]),
                ..holding("b", &["t"], &[0])
            };
            let members = [holding("a", &["t"], &[0]), newer];
            assert_eq!(
                given(&Topics::new().with("t", 1), &members)[0],
                Some("b".to_owned())
            );
        }
    }
}
