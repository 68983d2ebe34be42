//! Leading a group.

use std::sync::Arc;
use std::time::Duration;

use ottla_assignor::{
    AssignError, Assignment, Assignor, CooperativeStickyAssignor, Member, RebalanceProtocol, Topic,
    TopicPartitions, Topics,
};
use ottla_codec::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition,
};
use ottla_codec::messages::join_group::{JoinGroupResponse, JoinGroupResponseMember};
use ottla_codec::{ErrorCode, encode_prefixed};
use rstest::rstest;

use super::rig::*;
use crate::membership::{Config, Failure, Plan, State, Step, envelope};

/// An assignor that answers what it is told to.
struct Dictated {
    protocols: &'static [RebalanceProtocol],
    answer: fn(&[Member]) -> Result<Vec<Assignment>, AssignError>,
}

impl Assignor for Dictated {
    fn name(&self) -> &str {
        "dictated"
    }

    fn supported_protocols(&self) -> &[RebalanceProtocol] {
        self.protocols
    }

    fn assign(&self, _: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        (self.answer)(members)
    }
}

fn given(partitions: &[i32]) -> Assignment {
    TopicPartitions::from([("t".to_owned(), partitions.to_vec())]).into()
}

fn one_t(partitions: u32) -> Topics {
    Topics::new().with("t", partitions)
}

/// Plans with these topics, and hands the plan in.
fn plan(rig: &mut Rig, step: Step, topics: Topics) -> Result<Plan, Failure> {
    let Step::Plan { token, planning } = step else {
        panic!("{step:?}");
    };
    assert_eq!(rig.member.state().0, State::Planning);
    rig.member
        .planned(token, planning.run(topics.clone()), rig.now);
    planning.run(topics)
}

/// A leader "m" of one more member, "n", both of "t".
fn leading(config: Config, assignors: Vec<Arc<dyn Assignor>>) -> (Rig, Step) {
    let mut rig = Rig::new(config, assignors);
    rig.subscribe(&["t"]);
    rig.find(1);
    let members = vec![subscribed("m", &["t"]), subscribed("n", &["t", "u"])];
    let step = rig.join_as_leader(1, members);
    (rig, step)
}

fn stable(config: Config, topics: Topics) -> Rig {
    let (mut rig, step) = leading(config, range());
    plan(&mut rig, step, topics).unwrap();
    rig.sync(&[0, 1]);
    rig.assigned(&[0, 1], &[0, 1]);
    rig
}

#[test]
fn the_leader_plans_for_everybody() {
    let (mut rig, step) = leading(config(), range());
    let Step::Plan { planning, .. } = &step else {
        panic!("{step:?}");
    };
    assert_eq!(*planning.topics(), topics(&["t", "u"]));
    assert_eq!(planning.members().len(), 2);
    // "u" does not exist, and keeps nobody waiting.
    plan(&mut rig, step, one_t(3)).unwrap();
    let sync = rig.sync(&[0, 1]);
    let assignments = sync.request.assignments.iter();
    let shares: Vec<_> = assignments
        .map(|share| {
            let said = envelope::decode_assignment(&share.assignment).unwrap();
            (share.member_id.as_str(), said.partitions["t"].clone())
        })
        .collect();
    assert_eq!(shares, [("m", vec![0, 1]), ("n", vec![2])]);
    assert_eq!(sync.request.protocol_name.as_deref(), Some("range"));
    rig.assigned(&[0, 1], &[0, 1]);
    assert_eq!(rig.member.watched(), Some(&topics(&["t", "u"])));
}

#[rstest]
#[case::nothing_new(one_t(4), false)]
#[case::of_no_interest(one_t(4).with("v", 1), false)]
#[case::more_partitions(one_t(5), true)]
#[case::a_topic_created(one_t(4).with("u", 1), true)]
#[case::o21_a_topic_deleted(Topics::new(), true)]
fn the_leader_watches_partitions(#[case] now: Topics, #[case] rebalances: bool) {
    let mut rig = stable(config(), one_t(4));
    rig.member.metadata(&one_t(4), rig.now);
    rig.quiet();
    rig.member.metadata(&now, rig.now);
    if rebalances {
        let revocation = rig.revocation();
        rig.member.revoked(revocation.token, rig.now);
        rig.join();
    } else {
        rig.quiet();
    }
}

#[rstest]
#[case::without_a_rack(None, false)]
#[case::with_a_rack(Some("a"), true)]
fn racks_count_if_the_leader_has_one(#[case] rack: Option<&str>, #[case] rebalances: bool) {
    let topics = |racks: &[&str]| {
        let mut topics = Topics::new();
        topics.insert("t", Topic::with_racks([racks.iter().copied()]));
        topics
    };
    let rack = rack.map(str::to_owned);
    let mut rig = stable(Config { rack, ..config() }, topics(&["a", "b"]));
    rig.member.metadata(&topics(&["b", "a", "a"]), rig.now);
    rig.quiet();
    rig.member.metadata(&topics(&["a", "c"]), rig.now);
    assert_eq!(matches!(rig.step(), Step::Revoke(_)), rebalances);
}

#[test]
fn metadata_that_changes_while_the_leader_plans_is_not_forgotten() {
    let (mut rig, step) = leading(config(), range());
    plan(&mut rig, step, one_t(2)).unwrap();
    rig.member.metadata(&one_t(3), rig.now);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
    rig.revocation();
}

#[test]
fn who_does_not_lead_watches_nothing() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    assert_eq!(rig.member.watched(), None);
    rig.member.metadata(&one_t(9), rig.now);
    rig.quiet();
}

#[rstest]
#[case::eager(range(), &[])]
#[case::cooperative(cooperative(), &[1])]
fn a_static_leader_that_comes_back_plans_anew(
    #[case] assignors: Vec<Arc<dyn Assignor>>,
    #[case] holds: &[i32],
) {
    let mut rig = Rig::new(static_config(), assignors);
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    let answer = JoinGroupResponse {
        leader: "m".to_owned(),
        skip_assignment: true,
        members: vec![subscribed("m", &["t"]), subscribed("n", &["u"])],
        ..rig.follower(4)
    };
    rig.joined(&join, &answer);
    assert_eq!(rig.sync(&[1]).request.assignments, []);
    if !holds.is_empty() {
        rig.assigned(&[1], &[1]);
    }
    // Nobody can tell which partitions there were when that was planned.
    assert_eq!(claimed(&rig.join()).0, holds);
}

#[test]
fn a_rebalance_that_begins_while_the_leader_plans_is_what_its_sync_learns() {
    let (mut rig, step) = leading(config(), range());
    // Coordinators before KAFKA-10134 say so although nothing has begun.
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.quiet();
    let Step::Plan { token, planning } = step else {
        panic!("{step:?}");
    };
    rig.member.planned(token, planning.run(one_t(1)), rig.now);
    rig.sync_refused(ErrorCode::RebalanceInProgress);
    rig.join();
}

#[rstest]
#[case::dynamic(config())]
#[case::fixed(static_config())]
fn a_leader_whose_assignor_fails_leaves_the_group_to_others(#[case] config: Config) {
    let failing = Dictated {
        protocols: &[RebalanceProtocol::Eager],
        answer: |_| Err(AssignError::new("no idea")),
    };
    let (mut rig, step) = leading(config, vec![Arc::new(failing)]);
    plan(&mut rig, step, one_t(1)).unwrap_err();
    match rig.step() {
        Step::Failed(failure @ Failure::Assign { .. }) => {
            assert!(failure.to_string().contains("no idea"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(rig.step(), Step::Leave(_)));
    assert_eq!(rig.member.state().0, State::Leaving);
}

#[test]
fn a_plan_that_no_group_can_live_with_is_refused() {
    let twice = Dictated {
        protocols: &[RebalanceProtocol::Eager],
        answer: |members| Ok(vec![given(&[0]); members.len()]),
    };
    let (mut rig, step) = leading(config(), vec![Arc::new(twice)]);
    let failure = plan(&mut rig, step, one_t(1)).unwrap_err();
    assert!(matches!(failure, Failure::InvalidPlan { .. }));
}

fn claiming(member_id: &str, partitions: &[i32], generation_id: i32) -> JoinGroupResponseMember {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".to_owned()],
        owned_partitions: vec![TopicPartition {
            topic: "t".to_owned(),
            partitions: partitions.to_vec(),
        }],
        generation_id,
        ..Default::default()
    };
    JoinGroupResponseMember {
        member_id: member_id.to_owned(),
        metadata: encode_prefixed(&subscription, 3).unwrap(),
        ..Default::default()
    }
}

#[rstest]
#[case::held(&[RebalanceProtocol::Cooperative], 3, true)]
#[case::remembered(&[RebalanceProtocol::Cooperative], 2, false)]
#[case::eager(&[RebalanceProtocol::Eager], 3, false)]
fn nothing_is_handed_over_before_it_is_given_up(
    #[case] protocols: &'static [RebalanceProtocol],
    #[case] generation: i32,
    #[case] fails: bool,
) {
    let to_the_first = Dictated {
        protocols,
        answer: |members| {
            let mut all = vec![Assignment::default(); members.len()];
            all[0] = given(&[0, 1]);
            Ok(all)
        },
    };
    let mut rig = Rig::new(config(), vec![Arc::new(to_the_first)]);
    rig.subscribe(&["t"]);
    rig.find(1);
    let members = vec![claiming("m", &[0], 3), claiming("n", &[1], generation)];
    let step = rig.join_as_leader(4, members);
    match plan(&mut rig, step, one_t(2)) {
        Ok(_) => assert!(!fails),
        Err(Failure::HandedOver { from, to, .. }) => {
            assert!(fails);
            assert_eq!((from.as_str(), to.as_str()), ("n", "m"));
        }
        Err(other) => panic!("{other}"),
    }
}

/// A leader "m" that holds nothing, beside "n", which has to give up one of the two partitions it claims.
fn withholding(instance_id: Option<&str>) -> Rig {
    let mut rig = Rig::new(config(), cooperative());
    rig.subscribe(&["t"]);
    rig.find(1);
    withhold(&mut rig, 2, instance_id);
    rig
}

fn withhold(rig: &mut Rig, generation: i32, instance_id: Option<&str>) {
    let other = JoinGroupResponseMember {
        group_instance_id: instance_id.map(str::to_owned),
        ..claiming("n", &[0, 1], generation - 1)
    };
    let step = rig.join_as_leader(generation, vec![subscribed("m", &["t"]), other]);
    plan(rig, step, one_t(2)).unwrap();
    rig.sync(&[]);
    rig.assigned(&[], &[]);
}

/// Goes on for so long, if nothing else happens.
fn beating(rig: &mut Rig, time: Duration) {
    let end = rig.now + time;
    while rig.now + HEARTBEAT < end {
        rig.next_beat(ErrorCode::None);
        rig.quiet();
    }
    rig.now = end;
}

#[test]
fn a_leader_asks_once_for_what_a_static_member_may_have_forgotten_to_give_up() {
    let mut rig = withholding(Some("i"));
    beating(&mut rig, SESSION - SECOND);
    rig.next_beat(ErrorCode::None);
    let reason = rig.join().request.reason.clone().unwrap();
    assert!(reason.contains("nobody's"), "{reason}");
}

#[test]
fn a_leader_does_not_ask_for_ever() {
    let mut rig = withholding(Some("i"));
    beating(&mut rig, SESSION - SECOND);
    rig.next_beat(ErrorCode::None);
    withhold(&mut rig, 3, Some("i"));
    beating(&mut rig, SESSION * 3);
    rig.next_beat(ErrorCode::None);
    // The member has given it up after all: from then on it counts anew.
    rig.member.rejoin("enforced", rig.now);
    let step = rig.join_as_leader(4, vec![subscribed("m", &["t"]), claiming("n", &[0], 3)]);
    plan(&mut rig, step, one_t(2)).unwrap();
    rig.sync(&[1]);
    rig.assigned(&[1], &[1]);
    beating(&mut rig, SESSION * 3);
    assert_eq!(rig.member.recalled, of_t(&[]));
}

#[test]
fn a_leader_leaves_it_to_the_coordinator_to_miss_members_without_names() {
    let mut rig = withholding(None);
    beating(&mut rig, SESSION * 3);
}

#[test]
fn a_leader_asks_for_nothing_in_a_generation_that_is_over() {
    let mut rig = withholding(Some("i"));
    beating(&mut rig, SESSION - SECOND * 5);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let join = rig.join();
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let answer = rig.follower(3);
    rig.joined(&join, &answer);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
    beating(&mut rig, SESSION * 3);
}

#[test]
fn a_subscription_that_cannot_be_read_is_its_members_fault() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let broken = JoinGroupResponseMember {
        metadata: b"\0\0\0"[..].into(),
        ..subscribed("n", &[])
    };
    let step = rig.join_as_leader(1, vec![subscribed("m", &["t"]), broken]);
    assert!(matches!(
        step,
        Step::Failed(Failure::Subscription { member, .. }) if member == "n"
    ));
}

#[test]
fn an_assignor_is_told_what_it_was_given() {
    let assignor = Arc::new(CooperativeStickyAssignor::new());
    let mut rig = Rig::holding(config(), vec![assignor.clone()], &[0]);
    assert_eq!(assignor.user_data(&[]), Some(1_i32.to_be_bytes().to_vec()));
    rig.member.rejoin("enforced", rig.now);
    assert_eq!(
        said(&rig.join()).user_data.unwrap(),
        1_i32.to_be_bytes()[..]
    );
}
