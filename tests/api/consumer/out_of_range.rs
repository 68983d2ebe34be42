//! Positions that the log does not hold: one question to the leader, nothing fetched until it is answered, nothing
//! applied that something else has overtaken, and nobody else waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::{AutoOffsetReset, Consumer, ConsumerBuilder, ErrorKind, StartFrom};
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::Hold;
use tokio::time::{Instant, sleep, timeout};

use super::{Fixture, assert_silent, next, next_error, offsets, read_to, tp, try_next};

/// Where partition 0 is refused. It is in its log, so that only the script decides.
const REFUSED: i64 = 37;
pub(super) const END: i64 = 100;

/// A consumer that has read both partitions to their ends at one broker, when the fetch of partition 0 at [`REFUSED`]
/// is refused; what it asks then is held.
pub(super) struct Script {
    pub(super) fixture: Fixture,
    pub(super) consumer: Consumer,
    pub(super) question: Hold,
    /// How long the cluster had been there when it was asked.
    pub(super) asked_at: Duration,
    /// What was asked at the start.
    asked_before: usize,
}

impl Script {
    async fn new(policy: AutoOffsetReset) -> Self {
        let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 2)).await;
        let mut script = Self::begin(fixture, policy).await;
        script.seek_out_of_range().await;
        script
    }

    async fn begin(fixture: Fixture, policy: AutoOffsetReset) -> Self {
        let settings = |settings: ConsumerBuilder| settings.auto_offset_reset(policy);
        let assign = |consumer: &Consumer| {
            let both = [(tp(0), StartFrom::Beginning), (tp(1), StartFrom::Beginning)];
            consumer.assign(both).unwrap();
        };
        Self::begin_with(fixture, settings, assign).await
    }

    pub(super) async fn begin_with(
        fixture: Fixture,
        settings: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
        assign: impl FnOnce(&Consumer),
    ) -> Self {
        for partition in 0..2 {
            fixture.fill(partition, 5, 10).await;
        }
        // Longer ago than a reset by duration goes back here.
        sleep(Duration::from_secs(7200)).await;
        for partition in 0..2 {
            fixture.fill(partition, 5, 10).await;
        }
        let mut consumer = fixture.consumer(|builder| settings(builder.group_id("g")));
        assign(&consumer);
        let is_read = |consumer: &Consumer| {
            let positions = consumer.positions();
            (0..2).all(|partition| {
                positions
                    .get(&tp(partition))
                    .is_some_and(|at| at.offset == END)
            })
        };
        while !is_read(&consumer) {
            next(&mut consumer).await;
        }
        Self {
            question: fixture.cluster.on::<ListOffsetsRequest>().times(1).hold(),
            asked_at: Duration::ZERO,
            asked_before: fixture.count(ApiKey::ListOffsets).await,
            fixture,
            consumer,
        }
    }

    pub(super) async fn seek_out_of_range(&mut self) {
        let refuses = |fetch: &FetchRequest| {
            let mut partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.any(|p| p.partition == 0 && p.fetch_offset == REFUSED)
        };
        let fetch = self.fixture.cluster.on::<FetchRequest>().when(refuses);
        drop(fetch.times(1).edit(|_, response| {
            let partitions = response.responses.iter_mut();
            for data in partitions.flat_map(|topic| &mut topic.partitions) {
                if data.partition_index == 0 {
                    data.error_code = ErrorCode::OffsetOutOfRange.code();
                    data.records = None;
                }
            }
        }));
        self.consumer.seek(&tp(0), REFUSED).unwrap();
        self.question.arrived().await.unwrap();
        let requests = self.fixture.cluster.requests().await.unwrap();
        self.asked_at = requests.last().unwrap().at;
    }

    /// Partition 1 is written and read for this many seconds, while nothing comes of partition 0.
    pub(super) async fn the_other_goes_on(&mut self, seconds: u64) {
        let mut end = self.consumer.position(&tp(1)).await.unwrap();
        for _ in 0..seconds {
            self.fixture.fill(1, 1, 10).await;
            let began = Instant::now();
            let batch = next(&mut self.consumer).await;
            assert_eq!(*batch.partition(), tp(1));
            assert_eq!(offsets(&batch), (end..end + 10).collect::<Vec<_>>());
            assert!(began.elapsed() < Duration::from_millis(100));
            end += 10;
            assert!(!self.consumer.positions().contains_key(&tp(0)));
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Since the question was asked, no fetch has asked for partition 0, by name or because its session holds it.
    async fn assert_not_fetched(&self) {
        let mut sessions: BTreeMap<u64, BTreeSet<i32>> = BTreeMap::new();
        let mut fetches = 0;
        for (request, fetch) in self.fixture.fetches().await {
            let session = sessions.entry(request.connection).or_default();
            if fetch.session_epoch <= 0 {
                session.clear();
            }
            let named = fetch.topics.iter().flat_map(|topic| &topic.partitions);
            session.extend(named.map(|partition| partition.partition));
            for topic in &fetch.forgotten_topics_data {
                session.retain(|partition| !topic.partitions.contains(partition));
            }
            if request.at > self.asked_at {
                fetches += 1;
                assert!(!session.contains(&0), "{fetch:?} at {:?}", request.at);
            }
        }
        assert!(fetches > 0, "nothing was fetched at all");
    }

    async fn questions(&self) -> usize {
        self.fixture.count(ApiKey::ListOffsets).await - self.asked_before
    }

    /// The first record that comes of partition 0.
    async fn resumes_at(&mut self) -> i64 {
        self.fixture.fill(0, 1, 10).await;
        loop {
            let batch = next(&mut self.consumer).await;
            if *batch.partition() == tp(0) {
                return offsets(&batch)[0];
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_question_and_no_fetch_until_it_is_answered() {
    for (policy, expected) in [
        (AutoOffsetReset::Earliest, 0),
        (AutoOffsetReset::Latest, END),
        (
            AutoOffsetReset::ByDuration(Duration::from_secs(3600)),
            END / 2,
        ),
    ] {
        let mut script = Script::new(policy).await;
        script.the_other_goes_on(20).await;
        script.assert_not_fetched().await;
        assert!(script.question.release().await.unwrap());
        assert_eq!(script.consumer.position(&tp(0)).await.unwrap(), expected);
        assert_eq!(script.resumes_at().await, expected, "{policy:?}");
        assert_eq!(script.questions().await, 1);
        assert_eq!(script.consumer.metrics().resets, 1);
        script.fixture.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_never_answered_is_asked_again_and_stops_nobody_else() {
    let mut script = Script::new(AutoOffsetReset::Earliest).await;
    // The request times out after 30 s.
    script.the_other_goes_on(29).await;
    script.assert_not_fetched().await;
    assert_eq!(script.questions().await, 1);
    assert_eq!(script.resumes_at().await, 0);
    assert_eq!(script.questions().await, 2);
    assert_eq!(script.consumer.metrics().resets, 1);
}

/// A broker that takes its time for one partition's offset, because it has to ask remote storage, say.
#[tokio::test(start_paused = true)]
async fn no_partitions_question_waits_behind_that_of_another() {
    for policy in [AutoOffsetReset::Earliest, AutoOffsetReset::None] {
        let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 2)).await;
        fixture.fill(0, 10, 10).await;
        fixture.fill(1, 10, 10).await;
        let slow = fixture.cluster.on::<ListOffsetsRequest>().times(1).hold();
        let mut consumer = fixture.consumer(|settings| settings.auto_offset_reset(policy));
        consumer.assign([(tp(0), StartFrom::Offset(500))]).unwrap();
        slow.arrived().await.unwrap();
        for _ in 0..5 {
            let began = Instant::now();
            let start = match policy {
                AutoOffsetReset::None => StartFrom::Beginning,
                _ => StartFrom::Offset(500),
            };
            consumer.incremental_assign([(tp(1), start)]).unwrap();
            assert_eq!(offsets(&next(&mut consumer).await)[0], 0, "{policy:?}");
            assert!(began.elapsed() < Duration::from_secs(1), "{policy:?}");
            consumer.incremental_unassign([&tp(1)]).unwrap();
        }
        slow.release().await.unwrap();
        if policy != AutoOffsetReset::None {
            assert_eq!(offsets(&next(&mut consumer).await)[0], 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_question_is_asked_again_after_a_pause() {
    for policy in [AutoOffsetReset::Earliest, AutoOffsetReset::None] {
        let fixture = Fixture::new(1).await;
        fixture.fill(0, 10, 10).await;
        let refused = fixture.cluster.on::<ListOffsetsRequest>();
        let refused = refused.times(5).error(ErrorCode::LeaderNotAvailable);
        let mut consumer = fixture.consumer(|settings| settings.auto_offset_reset(policy));
        let began = Instant::now();
        consumer.assign([(tp(0), StartFrom::Offset(500))]).unwrap();
        match policy {
            AutoOffsetReset::None => {
                let missed = ErrorKind::OffsetOutOfRange {
                    partition: tp(0),
                    position: 500,
                    log_start: 0,
                    log_end: END,
                };
                assert_eq!(*next_error(&mut consumer).await.kind(), missed);
            }
            _ => assert_eq!(offsets(&next(&mut consumer).await)[0], 0),
        }
        assert_eq!(refused.hits(), 5);
        let took = began.elapsed();
        let pauses = Duration::from_millis(500)..Duration::from_secs(10);
        assert!(pauses.contains(&took), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_the_partition_or_without_an_offset_is_asked_for_again() {
    for names_it in [false, true] {
        let fixture = Fixture::new(1).await;
        fixture.fill(0, 10, 10).await;
        let silent = fixture.cluster.on::<ListOffsetsRequest>().times(3);
        let silent = silent.edit(move |_, response: &mut ListOffsetsResponse| {
            for topic in &mut response.topics {
                for partition in &mut topic.partitions {
                    partition.offset = -1;
                }
            }
            if !names_it {
                response.topics.clear();
            }
        });
        let mut consumer =
            fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::Latest));
        consumer.assign([(tp(0), StartFrom::Offset(500))]).unwrap();
        // The caller is told, because it may never get better; and it is asked again by itself.
        let mut told = 0;
        let position = loop {
            tokio::select! {
                biased;
                next = consumer.next() => {
                    let error = next.expect_err("an error");
                    assert!(matches!(error.kind(), ErrorKind::Broker { api: "ListOffsets", .. }));
                    told += 1;
                }
                () = sleep(Duration::from_millis(50)) => {
                    let positions = consumer.positions();
                    if silent.hits() == 3 && let Some(at) = positions.get(&tp(0)) {
                        break at.offset;
                    }
                }
            }
        };
        assert_eq!((told, position), (3, END), "named: {names_it}");
        fixture.fill(0, 1, 10).await;
        assert_eq!(read_to(&mut consumer, END + 10).await[0], END);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_to_a_former_leader_goes_to_the_new_one_at_once() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    let mut consumer =
        fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::Earliest));
    let question = fixture.cluster.on::<ListOffsetsRequest>().times(1).hold();
    consumer.assign([(tp(0), StartFrom::Offset(500))]).unwrap();
    question.arrived().await.unwrap();
    let to = fixture.other_broker().await;
    fixture.cluster.move_leader("t", 0, to).await.unwrap();
    let began = Instant::now();
    question.release().await.unwrap();
    assert_eq!(offsets(&next(&mut consumer).await)[0], 0);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(consumer.metrics().resets, 1);
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn f03_what_comes_in_between_wins_over_a_late_answer() {
    // A seek to an offset, and to the log's other end; a partition taken away, and given back; and one that is paused.
    for case in 0..4 {
        let mut script = Script::new(AutoOffsetReset::Earliest).await;
        let consumer = &script.consumer;
        match case {
            0 => consumer.seek(&tp(0), 60).unwrap(),
            1 => consumer.seek_to_end([&tp(0)]).unwrap(),
            2 => {
                consumer.incremental_unassign([&tp(0)]).unwrap();
                let again = [(tp(0), StartFrom::Offset(60))];
                consumer.incremental_assign(again).unwrap();
            }
            _ => consumer.pause([&tp(0)]).unwrap(),
        }
        // Late, and in the order of a broker that does one thing after the other.
        sleep(Duration::from_secs(5)).await;
        script.question.release().await.unwrap();
        let expected = [60, END, 60, 0][case];
        if case == 3 {
            assert_eq!(script.consumer.position(&tp(0)).await.unwrap(), 0);
            assert_silent(&mut script.consumer, Duration::from_secs(5)).await;
            script.consumer.resume([&tp(0)]).unwrap();
        }
        assert_eq!(script.resumes_at().await, expected, "case {case}");
        assert_eq!(script.consumer.metrics().resets, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_from_before_a_reset_is_followed_by_the_one_from_behind_it() {
    let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 2)).await;
    let mut script = Script::begin(fixture, AutoOffsetReset::Earliest).await;
    let committed = async |script: &Script| {
        let committed = script.consumer.committed([tp(0), tp(1)]).await.unwrap();
        let offset = |partition| committed.get(&tp(partition)).map(|at| at.offset);
        (offset(0), offset(1))
    };
    // Under way when the position is lost: it says what was true.
    let under_way = script.fixture.cluster.on::<OffsetCommitRequest>();
    let under_way = under_way.times(1).hold();
    let commits = (script.consumer.handle(), script.consumer.handle());
    let first = tokio::spawn(async move { commits.0.commit_positions().await });
    under_way.arrived().await.unwrap();
    script.seek_out_of_range().await;
    // During the reset there is nothing to say of the partition.
    let during = tokio::spawn(async move { commits.1.commit_positions().await });
    script.the_other_goes_on(3).await;
    under_way.release().await.unwrap();
    first.await.unwrap().unwrap();
    during.await.unwrap().unwrap();
    assert_eq!(committed(&script).await, (Some(END), Some(END)));
    script.consumer.commit_positions().await.unwrap();
    assert_eq!(committed(&script).await, (Some(END), Some(END + 30)));
    // And behind it there is.
    script.question.release().await.unwrap();
    assert_eq!(script.consumer.position(&tp(0)).await.unwrap(), 0);
    script.consumer.commit_positions().await.unwrap();
    assert_eq!(committed(&script).await, (Some(0), Some(END + 30)));
    assert_eq!(script.fixture.count(ApiKey::OffsetCommit).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_always_refused_is_no_hot_loop_and_stops_no_other() {
    for code in [ErrorCode::UnknownServerError, ErrorCode::OffsetNotAvailable] {
        let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 2)).await;
        fixture.fill(0, 1, 10).await;
        let refused = fixture.cluster.on::<FetchRequest>().always();
        drop(refused.edit(move |_, response| {
            let partitions = response.responses.iter_mut();
            for data in partitions.flat_map(|topic| &mut topic.partitions) {
                if data.partition_index == 0 {
                    data.error_code = code.code();
                    data.records = None;
                }
            }
        }));
        let mut consumer = fixture.consumer(|settings| settings);
        let both = [(tp(0), StartFrom::Beginning), (tp(1), StartFrom::Beginning)];
        consumer.assign(both).unwrap();
        for round in 1..=20 {
            fixture.fill(1, 1, 10).await;
            while consumer.position(&tp(1)).await.unwrap() < round * 10 {
                if let Ok(batch) = try_next(&mut consumer).await {
                    assert_eq!(*batch.partition(), tp(1));
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(consumer.position(&tp(0)).await.unwrap(), 0);
        assert_eq!(consumer.metrics().resets, 0);
        let fetches = fixture.fetches().await.len();
        assert!(fetches < 200, "{code}: {fetches}");
    }
}

#[tokio::test(start_paused = true)]
async fn o09_leaders_that_change_faster_than_they_answer_are_asked_once_each() {
    const MOVES: i64 = 10;
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    let mut consumer = fixture.reader();
    let mut seen = read_to(&mut consumer, END).await;
    let slow = fixture.cluster.on::<OffsetForLeaderEpochRequest>().always();
    drop(slow.delay(Duration::from_millis(300)));
    for _ in 0..MOVES {
        let to = fixture.other_broker().await;
        fixture.cluster.move_leader("t", 0, to).await.unwrap();
        fixture.fill(0, 1, 10).await;
        // Time to hear of it, and to ask, but not for the answer.
        let nothing = timeout(Duration::from_millis(200), consumer.next()).await;
        if let Ok(batch) = nothing {
            seen.extend(offsets(&batch.unwrap().unwrap()));
        }
    }
    seen.extend(read_to(&mut consumer, END + 10 * MOVES).await);
    assert!(seen.into_iter().eq(0..END + 10 * MOVES));
    let asked = fixture.count(ApiKey::OffsetForLeaderEpoch).await;
    assert!((1..=2 * MOVES as usize).contains(&asked), "{asked}");
    assert_eq!(consumer.metrics().truncations, 0);
}
