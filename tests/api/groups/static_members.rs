//! Members with a lasting name (KIP-345).

use std::time::Duration;

use ottla::{Consumer, ErrorKind, RebalanceKind};
use ottla_codec::ApiKey;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use tokio::time::{sleep, timeout};

use super::subject::{
    Running, SESSION, Subject, all_read, assigned, shared_out, try_next, with_strategy,
};
use crate::support::eventually;

fn fixed(subject: &Subject, strategy: &str, instance: &str) -> Consumer {
    let consumer =
        subject.consumer(|builder| with_strategy(builder, strategy).group_instance_id(instance));
    consumer
        .subscribe([&subject.topic])
        .expect("a subscription");
    consumer
}

/// One that is back within the session timeout finds its partitions again, and nobody else notices.
pub(super) async fn a_static_member_comes_back_unnoticed(subject: Subject) {
    subject.fill(4, 10).await;
    let first = Running::new(fixed(&subject, "range", "one"));
    shared_out(&[&first.handle], &[4]).await;
    let second = Running::new(fixed(&subject, "range", "two"));
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    all_read(&[&first, &second], 4, 10).await;
    let (had, generation) = (assigned(&second.handle), second.handle.health().generation);
    second.handle.commit_positions().await.expect("a commit");
    second.finish().await;
    let second = Running::new(fixed(&subject, "range", "two"));
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    assert_eq!(assigned(&second.handle), had);
    assert_eq!(second.handle.health().generation, generation);
    let metadata = second.handle.group_metadata().expect("a member");
    assert_eq!(metadata.instance_id.as_deref(), Some("two"));
    subject.fill(4, 10).await;
    all_read(&[&first, &second], 4, 20).await;
    subject.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_static_member_finds_its_partitions_again() {
    a_static_member_comes_back_unnoticed(Subject::fake(4).await).await;
}

/// One that does not come back is given up when its session expires.
#[tokio::test(start_paused = true)]
async fn a_static_member_that_stays_away_is_given_up() {
    let subject = Subject::fake(4).await;
    let first = Running::new(fixed(&subject, "cooperative-sticky", "one"));
    let second = Running::new(fixed(&subject, "cooperative-sticky", "two"));
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    second.finish().await;
    sleep(SESSION - Duration::from_secs(3)).await;
    assert_eq!(assigned(&first.handle).len(), 2);
    shared_out(&[&first.handle], &[4]).await;
    subject.assert_clean().await;
}

/// One dies while it gives partitions up for another, and is back before it is missed: it does not know that somebody
/// waits for them, and they are not forgotten all the same.
#[tokio::test(start_paused = true)]
async fn what_a_static_member_gave_up_and_died_is_not_forgotten() {
    let subject = Subject::fake_with(4, |cluster| cluster.topic("u", 1)).await;
    let leader = subject.consumer(|builder| with_strategy(builder, "cooperative-sticky"));
    leader.subscribe(["u"]).expect("a subscription");
    let leader = Running::new(leader);
    shared_out(&[&leader.handle], &[1]).await;
    let one = Running::new(fixed(&subject, "cooperative-sticky", "one"));
    eventually("it has all", async || assigned(&one.handle).len() == 4).await;
    let mut rebalances = one.handle.rebalances();
    let two = Running::new(fixed(&subject, "cooperative-sticky", "two"));
    let revoked = rebalances.next().await.expect("an open consumer");
    assert_eq!(revoked.kind(), RebalanceKind::Revoked);
    assert_eq!(revoked.partitions().len(), 2);
    one.kill();
    let one = Running::new(fixed(&subject, "cooperative-sticky", "one"));
    eventually("it is back", async || assigned(&one.handle).len() == 2).await;
    assert_eq!(assigned(&two.handle).len(), 0);
    let generation = |member: &Running| member.handle.health().generation;
    assert_eq!(generation(&one), generation(&two));
    eventually("each has its share", async || {
        assigned(&one.handle).len() == 2 && assigned(&two.handle).len() == 2
    })
    .await;
    // Once was enough.
    let settled = generation(&leader);
    sleep(SESSION * 10).await;
    assert_eq!(generation(&leader), settled);
    subject.assert_clean().await;
}

/// Two with one name: the later one has it, and the earlier one is told so and does nothing more.
#[tokio::test(start_paused = true)]
async fn of_two_with_one_name_the_earlier_is_fenced() {
    let subject = Subject::fake(2).await;
    let mut first = fixed(&subject, "range", "one");
    drop(timeout(Duration::from_secs(2), first.next()).await);
    assert_eq!(assigned(&first).len(), 2);
    let second = Running::new(fixed(&subject, "range", "one"));
    let error = try_next(&mut first).await.expect_err("fenced");
    let kind = ErrorKind::FencedInstance {
        instance_id: "one".to_owned(),
    };
    assert_eq!(*error.kind(), kind);
    assert!(error.is_fatal());
    assert!(first.assignment().is_empty());
    shared_out(&[&second.handle], &[2]).await;
    sleep(SESSION * 3).await;
    assert_eq!(assigned(&second.handle).len(), 2);
    assert!(first.assignment().is_empty());
    subject.assert_clean().await;
}

/// A commit of one that was fenced is refused, and ends it.
#[tokio::test(start_paused = true)]
async fn a_fenced_commit_ends_the_member() {
    let subject = Subject::fake(2).await;
    let first = fixed(&subject, "range", "one");
    shared_out(&[&first], &[2]).await;
    // Its heartbeats are lost, so that the commit is the first to hear.
    let id = first.group_metadata().expect("a member").member_id;
    let lost = subject.cluster().on::<HeartbeatRequest>();
    let lost = lost.when(move |beat| beat.member_id == id);
    let lost = lost.always().drop_request();
    let second = Running::new(fixed(&subject, "range", "one"));
    eventually("the second is in", async || {
        assigned(&second.handle).len() == 2
    })
    .await;
    let error = first
        .commit([(subject.tp(0), 1)])
        .await
        .expect_err("fenced");
    assert_eq!(
        *error.kind(),
        ErrorKind::Revoked {
            partition: subject.tp(0)
        }
    );
    assert!(first.assignment().is_empty());
    lost.remove();
    let requests = subject.cluster().requests().await.expect("a cluster");
    let commits = requests
        .iter()
        .filter(|request| request.api == ApiKey::OffsetCommit);
    assert_eq!(commits.count(), 1);
}
