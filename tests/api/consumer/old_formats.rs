//! Logs that old brokers wrote, in message formats 0 and 1: the fake stores none, so its answers are exchanged for bytes
//! that Kafka's own classes wrote.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use ottla::{Consumer, ErrorKind, StartFrom};
use ottla_codec::messages::fetch::{FetchRequest, FetchResponse};
use ottla_codec::records::Batches;
use ottla_fake::{FakeCluster, Interception};

use super::{Fixture, next, next_error, tp};

/// A log of the codec's vectors, and offset and timestamp of each record that Java reads from it.
pub(crate) struct OldLog {
    bytes: Bytes,
    pub(crate) records: Vec<(i64, i64)>,
}

impl OldLog {
    pub(crate) fn read(name: &str) -> Self {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/codec/tests/vectors");
        let file = vectors.join("message-sets").join(name);
        let records = fs::read_to_string(file.with_extension("records")).unwrap_or_default();
        let record = |line: &str| {
            let mut words = line.split(' ');
            let offset = words.next()?.parse().ok()?;
            Some((offset, words.next()?.parse().unwrap()))
        };
        Self {
            bytes: fs::read(file.with_extension("bin")).unwrap().into(),
            // Other lines tell where compressed messages end.
            records: records.lines().filter_map(record).collect(),
        }
    }

    /// The offset behind the last record.
    pub(crate) fn end(&self) -> i64 {
        let last = Batches::new(self.bytes.clone()).last();
        last.unwrap().unwrap().next_offset()
    }

    /// What a broker answers: the log from the entry on that holds the offset.
    fn from(&self, offset: i64) -> Bytes {
        let mut batches = Batches::new(self.bytes.clone());
        let mut start = 0;
        while let Some(Ok(batch)) = batches.next()
            && batch.next_offset() <= offset
        {
            start = batches.position();
        }
        self.bytes.slice(start..)
    }
}

/// A cluster whose answers to fetches from partition 0 hold the old log, from its entry on or from its beginning.
async fn serving(name: &str, whole: bool) -> (Fixture, OldLog) {
    let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 1)).await;
    let log = OldLog::read(name);
    // A record to a batch, so that the fake's own answer begins at the offset asked for.
    fixture
        .fill(0, usize::try_from(log.end()).unwrap(), 1)
        .await;
    drop(serve(&fixture.cluster, OldLog::read(name), whole));
    (fixture, log)
}

/// From now on the cluster answers fetches with the old log, from the entry on that holds what is asked for or from its
/// beginning. A topic of as many batches has to be there, of a record each.
pub(crate) fn serve(cluster: &FakeCluster, log: OldLog, whole: bool) -> Interception {
    let edit = move |_: &FetchRequest, response: &mut FetchResponse| {
        let topics = response.responses.iter_mut();
        for data in topics.flat_map(|topic| &mut topic.partitions) {
            let records = data.records.take().unwrap_or_default().to_bytes();
            data.records = Batches::new(records).next().map(|first| {
                let offset = first.unwrap().base_offset();
                let answer = log.from(if whole { 0 } else { offset });
                answer.into()
            });
        }
    };
    cluster.on::<FetchRequest>().always().edit(edit)
}

/// The offsets and timestamps of records that are handed out, up to the one before `end`.
async fn read_to(consumer: &mut Consumer, end: i64) -> Vec<(i64, i64)> {
    let mut read = Vec::new();
    while consumer.position(&tp(0)).await.unwrap() < end {
        let batch = next(consumer).await;
        for record in &batch {
            let record = record.unwrap();
            read.push((record.offset(), record.timestamp()));
        }
        assert_eq!(
            consumer.position(&tp(0)).await.unwrap(),
            batch.next_offset()
        );
        assert_eq!(batch.leader_epoch(), None);
    }
    read
}

#[tokio::test(start_paused = true)]
async fn a_log_of_all_formats_is_read_as_java_reads_it() {
    let (fixture, log) = serving("mixed-log", false).await;
    let mut consumer = fixture.reader();
    assert_eq!(log.records.len(), 70);
    assert_eq!(read_to(&mut consumer, 70).await, log.records);
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_lies_before_the_position_is_passed_over() {
    for whole in [false, true] {
        let (fixture, log) = serving("mixed-log", whole).await;
        let mut consumer = fixture.consumer(|settings| settings);
        for start in 0..70 {
            consumer
                .assign([(tp(0), StartFrom::Offset(start))])
                .unwrap();
            let expected = &log.records[usize::try_from(start).unwrap()..];
            assert_eq!(read_to(&mut consumer, 70).await, expected, "from {start}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn holes_in_a_compressed_message_are_passed() {
    for codec in ["none", "gzip", "snappy", "lz4"] {
        for format in 0..2 {
            let (fixture, log) = serving(&format!("v{format}-{codec}-hole"), false).await;
            let mut consumer = fixture.reader();
            assert_eq!(read_to(&mut consumer, 510).await, log.records);
            let offsets: Vec<_> = log.records.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, [501, 504, 505, 506, 509]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn times_of_appending_are_told_from_producers_times() {
    let (fixture, log) = serving("mixed-times", false).await;
    let mut consumer = fixture.reader();
    let mut read = Vec::new();
    while read.len() < log.records.len() {
        let batch = next(&mut consumer).await;
        let first = batch.next_offset() - i64::try_from(batch.record_count()).unwrap();
        assert_eq!(batch.is_log_append_time(), (10..30).contains(&first));
        read.extend((&batch).into_iter().map(|record| {
            let record = record.unwrap();
            (record.offset(), record.timestamp())
        }));
    }
    assert_eq!(read, log.records);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_an_old_format_counts_with_memory_of_its_own() {
    let (fixture, log) = serving("v1-none-large", false).await;
    let mut consumer = fixture.reader();
    let mut batches = Vec::new();
    while consumer.position(&tp(0)).await.unwrap() < log.end() {
        batches.push(next(&mut consumer).await);
    }
    let held: usize = batches.iter().map(ottla::RecordBatch::size_bytes).sum();
    assert!(held > 96_000);
    // Beside what the next fetch has reserved.
    let used = consumer.metrics().memory_used;
    drop(batches);
    let freed = used - consumer.metrics().memory_used;
    assert!((held..held + 2048).contains(&freed), "{freed} of {held}");
}

#[tokio::test(start_paused = true)]
async fn what_java_refuses_is_an_error_that_names_the_place() {
    let (fixture, _) = serving("v1-gzip-twice", false).await;
    let mut consumer = fixture.reader();
    let error = next_error(&mut consumer).await;
    assert!(
        matches!(error.kind(), ErrorKind::CorruptBatch { offset: 0, .. }),
        "{error}"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.ends_with("a compressed message within a compressed message"),
        "{source}"
    );
}
