//! Balancing where all members subscribe to the same topics: everyone's share is known beforehand.

use std::collections::VecDeque;

use super::balance::Situation;
use super::claims::Newest;
use crate::group::{MemberIndex, Owners};
use crate::order;

/// Members keep what they have up to their share and the rest goes round. With racks, only what is in a member's own
/// rack is kept, and what can be given within racks is given first.
pub(crate) fn assign(situation: &Situation<'_>) -> Owners {
    let group = &situation.group;
    let mut owners: Owners = vec![None; group.partition_count()];
    if group.members().is_empty() {
        return owners;
    }
    let mut shares = Shares::new(situation);
    shares.keep(situation, &mut owners);

    let mut unassigned: Vec<usize> = (0..owners.len())
        .filter(|&partition| owners[partition].is_none())
        .collect();
    if situation.racks.any_member() {
        // The ones that few members have in their rack are the hardest to place.
        let mut near = vec![0usize; situation.racks.count()];
        for member in 0..group.members().len() as MemberIndex {
            if let Some(rack) = situation.racks.of_member(member) {
                near[rack as usize] += 1;
            }
        }
        unassigned.sort_by_cached_key(|&partition| {
            situation
                .racks
                .of_partition(partition)
                .iter()
                .map(|&rack| near[rack as usize])
                .sum::<usize>()
        });
    }
    if situation.rack_aware {
        shares.give_within_racks(situation, &mut unassigned, &mut owners);
    }
    shares.give_round(&unassigned, &mut owners);
    owners
}

/// Every member gets `fewest` partitions, and `over` of them one more.
struct Shares {
    fewest: usize,
    over: usize,
    /// How many have got one more so far.
    over_so_far: usize,
    counts: Vec<usize>,
    /// Members with fewer than `fewest`, in order.
    below: Vec<MemberIndex>,
    /// Members with exactly `fewest` who may get one more, in order.
    exact: VecDeque<MemberIndex>,
}

impl Shares {
    fn new(situation: &Situation<'_>) -> Self {
        let members = situation.group.members().len();
        let partitions = situation.group.partition_count();
        Self {
            fewest: partitions / members,
            over: partitions % members,
            over_so_far: 0,
            counts: vec![0; members],
            below: Vec::new(),
            exact: VecDeque::new(),
        }
    }

    /// Lets members keep what is theirs beyond doubt, up to their share: those with more partitions than that give
    /// up the highest numbered ones.
    fn keep(&mut self, situation: &Situation<'_>, owners: &mut Owners) {
        let group = &situation.group;
        let mut owned: Vec<Vec<(usize, usize)>> = vec![Vec::new(); group.members().len()];
        for topic in 0..group.topic_count() {
            for (number, partition) in group.partitions(topic).enumerate() {
                if let Newest::One(owner) = situation.claims.newest(partition)
                    && situation.racks_match(owner, partition)
                {
                    owned[owner as usize].push((number, partition));
                }
            }
        }
        for member in group.sorted_members(order::by_id) {
            let owned = &mut owned[member as usize];
            owned.sort_unstable();
            let keep = if owned.len() < self.fewest {
                self.below.push(member);
                owned.len()
            } else if owned.len() > self.fewest && self.over_so_far < self.over {
                self.over_so_far += 1;
                if self.over_so_far == self.over {
                    self.exact.clear();
                }
                self.fewest + 1
            } else {
                if self.over_so_far < self.over {
                    self.exact.push_back(member);
                }
                self.fewest
            };
            for &(_, partition) in &owned[..keep] {
                owners[partition] = Some(member);
            }
            self.counts[member as usize] = keep;
        }
    }

    fn give(&mut self, member: MemberIndex, partition: usize, owners: &mut Owners) {
        owners[partition] = Some(member);
        self.counts[member as usize] += 1;
    }

    /// Gives out the partitions that somebody who lacks some has in the own rack: to those below their share in
    /// turn, otherwise to the first of those who may get one more.
    fn give_within_racks(
        &mut self,
        situation: &Situation<'_>,
        unassigned: &mut Vec<usize>,
        owners: &mut Owners,
    ) {
        let racks = &situation.racks;
        let mut turn = 0;
        unassigned.retain(|&partition| {
            let is_near = |&member: &MemberIndex| {
                racks
                    .of_member(member)
                    .is_some_and(|rack| racks.of_partition(partition).contains(&rack))
            };
            let in_turn = (turn..self.below.len())
                .chain(0..turn)
                .find(|&place| is_near(&self.below[place]));
            if let Some(place) = in_turn {
                let member = self.below[place];
                self.give(member, partition, owners);
                turn = place + 1;
                if self.counts[member as usize] == self.fewest {
                    self.below.remove(place);
                    turn = place;
                    if self.over_so_far < self.over {
                        self.exact.push_back(member);
                    }
                }
                turn = turn.checked_rem(self.below.len()).unwrap_or(0);
                false
            } else if let Some(place) = self.exact.iter().position(is_near) {
                if let Some(member) = self.exact.remove(place) {
                    self.give(member, partition, owners);
                }
                self.over_so_far += 1;
                if self.over_so_far == self.over {
                    self.exact.clear();
                }
                false
            } else {
                true
            }
        });
    }

    /// Gives out the rest: in turn to those below their share, then one more each until none is left.
    fn give_round(&mut self, unassigned: &[usize], owners: &mut Owners) {
        let mut below: VecDeque<MemberIndex> = std::mem::take(&mut self.below).into();
        for &partition in unassigned {
            // The shares add up to the number of partitions, so somebody is always left.
            let Some(member) = below.pop_front().or_else(|| self.exact.pop_front()) else {
                break;
            };
            self.give(member, partition, owners);
            let count = self.counts[member as usize];
            if count < self.fewest {
                below.push_back(member);
            } else if count == self.fewest {
                self.exact.push_back(member);
            }
        }
    }
}
