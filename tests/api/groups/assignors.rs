//! What assignors are told, and what becomes of those that misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::assignor::{
    AssignError, Assignment, Assignor, CooperativeStickyAssignor, Member, RangeAssignor,
    RebalanceProtocol, RoundRobinAssignor, StickyAssignor, Topics,
};
use ottla::{Consumer, CpuWork, ErrorKind};
use ottla_codec::messages::join_group::JoinGroupRequest;
use rstest::rstest;
use tokio::time::{Instant, sleep, timeout};

use super::subject::{Running, SESSION, Subject, next, shared_out, try_next, with_strategy};
use crate::support::{PATIENCE, fake};

/// Where an assignor goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    PanicsAssigning,
    PanicsDescribing,
    PanicsOnAssignment,
    /// Fewer answers than members.
    TooFew,
    /// A partition that does not exist.
    NoPartition,
    /// A topic nobody subscribes to.
    NoTopic,
    /// A partition for two.
    Twice,
    /// A partition that another member has not given up.
    HandsOver,
}

/// Goes wrong as often as it is told to.
struct Faulty {
    wrong: Wrong,
    left: AtomicU32,
}

impl Faulty {
    fn is_wrong(&self, wrong: Wrong) -> bool {
        let next = |left: u32| left.checked_sub(1);
        self.wrong == wrong && self.left.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

impl Assignor for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn supported_protocols(&self) -> &[RebalanceProtocol] {
        match self.wrong {
            Wrong::HandsOver => &[RebalanceProtocol::Cooperative],
            _ => &[RebalanceProtocol::Eager],
        }
    }

    fn user_data(&self, _: &[String]) -> Option<Vec<u8>> {
        assert!(!self.is_wrong(Wrong::PanicsDescribing), "describing");
        None
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        assert!(!self.is_wrong(Wrong::PanicsAssigning), "assigning");
        let mut all = RangeAssignor::new().assign(topics, members)?;
        let of = |topic: &str, partition| BTreeMap::from([(topic.to_owned(), vec![partition])]);
        if self.is_wrong(Wrong::TooFew) {
            all.pop();
        } else if self.is_wrong(Wrong::NoPartition) {
            all[0].partitions = of("t", 77);
        } else if self.is_wrong(Wrong::NoTopic) {
            all[0].partitions = of("elsewhere", 0);
        } else if self.is_wrong(Wrong::Twice) {
            all[0].partitions = BTreeMap::from([("t".to_owned(), vec![0, 0])]);
        }
        Ok(all)
    }

    fn on_assignment(&self, _: &Assignment, _: i32) {
        assert!(!self.is_wrong(Wrong::PanicsOnAssignment), "on assignment");
    }
}

fn with(subject: &Subject, assignors: impl IntoIterator<Item = Arc<dyn Assignor>>) -> Consumer {
    let consumer = subject.consumer(|builder| builder.assignors(assignors));
    consumer.subscribe(["t"]).expect("a subscription");
    consumer
}

/// Whatever an assignor does, the reader hears of it at once, and its next call tries again.
#[rstest]
#[tokio::test(start_paused = true)]
async fn an_assignors_fault_is_a_typed_error_and_stops_nobody(
    #[values(
        Wrong::PanicsAssigning,
        Wrong::PanicsDescribing,
        Wrong::PanicsOnAssignment,
        Wrong::TooFew,
        Wrong::NoPartition,
        Wrong::NoTopic,
        Wrong::Twice
    )]
    wrong: Wrong,
    #[values(CpuWork::Inline, CpuWork::Delayed)] cpu_work: CpuWork,
) {
    let mut subject = Subject::fake(2).await;
    let client = fake::client_of(subject.cluster()).cpu_work(cpu_work);
    subject.client = client.build().expect("a client");
    subject.fill(2, 1).await;
    let left = 2.into();
    let mut consumer = with(&subject, [Arc::new(Faulty { wrong, left }) as _]);
    for _ in 0..2 {
        let began = Instant::now();
        let error = try_next(&mut consumer).await.expect_err("it went wrong");
        assert!(
            matches!(error.kind(), ErrorKind::AssignmentFailed { reason } if reason.contains("faulty")),
            "{error}"
        );
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(!error.is_fatal());
    }
    next(&mut consumer).await;
    subject.assert_clean().await;
}

/// Where the leader hands over what its owner still holds, nobody gets anything, and the owner reads on.
#[tokio::test(start_paused = true)]
async fn partitions_that_are_held_are_not_handed_over() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let faulty = || {
        let left = 1.into();
        let wrong = Wrong::HandsOver;
        Arc::new(Faulty { wrong, left }) as Arc<dyn Assignor>
    };
    let mut first = with(&subject, [faulty()]);
    next(&mut first).await;
    let second = with(&subject, [faulty()]);
    let second = tokio::spawn(async move {
        let mut second = second;
        drop(timeout(PATIENCE, second.next()).await);
    });
    let mut failed = None;
    while failed.is_none() {
        failed = try_next(&mut first).await.err();
    }
    let error = failed.expect("it just was");
    assert!(
        matches!(error.kind(), ErrorKind::AssignmentFailed { reason } if reason.contains("still holds")),
        "{error}"
    );
    second.abort();
    subject.assert_clean().await;
}

/// A predicate that panics is an error, and not the end of the consumer.
#[tokio::test(start_paused = true)]
async fn a_predicate_that_panics_is_an_error() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 1).await;
    let mut consumer = subject.consumer(|builder| builder);
    consumer
        .subscribe_matching(|topic| panic!("no idea about {topic}"))
        .expect("a subscription");
    let error = try_next(&mut consumer).await.expect_err("it panicked");
    assert!(error.to_string().contains("predicate"), "{error}");
    consumer
        .subscribe_matching(|topic| topic == "t")
        .expect("a subscription");
    next(&mut consumer).await;
    consumer.close(PATIENCE).await;
    subject.assert_clean().await;
}

/// Remembers what it was told, and leaves the rest to range.
#[derive(Default)]
struct Noting {
    members: Mutex<Vec<Member>>,
    given: Mutex<Vec<(i32, usize)>>,
}

impl Assignor for Noting {
    fn name(&self) -> &str {
        "noting"
    }

    fn user_data(&self, topics: &[String]) -> Option<Vec<u8>> {
        Some(topics.concat().into_bytes())
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        *self.members.lock().expect("no panic") = members.to_vec();
        RangeAssignor::new().assign(topics, members)
    }

    fn on_assignment(&self, assignment: &Assignment, generation: i32) {
        let count = assignment.partitions.values().map(Vec::len).sum();
        self.given
            .lock()
            .expect("no panic")
            .push((generation, count));
    }
}

/// The leader's assignor hears of everybody's lasting names and user data, and every member's of what it was
/// given and in which generation (aiokafka drops the former and never tells the latter, #1176).
#[tokio::test(start_paused = true)]
async fn assignors_are_told_everything() {
    let subject = Subject::fake(4).await;
    let notes: Vec<Arc<Noting>> = (0..2).map(|_| Arc::default()).collect();
    let mut members = Vec::new();
    for (note, name) in notes.iter().zip(["one", "two"]) {
        let own: Arc<dyn Assignor> = note.clone();
        let consumer = subject.consumer(|builder| builder.assignors([own]).group_instance_id(name));
        consumer.subscribe(["t"]).expect("a subscription");
        members.push(Running::new(consumer));
    }
    let handles: Vec<_> = members.iter().map(|member| &member.handle).collect();
    shared_out(&handles, &[2, 2]).await;
    let generation = handles[0].health().generation.expect("a generation");
    for note in &notes {
        let given = note.given.lock().expect("no panic");
        assert_eq!(given.last(), Some(&(generation, 2)), "{given:?}");
    }
    let seen = notes
        .iter()
        .map(|note| note.members.lock().expect("no panic"));
    let mut seen = seen
        .max_by_key(|members| members.len())
        .expect("a leader")
        .clone();
    seen.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    let told: Vec<_> = seen
        .iter()
        .map(|member| (member.instance_id.as_deref(), member.user_data.as_deref()))
        .collect();
    let data = Some(b"t".as_slice());
    assert_eq!(told, [(Some("one"), data), (Some("two"), data)]);
}

/// However many assignors are offered, they are offered at once, in one join (aiokafka sends one join for each, #1168).
#[tokio::test(start_paused = true)]
async fn assignors_are_offered_in_one_join() {
    let subject = Subject::fake(2).await;
    let offers = Arc::new(Mutex::new(Vec::new()));
    let heard = offers.clone();
    let joins = subject.cluster().on::<JoinGroupRequest>();
    let joins = joins.when(move |join| {
        let names = join.protocols.iter().map(|protocol| protocol.name.clone());
        let names = names.collect::<Vec<_>>();
        heard.lock().expect("no panic").push(names);
        false
    });
    joins.always().drop_request();
    let all: [Arc<dyn Assignor>; 3] = [
        Arc::new(RoundRobinAssignor::new()),
        Arc::new(StickyAssignor::new()),
        Arc::new(RangeAssignor::new()),
    ];
    let member = Running::new(with(&subject, all));
    shared_out(&[&member.handle], &[2]).await;
    let offers = offers.lock().expect("no panic").clone();
    let all = ["roundrobin", "sticky", "range"];
    assert!(offers.iter().all(|offer| *offer == all), "{offers:?}");
    // The first one may only be for a member id (KIP-394).
    assert!((1..=2).contains(&offers.len()), "{offers:?}");
}

/// One assignor serves two groups' consumers, and neither remembers the other's partitions (aiokafka keeps what it
/// remembers on the class, #1175).
#[rstest]
#[case(Arc::new(StickyAssignor::new()))]
#[case(Arc::new(CooperativeStickyAssignor::new()))]
#[tokio::test(start_paused = true)]
async fn an_assignor_is_not_confused_by_serving_two_groups(#[case] shared: Arc<dyn Assignor>) {
    let subject = Subject::fake_with(4, |cluster| cluster.topic("u", 4)).await;
    let join = |group: &str, topic: &str| {
        let consumer =
            subject.consumer(|builder| builder.group_id(group).assignors([shared.clone()]));
        consumer.subscribe([topic]).expect("a subscription");
        Running::new(consumer)
    };
    let (t, u) = (join("t-readers", "t"), join("u-readers", "u"));
    shared_out(&[&t.handle], &[4]).await;
    shared_out(&[&u.handle], &[4]).await;
    let (t2, u2) = (join("t-readers", "t"), join("u-readers", "u"));
    shared_out(&[&t.handle, &t2.handle], &[2, 2]).await;
    shared_out(&[&u.handle, &u2.handle], &[2, 2]).await;
    for (member, topic) in [(&t, "t"), (&t2, "t"), (&u, "u"), (&u2, "u")] {
        let assignment = member.handle.assignment();
        assert!(assignment.iter().all(|name| &*name.topic == topic));
    }
    subject.assert_clean().await;
}

/// Cooperative sticky comes to rest, whatever members subscribe to and however they come and go: a group that has
/// nothing more to move rebalances no more.
#[rstest]
#[tokio::test(start_paused = true)]
async fn o07_a_cooperative_group_comes_to_rest(#[values(1, 2, 3, 4, 5, 6)] seed: u64) {
    let subject = Subject::fake_with(5, |cluster| cluster.topic("u", 3).topic("v", 7)).await;
    // Not even rounds without end stop the clock.
    let joins = subject.cluster().on::<JoinGroupRequest>();
    joins.always().delay(Duration::from_millis(20));
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut members: Vec<Running> = Vec::new();
    for _ in 0..8 {
        if members.len() == 4 || (members.len() > 1 && rng.u8(..3) == 0) {
            members.remove(rng.usize(..members.len())).finish().await;
        } else {
            let consumer = subject.consumer(|builder| with_strategy(builder, "cooperative-sticky"));
            let topics = ["t", "u", "v"].into_iter().filter(|_| rng.bool());
            let mut topics: Vec<_> = topics.collect();
            topics.push("t");
            consumer.subscribe(topics).expect("a subscription");
            members.push(Running::new(consumer));
        }
        // Whoever comes or goes while it rebalances is part of it.
        sleep(Duration::from_millis(rng.u64(..3_000))).await;
    }
    let generations = || -> Vec<_> {
        let members = members.iter();
        members
            .map(|member| member.handle.health().generation)
            .collect()
    };
    // Eight changes take few rounds each; a group that never rests takes as many as there is time for.
    let settled = timeout(SESSION * 2, async {
        while generations()
            .iter()
            .flatten()
            .all(|&generation| generation < 100)
        {
            sleep(Duration::from_millis(100)).await;
        }
    });
    settled.await.expect_err("it comes to rest");
    let settled = generations();
    assert!(settled.iter().all(|generation| *generation == settled[0]));
    sleep(SESSION * 10).await;
    assert_eq!(generations(), settled);
    let held: usize = members
        .iter()
        .map(|member| member.handle.assignment().len())
        .sum();
    let wanted: BTreeSet<String> = members
        .iter()
        .flat_map(|member| member.handle.subscription())
        .collect();
    let sizes = [("t", 5), ("u", 3), ("v", 7)];
    let all = sizes.iter().filter(|(topic, _)| wanted.contains(*topic));
    assert_eq!(held, all.map(|(_, count)| count).sum::<usize>());
    subject.assert_clean().await;
}
