//! Groups as they ought not to be. Whatever members say, every partition has one owner who subscribes, and nothing
//! panics.

mod support;

use std::collections::BTreeSet;

use ottla_assignor::{
    Assignor, CooperativeStickyAssignor, Member, RangeAssignor, RoundRobinAssignor, StickyAssignor,
    StickyUserData, Topic, TopicPartitions, Topics, check,
};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use rstest::rstest;
use support::measure::{Owners, is_balanced, is_valid, owners};

fn assignors() -> [Box<dyn Assignor>; 5] {
    [
        Box::new(RangeAssignor::new()),
        Box::new(RoundRobinAssignor::new()),
        Box::new(StickyAssignor::new()),
        Box::new(StickyAssignor::as_aiokafka()),
        Box::new(CooperativeStickyAssignor::new()),
    ]
}

/// The answers of all five; of the cooperative one, what it aims at.
fn answers(topics: &Topics, members: &[Member]) -> [Owners; 5] {
    assignors().map(|assignor| {
        let mut answer = assignor.assign(topics, members).unwrap();
        assert_eq!(
            check(topics, members, &answer),
            Ok(()),
            "{}",
            assignor.name()
        );
        if assignor.name() == "cooperative-sticky" {
            answer = CooperativeStickyAssignor::new().target(topics, members);
        }
        let owners = owners(topics, members, &answer);
        let name = assignor.name();
        assert!(is_valid(topics, members, &owners), "{name}: {owners:?}");
        assert!(
            !name.contains("sticky") || is_balanced(members, &owners),
            "{name}: {owners:?}"
        );
        owners
    })
}

fn claiming(id: &str, topic: &str, numbers: &[i32], generation: i32) -> Member {
    let data = StickyUserData {
        partitions: vec![(topic.into(), numbers.to_vec())],
        generation: Some(generation),
    };
    Member {
        owned: TopicPartitions::from([(topic.to_owned(), numbers.to_vec())]),
        generation: Some(generation),
        user_data: data.encode(),
        ..Member::new(id, ["t", "u"])
    }
}

#[rstest]
#[case::partitions_beyond_the_last("t", &[0, 4, 5, 2_147_483_647])]
#[case::negative_partitions("t", &[-1, -2_147_483_648, 1])]
#[case::a_partition_twice("t", &[1, 1, 0, 1])]
#[case::a_deleted_topic("gone", &[0, 1, 2])]
#[case::a_topic_without_partitions("empty", &[0])]
#[case::a_topic_nobody_subscribes_to("lonely", &[0, 1])]
#[case::a_nameless_topic("", &[0])]
fn what_cannot_be_had_is_not_kept(#[case] topic: &str, #[case] numbers: &[i32]) {
    let topics = Topics::new()
        .with("t", 4)
        .with("u", 3)
        .with("empty", 0)
        .with("lonely", 2);
    for generation in [i32::MIN, -1, 0, 1, i32::MAX] {
        answers(
            &topics,
            &[
                claiming("a", topic, numbers, generation),
                claiming("b", "u", &[0], 1),
            ],
        );
        let unequal = Member {
            topics: vec!["u".to_owned()],
            ..claiming("c", topic, numbers, 1)
        };
        answers(
            &topics,
            &[claiming("a", topic, numbers, generation), unequal],
        );
    }
}

/// Of several claims to one partition the newest wins. Among equally new ones Java believes nobody and aiokafka the
/// first listed, or in generation 0 the last.
#[rstest]
#[case::newer_second([3, 4], ["b", "b"])]
#[case::newer_first([4, 3], ["a", "a"])]
#[case::no_generation_is_the_oldest([-1, 0], ["b", "b"])]
fn the_newest_claim_wins(#[case] generations: [i32; 2], #[case] expected: [&str; 2]) {
    let topics = Topics::new().with("t", 2);
    let members = [
        claiming("a", "t", &[1], generations[0]),
        claiming("b", "t", &[1], generations[1]),
    ];
    let [_, _, java, aiokafka, _] = answers(&topics, &members);
    let owner = |owners: &Owners| members[owners["t"][1][0]].id.clone();
    assert_eq!([owner(&java), owner(&aiokafka)], expected);
}

#[rstest]
#[case(7, "b")]
#[case(0, "a")]
fn as_aiokafka_one_of_several_equally_new_claims_counts(#[case] generation: i32, #[case] id: &str) {
    let topics = Topics::new().with("t", 2);
    let members = [
        claiming("b", "t", &[1], generation),
        claiming("a", "t", &[1], generation),
    ];
    let [_, _, _, aiokafka, _] = answers(&topics, &members);
    assert_eq!(members[aiokafka["t"][1][0]].id, id);
}

/// A topic that somebody repeats counts as having another possible owner, as in Java 4.1.1 and aiokafka 0.14.0, whose
/// answer this is.
#[test]
fn a_repeated_topic_comes_later() {
    let counts = [
        ("-", 4),
        (".99-0", 2),
        ("._B", 1),
        (".bA-", 1),
        ("9.1", 5),
        ("aA9baA", 3),
    ];
    let topics = counts
        .into_iter()
        .fold(Topics::new(), |topics, (name, count)| {
            topics.with(name, count)
        });
    let members = [
        Member::new("c00", ["-", ".99-0", ".bA-", "9.1"]),
        Member::new(
            "c01",
            ["-", ".99-0", "._B", ".bA-", "9.1", "aA9baA", ".bA-", ".bA-"],
        ),
    ];
    let [_, _, java, aiokafka, _] = answers(&topics, &members);
    let owners = |topic: &str| java[topic].iter().map(|slot| slot[0]).collect::<Vec<_>>();
    assert_eq!(
        (owners(".bA-"), owners("9.1")),
        (vec![1], vec![0, 1, 0, 1, 0])
    );
    assert_eq!(java, aiokafka);
}

/// aiokafka moves nothing of what it has just given out when somebody claims a partition of a topic that nobody
/// subscribes to any more; Java does not look at such claims. Both answers are theirs (4.1.1, 0.14.0).
#[test]
fn as_aiokafka_an_orphaned_claim_is_a_revocation() {
    let topics = Topics::new()
        .with("t0", 3)
        .with("t1", 3)
        .with("t2", 1)
        .with("t3", 3)
        .with("orphan", 2);
    let subscribing = |member: Member, topics: &[&str]| Member {
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        ..member
    };
    let members = [
        Member::new("A1A0b0", ["t0"]),
        subscribing(claiming("9-BaA", "t1", &[1], 3), &["t1", "t0", "t3"]),
        Member::new("B0", ["t0"]),
        Member::new("_00Aaa", ["t1"]),
        subscribing(claiming("1b-A-", "orphan", &[0], 3), &["t2", "t3"]),
    ];
    let [_, _, java, aiokafka, _] = answers(&topics, &members);
    assert_eq!(java["t1"], [[3], [1], [3]]);
    assert_eq!(aiokafka["t1"], [[3], [3], [1]]);
}

#[test]
fn members_of_one_id_are_still_several() {
    let topics = Topics::new().with("t", 4).with("u", 3);
    for [a, b] in [["a", "a"], ["", ""]] {
        let members = [
            claiming(a, "t", &[0, 1], 2),
            claiming(b, "t", &[1, 2], 2),
            Member::new(a, ["u"]),
        ];
        for owners in answers(&topics, &members) {
            let given: BTreeSet<usize> = owners.into_values().flatten().flatten().collect();
            assert_eq!(given, BTreeSet::from([0, 1, 2]));
        }
    }
}

/// A static member keeps its place under whatever member id it comes back.
#[test]
fn static_members_may_swap_member_ids() {
    let topics = Topics::new().with("t", 5).with("u", 3);
    let member = |id: &str, instance: &str| Member {
        instance_id: Some(instance.to_owned()),
        ..Member::new(id, ["t", "u"])
    };
    let before = answers(&topics, &[member("1", "x"), member("2", "y")]);
    let after = answers(&topics, &[member("2", "x"), member("1", "y")]);
    assert_eq!(before[..2], after[..2], "range and round robin");
    let same = answers(&topics, &[member("1", "x"), member("2", "x")]);
    assert_eq!(
        before[..2],
        same[..2],
        "one instance id twice: by member id"
    );
}

#[test]
fn racks_may_be_missing_here_and_there() {
    let racks = |partitions: &[&[&str]]| {
        Topic::with_racks(partitions.iter().map(|racks| racks.iter().copied()))
    };
    let topics: Topics = [
        ("t", racks(&[&["a"], &[], &["b", "b"], &["c"]])),
        ("u", Topic::new(3)),
    ]
    .into_iter()
    .collect();
    let member = |id: &str, rack: Option<&str>| Member {
        rack: rack.map(str::to_owned),
        ..Member::new(id, ["t", "u"])
    };
    for racks in [
        [Some("a"), None],
        [Some(""), Some("b")],
        [Some("elsewhere"), Some("c")],
    ] {
        let members = [member("m", racks[0]), member("n", racks[1])];
        let [range, ..] = answers(&topics, &members);
        assert!(racks[1] != Some("b") || range["t"][2] == [1], "{range:?}");
    }
}

/// Bytes cut anywhere are no claim, until all of the partitions are there.
#[test]
fn truncated_user_data_is_no_claim() {
    let topics = Topics::new().with("t", 4);
    let whole = claiming("a", "t", &[3], 5);
    let bytes = whole.user_data.clone().unwrap();
    for length in 0..=bytes.len() {
        let cut = Member {
            user_data: Some(bytes[..length].to_vec()),
            topics: vec!["t".to_owned()],
            ..whole.clone()
        };
        let other = Member::new("b", ["t"]);
        let [_, _, java, aiokafka, _] = answers(&topics, &[cut, other]);
        let is_claim = |owners: &Owners| owners["t"][3] == [0];
        assert_eq!(
            is_claim(&java),
            length >= bytes.len() - 4,
            "{length} bytes, Java"
        );
        assert_eq!(
            is_claim(&aiokafka),
            length == bytes.len(),
            "{length} bytes, aiokafka"
        );
    }
}

const NAMES: [&str; 5] = ["", "a", "b", "\u{1F600}", "\u{FF5E}"];

fn any_member() -> impl Strategy<Value = Member> {
    let name = || select(NAMES.to_vec()).prop_map(str::to_owned);
    let numbers = prop::collection::vec(prop_oneof![-1..9, any::<i32>()], 0..5);
    let owned = prop::collection::btree_map(name(), numbers, 0..4);
    let bytes = prop_oneof![
        any::<Option<Vec<u8>>>(),
        (owned.clone(), any::<Option<i32>>(), any::<Index>()).prop_map(
            |(owned, generation, cut)| {
                let partitions = owned
                    .into_iter()
                    .map(|(topic, numbers)| (topic.into(), numbers))
                    .collect();
                let mut bytes = StickyUserData {
                    partitions,
                    generation,
                }
                .encode()?;
                bytes.truncate(cut.index(bytes.len() * 3));
                Some(bytes)
            }
        ),
    ];
    (
        name(),
        prop::option::of(name()),
        prop::option::of(name()),
        prop::collection::vec(name(), 0..5),
        owned,
        prop::option::of(prop_oneof![-2..4, any::<i32>()]),
        bytes,
    )
        .prop_map(
            |(id, instance_id, rack, topics, owned, generation, user_data)| Member {
                id,
                instance_id,
                rack,
                topics,
                owned,
                generation,
                user_data,
            },
        )
}

fn any_topics() -> impl Strategy<Value = Topics> {
    let racks =
        prop::collection::vec(subsequence(NAMES.to_vec(), 0..=3), 0..7).prop_map(Topic::with_racks);
    let topic = prop_oneof![(0..7u32).prop_map(Topic::new), racks];
    prop::collection::btree_map(select(NAMES.to_vec()), topic, 0..=NAMES.len())
        .prop_map(|topics| topics.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn anything_at_all_is_assigned(topics in any_topics(), members in prop::collection::vec(any_member(), 0..9)) {
        answers(&topics, &members);
    }
}
