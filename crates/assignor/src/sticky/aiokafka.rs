//! Balancing as aiokafka's sticky assignor does it, whatever the subscriptions.
//!
//! The algorithm is the [`general`](super::general) one, which both ancestors share. aiokafka's own is how claims are
//! weighed ([`Claims::of_aiokafka`]) and, with equal subscriptions, which partitions are tried first.

use std::collections::{BinaryHeap, HashMap};
use std::mem::replace;

use super::balance::Situation;
use super::claims::{Claim, Claims};
use super::general::{Balance, by_choice};
use crate::group::Group;
use crate::{Assignment, Member, Topics, order};

pub(super) fn assign(topics: &Topics, members: &[Member], claims: &[Claim<'_>]) -> Vec<Assignment> {
    let group = Group::new(topics, members);
    let weighed = Claims::of_aiokafka(&group, claims);
    let situation = Situation::without_racks(group, weighed);
    let group = &situation.group;
    let indices = group.topic_indices();

    let mut balance = Balance::new(&situation, order::by_code_points);
    let mut must_revoke = balance.keep();
    must_revoke |= claims
        .iter()
        .any(|claim| is_orphaned(claim, topics, &indices));

    let by_choice = by_choice(group);
    let mut all = Vec::new();
    if subscriptions_are_equal(group, topics, &indices) {
        all = from_the_most_loaded(&situation, &balance, claims);
    }
    let mut listed = vec![false; group.partition_count()];
    all.iter()
        .for_each(|&partition: &usize| listed[partition] = true);
    let rest = group.partitions_of(&by_choice);
    all.extend(rest.filter(|&partition| !listed[partition]));
    situation.assignments(&balance.complete(&by_choice, &all, must_revoke))
}

/// Whether all members name the same topics in the same order, as far as those have partitions, and all topics equally
/// often: one that is known and that nobody subscribes to is enough for subscriptions to be unequal.
fn subscriptions_are_equal(
    group: &Group<'_>,
    topics: &Topics,
    indices: &HashMap<&str, usize>,
) -> bool {
    let list = |member: &Member| -> Vec<usize> {
        let indices = member.topics.iter().map(|name| indices.get(name.as_str()));
        indices.flatten().copied().collect()
    };
    let alike = |a: &Member, b: &Member| a.topics == b.topics || list(a) == list(b);
    let mut known = topics
        .iter()
        .filter(|(_, topic)| topic.partition_count() > 0);
    group
        .members()
        .windows(2)
        .all(|pair| alike(&pair[0], &pair[1]))
        && (1..group.topic_count()).all(|topic| group.mentions(topic) == group.mentions(0))
        && known.all(|(name, _)| indices.contains_key(name))
}

/// Whether a claim is to an existing partition of a topic that nobody subscribes to any more.
fn is_orphaned(claim: &Claim<'_>, topics: &Topics, indices: &HashMap<&str, usize>) -> bool {
    claim.partitions.iter().any(|(topic, numbers)| {
        let count = topics.partition_count(topic).unwrap_or(0);
        let exists = |&number: &i32| u32::try_from(number).is_ok_and(|number| number < count);
        !indices.contains_key(topic.as_ref()) && numbers.iter().any(exists)
    })
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
