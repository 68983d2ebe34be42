//! The byte budget and the limits beside it.

use std::time::Duration;

use ottla::{Compression, Consumer, Record, RecordBatch, StartFrom};
use ottla_fake::FakeClusterBuilder;
use tokio::time::Instant;

use super::{Fixture, assert_silent, next, tp};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

impl Fixture {
    /// Appends batches of one record of this size.
    async fn fill_large(&self, partition: i32, batches: usize, size: usize) {
        for _ in 0..batches {
            let record = ottla_fake::Record::of(vec![b'x'; size]);
            self.cluster.append("t", partition, [record]).await.unwrap();
        }
    }
}

fn one_broker(partitions: i32) -> impl FnOnce(FakeClusterBuilder) -> FakeClusterBuilder {
    move |cluster| cluster.brokers(1).topic("t", partitions)
}

fn from_the_beginning(consumer: &Consumer, partitions: i32) {
    let starts = (0..partitions).map(|partition| (tp(partition), StartFrom::Beginning));
    consumer.assign(starts).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_1_mib_is_kept_and_still_finishes() {
    let fixture = Fixture::new(6).await;
    for partition in 0..6 {
        fixture.fill_large(partition, 60, 50 * KIB).await;
    }
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(MIB));
    from_the_beginning(&consumer, 6);
    let mut most = 0;
    for _ in 0..360 {
        next(&mut consumer).await;
        most = most.max(consumer.metrics().memory_used);
    }
    // Each lane may be one batch over.
    assert!(most <= MIB + 6 * 51 * KIB, "{most}");
    assert!(most >= MIB / 4, "{most}: the budget is not made use of");
    // With a hand-out a millisecond apart or not, nothing stands still for a long poll's time.
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_budget_passes() {
    let fixture = Fixture::with(one_broker(2)).await;
    for partition in 0..2 {
        fixture.fill_large(partition, 3, 700 * KIB).await;
    }
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(64 * KIB));
    from_the_beginning(&consumer, 2);
    for _ in 0..6 {
        assert!(next(&mut consumer).await.size_bytes() > 700 * KIB);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_a_partitions_limit_passes() {
    let fixture = Fixture::with(one_broker(3)).await;
    fixture.fill(0, 50, 10).await;
    fixture.fill_large(1, 3, 300 * KIB).await;
    fixture.fill_large(2, 3, 300 * KIB).await;
    let mut consumer = fixture.consumer(|settings| {
        settings
            .max_partition_fetch_bytes(1000)
            .fetch_max_bytes(3000)
    });
    from_the_beginning(&consumer, 3);
    for _ in 0..56 {
        next(&mut consumer).await;
    }
    assert_eq!(consumer.position(&tp(0)).await.unwrap(), 500);
    assert_eq!(consumer.position(&tp(1)).await.unwrap(), 3);
    assert_eq!(consumer.position(&tp(2)).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_inside_its_first_batch_is_asked_for_again_with_room_for_it() {
    let fixture = Fixture::with(one_broker(1)).await;
    fixture.fill_large(0, 1, 300 * KIB).await;
    // As brokers before KIP-74 did: not a byte more than the limit.
    fixture
        .cluster
        .on::<ottla_codec::messages::fetch::FetchRequest>()
        .always()
        .edit(|request, response| {
            let limit = request.topics[0].partitions[0].partition_max_bytes as usize;
            for data in response
                .responses
                .iter_mut()
                .flat_map(|topic| &mut topic.partitions)
            {
                let bytes = data.records.take().unwrap_or_default().to_bytes();
                data.records = Some(bytes.slice(..bytes.len().min(limit)).into());
            }
        });
    let mut consumer = fixture.consumer(|settings| settings.max_partition_fetch_bytes(1000));
    from_the_beginning(&consumer, 1);
    let began = Instant::now();
    assert!(next(&mut consumer).await.size_bytes() > 300 * KIB);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn batches_in_the_callers_hands_count_until_dropped_or_detached() {
    let fixture = Fixture::with(one_broker(1)).await;
    fixture.fill_large(0, 100, 100 * KIB).await;
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(MIB));
    from_the_beginning(&consumer, 1);
    let mut kept: Vec<RecordBatch> = Vec::new();
    while let Ok(batch) = tokio::time::timeout(Duration::from_secs(5), consumer.next()).await {
        kept.push(batch.unwrap().unwrap());
    }
    assert!(kept.len() < 20, "{}", kept.len());
    let detached: Vec<_> = kept.into_iter().map(RecordBatch::detach).collect();
    for _ in detached.len()..100 {
        next(&mut consumer).await;
    }
    assert_silent(&mut consumer, Duration::from_secs(1)).await;
    assert_eq!(detached[0].records().count(), 1);
    consumer.unassign();
    // What is detached is nobody's but the caller's.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(consumer.metrics().memory_used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_does_not_keep_the_room_from_others() {
    let fixture = Fixture::with(one_broker(2)).await;
    for partition in 0..2 {
        fixture.fill_large(partition, 100, 50 * KIB).await;
    }
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(MIB));
    from_the_beginning(&consumer, 2);
    next(&mut consumer).await;
    // Both have filled their queues.
    tokio::time::sleep(Duration::from_secs(5)).await;
    consumer.pause([&tp(0)]).unwrap();
    let before = consumer.position(&tp(0)).await.unwrap();
    while consumer.position(&tp(1)).await.unwrap() < 100 {
        assert_eq!(*next(&mut consumer).await.partition(), tp(1));
    }
    consumer.resume([&tp(0)]).unwrap();
    let mut expected = before;
    while expected < 100 {
        let batch = next(&mut consumer).await;
        assert_eq!(batch.records().next().unwrap().unwrap().offset(), expected);
        expected += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn p07_a_full_queue_is_fetched_on_at_once_beside_an_idle_partition() {
    let fixture = Fixture::with(one_broker(2)).await;
    fixture.fill_large(0, 400, 50 * KIB).await;
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(2 * MIB));
    from_the_beginning(&consumer, 2);
    let began = Instant::now();
    for _ in 0..400 {
        next(&mut consumer).await;
    }
    // 20 MiB in steps of less than 1 MiB: one long poll's wait for each would make ten seconds.
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    fixture.assert_clean().await;
}

/// Writes this many records of one byte over and over, in batches of 10, to partition 0.
async fn fill_compressed(fixture: &Fixture, compression: Compression, records: usize, size: usize) {
    let producer = fixture
        .client
        .producer()
        .compression(compression)
        .batch_size(11 * size)
        .build()
        .unwrap();
    let value = vec![b'x'; size];
    for sent in 1..=records {
        let record = Record::to("t").partition(0).value(&value);
        drop(producer.send(record).await.unwrap());
        // Left to itself the producer makes larger batches once it knows how well they compress.
        if sent % 10 == 0 {
            producer.flush().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn compressed_batches_are_counted_as_what_they_become() {
    for compression in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let fixture = Fixture::with(one_broker(1)).await;
        fill_compressed(&fixture, compression, 500, 10 * KIB).await;
        let mut consumer = fixture.consumer(|settings| settings.memory_limit(MIB));
        from_the_beginning(&consumer, 1);
        let (mut records, mut most, mut largest) = (0, 0, 0);
        while records < 500 {
            let batch = next(&mut consumer).await;
            let held = consumer.metrics();
            assert!(held.memory_used >= held.buffered_bytes + batch.size_bytes());
            most = most.max(held.memory_used);
            largest = largest.max(batch.size_bytes());
            records += batch.record_count();
            // Time for all that goes on ahead of a slow caller.
            tokio::time::sleep(Duration::from_millis(1)).await;
            most = most.max(consumer.metrics().memory_used);
        }
        // The batch that the caller waits for is decompressed, room or not.
        assert!(most <= MIB + 2 * largest, "{compression:?}: {most}");
        assert!(most >= MIB / 2, "{compression:?}: {most} of the budget");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_longer_than_expected_waits_until_it_is_wanted() {
    let fixture = Fixture::with(one_broker(1)).await;
    // A batch of a few hundred bytes becomes 600 KiB: as much of the budget as only one may take.
    fill_compressed(&fixture, Compression::Zstd, 100, 60 * KIB).await;
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(MIB));
    from_the_beginning(&consumer, 1);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ahead = consumer.metrics().memory_used;
        assert!(ahead <= MIB, "{ahead} bytes ahead of the caller");
        next(&mut consumer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_takes_beside_its_bytes_counts() {
    let fixture = Fixture::with(one_broker(1)).await;
    fixture.fill(0, 20_000, 1).await;
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(MIB));
    from_the_beginning(&consumer, 1);
    let size = next(&mut consumer).await.size_bytes();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let waiting = consumer.metrics().buffered_bytes / size;
    // Where they lie in a queue alone takes more than 200 bytes for each.
    assert!((500..MIB / 200).contains(&waiting), "{waiting} batches");
    for _ in 1..20_000 {
        next(&mut consumer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p05_nothing_is_fetched_twice() {
    let fixture = Fixture::new(6).await;
    for partition in 0..6 {
        fixture.fill_large(partition, 2_000, KIB).await;
    }
    // Queues are full all the time, and the caller is slow.
    let mut consumer = fixture.consumer(|settings| settings.memory_limit(MIB));
    from_the_beginning(&consumer, 6);
    let mut records = 0;
    while records < 12_000 {
        records += next(&mut consumer).await.record_count();
        tokio::time::advance(Duration::from_millis(3)).await;
    }
    // What brokers cut off at a limit comes again, but that is less than a batch an answer.
    let read = fixture.client.metrics().bytes_in;
    let bytes = 12_000 * KIB as u64;
    assert!(
        read < bytes + bytes / 5,
        "{read} bytes for {bytes} bytes of records"
    );
    fixture.assert_clean().await;
}
