//! Balancing as aiokafka's sticky assignor does it, whatever the subscriptions.
//!
//! The algorithm is the [`general`](super::general) one, which both ancestors share. aiokafka's own is how claims are
//! weighed ([`Claims::of_aiokafka`]) and, with equal subscriptions, which partitions are tried first.

use std::collections::{BinaryHeap, HashMap};
use std::mem::replace;

use super::balance::Situation;
use super::claims::{Claim, Claims};
use super::general::Balance;
use crate::group::Group;
use crate::{Assignment, Member, Topics, order};

pub(super) fn assign(topics: &Topics, members: &[Member], claims: &[Claim<'_>]) -> Vec<Assignment> {
    let group = Group::new(topics, members);
    let weighed = Claims::of_aiokafka(&group, claims);
    let situation = Situation::without_racks(group, weighed);
    let group = &situation.group;
    let subscriptions = Subscriptions::new(group);

    let mut balance = Balance::new(&situation, order::by_code_points);
    let mut must_revoke = balance.keep();
    must_revoke |= claims
        .iter()
        .any(|claim| subscriptions.revoke(claim, topics));

    let mut by_choice: Vec<usize> = (0..group.topic_count()).collect();
    by_choice.sort_by_key(|&topic| subscriptions.mentions[topic]);
    let mut all = Vec::new();
    if subscriptions.are_equal(topics) {
        all = from_the_most_loaded(&situation, &balance, claims);
    }
    let mut listed = vec![false; group.partition_count()];
    all.iter()
        .for_each(|&partition: &usize| listed[partition] = true);
    let rest = group.partitions_of(&by_choice);
    all.extend(rest.filter(|&partition| !listed[partition]));
    situation.assignments(&balance.complete(&by_choice, &all, must_revoke))
}

/// Subscriptions as aiokafka compares them: lists, in which order and repetition do mean something.
struct Subscriptions<'a> {
    indices: HashMap<&'a str, usize>,
    /// Every member's topics as far as they have partitions.
    lists: Vec<Vec<usize>>,
    /// How often each topic is named, by all members together.
    mentions: Vec<usize>,
}

impl<'a> Subscriptions<'a> {
    fn new(group: &Group<'a>) -> Self {
        let indices = group.topic_indices();
        let mut mentions = vec![0; group.topic_count()];
        let mut lists = Vec::new();
        for member in group.members() {
            let list: Vec<usize> = member
                .topics
                .iter()
                .filter_map(|name| indices.get(name.as_str()).copied())
                .collect();
            list.iter().for_each(|&topic| mentions[topic] += 1);
            lists.push(list);
        }
        Self {
            indices,
            lists,
            mentions,
        }
    }

    /// Whether all members name the same topics in the same order, and all topics equally often: one that is known
    /// and that nobody subscribes to is enough for them to be unequal.
    fn are_equal(&self, topics: &Topics) -> bool {
        let mut known = topics
            .iter()
            .filter(|(_, topic)| topic.partition_count() > 0);
        self.lists.windows(2).all(|pair| pair[0] == pair[1])
            && self.mentions.windows(2).all(|pair| pair[0] == pair[1])
            && known.all(|(name, _)| self.indices.contains_key(name))
    }

    /// Whether a member must lose something of a topic that nobody subscribes to any more.
    fn revoke(&self, claim: &Claim<'_>, topics: &Topics) -> bool {
        claim.partitions.iter().any(|(topic, numbers)| {
            let count = topics.partition_count(topic).unwrap_or(0);
            let exists = |&number: &i32| u32::try_from(number).is_ok_and(|number| number < count);
            !self.indices.contains_key(topic.as_ref()) && numbers.iter().any(exists)
        })
    }
}

/// What members keep, always one of whoever has the most left: first what had another owner before, then from the
/// end of what the member claims.
fn from_the_most_loaded(
    situation: &Situation<'_>,
    balance: &Balance<'_>,
    claims: &[Claim<'_>],
) -> Vec<usize> {
    let group = &situation.group;
    let indices = group.topic_indices();
    let members = group.sorted_members(order::by_code_points);
    let mut kept: Vec<Vec<usize>> = vec![Vec::new(); members.len()];
    let mut seen = vec![false; group.partition_count()];
    for claim in claims {
        for partition in claim.existing(group, &indices) {
            if !replace(&mut seen[partition], true)
                && let Some(owner) = balance.owner(partition)
            {
                kept[owner as usize].push(partition);
            }
        }
    }
    let mut most = BinaryHeap::new();
    for (place, &member) in members.iter().enumerate() {
        let kept = &mut kept[member as usize];
        kept.sort_by_key(|&partition| situation.claims.earlier_owner(partition).is_some());
        most.push((kept.len(), place));
    }
    let mut order = Vec::new();
    while let Some((_, place)) = most.pop() {
        let kept = &mut kept[members[place] as usize];
        if let Some(partition) = kept.pop() {
            order.push(partition);
            most.push((kept.len(), place));
        }
    }
    order
}
