//! Balancing where members subscribe to different topics.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::balance::Situation;
use super::movements::Movements;
use crate::group::{Group, MemberIndex, Owners};
use crate::{Member, order};

/// Members keep what they have, what nobody has goes to those with the fewest partitions, and then partitions move
/// from members with more to members with fewer until no move makes the assignment more balanced. With racks, only
/// what is in a member's own rack is kept, and what can be given within racks is given first.
pub(crate) fn assign(situation: &Situation<'_>) -> Owners {
    let group = &situation.group;
    let mut balance = Balance::new(situation, order::by_id);
    let must_revoke = balance.keep();
    let topics = by_choice(group);
    let all: Vec<usize> = group.partitions_of(&topics).collect();
    balance.complete(&topics, &all, must_revoke)
}

/// Topics with few possible owners first: they leave the least choice.
pub(super) fn by_choice(group: &Group<'_>) -> Vec<usize> {
    let mut topics: Vec<usize> = (0..group.topic_count()).collect();
    topics.sort_by_key(|&topic| group.mentions(topic));
    topics
}

/// An assignment being balanced.
pub(super) struct Balance<'a> {
    situation: &'a Situation<'a>,
    owners: Owners,
    counts: Vec<usize>,
    /// Every member's place by id: who comes first among those with equally many partitions.
    places: Vec<u32>,
    movements: Movements,
}

impl<'a> Balance<'a> {
    pub(super) fn new(
        situation: &'a Situation<'a>,
        order: fn(&Member, &Member) -> Ordering,
    ) -> Self {
        let mut places = vec![0; situation.group.members().len()];
        for (member, place) in situation.group.sorted_members(order).into_iter().zip(0..) {
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

    /// Gives out what nobody has, topic by topic, and evens out, with the partitions in the order of `all`: first
    /// only with what has just been given out, unless something is taken away from its owner anyway.
    pub(super) fn complete(mut self, topics: &[usize], all: &[usize], must_revoke: bool) -> Owners {
        let group = &self.situation.group;
        let unassigned: Vec<usize> = group
            .partitions_of(topics)
            .filter(|&partition| self.owners[partition].is_none())
            .collect();
        if self.situation.rack_aware {
            self.give_within_racks(&unassigned);
        }
        for &topic in topics {
            self.give(topic);
        }
        if !must_revoke {
            self.even_out(&unassigned);
        }
        self.even_out(all);
        self.owners
    }

    pub(super) fn owner(&self, partition: usize) -> Option<MemberIndex> {
        self.owners[partition]
    }

    /// Lets members keep what is theirs beyond doubt. Returns whether one must lose something it has: it no longer
    /// subscribes to the topic, or the partition is in no rack of its own.
    pub(super) fn keep(&mut self) -> bool {
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

    /// What orders members by who should get the next partition.
    fn need(&self, member: MemberIndex) -> (usize, u32) {
        (self.counts[member as usize], self.places[member as usize])
    }

    /// Gives partitions to whoever has the fewest among the subscribers that are near, if any is.
    fn give_within_racks(&mut self, partitions: &[usize]) {
        let situation = self.situation;
        for &partition in partitions {
            let topic = situation.group.topic_of(partition);
            let subscribers = situation.group.subscribers(topic).iter().copied();
            let near = subscribers.filter(|&member| situation.racks_match(member, partition));
            if let Some(member) = near.min_by_key(|&member| self.need(member)) {
                self.own(partition, member);
            }
        }
    }

    /// Gives what nobody has of one topic to whichever subscribers have the fewest.
    fn give(&mut self, topic: usize) {
        let unassigned: Vec<usize> = self
            .situation
            .group
            .partitions(topic)
            .filter(|&partition| self.owners[partition].is_none())
            .collect();
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

    /// Moves partitions to members with at least two fewer than the owner, until there are none.
    ///
    /// It ends because every movement lowers the sum of the squares of all counts.
    fn even_out(&mut self, partitions: &[usize]) {
        let Situation { group, claims, .. } = self.situation;
        // Whoever has the fewest of each topic's subscribers, as far as that is known.
        let mut least: Vec<Option<MemberIndex>> = vec![None; group.topic_count()];
        loop {
            // It only ever grows, so that whoever has no more than one over it can be passed by.
            let fewest = self.counts.iter().min().copied().unwrap_or(0);
            let mut moved = false;
            for &partition in partitions {
                let Some(owner) = self.owners[partition] else {
                    continue;
                };
                if self.counts[owner as usize] <= fewest + 1 {
                    continue;
                }
                let topic = group.topic_of(partition);
                let returns = claims.earlier_owner(partition).filter(|&member| {
                    group.subscribes(member, topic) && self.is_better_off(owner, member)
                });
                let subscribers = group.subscribers(topic).iter().copied();
                let neediest = || subscribers.min_by_key(|&member| self.need(member));
                let Some(to) = returns.or_else(|| {
                    least[topic] = least[topic].or_else(neediest);
                    least[topic].filter(|&least| self.is_better_off(owner, least))
                }) else {
                    continue;
                };
                self.shift(topic, partition, owner, to);
                moved = true;
                least.fill(None);
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
