//! What is subscribed to, and how a group follows as topics come, grow and go.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ottla::assignor::{AssignError, Assignment, Assignor, Member, RangeAssignor, Topics};
use ottla::{CpuWork, ErrorKind, StartFrom};
use ottla_codec::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::TopicSpec;
use tokio::time::{Instant, sleep, timeout};

use super::subject::{Running, Subject, all_read, next, shared_out, try_next, with_strategy};
use crate::support::{PATIENCE, eventually, fake};

/// A client that looks at the cluster's topics every second.
async fn quick(partitions: i32) -> Subject {
    let mut subject = Subject::fake(partitions).await;
    let client = fake::client_of(subject.cluster()).metadata_max_age(Duration::from_secs(1));
    subject.client = client.build().expect("a client");
    subject
}

fn names(topics: &[&str]) -> BTreeSet<String> {
    topics.iter().map(|topic| (*topic).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn partitions_come_from_the_group_or_from_the_caller() {
    let subject = Subject::fake(2).await;
    let groupless = subject.client.consumer().build().expect("a consumer");
    let error = groupless.subscribe(["t"]).expect_err("no group");
    assert!(
        matches!(error.kind(), ErrorKind::InvalidConfig { property, .. } if property == "group.id")
    );

    let mut consumer = subject.consumer(|builder| builder);
    consumer
        .assign([(subject.tp(0), StartFrom::Beginning)])
        .expect("assigned");
    let mixed = consumer.subscribe(["t"]).expect_err("assigned by hand");
    assert_eq!(*mixed.kind(), ErrorKind::MixedAssignment);
    consumer.unassign();
    consumer.subscribe(["t"]).expect("a subscription");
    assert_eq!(consumer.subscription(), names(&["t"]));
    for mixed in [
        consumer.assign([(subject.tp(0), StartFrom::Beginning)]),
        consumer.incremental_assign([(subject.tp(0), StartFrom::Beginning)]),
        consumer.incremental_unassign([&subject.tp(0)]),
    ] {
        assert_eq!(
            *mixed.expect_err("subscribed").kind(),
            ErrorKind::MixedAssignment
        );
    }
    drop(timeout(Duration::from_secs(2), consumer.next()).await);
    assert_eq!(consumer.assignment().len(), 2);
    consumer.unassign();
    assert_eq!(consumer.assignment().len(), 2);

    consumer.unsubscribe().await;
    assert_eq!(consumer.subscription(), BTreeSet::new());
    consumer
        .assign([(subject.tp(1), StartFrom::Beginning)])
        .expect("assigned");
    subject.fill(2, 1).await;
    assert_eq!(*next(&mut consumer).await.partition(), subject.tp(1));
    subject.assert_clean().await;
}

/// Who changes its mind while it leaves is a member again, with all that belongs to it.
#[tokio::test(start_paused = true)]
async fn subscribing_again_while_leaving_makes_a_member() {
    let subject = Subject::fake(2).await;
    let consumer = subject.member("range");
    // It has not joined yet, and has left as soon as it hears of it.
    assert!(
        timeout(Duration::ZERO, consumer.unsubscribe())
            .await
            .is_err()
    );
    consumer.subscribe(["t"]).expect("a subscription");
    shared_out(&[&consumer], &[2]).await;
    assert_eq!(consumer.subscription(), names(&["t"]));
    let mixed = consumer.assign([(subject.tp(0), StartFrom::Beginning)]);
    assert_eq!(
        *mixed.expect_err("subscribed").kind(),
        ErrorKind::MixedAssignment
    );
    consumer
        .commit([(subject.tp(0), 0)])
        .await
        .expect("a commit");
    subject.assert_clean().await;
}

/// Another subscription gives up what it lacks and gets what it adds.
#[tokio::test(start_paused = true)]
async fn another_subscription_replaces_the_one_before() {
    for strategy in ["range", "cooperative-sticky"] {
        let subject = Subject::fake_with(2, |cluster| cluster.topic("u", 3)).await;
        let reader = Running::new(subject.member(strategy));
        shared_out(&[&reader.handle], &[2]).await;
        reader.handle.subscribe(["u", "t"]).expect("a subscription");
        eventually("both are there", async || {
            reader.handle.assignment().len() == 5
        })
        .await;
        reader.handle.subscribe(["u"]).expect("a subscription");
        eventually("one is there", async || {
            let assignment = reader.handle.assignment();
            assignment.len() == 3 && assignment.iter().all(|name| &*name.topic == "u")
        })
        .await;
        subject.assert_clean().await;
    }
}

/// Topics by predicate, those that are made or deleted later included, internal ones never.
#[tokio::test(start_paused = true)]
async fn topics_are_matched_as_they_come_and_go() {
    let subject = quick(2).await;
    let consumer = subject.consumer(|builder| with_strategy(builder, "cooperative-sticky"));
    consumer
        .subscribe_matching(|topic| topic.starts_with('t') || topic.starts_with('_'))
        .expect("a subscription");
    let reader = Running::new(consumer);
    eventually("what there is", async || {
        reader.handle.assignment().len() == 2
    })
    .await;
    assert_eq!(reader.handle.subscription(), names(&["t"]));
    for topic in ["t2", "x"] {
        subject
            .cluster()
            .create_topic(TopicSpec::new(topic, 3))
            .await
            .expect("a topic");
    }
    eventually("what came later", async || {
        reader.handle.assignment().len() == 5
    })
    .await;
    assert_eq!(reader.handle.subscription(), names(&["t", "t2"]));
    subject.cluster().delete_topic("t2").await.expect("a topic");
    eventually("what is left", async || {
        reader.handle.assignment().len() == 2
    })
    .await;
    subject.assert_clean().await;
}

/// A topic that does not exist yet is no error, and is read once it does.
#[tokio::test(start_paused = true)]
async fn a_topic_may_be_made_later_and_be_given_more_partitions() {
    let subject = quick(1).await;
    let consumer = subject.consumer(|builder| builder);
    consumer.subscribe(["later"]).expect("a subscription");
    let handle = consumer.handle();
    eventually("it is missed", async || {
        handle.health().missing_topics == names(&["later"])
    })
    .await;
    let mut subject = subject;
    subject.topic = "later".to_owned();
    let first = Running::new(consumer);
    let second = Running::new(subject.member("range,cooperative-sticky"));
    shared_out(&[&first.handle, &second.handle], &[0, 0]).await;
    subject
        .cluster()
        .create_topic(TopicSpec::new("later", 2))
        .await
        .expect("a topic");
    shared_out(&[&first.handle, &second.handle], &[1, 1]).await;
    assert_eq!(handle.health().missing_topics, names(&[]));
    let admin = subject.client.admin();
    let made = admin
        .create_partitions([("later", 4)])
        .await
        .expect("an answer");
    made["later"].clone().expect("more");
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    subject.fill(4, 3).await;
    all_read(&[&first, &second], 4, 3).await;
    subject.assert_clean().await;
}

/// Brokers learn of a topic one after the other, and the only answer so far was of one that did not know it: who leads
/// on the strength of that asks again, until there is another.
#[tokio::test(start_paused = true)]
async fn a_topic_that_was_denied_when_the_leader_planned_is_found() {
    let times = 30;
    let subject = Subject::fake(2).await;
    let of_topic = |request: &MetadataRequest| {
        let mut topics = request.topics.iter().flatten();
        topics.any(|topic| topic.name.as_deref() == Some("t"))
    };
    let denied = subject.cluster().on::<MetadataRequest>().when(of_topic);
    let denied = denied.times(times).edit(|_, response| {
        for topic in &mut response.topics {
            topic.error_code = ErrorCode::UnknownTopicOrPartition.code();
            topic.partitions.clear();
        }
    });
    // It does not lead yet when it hears of that.
    let join = subject.cluster().on::<JoinGroupRequest>().hold();
    let member = Running::new(subject.member("range"));
    join.arrived().await.expect("a cluster");
    eventually("it is denied", async || denied.hits() > 0).await;
    sleep(Duration::from_secs(1)).await;
    join.release().await.expect("a cluster");
    eventually("it is denied again", async || denied.hits() == times).await;
    shared_out(&[&member.handle], &[2]).await;
    subject.assert_clean().await;
}

/// A topic that goes while the group rebalances takes nobody with it.
#[tokio::test(start_paused = true)]
async fn o21_a_topic_deleted_during_a_rebalance_stops_nobody() {
    let mut subject = Subject::fake_with(2, |cluster| cluster.topic("u", 2)).await;
    let client = fake::client_of(subject.cluster()).metadata_max_age(Duration::from_secs(1));
    subject.client = client.build().expect("a client");
    let consumer = subject.consumer(|builder| with_strategy(builder, "cooperative-sticky"));
    consumer.subscribe(["t", "u"]).expect("a subscription");
    let handle = consumer.handle();
    let reading = tokio::spawn(async move {
        let mut consumer = consumer;
        let mut seen = 0;
        while seen < 10 {
            match consumer.next().await {
                Ok(batch) => seen += batch.expect("an open consumer").records().count(),
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::UnknownTopic { .. }),
                    "{error}"
                ),
            }
        }
    });
    eventually("both are there", async || handle.assignment().len() == 4).await;
    let held = subject.cluster().on::<JoinGroupRequest>().times(1).hold();
    handle.enforce_rebalance("to delete a topic meanwhile");
    held.arrived().await.expect("a cluster");
    subject.cluster().delete_topic("u").await.expect("a topic");
    held.release().await.expect("a cluster");
    eventually("what is left", async || {
        let assignment = handle.assignment();
        assignment.len() == 2 && assignment.iter().all(|name| &*name.topic == "t")
    })
    .await;
    subject.fill(2, 5).await;
    timeout(PATIENCE, reading)
        .await
        .expect("it goes on")
        .expect("no panic");
}

/// Fails as often as it is told to.
struct Failing(std::sync::atomic::AtomicU32);

impl Assignor for Failing {
    fn name(&self) -> &str {
        "failing"
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        use std::sync::atomic::Ordering::Relaxed;
        match self
            .0
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
        {
            Ok(_) => Err(AssignError::new("no idea")),
            Err(_) => RangeAssignor::new().assign(topics, members),
        }
    }
}

/// An assignor of one's own; what it fails with reaches the reader, whose next call tries again.
#[tokio::test(start_paused = true)]
async fn an_assignor_of_ones_own_may_fail_and_recover() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 1).await;
    let mut consumer = subject.consumer(|builder| {
        let own: Arc<dyn Assignor> = Arc::new(Failing(2.into()));
        builder.assignors([own, Arc::new(RangeAssignor::new())])
    });
    consumer.subscribe(["t"]).expect("a subscription");
    for _ in 0..2 {
        let error = try_next(&mut consumer).await.expect_err("no idea");
        assert!(
            matches!(error.kind(), ErrorKind::AssignmentFailed { reason } if reason.contains("no idea"))
        );
    }
    next(&mut consumer).await;
    let group = subject
        .cluster()
        .group("g")
        .await
        .expect("a cluster")
        .expect("a group");
    assert_eq!(group.protocol.as_deref(), Some("failing"));
}

/// Takes as long as the test wants.
struct Pondering(Mutex<mpsc::Receiver<()>>);

impl Assignor for Pondering {
    fn name(&self) -> &str {
        "pondering"
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        let word = self.0.lock().map(|word| word.recv());
        assert!(matches!(word, Ok(Ok(()))), "the test has ended");
        RangeAssignor::new().assign(topics, members)
    }
}

/// The member lives while its assignor thinks, however long that takes.
#[tokio::test]
async fn heartbeats_go_on_while_an_assignor_thinks() {
    let mut subject = Subject::fake(2).await;
    let client = fake::client_of(subject.cluster()).cpu_work(CpuWork::Pool);
    subject.client = client.build().expect("a client");
    subject.fill(2, 1).await;
    let (word, waits_for) = mpsc::channel();
    let mut consumer = subject.consumer(|builder| {
        let own: Arc<dyn Assignor> = Arc::new(Pondering(Mutex::new(waits_for)));
        let builder = builder.assignors([own]);
        builder.heartbeat_interval(Duration::from_millis(20))
    });
    consumer.subscribe(["t"]).expect("a subscription");
    let heartbeats = async || {
        let requests = subject.cluster().requests().await.expect("a cluster");
        let sent = |api| requests.iter().filter(|one| one.api == api).count();
        (sent(ApiKey::Heartbeat), sent(ApiKey::SyncGroup))
    };
    eventually("heartbeats", async || heartbeats().await.0 >= 5).await;
    assert_eq!(heartbeats().await.1, 0, "nothing is assigned yet");
    word.send(()).expect("an assignor that waits");
    next(&mut consumer).await;
    subject.assert_clean().await;
}

/// A group that works with something else is an error that names what there is.
#[tokio::test(start_paused = true)]
async fn a_group_with_other_assignors_is_a_typed_error() {
    let subject = Subject::fake(2).await;
    let first = Running::new(subject.member("range"));
    shared_out(&[&first.handle], &[2]).await;
    let mut second = subject.member("roundrobin,sticky");
    let error = try_next(&mut second).await.expect_err("nothing in common");
    assert_eq!(
        *error.kind(),
        ErrorKind::InconsistentGroup {
            offered: vec!["roundrobin".to_owned(), "sticky".to_owned()],
            chosen: None,
        }
    );
    // It is told again, but not in a spin.
    let began = Instant::now();
    assert!(try_next(&mut second).await.is_err());
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(first.handle.assignment().len(), 2);
}

/// What the coordinator denies is an error that stays, and is over with another subscription.
#[tokio::test(start_paused = true)]
async fn a_group_without_access_is_a_typed_error() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 1).await;
    let denied = subject.cluster().on::<JoinGroupRequest>();
    let denied = denied.always().reply(|_| JoinGroupResponse {
        error_code: ErrorCode::GroupAuthorizationFailed.code(),
        ..Default::default()
    });
    let mut consumer = subject.member("range");
    for _ in 0..2 {
        let error = try_next(&mut consumer).await.expect_err("denied");
        assert!(
            matches!(error.kind(), ErrorKind::NotAuthorized { .. }),
            "{error}"
        );
    }
    denied.remove();
    sleep(Duration::from_secs(1)).await;
    consumer.subscribe(["t"]).expect("a subscription");
    next(&mut consumer).await;
}

/// Settings that cannot work.
#[tokio::test(start_paused = true)]
async fn settings_that_cannot_work_are_refused() {
    let subject = Subject::fake(1).await;
    let consumer = || subject.client.consumer().group_id("g");
    for (property, value) in [
        ("group.protocol", "consumer"),
        ("partition.assignment.strategy", "mine"),
        ("session.timeout.ms", "soon"),
    ] {
        let error = consumer()
            .properties([(property, value)])
            .expect_err("refused");
        assert!(
            matches!(error.kind(), ErrorKind::InvalidConfig { property: named, .. } if named == property)
        );
    }
    let heartbeat = consumer()
        .heartbeat_interval(Duration::from_secs(45))
        .build();
    let none = consumer()
        .assignors(Vec::<Arc<dyn Assignor>>::new())
        .build();
    let twice = consumer().assignors([
        Arc::new(RangeAssignor::new()) as Arc<dyn Assignor>,
        Arc::new(RangeAssignor::new()),
    ]);
    for (built, named) in [
        (heartbeat, "heartbeat.interval.ms"),
        (none, "partition.assignment.strategy"),
        (twice.build(), "partition.assignment.strategy"),
    ] {
        let error = built.expect_err("refused");
        assert!(
            matches!(error.kind(), ErrorKind::InvalidConfig { property, .. } if property == named)
        );
    }
}
