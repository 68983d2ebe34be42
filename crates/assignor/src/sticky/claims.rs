//! Who had what: the members' claims to earlier ownership, weighed against each other.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::group::{Group, MemberIndex, Owners};
use crate::order;

/// The generation of a claim that does not say as of when it is.
pub(crate) const NO_GENERATION: i32 = -1;

/// What one member says it was given, and in which generation.
#[derive(Debug, Default)]
pub(crate) struct Claim<'a> {
    pub(crate) partitions: Vec<(Cow<'a, str>, Cow<'a, [i32]>)>,
    pub(crate) generation: i32,
}

impl<'a> Claim<'a> {
    /// Those of the claimed partitions that exist.
    pub(crate) fn existing<'g>(
        &'g self,
        group: &'g Group<'_>,
        indices: &'g HashMap<&str, usize>,
    ) -> impl Iterator<Item = usize> + use<'g, 'a> {
        let known = self.partitions.iter().filter_map(|(topic, numbers)| {
            let &index = indices.get(topic.as_ref())?;
            Some((group.partitions(index), numbers))
        });
        known.flat_map(|(partitions, numbers)| {
            let numbers = numbers
                .iter()
                .filter_map(|&number| usize::try_from(number).ok());
            numbers.filter_map(move |number| partitions.clone().nth(number))
        })
    }
}

/// What the claims of all members come to, partition by partition. Claims to partitions that do not exist, or that
/// nobody subscribes to, count for nothing.
#[derive(Debug, Clone)]
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
            for partition in claim.existing(group, &indices) {
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

    /// Weighs claims as aiokafka does: of several in one generation the first listed member's counts, or in generation
    /// 0 the last, and a partition's earlier owner is whoever claims it in the generation before its newest.
    pub(crate) fn of_aiokafka(group: &Group<'_>, claims: &[Claim<'_>]) -> Self {
        let indices = group.topic_indices();
        let mut newest: Vec<Option<(i32, MemberIndex)>> = vec![None; group.partition_count()];
        let mut earlier = newest.clone();
        for (claim, member) in claims.iter().zip(0..) {
            let generation = claim.generation;
            for partition in claim.existing(group, &indices) {
                let (newest, earlier) = (&mut newest[partition], &mut earlier[partition]);
                let is = |slot: &Option<(i32, MemberIndex)>| {
                    slot.is_some_and(|(other, _)| other == generation)
                };
                let is_after = |slot: &Option<(i32, MemberIndex)>| {
                    slot.is_none_or(|(other, _)| other < generation)
                };
                let claimed = Some((generation, member));
                if is_after(newest) {
                    *earlier = newest.replace((generation, member));
                } else if is(newest) {
                    if generation == 0 {
                        *newest = claimed;
                    }
                } else if is_after(earlier) || is(earlier) && generation == 0 {
                    *earlier = claimed;
                }
            }
        }
        let member = |slot: Option<(i32, MemberIndex)>| slot.map(|(_, member)| member);
        Self {
            newest: newest
                .into_iter()
                .map(|slot| member(slot).map_or(Newest::Nobody, Newest::One))
                .collect(),
            contested: BTreeMap::new(),
            earlier: earlier.into_iter().map(member).collect(),
        }
    }

    /// What the claims come to when all members come back from one assignment.
    pub(crate) fn of_owners(owners: &Owners) -> Self {
        let one = |owner: &Option<MemberIndex>| owner.map_or(Newest::Nobody, Newest::One);
        Self {
            newest: owners.iter().map(one).collect(),
            contested: BTreeMap::new(),
            earlier: vec![None; owners.len()],
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

    /// The last owner from before, as far as it is still a member: someone to prefer when the partition has to move
    /// anyway.
    pub(crate) fn earlier_owner(&self, partition: usize) -> Option<MemberIndex> {
        self.earlier[partition]
    }
}
