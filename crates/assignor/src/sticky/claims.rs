//! Who had what: the members' claims to earlier ownership, weighed against each other.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::group::{Group, MemberIndex};
use crate::{TopicPartitions, order};

/// The generation of a claim that does not say as of when it is.
pub(crate) const NO_GENERATION: i32 = -1;

/// What one member says it was given, and in which generation.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) partitions: Cow<'a, TopicPartitions>,
    pub(crate) generation: i32,
}

/// What the claims of all members come to, partition by partition. Claims to partitions that do not exist, or that
/// nobody subscribes to, count for nothing.
#[derive(Debug)]
pub(crate) struct Claims {
    newest: Vec<Newest>,
    /// The claimants of partitions with several.
    contested: BTreeMap<usize, Vec<MemberIndex>>,
    earlier: Vec<Option<MemberIndex>>,
}

/// The claimants of a partition in the highest generation in which anybody claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newest {
    Nobody,
    One(MemberIndex),
    /// At most one of them can be right, and which one cannot be known.
    Several,
}

impl Claims {
    /// Weighs one claim for each of the group's members.
    pub(crate) fn new(group: &Group<'_>, claims: &[Claim<'_>]) -> Self {
        let current = claims
            .iter()
            .map(|claim| claim.generation)
            .max()
            .unwrap_or(NO_GENERATION);
        let indices = group.topic_indices();
        let mut newest = vec![(NO_GENERATION, Newest::Nobody); group.partition_count()];
        let mut contested: BTreeMap<usize, Vec<MemberIndex>> = BTreeMap::new();
        let mut earlier: Vec<Option<(i32, MemberIndex)>> = vec![None; group.partition_count()];
        // By id, so that equally old claims are settled without regard to the order of the members.
        for member in group.sorted_members(order::by_id) {
            let claim = &claims[member as usize];
            for partition in existing(group, &indices, &claim.partitions) {
                let (generation, claimants) = &mut newest[partition];
                if *claimants == Newest::Nobody || *generation < claim.generation {
                    (*generation, *claimants) = (claim.generation, Newest::One(member));
                    contested.remove(&partition);
                } else if *generation == claim.generation && *claimants != Newest::One(member) {
                    let all = contested.entry(partition).or_default();
                    if let Newest::One(first) = *claimants {
                        all.push(first);
                    }
                    all.push(member);
                    *claimants = Newest::Several;
                }
                let is_later = |(generation, _)| generation < claim.generation;
                if claim.generation < current && earlier[partition].is_none_or(is_later) {
                    earlier[partition] = Some((claim.generation, member));
                }
            }
        }
        Self {
            newest: newest.into_iter().map(|(_, newest)| newest).collect(),
            contested,
            earlier: earlier
                .into_iter()
                .map(|earlier| earlier.map(|(_, member)| member))
                .collect(),
        }
    }

    /// Who claims a partition with the best right.
    pub(crate) fn newest(&self, partition: usize) -> Newest {
        self.newest[partition]
    }

    /// The owner of a partition, if that is beyond doubt.
    pub(crate) fn owner(&self, partition: usize) -> Option<MemberIndex> {
        match self.newest[partition] {
            Newest::One(member) => Some(member),
            Newest::Nobody | Newest::Several => None,
        }
    }

    /// Whether a member is one of several who claim a partition with equal right.
    pub(crate) fn contests(&self, member: MemberIndex, partition: usize) -> bool {
        self.contested
            .get(&partition)
            .is_some_and(|claimants| claimants.contains(&member))
    }

    /// The last owner from before the group's current generation, as far as it is still a member: someone to prefer
    /// when the partition has to move anyway.
    pub(crate) fn earlier_owner(&self, partition: usize) -> Option<MemberIndex> {
        self.earlier[partition]
    }
}

/// Those of the named partitions that exist.
fn existing<'a>(
    group: &'a Group<'_>,
    indices: &'a HashMap<&str, usize>,
    partitions: &'a TopicPartitions,
) -> impl Iterator<Item = usize> + 'a {
    partitions
        .iter()
        .filter_map(|(topic, numbers)| {
            Some((group.partitions(*indices.get(topic.as_str())?), numbers))
        })
        .flat_map(|(partitions, numbers)| {
            let numbers = numbers
                .iter()
                .filter_map(|&number| usize::try_from(number).ok());
            numbers.filter_map(move |number| partitions.clone().nth(number))
        })
}
