//! Consecutive partitions of every topic by itself.

use std::collections::HashMap;

use crate::group::{Group, MemberIndex, Owners};
use crate::racks::Racks;
use crate::{AssignError, Assignment, Assignor, Member, Topics, order};

/// Kafka's `range`: every topic's partitions in order, divided among its subscribers in order, the first ones
/// getting one more where it does not come out even.
///
/// Subscribers are in order of instance id, static members before dynamic ones, then of member id. Topics with the
/// same subscribers and as many partitions are co-partitioned: the same numbers go to the same members, which is
/// what a join of such topics needs.
///
/// Where members and replicas name their racks and not all partitions are everywhere, members get partitions with
/// a replica in their rack as far as neither the shares nor the co-partitioning suffer (KIP-881). Replicas out of
/// sync count as well: they are expected back.
///
/// ```
/// use ottla_assignor::{Assignor, Member, RangeAssignor, Topics};
///
/// let topics = Topics::new().with("t0", 3).with("t1", 3);
/// let members = [Member::new("a", ["t0", "t1"]), Member::new("b", ["t0", "t1"])];
/// let assignments = RangeAssignor::new().assign(&topics, &members)?;
/// assert_eq!(assignments[0].partitions["t0"], [0, 1]);
/// assert_eq!(assignments[0].partitions["t1"], [0, 1]);
/// # Ok::<(), ottla_assignor::AssignError>(())
/// ```
#[derive(Debug, Default)]
#[doc(alias = "org.apache.kafka.clients.consumer.RangeAssignor")]
pub struct RangeAssignor {
    _private: (),
}

impl RangeAssignor {
    /// The assignor. It remembers nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        let group = Group::new(topics, members);
        let mut owners: Owners = vec![None; group.partition_count()];
        let mut rank = vec![0; members.len()];
        for (member, place) in group
            .sorted_members(order::by_instance)
            .into_iter()
            .zip(0u32..)
        {
            rank[member as usize] = place;
        }
        let mut shares: Vec<Shares> = (0..group.topic_count())
            .map(|topic| Shares::new(&group, topic, &rank))
            .collect();

        let racks = Racks::new(&group);
        let matter: Vec<bool> = (0..group.topic_count())
            .map(|topic| {
                racks.matter(
                    group.subscribers(topic).iter().copied(),
                    group.partitions(topic),
                )
            })
            .collect();
        if matter.contains(&true) {
            assign_within_racks(&group, &racks, &matter, &mut shares, &mut owners);
        }
        for shares in &mut shares {
            shares.assign(&mut owners, |_, _| true);
        }
        Ok(group.assignments(&owners))
    }
}

/// How many partitions of one topic its subscribers may still get.
struct Shares {
    first: usize,
    partitions: usize,
    /// In order.
    subscribers: Vec<MemberIndex>,
    assigned: Vec<usize>,
    even: usize,
    /// How many subscribers may still get one more than the even share.
    extra: usize,
}

impl Shares {
    fn new(group: &Group<'_>, topic: usize, rank: &[u32]) -> Self {
        let mut subscribers = group.subscribers(topic).to_vec();
        subscribers.sort_unstable_by_key(|&member| rank[member as usize]);
        let partitions = group.partitions(topic);
        Self {
            first: partitions.start,
            partitions: partitions.len(),
            assigned: vec![0; subscribers.len()],
            even: partitions.len() / subscribers.len(),
            extra: partitions.len() % subscribers.len(),
            subscribers,
        }
    }

    /// How many more the subscriber in this place may get.
    fn left(&self, place: usize) -> usize {
        (self.even + usize::from(self.extra > 0)).saturating_sub(self.assigned[place])
    }

    fn give(&mut self, place: usize, partition: usize, owners: &mut Owners) {
        owners[partition] = Some(self.subscribers[place]);
        self.assigned[place] += 1;
    }

    /// A subscriber has got what it gets for now: settles whether it took one of the extra partitions.
    fn settle(&mut self, place: usize) {
        if self.assigned[place] > self.even {
            self.extra -= 1;
        }
    }

    /// Fills the subscribers up one after another with those of the unassigned partitions that `may` allows.
    fn assign(&mut self, owners: &mut Owners, may: impl Fn(MemberIndex, usize) -> bool) {
        let mut unassigned: Vec<usize> = (self.first..self.first + self.partitions)
            .filter(|&partition| owners[partition].is_none())
            .collect();
        for place in 0..self.subscribers.len() {
            let mut left = self.left(place);
            if left == 0 {
                continue;
            }
            if unassigned.is_empty() {
                break;
            }
            let before = self.assigned[place];
            unassigned.retain(|&partition| {
                let give = left > 0 && may(self.subscribers[place], partition);
                if give {
                    left -= 1;
                    self.give(place, partition, owners);
                }
                !give
            });
            if self.assigned[place] > before {
                self.settle(place);
            }
        }
    }
}

/// Gives out what can stay within racks, in shares and with co-partitioned topics in step.
fn assign_within_racks(
    group: &Group<'_>,
    racks: &Racks,
    matter: &[bool],
    shares: &mut [Shares],
    owners: &mut Owners,
) {
    let mut co_partitioned: HashMap<(&[MemberIndex], usize), Vec<usize>> = HashMap::new();
    for topic in 0..group.topic_count() {
        let key = (group.subscribers(topic), group.partitions(topic).len());
        co_partitioned.entry(key).or_default().push(topic);
    }
    // Groups of topics do not affect each other, so the map's order shows nowhere.
    for topics in co_partitioned.into_values() {
        match topics[..] {
            [topic] if matter[topic] => {
                shares[topic].assign(owners, |member, partition| racks.matches(member, partition));
            }
            [_] => {}
            _ if group
                .subscribers(topics[0])
                .iter()
                .all(|&member| racks.of_member(member).is_none()) => {}
            _ => assign_in_step(racks, &topics, shares, owners),
        }
    }
}

/// Gives each number's partitions of all `topics` to the first subscriber that finds every one of them in its rack.
fn assign_in_step(racks: &Racks, topics: &[usize], shares: &mut [Shares], owners: &mut Owners) {
    let model = topics[0];
    let mut places: Vec<usize> = (0..shares[model].subscribers.len()).collect();
    for number in 0..shares[model].partitions {
        let found = places.iter().position(|&place| {
            let member = shares[model].subscribers[place];
            shares[model].left(place) > 0
                && topics
                    .iter()
                    .all(|&topic| racks.matches(member, shares[topic].first + number))
        });
        let Some(found) = found else { continue };
        let place = places[found];
        for &topic in topics {
            let shares = &mut shares[topic];
            shares.give(place, shares.first + number, owners);
            shares.settle(place);
        }
        if shares[model].left(place) == 0 {
            places.remove(found);
        }
    }
}
