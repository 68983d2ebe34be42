//! What a consumer makes of a compacted log.

use ottla::{Consumer, ConsumerBuilder, StartFrom, TopicPartition};
use tokio::time::{Duration, timeout};

use super::report::Report;
use super::scenario::Shape;
use super::subject::{Held, Subject};
use crate::support::PATIENCE;

/// Longer than anything waits here, so that no fetch is sent again just because time has passed.
const LONG_POLL: Duration = Duration::from_secs(45);

/// Reads the log in every way that a hole could trip over.
pub(crate) async fn check(
    subject: &Subject,
    shapes: &[Shape],
    truth: &[Held],
    end: i64,
    report: &Report,
) {
    let partition = TopicPartition::new(&*subject.topic.name, 0);
    let batches = shapes.len() as u64;
    let group = format!("{}-readers", subject.topic.name);
    // An answer for each segment, of which there are two at most, and one batch with each answer, so that an emptied
    // one comes alone.
    for (limit, most) in [(1 << 20, 3), (1, batches + 1)] {
        let mut consumer = consumer(subject, |settings| {
            settings.group_id(&group).max_partition_fetch_bytes(limit)
        });
        consumer
            .assign([(partition.clone(), StartFrom::Beginning)])
            .expect("an assignment");
        let seen = read_to(&mut consumer, &partition, end).await;
        assert_eq!(seen, truth, "with {limit} bytes for each partition");
        assert_eq!(consumer.lag(&partition), Some(0), "nothing is left to read");
        let fetches = consumer.metrics().fetches;
        assert!(fetches <= most, "{fetches} fetches for {batches} batches");
        report.add_requests(fetches);

        consumer.commit_positions().await.expect("a commit");
        let committed = consumer
            .committed([partition.clone()])
            .await
            .expect("an answer");
        assert_eq!(committed[&partition].offset, end);
    }

    // Offsets whose records are gone are neither out of range nor the end.
    for from in 0..=end {
        let mut consumer = consumer(subject, |settings| settings);
        consumer
            .assign([(partition.clone(), StartFrom::Offset(from))])
            .expect("an assignment");
        let seen = read_to(&mut consumer, &partition, end).await;
        let rest: Vec<_> = truth.iter().filter(|held| held.offset >= from).collect();
        assert!(seen.iter().eq(rest), "from {from}: {seen:?}");
        let metrics = consumer.metrics();
        assert_eq!(metrics.resets, 0, "from {from}");
        assert!(
            metrics.fetches <= 3,
            "{} fetches from {from}",
            metrics.fetches
        );
        report.add_requests(metrics.fetches);
    }

    // A seek into a hole, from behind it.
    let mut consumer = consumer(subject, |settings| settings);
    consumer
        .assign([(partition.clone(), StartFrom::Beginning)])
        .expect("an assignment");
    read_to(&mut consumer, &partition, end).await;
    for to in 0..end {
        consumer
            .seek(&partition, to)
            .expect("an assigned partition");
        let seen = read_to(&mut consumer, &partition, end).await;
        let rest: Vec<_> = truth.iter().filter(|held| held.offset >= to).collect();
        assert!(seen.iter().eq(rest), "after a seek to {to}: {seen:?}");
    }
    let fetches = consumer.metrics().fetches;
    let most = 3 * (u64::try_from(end).unwrap_or_default() + 1);
    assert!(fetches <= most, "{fetches} fetches for {end} seeks");
    report.add_requests(fetches);
}

/// A group's committed position lies behind the holes: only what is new comes.
pub(crate) async fn check_resumed(subject: &Subject, new: &[Held], report: &Report) {
    let partition = TopicPartition::new(&*subject.topic.name, 0);
    let mut consumer = consumer(subject, |settings| {
        settings.group_id(format!("{}-readers", subject.topic.name))
    });
    consumer
        .assign([(partition.clone(), StartFrom::Committed)])
        .expect("an assignment");
    let end = new.last().map_or(0, |held| held.offset + 1);
    assert_eq!(read_to(&mut consumer, &partition, end).await, new);
    report.add_requests(consumer.metrics().fetches);
}

fn consumer(
    subject: &Subject,
    configure: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
) -> Consumer {
    let settings = subject.client.consumer().fetch_max_wait(LONG_POLL);
    configure(settings).build().expect("a consumer")
}

/// What is handed out until the position is `end`, which must take less than [`PATIENCE`].
async fn read_to(consumer: &mut Consumer, partition: &TopicPartition, end: i64) -> Vec<Held> {
    let mut seen = Vec::new();
    let read = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while consumer.position(partition).await.expect("a position") < end {
            let batch = tokio::select! {
                biased;
                batch = consumer.next() => batch.expect("no error").expect("no end"),
                _ = tick.tick() => continue,
            };
            seen.extend(batch.records().map(|record| {
                let record = record.expect("a readable record");
                Held::new(record.offset(), record.key(), record.value())
            }));
        }
    };
    let done = timeout(PATIENCE, read).await;
    assert!(done.is_ok(), "{end} is not reached after {seen:?}");
    assert_eq!(consumer.position(partition).await.ok(), Some(end));
    seen
}
