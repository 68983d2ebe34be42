//! Commits that race a reset are made before it or after it: none carries the position that is given up, from when it is
//! known to be lost until there is another. By members of a group and by who has assigned partitions itself.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{AutoOffsetReset, Consumer, ConsumerBuilder, StartFrom};
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::{ApiKey, ErrorCode, frame};
use tokio::time::{sleep, timeout};

use super::out_of_range::{END, Script};
use super::{Fixture, next, tp};

const INTERVAL: Duration = Duration::from_secs(1);

/// Who decides what is read.
#[derive(Clone, Copy, Debug)]
enum Assigned {
    ByHand,
    ByTheGroup,
}

const WAYS: [Assigned; 2] = [Assigned::ByHand, Assigned::ByTheGroup];

impl Script {
    /// A consumer that has read both partitions to their ends.
    async fn of(assigned: Assigned, auto_commit: bool) -> Self {
        Self::with(assigned, auto_commit, |builder| builder).await
    }

    async fn with(
        assigned: Assigned,
        auto_commit: bool,
        settings: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
    ) -> Self {
        let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 2)).await;
        let settings = |builder: ConsumerBuilder| {
            let builder = builder.auto_offset_reset(AutoOffsetReset::Earliest);
            let builder = builder.auto_commit(auto_commit);
            settings(builder.auto_commit_interval(INTERVAL))
        };
        let assign = |consumer: &Consumer| match assigned {
            Assigned::ByHand => {
                let both = [(tp(0), StartFrom::Beginning), (tp(1), StartFrom::Beginning)];
                consumer.assign(both).unwrap();
            }
            Assigned::ByTheGroup => consumer.subscribe(["t"]).unwrap(),
        };
        Self::begin_with(fixture, settings, assign).await
    }

    /// The caller asks for more, of which there is none: it is done with all it has.
    async fn come_back(&mut self) {
        let more = timeout(Duration::from_millis(1), self.consumer.next()).await;
        assert!(more.is_err(), "{more:?}");
    }

    /// What partition 0 has been committed at since the question was asked, commit by commit.
    async fn commits_since(&self) -> Vec<Option<i64>> {
        let requests = self.fixture.cluster.requests().await.unwrap();
        let commits = requests
            .into_iter()
            .filter(|request| request.api == ApiKey::OffsetCommit && request.at > self.asked_at);
        let of_it = commits.map(|request| {
            let (_, body) = frame::decode_request_header(request.frame.as_ref().unwrap()).unwrap();
            let commit: OffsetCommitRequest =
                ottla_codec::decode_message(&body, request.version).unwrap();
            let mut partitions = commit.topics.iter().flat_map(|topic| &topic.partitions);
            let found = partitions.find(|partition| partition.partition_index == 0);
            found.map(|partition| partition.committed_offset)
        });
        of_it.collect()
    }

    async fn stored(&self) -> BTreeMap<i32, i64> {
        let committed = self.fixture.cluster.committed("g").await.unwrap();
        let offsets = committed.into_iter();
        offsets
            .map(|((_, partition), at)| (partition, at.offset))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_auto_commit_that_falls_due_during_a_reset_says_nothing_of_the_partition() {
    for assigned in WAYS {
        let mut script = Script::of(assigned, true).await;
        script.come_back().await;
        sleep(INTERVAL * 2).await;
        let before = BTreeMap::from([(0, END), (1, END)]);
        assert_eq!(script.stored().await, before, "{assigned:?}");
        script.seek_out_of_range().await;
        script.the_other_goes_on(5).await;
        let during = script.commits_since().await;
        assert!(during.len() >= 3, "{assigned:?}: {during:?}");
        assert!(
            during.iter().all(Option::is_none),
            "{assigned:?}: {during:?}"
        );
        assert_eq!(script.stored().await[&0], END);
        // Behind it, the new position is as good as any.
        script.question.release().await.unwrap();
        sleep(INTERVAL * 2).await;
        assert_eq!(script.stored().await[&0], 0, "{assigned:?}");
        let all = script.commits_since().await;
        assert_eq!(all.into_iter().flatten().collect::<Vec<_>>(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_auto_commit_under_way_when_a_position_is_lost_comes_before_the_reset() {
    for assigned in WAYS {
        let mut script = Script::of(assigned, true).await;
        let commits = script.fixture.cluster.on::<OffsetCommitRequest>();
        let under_way = commits.times(1).hold();
        script.come_back().await;
        under_way.arrived().await.unwrap();
        script.seek_out_of_range().await;
        script.the_other_goes_on(3).await;
        under_way.release().await.unwrap();
        sleep(INTERVAL * 2).await;
        assert_eq!(script.stored().await[&0], END, "{assigned:?}");
        assert!(script.commits_since().await.iter().all(Option::is_none));
        script.question.release().await.unwrap();
        sleep(INTERVAL * 2).await;
        assert_eq!(script.stored().await[&0], 0, "{assigned:?}");
    }
}

/// The coordinator has refused it so far, and will not be told the position once that is given up.
#[tokio::test(start_paused = true)]
async fn a_commit_that_is_tried_again_leaves_out_what_has_been_reset_meanwhile() {
    for assigned in WAYS {
        for auto_commit in [true, false] {
            let mut script = Script::of(assigned, auto_commit).await;
            let commits = script.fixture.cluster.on::<OffsetCommitRequest>().always();
            let refused = commits.error(ErrorCode::CoordinatorLoadInProgress);
            let asked_for = (!auto_commit).then(|| script.consumer.commit_positions());
            script.come_back().await;
            refused.wait_for_hits(1).await;
            script.seek_out_of_range().await;
            let hits = refused.hits();
            refused.wait_for_hits(hits + 3).await;
            script.question.release().await.unwrap();
            refused.wait_for_hits(hits + 6).await;
            refused.remove();
            if let Some(asked_for) = asked_for {
                asked_for.await.unwrap();
            }
            sleep(INTERVAL * 2).await;
            let told: Vec<_> = script.commits_since().await.into_iter().flatten().collect();
            assert!(
                told.iter().all(|&offset| offset == 0),
                "{assigned:?}, by itself: {auto_commit}: {told:?}"
            );
            assert_eq!(script.stored().await[&1], END);
        }
    }
}

/// What the caller is busy with is from before the reset: until it comes back there is nothing to say of the partition,
/// neither where it was nor where it is now.
#[tokio::test(start_paused = true)]
async fn what_the_caller_is_busy_with_is_not_committed_after_a_reset() {
    for assigned in WAYS {
        let settings = |builder: ConsumerBuilder| {
            // One batch is fetched at a time, and the next once it was dropped.
            builder.memory_limit(1).max_partition_fetch_bytes(1)
        };
        let mut script = Script::with(assigned, true, settings).await;
        script.come_back().await;
        script.fixture.fill(0, 7, 10).await;
        drop(next(&mut script.consumer).await);
        sleep(INTERVAL * 2).await;
        assert_eq!(script.stored().await[&0], END, "{assigned:?}");
        let cluster = script.fixture.cluster.clone();
        let fetch = cluster.on::<FetchRequest>().times(1).hold();
        let batch = next(&mut script.consumer).await;
        assert_eq!(batch.next_offset(), END + 20);
        drop(batch);
        fetch.arrived().await.unwrap();
        cluster.delete_records("t", 0, END + 50).await.unwrap();
        script.asked_at = cluster.requests().await.unwrap().last().unwrap().at;
        fetch.release().await.unwrap();
        script.question.arrived().await.unwrap();
        script.question.release().await.unwrap();
        sleep(INTERVAL * 3).await;
        let position = script.consumer.position(&tp(0)).await.unwrap();
        assert_eq!(position, END + 50);
        let told: Vec<_> = script.commits_since().await.into_iter().flatten().collect();
        assert!(told.is_empty(), "{assigned:?}: {told:?}");
        drop(next(&mut script.consumer).await);
        sleep(INTERVAL * 2).await;
        assert_eq!(script.stored().await[&0], END + 50, "{assigned:?}");
    }
}
