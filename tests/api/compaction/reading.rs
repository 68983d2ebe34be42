//! What a consumer makes of a compacted log.

use ottla::{Consumer, ConsumerBuilder, IsolationLevel, StartFrom, TopicPartition};
use tokio::time::{Duration, timeout};

use super::log::{Held, Log, Seen, Writer};
use super::world::World;
use crate::support::PATIENCE;

/// Longer than anything waits here, so that no fetch is sent again just because time has passed.
const LONG_POLL: Duration = Duration::from_secs(45);
/// In a long log, not every offset is tried.
const STARTS: usize = 16;

/// Reads the log in every way that a hole could trip over, and as somebody else does; then something is written, which
/// is read from where the group has committed.
pub(crate) async fn check(world: &World, log: &mut Log, seen: &Seen) {
    check_level(
        world,
        log,
        seen,
        IsolationLevel::ReadUncommitted,
        &seen.records,
    )
    .await;
    check_resumed(world, log, seen.end).await;
}

/// The same without the last part, for what one isolation level shows of the log.
pub(crate) async fn check_level(
    world: &World,
    log: &Log,
    seen: &Seen,
    level: IsolationLevel,
    truth: &[Held],
) {
    assert_eq!(world.read_by_another(log, level, truth).await, truth);
    let Seen { start, end, .. } = *seen;
    let partition = log.partition();
    let entries = seen.entries;
    // A broker answers from one segment at a time, and the last answer is still to come when all is read.
    let answers = log.segments + 1;
    // All that there is; three emptied batches; and one batch with each answer, so that an emptied one comes alone.
    for (limit, most) in [(1 << 20, answers), (200, entries + 1), (1, entries + 1)] {
        let mut consumer = consumer(world, |settings| {
            let settings = settings.group_id(log.group());
            settings
                .isolation_level(level)
                .max_partition_fetch_bytes(limit)
        });
        consumer
            .assign([(partition.clone(), StartFrom::Beginning)])
            .expect("an assignment");
        let read = read_to(&mut consumer, &partition, end).await;
        assert_eq!(read, truth, "with {limit} bytes for each partition");
        assert_eq!(consumer.lag(&partition), Some(0), "nothing is left to read");
        let fetches = consumer.metrics().fetches;
        assert!(fetches <= most, "{fetches} fetches for {entries} batches");
        world.report.add_requests(fetches);
        commit(&consumer, &partition, end).await;
    }

    // Offsets whose records are gone are neither out of range nor the end.
    let offsets: Vec<i64> = (start..=end).collect();
    let step = offsets.len().div_ceil(STARTS);
    let offsets = || offsets.iter().step_by(step).chain([&end]);
    let after = |offset: i64| truth.iter().filter(move |held| held.offset >= offset);
    for &from in offsets() {
        let mut consumer = consumer(world, |settings| settings.isolation_level(level));
        consumer
            .assign([(partition.clone(), StartFrom::Offset(from))])
            .expect("an assignment");
        let read = read_to(&mut consumer, &partition, end).await;
        assert!(read.iter().eq(after(from)), "from {from}: {read:?}");
        let metrics = consumer.metrics();
        assert_eq!(metrics.resets, 0, "from {from}");
        let fetches = metrics.fetches;
        assert!(fetches <= answers, "{fetches} fetches from {from}");
        world.report.add_requests(fetches);
    }

    // A seek into a hole, from behind it.
    let mut consumer = consumer(world, |settings| settings.isolation_level(level));
    consumer
        .assign([(partition.clone(), StartFrom::Beginning)])
        .expect("an assignment");
    read_to(&mut consumer, &partition, end).await;
    for &to in offsets() {
        consumer
            .seek(&partition, to)
            .expect("an assigned partition");
        let read = read_to(&mut consumer, &partition, end).await;
        assert!(read.iter().eq(after(to)), "after a seek to {to}: {read:?}");
    }
    let fetches = consumer.metrics().fetches;
    let seeks = offsets().count() as u64;
    assert!(
        fetches <= answers * (seeks + 1),
        "{fetches} fetches for {seeks} seeks"
    );
    world.report.add_requests(fetches);
}

/// The group's committed position lies behind the holes: only what is new comes.
pub(crate) async fn check_resumed(world: &World, log: &mut Log, end: i64) {
    log.write(Writer::Plain, &[("new", Some("1"))]).await;
    let partition = log.partition();
    let mut consumer = in_group(world, log, StartFrom::Committed);
    let new = [Held::pair(end, "new", "1")];
    assert_eq!(read_to(&mut consumer, &partition, end + 1).await, new);
    world.report.add_requests(consumer.metrics().fetches);
}

/// A consumer that reads the log for the log's group, one batch at a time and no further ahead, with nothing but
/// errors for positions that the log does not hold.
pub(crate) fn in_group(world: &World, log: &Log, from: StartFrom) -> Consumer {
    let consumer = consumer(world, |settings| {
        settings
            .group_id(log.group())
            .memory_limit(1)
            .max_partition_fetch_bytes(1)
            .auto_offset_reset(ottla::AutoOffsetReset::None)
    });
    consumer
        .assign([(log.partition(), from)])
        .expect("an assignment");
    consumer
}

pub(crate) fn consumer(
    world: &World,
    configure: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
) -> Consumer {
    let settings = world.client.consumer().fetch_max_wait(LONG_POLL);
    configure(settings).build().expect("a consumer")
}

/// Commits the consumer's positions, which the group must then have.
pub(crate) async fn commit(consumer: &Consumer, partition: &TopicPartition, expected: i64) {
    consumer.commit_positions().await.expect("a commit");
    let committed = consumer
        .committed([partition.clone()])
        .await
        .expect("an answer");
    assert_eq!(committed[partition].offset, expected);
}

/// The records of a batch.
pub(crate) fn held(batch: &ottla::RecordBatch) -> Vec<Held> {
    let records = batch.records().map(|record| {
        let record = record.expect("a readable record");
        Held::new(record.offset(), record.key(), record.value())
    });
    records.collect()
}

/// What is handed out until the position is `end`, which must take less than [`PATIENCE`].
pub(crate) async fn read_to(
    consumer: &mut Consumer,
    partition: &TopicPartition,
    end: i64,
) -> Vec<Held> {
    let mut seen = Vec::new();
    let read = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while consumer.position(partition).await.expect("a position") < end {
            let batch = tokio::select! {
                biased;
                batch = consumer.next() => batch.expect("no error").expect("no end"),
                _ = tick.tick() => continue,
            };
            seen.extend(held(&batch));
        }
    };
    let done = timeout(PATIENCE, read).await;
    assert!(done.is_ok(), "{end} is not reached after {seen:?}");
    assert_eq!(consumer.position(partition).await.ok(), Some(end));
    seen
}
