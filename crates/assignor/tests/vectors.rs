//! The assignors against the answers of two reference implementations.
//!
//! The vectors are read from `tests/vectors`, or from the directory that `OTTLA_ASSIGNOR_VECTORS` names. Each test
//! prints one line per file: how many cases ran and how many were compared exactly.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use ottla_assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, Member, RangeAssignor, RoundRobinAssignor,
    StickyAssignor, StickyUserData,
};
use rstest::rstest;
use serde_json::{Value, json};
use support::case::{Answer, Case, Expected, Measures, array, bytes, cases, owned, read, text};
use support::measure::{
    Claim, Owners, is_balanced, is_valid, kept_and_moved, newest_claimants, owners, score,
};

/// What became of one file's cases.
#[derive(Default)]
struct Tally {
    ran: usize,
    java: usize,
    aiokafka: usize,
}

impl Tally {
    /// Past the capture of test output: the figures belong in every log.
    fn print(&self, file: &str) {
        let Self {
            ran,
            java,
            aiokafka,
        } = self;
        let line = format!(
            "{file}: {ran} cases ran, exactly compared: {java} with Java, {aiokafka} with aiokafka\n"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

fn answer(assignor: &dyn Assignor, case: &Case, members: &[Member]) -> Owners {
    let assignments = assignor.assign(&case.topics, members).unwrap();
    let owners = owners(&case.topics, members, &assignments);
    assert!(
        is_valid(&case.topics, members, &owners),
        "{}: {owners:?}",
        case.name
    );
    owners
}

/// Where aiokafka's answer differs from Java's by design: it does not see instance ids and orders ids by code points,
/// which may put the members in another order, and its range counts a repeated topic twice.
fn aiokafka_differs(assignor: &dyn Assignor, members: &[Member]) -> bool {
    let ids = |key: fn(&Member) -> (bool, Vec<u16>)| {
        let mut sorted: Vec<&Member> = members.iter().collect();
        sorted.sort_by_key(|member| key(member));
        sorted
            .into_iter()
            .map(|member| member.id.as_str())
            .collect::<Vec<_>>()
    };
    let java = ids(|member| match &member.instance_id {
        Some(instance) => (false, instance.encode_utf16().collect()),
        None => (true, member.id.encode_utf16().collect()),
    });
    let mut aiokafka: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    aiokafka.sort_unstable();
    let repeats =
        |member: &Member| member.topics.iter().collect::<BTreeSet<_>>().len() < member.topics.len();
    java != aiokafka || assignor.name() == "range" && members.iter().any(repeats)
}

/// Runs a stateless assignor's cases, each compared with Java wherever it answers and with aiokafka where it does not
/// differ by design, or answers as Java does all the same.
fn check_stateless(assignor: &dyn Assignor, file: &str) {
    let mut tally = Tally::default();
    for case in cases_of(assignor, file) {
        let owners = answer(assignor, &case, &case.members);
        tally.ran += 1;
        let mut java_answers = None;
        if let Some(Expected::Answer(java)) = &case.java {
            assert_eq!(owners, java.owners, "{file}, {}: Java", case.name);
            tally.java += 1;
            java_answers = Some(&java.owners);
        }
        if let Some(Expected::Answer(aiokafka)) = &case.aiokafka
            && (java_answers == Some(&aiokafka.owners)
                || !aiokafka_differs(assignor, &case.members))
        {
            assert_eq!(owners, aiokafka.owners, "{file}, {}: aiokafka", case.name);
            tally.aiokafka += 1;
        }
    }
    tally.print(&format!("{file} ({})", assignor.name()));
}

/// A file's cases for one assignor: files with a field for it hold several's.
fn cases_of(assignor: &dyn Assignor, file: &str) -> Vec<Case> {
    let is_its = |case: &Case| {
        let name = case.assignor.as_deref();
        name.is_none_or(|name| name == assignor.name())
    };
    let cases: Vec<Case> = cases(file).into_iter().filter(is_its).collect();
    assert!(!cases.is_empty(), "{file} has cases of {}", assignor.name());
    cases
}

#[test]
fn range() {
    check_stateless(&RangeAssignor::new(), "range.json");
}

#[test]
fn range_with_racks() {
    check_stateless(&RangeAssignor::new(), "range-racks.json");
}

#[test]
fn range_large() {
    check_stateless(&RangeAssignor::new(), "large.json");
}

#[test]
fn round_robin() {
    check_stateless(&RoundRobinAssignor::new(), "roundrobin.json");
}

#[test]
fn round_robin_large() {
    check_stateless(&RoundRobinAssignor::new(), "large.json");
}

/// Members as the eager assignor hears of them: claims are in the user data.
fn members_of_sticky(case: &Case) -> Vec<Member> {
    let with_claim = |(member, claim): (&Member, &Option<Claim>)| {
        let mut member = member.clone();
        if let Some(Claim { owned, generation }) = claim {
            let partitions = owned.iter();
            let data = StickyUserData {
                partitions: partitions
                    .map(|(topic, numbers)| (topic.into(), numbers.clone()))
                    .collect(),
                generation: Some(generation.unwrap_or(-1)),
            };
            member.user_data = data.encode();
        }
        member
    };
    let members = case.members.iter();
    members.zip(&case.claims).map(with_claim).collect()
}

/// Members as the cooperative assignor hears of them: as much of a claim as their version of the subscription holds,
/// and its generation in the user data.
fn members_of_cooperative_sticky(case: &Case) -> Vec<Member> {
    let with_claim = |((member, claim), &version): ((&Member, &Option<Claim>), &i64)| {
        let mut member = member.clone();
        if let Some(Claim { owned, generation }) = claim {
            if version >= 1 {
                member.owned = owned.clone();
            }
            member.generation = generation.filter(|_| version >= 2);
            let memory = CooperativeStickyAssignor::new();
            memory.on_assignment(&Assignment::default(), generation.unwrap_or(-1));
            member.user_data = memory.user_data(&[]);
        }
        member
    };
    let members = case.members.iter().zip(&case.claims);
    members.zip(&case.versions).map(with_claim).collect()
}

/// The measures of an assignment: valid, balanced, the score, what was kept and what was moved.
fn measure(case: &Case, owners: &Owners) -> Measures {
    let raw = |member: &Member| member.user_data.is_some();
    let claims = case.claims.iter().cloned().map(Option::unwrap_or_default);
    let claims: Vec<Claim> = claims.collect();
    Measures {
        valid: is_valid(&case.topics, &case.members, owners),
        balanced: is_balanced(&case.members, owners),
        score: score(&case.members, owners),
        kept_and_moved: (!case.members.iter().any(raw))
            .then(|| kept_and_moved(&case.topics, &case.members, &claims, owners)),
    }
}

/// Compares what an answer aims at with a reference's, by the rules of the vectors' own page. Returns whether exactly.
fn check_sticky(case: &Case, target: &Owners, reference: &Answer) -> bool {
    let name = &case.name;
    let theirs = reference.measures.as_ref().unwrap();
    let measured = measure(case, &reference.target);
    assert_eq!(&measured, theirs, "{name}: the yardstick");
    if !theirs.valid {
        return false;
    }
    if reference.exact && !reference.unwithheld {
        assert_eq!(target, &reference.target, "{name}");
        return true;
    }
    let ours = measure(case, target);
    assert!(ours.score <= theirs.score, "{name}: score");
    if let (Some((kept, moved)), Some(theirs)) = (ours.kept_and_moved, theirs.kept_and_moved) {
        assert_eq!(kept + moved, theirs.0 + theirs.1, "{name}: claims counted");
        assert!(moved <= theirs.1, "{name}: {moved} moved, not {}", theirs.1);
    }
    false
}

/// Whether aiokafka draws lots: with equal subscriptions, a member's partitions that had an older claimant are taken from
/// a set in the order of string hashes, so that with two of them the answer may differ between processes. A case is
/// recorded as exact if a few processes agreed, which they also do by chance: `random-45/aiokafka/3` has three answers
/// under eight hash seeds.
fn draws_lots(case: &Case) -> bool {
    let topics = |member: &Member| member.topics.iter().cloned().collect::<BTreeSet<_>>();
    let alike = |pair: &[Member]| topics(&pair[0]) == topics(&pair[1]);
    if !case.members.windows(2).all(alike) {
        return false;
    }
    let claims = case.claims.iter().cloned().map(Option::unwrap_or_default);
    let claims: Vec<Claim> = claims.collect();
    let mut claimed_again = vec![0; claims.len()];
    for ((topic, number), newest) in newest_claimants(&claims) {
        let claims_it = |claim: &&Claim| {
            let numbers = claim.owned.get(&topic);
            numbers.is_some_and(|numbers| numbers.contains(&number))
        };
        if claims.iter().filter(claims_it).count() > newest.len() {
            newest
                .into_iter()
                .for_each(|member| claimed_again[member] += 1);
        }
    }
    claimed_again.into_iter().any(|partitions| partitions > 1)
}

#[rstest]
#[case("sticky.json")]
#[case("sticky-rounds.json")]
#[case("sticky-racks.json")]
#[case("large.json")]
fn sticky(#[case] file: &str) {
    let assignor = StickyAssignor::new();
    let mut tally = Tally::default();
    for case in cases_of(&assignor, file) {
        let members = members_of_sticky(&case);
        let owners = answer(&assignor, &case, &members);
        assert!(is_balanced(&members, &owners), "{}: {owners:?}", case.name);
        tally.ran += 1;
        if let Some(Expected::Answer(java)) = &case.java {
            tally.java += usize::from(check_sticky(&case, &owners, java));
        }
    }
    tally.print(&format!("{file} (sticky)"));
}

/// The racks' file has no answers of aiokafka's: it does not look at racks.
#[rstest]
#[case("sticky.json")]
#[case("sticky-rounds.json")]
#[case("large.json")]
fn sticky_as_aiokafka(#[case] file: &str) {
    let assignor = StickyAssignor::as_aiokafka();
    let mut tally = Tally::default();
    for mut case in cases_of(&assignor, file) {
        // Its metadata hides internal topics; where somebody subscribes to one, it fails.
        let is_visible = |name: &str| !case.internal.iter().any(|internal| internal == name);
        if let Some(Expected::Answer(_)) = &case.aiokafka {
            let topics = case.topics.iter();
            case.topics = topics
                .filter(|(name, _)| is_visible(name))
                .map(|(name, topic)| (name, topic.clone()))
                .collect();
        }
        let members = members_of_sticky(&case);
        let owners = answer(&assignor, &case, &members);
        assert!(is_balanced(&members, &owners), "{}: {owners:?}", case.name);
        tally.ran += 1;
        if let Some(Expected::Answer(mut aiokafka)) = case.aiokafka.take() {
            // Another draw is no more than an answer that is not exact: all its measures are still held to.
            aiokafka.exact &= owners == aiokafka.target || !draws_lots(&case);
            tally.aiokafka += usize::from(check_sticky(&case, &owners, &aiokafka));
        }
    }
    tally.print(&format!("{file} (sticky as aiokafka)"));
}

/// Everything but what others hold is handed over, and nothing that others hold: whoever claims a partition in the
/// highest generation holds it, as far as the assignor was told.
fn assert_withholds_what_others_hold(
    case: &Case,
    members: &[Member],
    owners: &Owners,
    target: &Owners,
) {
    let heard = |(member, claim): (&Member, &Option<Claim>)| Claim {
        owned: member.owned.clone(),
        generation: claim.as_ref().and_then(|claim| claim.generation),
    };
    let claims: Vec<Claim> = members.iter().zip(&case.claims).map(heard).collect();
    let holders = newest_claimants(&claims);
    for (topic, slots) in target {
        for (number, aimed) in (0..).zip(slots) {
            let given = &owners[topic][usize::try_from(number).unwrap()];
            let held = holders.get(&(topic.clone(), number));
            let by_other =
                held.is_some_and(|held| held.iter().any(|holder| !aimed.contains(holder)));
            let by_owner =
                held.is_some_and(|held| held.iter().any(|holder| aimed.contains(holder)));
            let place = format!("{}: {topic}-{number}: {aimed:?}, {held:?}", case.name);
            assert!(given.is_empty() || given == aimed, "{place}: {given:?}");
            assert!(by_other || given == aimed, "{place}: withheld for nobody");
            assert!(!by_other || by_owner || given.is_empty(), "{place}: held");
        }
    }
}

#[rstest]
#[case("cooperative-sticky.json")]
#[case("cooperative-sticky-rounds.json")]
#[case("sticky-racks.json")]
#[case("large.json")]
fn cooperative_sticky(#[case] file: &str) {
    let assignor = CooperativeStickyAssignor::new();
    let mut tally = Tally::default();
    for case in cases_of(&assignor, file) {
        let (name, members) = (&case.name, members_of_cooperative_sticky(&case));
        let given = assignor.assign(&case.topics, &members).unwrap();
        let given = owners(&case.topics, &members, &given);
        let target = assignor.target(&case.topics, &members);
        let target = owners(&case.topics, &members, &target);
        assert!(
            is_valid(&case.topics, &members, &target),
            "{name}: {target:?}"
        );
        assert!(is_balanced(&members, &target), "{name}: {target:?}");
        assert_withholds_what_others_hold(&case, &members, &given, &target);
        tally.ran += 1;
        if let Some(Expected::Answer(java)) = &case.java
            && check_sticky(&case, &target, java)
        {
            assert_eq!(given, java.owners, "{name}");
            tally.java += 1;
        }
    }
    tally.print(&format!("{file} (cooperative-sticky)"));
}

/// The user data of the sticky assignors is written byte for byte as the references write it, and read.
#[test]
fn wire() {
    let file = read("wire.json");
    let (mut ran, mut java, mut aiokafka) = (0, 0, 0);
    for case in array(&file["cases"]) {
        let name = text(&case["name"]);
        let generation = || i32::try_from(case["generation"].as_i64().unwrap()).unwrap();
        let assignor: Box<dyn Assignor> = match text(&case["kind"]) {
            "sticky-user-data" => Box::new(StickyAssignor::new()),
            "cooperative-sticky-user-data" => Box::new(CooperativeStickyAssignor::new()),
            // The subscription and the assignment around it are the protocol's.
            "subscription" | "assignment" => continue,
            other => panic!("{name}: {other}"),
        };
        let partitions = case["owned"].as_object().map(owned).unwrap_or_default();
        assignor.on_assignment(&Assignment::from(partitions.clone()), generation());
        let written = assignor.user_data(&[]).unwrap();
        ran += 1;
        assert_eq!(written, bytes(text(&case["hex"])), "{name}: Java");
        java += 1;
        if let Some(hex) = case["hex_aiokafka"].as_str() {
            assert_eq!(written, bytes(hex), "{name}: aiokafka");
            aiokafka += 1;
        }
        if assignor.name() == "sticky" {
            let data = StickyUserData::decode(&written).unwrap();
            assert_eq!(data.generation, Some(generation()), "{name}");
            let read = data.partitions.into_iter();
            let read: BTreeMap<String, Vec<i32>> = read
                .map(|(topic, numbers)| (topic.into_owned(), numbers))
                .collect();
            assert_eq!(read, partitions, "{name}");
        }
    }
    assert!(ran > 0);
    let tally = Tally {
        ran,
        java,
        aiokafka,
    };
    tally.print("wire.json (user data)");
}

/// An operation on an ordered set, answered by a standard one.
fn apply(set: &mut BTreeSet<Element>, name: &str, argument: &Value) -> Value {
    let error = || json!({"error": "KeyError"});
    let show = |element: Option<&Element>| element.map_or(Value::Null, Element::show);
    match name {
        "len" => json!(set.len()),
        "is_empty" => json!(set.is_empty()),
        "first" => show(set.first()),
        "last" => show(set.last()),
        "iter" => set.iter().map(Element::show).collect(),
        "contains" => json!(set.contains(&Element::read(argument))),
        "add" => {
            set.insert(Element::read(argument));
            Value::Null
        }
        "pop_last" => set.pop_last().map_or_else(error, |element| element.show()),
        "remove" => {
            if set.remove(&Element::read(argument)) {
                Value::Null
            } else {
                error()
            }
        }
        other => panic!("an operation {other}"),
    }
}

/// A number, or a size and a name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Element {
    Number(i64),
    Pair(i64, String),
}

impl Element {
    fn read(value: &Value) -> Self {
        match value.as_i64() {
            Some(number) => Self::Number(number),
            None => Self::Pair(value[0].as_i64().unwrap(), text(&value[1]).to_owned()),
        }
    }

    fn show(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Pair(size, name) => json!([size, name]),
        }
    }
}

/// A standard collection serves as the ordered set that sticky balancing rests on.
#[test]
fn sorted_set() {
    let file = read("sorted-set.json");
    let cases = array(&file["cases"]);
    for case in cases {
        let mut set: BTreeSet<Element> = array(&case["init"]).iter().map(Element::read).collect();
        for (op, expected) in array(&case["ops"]).iter().zip(array(&case["results"])) {
            let result = apply(&mut set, text(&op[0]), &op[1]);
            assert_eq!(&result, expected, "{}: {op}", case["name"]);
        }
    }
    assert!(!cases.is_empty());
    Tally {
        ran: cases.len(),
        ..Tally::default()
    }
    .print("sorted-set.json (all results equal)");
}
