//! The assignment both sticky assignors aim at.

use super::claims::{Claim, Claims, Newest};
use super::{general, quota};
use crate::group::{Group, MemberIndex, Owners};
use crate::racks::Racks;
use crate::{Assignment, Member, Topics};

/// How many rebalances a group is followed through to see whether it comes to rest. Of five million random groups those
/// that do took seven at most, and the other two hundred were back where they had been after eleven.
const ROUNDS: usize = 32;

/// Everything the balancing algorithms look at.
#[derive(Clone)]
pub(crate) struct Situation<'a> {
    pub(crate) group: Group<'a>,
    pub(crate) claims: Claims,
    pub(crate) racks: Racks,
    /// Whether partitions are matched with racks at all.
    pub(crate) rack_aware: bool,
    /// Whether all members subscribe to the same topics.
    equal_subscriptions: bool,
}

impl<'a> Situation<'a> {
    pub(crate) fn new(topics: &'a Topics, members: &'a [Member], claims: &[Claim<'_>]) -> Self {
        let group = Group::new(topics, members);
        let claims = Claims::new(&group, claims);
        let racks = Racks::new(&group);
        let everyone = members.iter().zip(0..).map(|(_, member)| member);
        let rack_aware = racks.matter(everyone, 0..group.partition_count());
        Self {
            equal_subscriptions: group.subscriptions_are_equal(),
            group,
            claims,
            racks,
            rack_aware,
        }
    }

    /// The situation where nobody cares for racks.
    pub(crate) fn without_racks(group: Group<'a>, claims: Claims) -> Self {
        Self {
            equal_subscriptions: group.subscriptions_are_equal(),
            group,
            claims,
            racks: Racks::default(),
            rack_aware: false,
        }
    }

    /// Whether a member may have a partition as far as racks are concerned.
    pub(crate) fn racks_match(&self, member: MemberIndex, partition: usize) -> bool {
        !self.rack_aware || self.racks.matches(member, partition)
    }

    /// The balanced assignment that moves little.
    pub(crate) fn balance(&self) -> Owners {
        if self.equal_subscriptions {
            quota::assign(self)
        } else {
            general::assign(self)
        }
    }

    /// Takes the partitions out of an assignment that somebody other than the new owner may still hold: whoever
    /// claims one with the best right has to give it up first (KIP-429). Where several do, Java has all of them give
    /// it up if the subscriptions are equal, and otherwise lets one keep it.
    pub(crate) fn withhold(&self, owners: &mut Owners) {
        for (partition, owner) in owners.iter_mut().enumerate() {
            *owner = owner.filter(|&owner| match self.claims.newest(partition) {
                Newest::Nobody => true,
                Newest::One(holder) => holder == owner,
                Newest::Several => {
                    !self.equal_subscriptions && self.claims.contests(owner, partition)
                }
            });
        }
    }

    /// Whether rebalances come to an end for a group that is given `owners`: whether one of the next, each from what the
    /// one before has given, has nothing to withhold.
    pub(crate) fn comes_to_rest(&self, mut owners: Owners) -> bool {
        let mut later = self.clone();
        let mut seen = Vec::new();
        while owners.contains(&None) {
            if seen.len() == ROUNDS || seen.contains(&owners) {
                return false;
            }
            later.claims = Claims::of_owners(&owners);
            seen.push(owners);
            owners = later.balance();
            later.withhold(&mut owners);
        }
        true
    }

    pub(crate) fn assignments(&self, owners: &Owners) -> Vec<Assignment> {
        self.group.assignments(owners)
    }
}
