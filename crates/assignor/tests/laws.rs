//! What holds for every group, whatever its members say.
//!
//! How few partitions move is stated as two bounds. With equal subscriptions a member that leaves moves nothing of
//! the others', and one that joins moves exactly what it gets. With unequal ones every movement lowers the sum of
//! the squares of all counts by at least two, so half of what that sum loses is the most that can move.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use ottla_assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, Member, RangeAssignor, RoundRobinAssignor,
    StickyAssignor, Topic, TopicPartitions, Topics,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use support::measure::{Claim, Owners, counts, is_balanced, is_valid, kept_and_moved, owners};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const RACKS: [&str; 3] = ["east", "north", "west"];

/// Topics of which some have no metadata and some no partitions, with racks or without.
fn topics(racks: bool) -> impl Strategy<Value = Topics> {
    let replicas = prop::collection::vec(
        subsequence(RACKS.to_vec(), if racks { 0..=3 } else { 0..=0 }),
        0..9,
    );
    prop::collection::btree_map(select(NAMES.to_vec()), replicas, 0..=NAMES.len()).prop_map(
        |topics| {
            topics
                .into_iter()
                .map(|(name, racks)| (name, Topic::with_racks(racks)))
                .collect()
        },
    )
}

/// Members whose claims are anything: old, of the same age as others', to topics they do not subscribe to and
/// partitions that do not exist.
fn members(racks: bool) -> impl Strategy<Value = Vec<Member>> {
    let subscriptions = prop_oneof![
        subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_map(|topics| vec![topics; 8]),
        prop::collection::vec(subsequence(NAMES.to_vec(), 0..=NAMES.len()), 8),
    ];
    let rack = prop::option::weighted(0.8, select(RACKS.to_vec()))
        .prop_map(move |rack| rack.filter(|_| racks));
    let owned = prop::collection::btree_map(
        select(NAMES.to_vec()),
        prop::collection::vec(-1..10, 0..4),
        0..4,
    );
    let member = (
        prop::option::weighted(0.3, 0..10u8),
        rack,
        owned,
        prop::option::of(0..4),
    );
    (prop::collection::vec(member, 0..8), subscriptions).prop_map(|(members, subscriptions)| {
        let mut all = Vec::new();
        for (index, ((instance, rack, owned, generation), topics)) in
            members.into_iter().zip(subscriptions).enumerate()
        {
            all.push(Member {
                // Unique, as a group's are, and not in the order of the ids.
                instance_id: instance.map(|instance| format!("{instance}-{index}")),
                rack: rack.map(str::to_owned),
                owned: owned
                    .into_iter()
                    .map(|(name, list)| (name.to_owned(), list))
                    .collect(),
                generation,
                ..Member::new(format!("m{}", index * 7 % 10), topics)
            });
        }
        all
    })
}

/// The answer to members as this assignor hears of them: `sticky` reads claims from the user data only.
fn assign(assignor: &dyn Assignor, topics: &Topics, members: &[Member]) -> Vec<Assignment> {
    let heard = |member: &Member| {
        let memory = StickyAssignor::new();
        memory.on_assignment(
            &Assignment::from(member.owned.clone()),
            member.generation.unwrap_or(-1),
        );
        let (owned, generation) = (TopicPartitions::new(), None);
        Member {
            user_data: memory.user_data(&member.topics),
            owned,
            generation,
            ..member.clone()
        }
    };
    let members = match assignor.name() {
        "sticky" => members.iter().map(heard).collect(),
        _ => members.to_vec(),
    };
    assignor.assign(topics, &members).unwrap()
}

/// The members when they come back from an assignment.
fn after(members: &[Member], assignments: &[Assignment], generation: i32) -> Vec<Member> {
    let members = members.iter().cloned().zip(assignments);
    members
        .map(|(member, given)| Member {
            owned: given.partitions.clone(),
            generation: Some(generation),
            ..member
        })
        .collect()
}

fn claims(members: &[Member]) -> Vec<Claim> {
    let claim = |member: &Member| Claim {
        owned: member.owned.clone(),
        generation: member.generation,
    };
    members.iter().map(claim).collect()
}

/// Those that decide as Java does.
fn assignors() -> [Box<dyn Assignor>; 4] {
    [
        Box::new(RangeAssignor::new()),
        Box::new(RoundRobinAssignor::new()),
        Box::new(StickyAssignor::new()),
        Box::new(CooperativeStickyAssignor::new()),
    ]
}

/// Both ways of balancing that go by the name of `sticky`.
fn stickies() -> [StickyAssignor; 2] {
    [StickyAssignor::new(), StickyAssignor::as_aiokafka()]
}

/// Every partition's owner by the owner's id.
fn by_id(members: &[Member], owners: Owners) -> BTreeMap<String, Vec<Vec<String>>> {
    let name = |slot: Vec<usize>| {
        slot.into_iter()
            .map(|owner| members[owner].id.clone())
            .collect()
    };
    owners
        .into_iter()
        .map(|(topic, slots)| (topic, slots.into_iter().map(name).collect()))
        .collect()
}

fn squares(members: &[Member], owners: &Owners) -> usize {
    counts(members, owners)
        .into_iter()
        .map(|count| count * count)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_partition_has_one_owner_who_subscribes(topics in topics(true), members in members(true)) {
        let as_aiokafka: Box<dyn Assignor> = Box::new(StickyAssignor::as_aiokafka());
        for assignor in assignors().into_iter().chain([as_aiokafka]) {
            let owners = owners(&topics, &members, &assign(assignor.as_ref(), &topics, &members));
            if assignor.name() == "cooperative-sticky" {
                let target = CooperativeStickyAssignor::new().target(&topics, &members);
                let target = support::measure::owners(&topics, &members, &target);
                prop_assert!(is_valid(&topics, &members, &target), "the target {target:?}");
                for (topic, slots) in &owners {
                    for (given, aimed) in slots.iter().zip(&target[topic]) {
                        prop_assert!(given.is_empty() || given == aimed, "{topic}: {slots:?}");
                    }
                }
            } else {
                prop_assert!(is_valid(&topics, &members, &owners), "{}: {owners:?}", assignor.name());
            }
        }
    }

    #[test]
    fn range_divides_every_topic_evenly(topics in topics(true), members in members(true)) {
        let owners = owners(&topics, &members, &assign(&RangeAssignor::new(), &topics, &members));
        for (topic, slots) in owners {
            let subscribers: Vec<usize> =
                (0..members.len()).filter(|&member| members[member].topics.contains(&topic)).collect();
            for member in &subscribers {
                let share = slots.iter().filter(|slot| slot.contains(member)).count();
                prop_assert!(share == slots.len() / subscribers.len() || share == slots.len().div_ceil(subscribers.len()));
            }
        }
    }

    #[test]
    fn range_keeps_co_partitioned_topics_together(
        partitions in prop::collection::vec((subsequence(RACKS.to_vec(), 0..=3), subsequence(RACKS.to_vec(), 0..=3)), 1..9),
        mut members in members(true),
    ) {
        let (left, right): (Vec<_>, Vec<_>) = partitions.into_iter().unzip();
        let topics: Topics = [("a", Topic::with_racks(left)), ("b", Topic::with_racks(right))].into_iter().collect();
        for member in &mut members {
            member.topics = vec!["b".to_owned(), "a".to_owned()];
        }
        let owners = owners(&topics, &members, &assign(&RangeAssignor::new(), &topics, &members));
        prop_assert_eq!(owners.get("a"), owners.get("b"));
    }

    #[test]
    fn round_robin_is_even_among_equal_subscriptions(topics in topics(false), mut members in members(false)) {
        for member in &mut members {
            member.topics = NAMES.map(str::to_owned).to_vec();
        }
        let owners = owners(&topics, &members, &assign(&RoundRobinAssignor::new(), &topics, &members));
        let counts = counts(&members, &owners);
        prop_assert!(counts.iter().max().is_none_or(|most| counts.iter().all(|count| count + 1 >= *most)));
    }

    #[test]
    fn sticky_ones_are_balanced(topics in topics(true), members in members(true)) {
        let sticky = assign(&StickyAssignor::new(), &topics, &members);
        let sticky = owners(&topics, &members, &sticky);
        prop_assert!(is_balanced(&members, &sticky), "sticky: {sticky:?}");
        let target = owners(&topics, &members, &CooperativeStickyAssignor::new().target(&topics, &members));
        // A group that would never come to rest with racks is answered as if nobody named one.
        let elsewhere: Vec<Member> =
            members.iter().map(|member| Member { rack: None, ..member.clone() }).collect();
        let without_racks = assign(&StickyAssignor::new(), &topics, &elsewhere);
        prop_assert!(target == sticky || target == owners(&topics, &members, &without_racks), "{target:?}");
        let as_aiokafka = assign(&StickyAssignor::as_aiokafka(), &topics, &members);
        let as_aiokafka = owners(&topics, &members, &as_aiokafka);
        prop_assert!(is_balanced(&members, &as_aiokafka), "as aiokafka: {as_aiokafka:?}");
    }

    #[test]
    fn assigning_again_moves_nothing(topics in topics(false), members in members(false)) {
        for sticky in stickies() {
            let first = assign(&sticky, &topics, &members);
            let again = after(&members, &first, 9);
            for other in stickies() {
                prop_assert_eq!(&assign(&other, &topics, &again), &first);
            }
            prop_assert_eq!(&assign(&CooperativeStickyAssignor::new(), &topics, &again), &first);
        }
    }

    #[test]
    fn the_order_of_the_members_means_nothing(
        topics in topics(true),
        (members, shuffled) in members(true).prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
    ) {
        for assignor in assignors() {
            let one = owners(&topics, &members, &assign(assignor.as_ref(), &topics, &members));
            let other = owners(&topics, &shuffled, &assign(assignor.as_ref(), &topics, &shuffled));
            prop_assert_eq!(by_id(&members, one), by_id(&shuffled, other), "{}", assignor.name());
        }
    }

    /// As aiokafka does it, the order of members shows where several claim one partition, and there alone.
    #[test]
    fn nor_does_it_as_aiokafka_where_claims_are_undisputed(
        topics in topics(false),
        members in members(false),
        rest in any::<prop::sample::Index>(),
        shift in any::<prop::sample::Index>(),
    ) {
        prop_assume!(members.len() > 1);
        let sticky = StickyAssignor::as_aiokafka();
        let mut members = after(&members, &assign(&sticky, &topics, &members), 9);
        members.remove(rest.index(members.len()));
        members.push(Member::new("joiner", NAMES));
        let mut turned = members.clone();
        turned.rotate_left(shift.index(members.len()));
        let one = owners(&topics, &members, &assign(&sticky, &topics, &members));
        let other = owners(&topics, &turned, &assign(&sticky, &topics, &turned));
        prop_assert_eq!(by_id(&members, one), by_id(&turned, other));
    }

    #[test]
    fn the_order_of_a_subscription_means_nothing(topics in topics(true), members in members(true)) {
        let mut other = members.clone();
        for member in &mut other {
            member.topics.reverse();
        }
        for assignor in assignors() {
            let name = assignor.name();
            prop_assert_eq!(assign(assignor.as_ref(), &topics, &members), assign(assignor.as_ref(), &topics, &other), "{}", name);
        }
        for member in &mut other {
            member.topics.extend(member.topics.first().cloned());
        }
        let range = RangeAssignor::new();
        prop_assert_eq!(assign(&range, &topics, &members), assign(&range, &topics, &other), "nor does repetition in range");
    }

    #[test]
    fn with_equal_subscriptions_a_leave_moves_nothing_and_a_join_what_the_joiner_gets(
        topics in topics(false),
        mut members in members(false),
        change in any::<prop::sample::Index>(),
    ) {
        prop_assume!(members.len() > 1);
        for member in &mut members {
            member.topics = NAMES.map(str::to_owned).to_vec();
        }
        let one = change.index(members.len());
        for sticky in stickies() {
            let given = assign(&sticky, &topics, &members);
            let mut rest = after(&members, &given, 9);
            rest.remove(one);
            let left = owners(&topics, &rest, &assign(&sticky, &topics, &rest));
            prop_assert_eq!(kept_and_moved(&topics, &rest, &claims(&rest), &left).1, 0);

            let mut rest = members.clone();
            let joiner = Member { owned: TopicPartitions::new(), ..rest.remove(one) };
            let given = assign(&sticky, &topics, &rest);
            let mut all = after(&rest, &given, 9);
            all.push(joiner);
            let joined = owners(&topics, &all, &assign(&sticky, &topics, &all));
            let share = counts(&all, &joined)[all.len() - 1];
            prop_assert_eq!(kept_and_moved(&topics, &all, &claims(&all), &joined).1, share);
            let partitions: usize = joined.values().map(Vec::len).sum();
            prop_assert!(share <= partitions.div_ceil(all.len()));
        }
    }

    #[test]
    fn with_unequal_subscriptions_movements_pay_for_themselves(
        topics in topics(false),
        mut members in members(false),
        joiner in subsequence(NAMES.map(str::to_owned).to_vec(), 0..=NAMES.len()),
    ) {
        // Somebody has every topic from the start, so that nothing is given out anew.
        members.push(Member::new("everything", NAMES));
        for sticky in stickies() {
            let given = assign(&sticky, &topics, &members);
            let mut all = after(&members, &given, 9);
            all.push(Member::new("joiner", &joiner));
            let mut before = given;
            before.push(Assignment::default());
            let before = owners(&topics, &all, &before);
            let joined = owners(&topics, &all, &assign(&sticky, &topics, &all));
            let moved = kept_and_moved(&topics, &all, &claims(&all), &joined).1;
            prop_assert!(2 * moved + squares(&all, &joined) <= squares(&all, &before), "{moved} moved");
        }
    }

    #[test]
    fn nothing_is_handed_over_that_another_member_holds(topics in topics(true), members in members(true)) {
        let newest = support::measure::newest_claimants(&claims(&members));
        let given = assign(&CooperativeStickyAssignor::new(), &topics, &members);
        for (member, assignment) in given.iter().enumerate() {
            for (topic, partitions) in &assignment.partitions {
                for &partition in partitions {
                    let holders = newest.get(&(topic.clone(), partition));
                    prop_assert!(holders.is_none_or(|holders| holders.contains(&member)), "{topic}-{partition}");
                }
            }
        }
    }

    #[test]
    fn nothing_stays_withheld(topics in topics(false), members in members(false)) {
        let rounds = rounds(&topics, members);
        prop_assert!(rounds <= 3, "{rounds} rounds");
    }

    /// Seven rounds were seen among five million groups.
    #[test]
    fn nor_does_it_with_racks(topics in topics(true), members in members(true)) {
        let rounds = rounds(&topics, members);
        prop_assert!(rounds <= 12, "{rounds} rounds");
    }
}

/// How many rebalances a cooperative group takes to come to rest.
fn rounds(topics: &Topics, mut members: Vec<Member>) -> i32 {
    let cooperative = CooperativeStickyAssignor::new();
    for round in 1..100 {
        let given = cooperative.assign(topics, &members).unwrap();
        if given == cooperative.target(topics, &members) {
            return round;
        }
        members = after(&members, &given, 9 + round);
    }
    panic!("the group does not come to rest");
}

/// With its racks this group goes from one answer to another and back, by Java's rules, and never has all it is to have.
#[test]
fn a_group_that_racks_would_keep_moving_comes_to_rest() {
    let near: &[&str] = &["r0"];
    let racks = |of: [&[&str]; 3]| Topic::with_racks(of.map(<[&str]>::to_vec));
    let topics = [
        ("t4", racks([near, &[], &[]])),
        ("t8", racks([&[], near, near])),
        ("t9", racks([near, &[], near])),
    ];
    let topics: Topics = topics.into_iter().collect();
    let member = |id: &str, rack: Option<&str>, topics: &[&str]| Member {
        rack: rack.map(str::to_owned),
        ..Member::new(id, topics.iter().copied())
    };
    let all = ["t4", "t8", "t9"];
    let mut members = vec![
        member("c0", Some("r1"), &["t4"]),
        member("c1", Some("r1"), &all),
        member("c2", Some("r0"), &all),
        member("c3", None, &all),
    ];
    members.push(Member {
        owned: TopicPartitions::from([("t9".to_owned(), vec![0])]),
        generation: Some(8),
        ..Member::new("c4", [""; 0])
    });
    assert_eq!(rounds(&topics, members), 4);
}

/// A consumer as its group sees it over time.
#[derive(Debug, Clone)]
struct Consumer {
    id: String,
    topics: Vec<String>,
    assignors: &'static [&'static str],
    held: TopicPartitions,
    generation: Option<i32>,
}

impl Consumer {
    /// The protocol it uses follows from all assignors it lists (KIP-429).
    fn is_cooperative(&self) -> bool {
        let all = assignors();
        let own = all
            .iter()
            .map(AsRef::as_ref)
            .filter(|assignor| self.assignors.contains(&assignor.name()));
        ottla_assignor::RebalanceProtocol::common(own)
            == Some(ottla_assignor::RebalanceProtocol::Cooperative)
    }
}

fn partitions(partitions: &TopicPartitions) -> BTreeSet<(&str, i32)> {
    partitions
        .iter()
        .flat_map(|(topic, list)| list.iter().map(move |&number| (topic.as_str(), number)))
        .collect()
}

/// One rebalance. Members learn of it one after another, so nobody may be given what another one held until then.
/// Returns whether somebody has to give something up, which makes for another rebalance.
fn rebalance(topics: &Topics, consumers: &mut [Consumer], generation: i32) -> bool {
    for consumer in consumers
        .iter_mut()
        .filter(|consumer| !consumer.is_cooperative())
    {
        consumer.held.clear();
    }
    let common = consumers[0]
        .assignors
        .iter()
        .find(|name| {
            consumers
                .iter()
                .all(|consumer| consumer.assignors.contains(name))
        })
        .expect("each step of the upgrade leaves a common assignor");
    let all = assignors();
    let assignor = all
        .iter()
        .find(|assignor| assignor.name() == *common)
        .unwrap();
    let member = |consumer: &Consumer| Member {
        owned: consumer.held.clone(),
        generation: consumer.generation,
        ..Member::new(&consumer.id, &consumer.topics)
    };
    let members: Vec<Member> = consumers.iter().map(member).collect();
    let assignments = assign(assignor.as_ref(), topics, &members);

    let mut revoked = false;
    for (index, assignment) in assignments.iter().enumerate() {
        let given = partitions(&assignment.partitions);
        for (other, consumer) in consumers
            .iter()
            .enumerate()
            .filter(|&(other, _)| other != index)
        {
            let held = partitions(&consumer.held);
            assert!(
                given.is_disjoint(&held),
                "{index} gets of {other}: {:?}",
                given.intersection(&held)
            );
        }
        revoked |= !partitions(&consumers[index].held).is_subset(&given);
    }
    for (consumer, assignment) in consumers.iter_mut().zip(assignments) {
        consumer.held = assignment.partitions;
        consumer.generation = Some(generation);
    }
    revoked
}

/// The two rolling restarts of KIP-429: first the cooperative assignor is listed before the eager one, then the eager
/// one is dropped. Members restart in any order, some so fast that the group only sees a stranger in their place,
/// and may do so before a rebalance is over.
fn upgrade(
    topics: &Topics,
    subscriptions: &[Vec<String>],
    steps: [&'static [&'static str]; 3],
    orders: [Vec<usize>; 2],
    chance: &[bool],
) {
    let start = |(index, topics): (usize, &Vec<String>)| Consumer {
        id: format!("c{index}"),
        topics: topics.clone(),
        assignors: steps[0],
        held: TopicPartitions::new(),
        generation: None,
    };
    let mut consumers: Vec<Consumer> = subscriptions.iter().enumerate().map(start).collect();
    let mut generation = 0;
    let mut settle = |consumers: &mut [Consumer], patient: bool| {
        for rounds in 1.. {
            assert!(rounds < 10, "the group does not come to rest");
            generation += 1;
            if !rebalance(topics, consumers, generation) || !patient {
                break;
            }
        }
    };
    settle(&mut consumers, true);
    let mut chance = chance.iter().copied().cycle();
    let mut chance = || chance.next() == Some(true);
    for (assignors, order) in steps[1..].iter().zip(orders) {
        for index in order {
            let stopped = format!("c{index}");
            let place = consumers
                .iter()
                .position(|consumer| consumer.id.starts_with(&stopped))
                .unwrap();
            let stopped = consumers.remove(place);
            if chance() && !consumers.is_empty() {
                settle(&mut consumers, chance());
            }
            consumers.push(Consumer {
                id: format!("{}+", stopped.id),
                assignors,
                held: TopicPartitions::new(),
                generation: None,
                ..stopped
            });
            settle(&mut consumers, chance());
        }
    }
    settle(&mut consumers, true);
    assert!(consumers.iter().all(Consumer::is_cooperative));
    let known = topics
        .iter()
        .filter(|(name, _)| subscriptions.iter().flatten().any(|topic| topic == name));
    let partition_count: usize = known
        .map(|(_, topic)| topic.partition_count() as usize)
        .sum();
    let held: usize = consumers
        .iter()
        .map(|consumer| partitions(&consumer.held).len())
        .sum();
    assert_eq!(held, partition_count, "in the end everything has an owner");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_upgrade_to_the_cooperative_protocol_never_makes_two_owners(
        topics in topics(false),
        (subscriptions, first, second) in prop::collection::vec(subsequence(NAMES.to_vec(), 0..=NAMES.len()), 1..6)
            .prop_flat_map(|subscriptions| {
                let order: Vec<usize> = (0..subscriptions.len()).collect();
                (Just(subscriptions), Just(order.clone()).prop_shuffle(), Just(order).prop_shuffle())
            }),
        chance in prop::collection::vec(any::<bool>(), 16),
        from_range in any::<bool>(),
    ) {
        let steps: [&'static [&'static str]; 3] = if from_range {
            [&["range"], &["cooperative-sticky", "range"], &["cooperative-sticky"]]
        } else {
            [&["sticky"], &["cooperative-sticky", "sticky"], &["cooperative-sticky"]]
        };
        let subscriptions: Vec<Vec<String>> = subscriptions
            .into_iter()
            .map(|topics| topics.into_iter().map(str::to_owned).collect())
            .collect();
        upgrade(&topics, &subscriptions, steps, [first, second], &chance);
    }
}

#[test]
fn no_members_and_no_topics_are_no_error() {
    let topics = Topics::new().with("a", 3);
    for assignor in assignors() {
        assert_eq!(assignor.assign(&topics, &[]).unwrap(), []);
        let idle = [Member::new("m", [""; 0]), Member::new("n", ["unknown"])];
        assert_eq!(
            assign(assignor.as_ref(), &topics, &idle),
            [Assignment::default(), Assignment::default()]
        );
        assert_eq!(
            assignor.assign(&Topics::new(), &idle).unwrap(),
            [Assignment::default(), Assignment::default()]
        );
    }
}
