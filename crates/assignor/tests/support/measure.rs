//! How good an assignment is, by measures that know nothing of how it was made.

use std::collections::{BTreeMap, BTreeSet};

use ottla_assignor::{Assignment, Member, Topics};

/// For every known topic with a subscriber, the owners of every partition (and of those beyond the last,
/// if any were handed out).
pub type Owners = BTreeMap<String, Vec<Vec<usize>>>;

pub fn owners(topics: &Topics, members: &[Member], assignments: &[Assignment]) -> Owners {
    assert_eq!(
        assignments.len(),
        members.len(),
        "one assignment for each member"
    );
    let mut owners = Owners::new();
    for topic in members.iter().flat_map(|member| &member.topics) {
        if let Some(count) = topics.partition_count(topic) {
            owners.insert(topic.clone(), vec![Vec::new(); count as usize]);
        }
    }
    for (member, assignment) in assignments.iter().enumerate() {
        for (topic, partitions) in &assignment.partitions {
            let slots = owners.entry(topic.clone()).or_default();
            for &partition in partitions {
                let partition = usize::try_from(partition).expect("partitions are not negative");
                if slots.len() <= partition {
                    slots.resize(partition + 1, Vec::new());
                }
                slots[partition].push(member);
            }
        }
    }
    owners
}

/// Every existing partition of a topic with a subscriber has exactly one owner, who subscribes to it, and nothing
/// else is handed out.
pub fn is_valid(topics: &Topics, members: &[Member], owners: &Owners) -> bool {
    owners.iter().all(|(topic, slots)| {
        topics.partition_count(topic) == u32::try_from(slots.len()).ok()
            && slots
                .iter()
                .all(|slot| matches!(slot[..], [owner] if members[owner].topics.contains(topic)))
    })
}

pub fn counts(members: &[Member], owners: &Owners) -> Vec<usize> {
    let mut counts = vec![0; members.len()];
    for &owner in owners.values().flatten().flatten() {
        counts[owner] += 1;
    }
    counts
}

/// No member has two or more partitions fewer than another one that holds a partition of a topic it subscribes to.
pub fn is_balanced(members: &[Member], owners: &Owners) -> bool {
    let counts = counts(members, owners);
    owners.iter().all(|(topic, slots)| {
        let most = slots
            .iter()
            .flatten()
            .map(|&owner| counts[owner])
            .max()
            .unwrap_or(0);
        let subscribers = members
            .iter()
            .zip(&counts)
            .filter(|(member, _)| member.topics.contains(topic));
        subscribers
            .map(|(_, &count)| count)
            .min()
            .is_none_or(|fewest| most <= fewest + 1)
    })
}

/// The sum over all pairs of members of the difference of their counts.
pub fn score(members: &[Member], owners: &Owners) -> usize {
    let counts = counts(members, owners);
    let pairs = counts
        .iter()
        .enumerate()
        .flat_map(|(i, &a)| counts[..i].iter().map(move |&b| a.abs_diff(b)));
    pairs.sum()
}

/// What a member said it had, and as of which generation.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    pub owned: BTreeMap<String, Vec<i32>>,
    pub generation: Option<i32>,
}

/// Every claimed partition's claimants of the highest generation.
pub fn newest_claimants(claims: &[Claim]) -> BTreeMap<(String, i32), BTreeSet<usize>> {
    let mut newest: BTreeMap<(String, i32), (i32, BTreeSet<usize>)> = BTreeMap::new();
    for (member, claim) in claims.iter().enumerate() {
        let generation = claim.generation.unwrap_or(-1);
        for (topic, partitions) in &claim.owned {
            for &partition in partitions {
                let slot = newest
                    .entry((topic.clone(), partition))
                    .or_insert((generation, BTreeSet::new()));
                if generation > slot.0 {
                    *slot = (generation, BTreeSet::new());
                }
                if generation == slot.0 {
                    slot.1.insert(member);
                }
            }
        }
    }
    newest
        .into_iter()
        .map(|(partition, (_, members))| (partition, members))
        .collect()
}

/// How many partitions stay with their earlier owner and how many leave it. The earlier owner is the only claimant
/// of the highest generation, if it still subscribes.
pub fn kept_and_moved(
    topics: &Topics,
    members: &[Member],
    claims: &[Claim],
    owners: &Owners,
) -> (usize, usize) {
    let (mut kept, mut moved) = (0, 0);
    for ((topic, partition), claimants) in newest_claimants(claims) {
        let &[claimant] = &claimants.into_iter().collect::<Vec<_>>()[..] else {
            continue;
        };
        let slot = owners
            .get(&topic)
            .and_then(|slots| slots.get(usize::try_from(partition).ok()?));
        let Some(slot) = slot else { continue };
        if topics.partition_count(&topic) <= u32::try_from(partition).ok() {
            continue;
        }
        if members[claimant].topics.contains(&topic) {
            if slot.contains(&claimant) {
                kept += 1
            } else {
                moved += 1
            }
        }
    }
    (kept, moved)
}
