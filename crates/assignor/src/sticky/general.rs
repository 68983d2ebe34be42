//! Balancing where members subscribe to different topics.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::balance::Situation;
use super::movements::Movements;
use crate::group::{MemberIndex, Owners};
use crate::order;

/// Members keep what they have, what nobody has goes to those with the fewest partitions, and then partitions move
/// from members with more to members with fewer until no move makes the assignment more balanced. With racks, only
/// what is in a member's own rack is kept, and what can be given within racks is given first.
pub(crate) fn assign(situation: &Situation<'_>) -> Owners {
    let mut balance = Balance::new(situation);
    let must_revoke = balance.keep();

    // Topics with few possible owners first: they leave the least choice.
    let group = &situation.group;
    let mut topics: Vec<usize> = (0..group.topic_count()).collect();
    topics.sort_by_key(|&topic| group.subscribers(topic).len());
    let unassigned: Vec<(usize, Vec<usize>)> = topics
        .iter()
        .map(|&topic| (topic, balance.unassigned(topic)))
        .collect();
    for (topic, partitions) in &unassigned {
        if situation.rack_aware {
            balance.give_within_racks(*topic, partitions);
        }
    }
    for &topic in &topics {
        balance.give(topic);
    }

    // First with only what has just been given out, unless something is taken away from its owner anyway.
    if !must_revoke {
        balance.even_out(&unassigned);
    }
    let all: Vec<(usize, Vec<usize>)> = topics
        .iter()
        .map(|&topic| (topic, group.partitions(topic).collect()))
        .collect();
    balance.even_out(&all);
    balance.owners
}

/// An assignment being balanced.
struct Balance<'a> {
    situation: &'a Situation<'a>,
    owners: Owners,
    counts: Vec<usize>,
    /// Every member's place by id: who comes first among those with equally many partitions.
    places: Vec<u32>,
    movements: Movements,
}

impl<'a> Balance<'a> {
    fn new(situation: &'a Situation<'a>) -> Self {
        let mut places = vec![0; situation.group.members().len()];
        for (member, place) in situation
            .group
            .sorted_members(order::by_id)
            .into_iter()
            .zip(0..)
        {
            places[member as usize] = place;
        }
        Self {
            situation,
            owners: vec![None; situation.group.partition_count()],
            counts: vec![0; places.len()],
            places,
            movements: Movements::default(),
        }
    }

    /// Lets members keep what is theirs beyond doubt. Returns whether one must lose something it has: it no longer
    /// subscribes to the topic, or the partition is in no rack of its own.
    fn keep(&mut self) -> bool {
        let Situation { group, claims, .. } = self.situation;
        let mut must_revoke = false;
        for topic in 0..group.topic_count() {
            for partition in group.partitions(topic) {
                let Some(owner) = claims.owner(partition) else {
                    continue;
                };
                if group.subscribes(owner, topic) && self.situation.racks_match(owner, partition) {
                    self.own(partition, owner);
                } else {
                    must_revoke = true;
                }
            }
        }
        must_revoke
    }

    fn own(&mut self, partition: usize, owner: MemberIndex) {
        self.owners[partition] = Some(owner);
        self.counts[owner as usize] += 1;
    }

    fn unassigned(&self, topic: usize) -> Vec<usize> {
        self.situation
            .group
            .partitions(topic)
            .filter(|&partition| self.owners[partition].is_none())
            .collect()
    }

    /// What orders members by who should get the next partition.
    fn need(&self, member: MemberIndex) -> (usize, u32) {
        (self.counts[member as usize], self.places[member as usize])
    }

    /// Gives partitions of one topic to whoever has the fewest among the subscribers that are near, if any is.
    fn give_within_racks(&mut self, topic: usize, partitions: &[usize]) {
        let situation = self.situation;
        for &partition in partitions {
            let subscribers = situation.group.subscribers(topic).iter().copied();
            let near = subscribers.filter(|&member| situation.racks_match(member, partition));
            if let Some(member) = near.min_by_key(|&member| self.need(member)) {
                self.own(partition, member);
            }
        }
    }

    /// Gives what nobody has of one topic to whichever subscribers have the fewest.
    fn give(&mut self, topic: usize) {
        let unassigned = self.unassigned(topic);
        if unassigned.is_empty() {
            return;
        }
        let subscribers = self.situation.group.subscribers(topic).iter();
        let mut neediest: BinaryHeap<Reverse<((usize, u32), MemberIndex)>> = subscribers
            .map(|&member| Reverse((self.need(member), member)))
            .collect();
        for partition in unassigned {
            let Some(mut top) = neediest.peek_mut() else {
                break;
            };
            let Reverse((_, member)) = *top;
            self.own(partition, member);
            *top = Reverse((self.need(member), member));
        }
    }

    /// Moves partitions of these topics to members with at least two fewer than the owner, until there are none.
    ///
    /// It ends because every movement lowers the sum of the squares of all counts.
    fn even_out(&mut self, topics: &[(usize, Vec<usize>)]) {
        loop {
            let mut moved = false;
            for (topic, partitions) in topics {
                let topic = *topic;
                let subscribers = self.situation.group.subscribers(topic);
                if subscribers.len() < 2 {
                    continue;
                }
                let neediest = |balance: &Self| {
                    subscribers
                        .iter()
                        .copied()
                        .min_by_key(|&member| balance.need(member))
                };
                let Some(mut least) = neediest(self) else {
                    continue;
                };
                for &partition in partitions {
                    let Some(owner) = self.owners[partition] else {
                        continue;
                    };
                    let returns =
                        self.situation
                            .claims
                            .earlier_owner(partition)
                            .filter(|&member| {
                                self.situation.group.subscribes(member, topic)
                                    && self.is_better_off(owner, member)
                            });
                    let to = returns.unwrap_or(least);
                    if self.is_better_off(owner, to) {
                        self.shift(topic, partition, owner, to);
                        moved = true;
                        if let Some(member) = neediest(self) {
                            least = member;
                        }
                    }
                }
            }
            if !moved {
                break;
            }
        }
    }

    /// Whether a member has at least two partitions more than another.
    fn is_better_off(&self, member: MemberIndex, other: MemberIndex) -> bool {
        self.counts[member as usize] > self.counts[other as usize] + 1
    }

    /// Moves a partition, or another one of the topic whose return to `to` makes up for it.
    fn shift(&mut self, topic: usize, partition: usize, from: MemberIndex, to: MemberIndex) {
        let reverse = self.movements.reverse(topic, partition, from, to);
        let instead = reverse
            .and_then(|partition| Some((partition, self.owners[partition]?)))
            .filter(|&(_, owner)| self.is_better_off(owner, to));
        let (partition, from) = instead.unwrap_or((partition, from));
        self.movements.record(topic, partition, from, to);
        self.owners[partition] = Some(to);
        self.counts[from as usize] -= 1;
        self.counts[to as usize] += 1;
    }
}
