//! Logs that change under a reader.

use ottla::{AutoOffsetReset, ErrorKind, IsolationLevel, StartFrom};
use tokio::time::timeout;

use super::log::Writer::Plain;
use super::log::{Held, Log, Pair, Seen};
use super::reading::{self, commit, consumer, held, in_group, read_to};
use super::world::World;
use crate::support::{PATIENCE, eventually};

fn one(key: &'static str) -> Pair<'static> {
    (key, Some("1"))
}

fn two(key: &'static str) -> Pair<'static> {
    (key, Some("2"))
}

/// Three batches, the later ones replacing records of the first, and a fourth that waits to be written.
async fn write_body(log: &mut Log) {
    log.write(Plain, &["a", "b", "c", "d", "e"].map(one)).await;
    log.write(Plain, &["b", "c", "d"].map(two)).await;
    log.write(Plain, &[("d", Some("3"))]).await;
}

/// What compaction leaves of that, and of a batch in a new segment.
async fn compact_body(log: &mut Log) -> Seen {
    log.roll();
    log.write(Plain, &[one("f")]).await;
    log.compacted_to(&[(0, 4, 2), (5, 7, 2), (8, 8, 1), (9, 9, 1)])
        .await
}

fn body_from(offset: i64) -> Vec<Held> {
    let all = [
        Held::pair(0, "a", "1"),
        Held::pair(4, "e", "1"),
        Held::pair(5, "b", "2"),
        Held::pair(6, "c", "2"),
        Held::pair(8, "d", "3"),
        Held::pair(9, "f", "1"),
    ];
    all.into_iter()
        .filter(|held| held.offset >= offset)
        .collect()
}

/// The first batch is read as it was, and the rest as it is after the compaction that happens in between.
pub(crate) async fn compacted_between_two_fetches(world: &World) {
    let mut log = world.compacted_log().await;
    write_body(&mut log).await;
    let partition = log.partition();
    // As long as its batch is held there is no room to fetch another.
    let mut reader = in_group(world, &log, StartFrom::Beginning);
    let first = reader.next().await.unwrap().unwrap();
    assert_eq!(held(&first).len(), 5);
    let seen = compact_body(&mut log).await;
    assert_eq!(reader.metrics().buffered_bytes, 0);
    commit(&reader, &partition, 5).await;
    drop(first);
    assert_eq!(read_to(&mut reader, &partition, 10).await, body_from(5));
    assert_eq!(reader.lag(&partition), Some(0));
    commit(&reader, &partition, 10).await;
    let metrics = reader.metrics();
    assert_eq!((metrics.resets, metrics.truncations), (0, 0));
    assert!(metrics.fetches <= 5, "{}", metrics.fetches);
    world.report.add_requests(metrics.fetches);
    reading::check(world, &mut log, &seen).await;
}

/// What is buffered is handed out as it was fetched, and reading goes on behind it.
pub(crate) async fn compacted_while_buffered(world: &World) {
    let mut log = world.compacted_log().await;
    write_body(&mut log).await;
    let partition = log.partition();
    let mut reader = consumer(world, |settings| settings.group_id(log.group()));
    reader
        .assign([(partition.clone(), StartFrom::Beginning)])
        .unwrap();
    let first = reader.next().await.unwrap().unwrap();
    let mut read = held(&first);
    eventually("the rest is buffered", async || {
        reader.metrics().buffered_bytes > 0
    })
    .await;
    let seen = compact_body(&mut log).await;
    // Two batches of the answer that began with the first one, and one of another.
    read.extend(read_to(&mut reader, &partition, 10).await);
    let offsets: Vec<_> = read.iter().map(|held| held.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(reader.lag(&partition), Some(0));
    commit(&reader, &partition, 10).await;
    // Once more, as it is now.
    reader.seek(&partition, 0).unwrap();
    let again = read_to(&mut reader, &partition, 10).await;
    assert_eq!(again, body_from(0));
    let fetches = reader.metrics().fetches;
    assert!(fetches <= 6, "{fetches}");
    world.report.add_requests(fetches);
    reading::check(world, &mut log, &seen).await;
}

pub(crate) async fn log_start_moved_by_deleting_records(world: &World) {
    // Into the middle of a batch.
    log_start_moves(world, 6, async |log| log.delete_records(6).await).await;
}

pub(crate) async fn log_start_moved_by_retention(world: &World) {
    log_start_moves(world, 9, async |log| log.retain_the_least(9).await).await;
}

/// A reader stands at 5 when the log comes to start behind it, and a group has committed that.
async fn log_start_moves(world: &World, start: i64, moves: impl AsyncFn(&mut Log)) {
    let mut log = world.compacted_and_deleted_log().await;
    write_body(&mut log).await;
    compact_body(&mut log).await;
    let partition = log.partition();
    let policies = [
        (AutoOffsetReset::Earliest, start),
        (AutoOffsetReset::Latest, 10),
        (AutoOffsetReset::None, 5),
    ];
    let mut readers = Vec::new();
    for (policy, resumes) in policies {
        let mut reader = consumer(world, |settings| {
            settings
                .group_id(log.group())
                .memory_limit(1)
                .max_partition_fetch_bytes(1)
                .auto_offset_reset(policy)
        });
        reader
            .assign([(partition.clone(), StartFrom::Beginning)])
            .unwrap();
        let first = reader.next().await.unwrap().unwrap();
        assert_eq!(
            held(&first),
            [Held::pair(0, "a", "1"), Held::pair(4, "e", "1")]
        );
        commit(&reader, &partition, 5).await;
        readers.push((reader, first, policy, resumes));
    }
    moves(&mut log).await;

    let missed = ErrorKind::OffsetOutOfRange {
        partition: partition.clone(),
        position: 5,
        log_start: start,
        log_end: 10,
    };
    for (mut reader, first, policy, resumes) in readers {
        drop(first);
        if policy == AutoOffsetReset::None {
            let error = timeout(PATIENCE, reader.next()).await.expect("an error");
            assert_eq!(*error.unwrap_err().kind(), missed);
            assert_eq!(reader.position(&partition).await.unwrap(), 5);
            reader.seek(&partition, start).unwrap();
        }
        let expected = body_from(if policy == AutoOffsetReset::None {
            start
        } else {
            resumes
        });
        if policy == AutoOffsetReset::Latest {
            eventually("the position is reset", async || {
                reader.positions().get(&partition).map(|at| at.offset) == Some(10)
            })
            .await;
        }
        assert_eq!(read_to(&mut reader, &partition, 10).await, expected);
        commit(&reader, &partition, 10).await;
        let metrics = reader.metrics();
        let resets = u64::from(policy != AutoOffsetReset::None);
        assert_eq!((metrics.resets, metrics.truncations), (resets, 0));
        assert!(metrics.fetches <= 7, "{}", metrics.fetches);
        world.report.add_requests(metrics.fetches);
    }
    let seen = log.look().await;
    assert_eq!((seen.start, &seen.records), (start, &body_from(start)));
    reading::check(world, &mut log, &seen).await;
}

/// A group has committed an offset that compaction has emptied, and then retention deletes what is there.
pub(crate) async fn compacted_and_deleted(world: &World) {
    let mut log = world.compacted_and_deleted_log().await;
    write_body(&mut log).await;
    let seen = compact_body(&mut log).await;
    let partition = log.partition();
    let group = log.group();
    let resume = |policy| {
        let reader = consumer(world, |settings| {
            settings.group_id(&group).auto_offset_reset(policy)
        });
        let committed = [(partition.clone(), StartFrom::Committed)];
        reader.assign(committed).unwrap();
        reader
    };
    let mut reader = resume(AutoOffsetReset::None);
    reader.commit([(partition.clone(), 2)]).await.unwrap();
    reader.seek_to(&partition, StartFrom::Committed).unwrap();
    assert_eq!(read_to(&mut reader, &partition, 10).await, body_from(2));
    reading::check_level(
        world,
        &log,
        &seen,
        IsolationLevel::ReadUncommitted,
        &body_from(0),
    )
    .await;

    reader.commit([(partition.clone(), 2)]).await.unwrap();
    log.retain_the_least(9).await;
    for policy in [AutoOffsetReset::Earliest, AutoOffsetReset::None] {
        let mut reader = resume(policy);
        if policy == AutoOffsetReset::None {
            let error = timeout(PATIENCE, reader.next()).await.expect("an error");
            let missed = ErrorKind::OffsetOutOfRange {
                partition: partition.clone(),
                position: 2,
                log_start: 9,
                log_end: 10,
            };
            assert_eq!(*error.unwrap_err().kind(), missed);
            reader.seek_to(&partition, StartFrom::Beginning).unwrap();
        }
        assert_eq!(read_to(&mut reader, &partition, 10).await, body_from(9));
        let fetches = reader.metrics().fetches;
        assert!(fetches <= 4, "{fetches}");
        world.report.add_requests(fetches);
    }
    let seen = log.look().await;
    assert_eq!((seen.start, &seen.records), (9, &body_from(9)));
    reading::check(world, &mut log, &seen).await;
}
