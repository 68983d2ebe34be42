//! A cluster that keeps nothing of what clients produce.

use bytes::{Bytes, BytesMut};
use ottla_codec::ErrorCode;
use ottla_codec::records::{Batches, Compression};
use ottla_fake::{FakeCluster, InvalidBatch, Record, TopicSpec, Violation};

use crate::client::{Client, batch, sequenced};

/// Where a v2 batch has its checksum, and where what it covers begins.
const CRC_AT: usize = 17;
const COVERED_FROM: usize = 21;

async fn sink() -> (FakeCluster, Client) {
    let cluster = FakeCluster::builder()
        .topic("t", 1)
        .topic_spec(TopicSpec::new("small", 1).config("compression.type", "lz4"))
        .sink(true)
        .start_in_memory()
        .await
        .unwrap();
    let client = Client::connect(&cluster, 1).await;
    (cluster, client)
}

/// The batch with its last byte changed, under a checksum that fits.
fn with_broken_record(batch: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    *bytes.last_mut().unwrap() ^= 0xff;
    let crc = crc32c::crc32c(&bytes[COVERED_FROM..]);
    bytes[CRC_AT..COVERED_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

#[tokio::test(start_paused = true)]
async fn offsets_go_on_and_nothing_is_kept() {
    let (cluster, mut client) = sink().await;
    for base_offset in [0, 2, 4] {
        let produced = client.produce("t", 0, batch(&["a", "b"])).await;
        let start = base_offset + 2;
        let told = (
            produced.error_code,
            produced.base_offset,
            produced.log_start_offset,
        );
        assert_eq!(told, (0, base_offset, start));
    }
    let partition = cluster.partition("t", 0).await.unwrap();
    assert_eq!((partition.log_start, partition.high_watermark), (6, 6));
    assert_eq!(cluster.log("t", 0).await.unwrap(), []);
    let gone = client.fetch("t", 0, 0).await;
    assert_eq!(gone.error_code, ErrorCode::OffsetOutOfRange.code());
    let end = client.fetch("t", 0, 6).await;
    assert_eq!((end.error_code, end.records.unwrap().len()), (0, 0));
    assert_eq!(cluster.requests().await.unwrap(), []);
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn sequences_are_judged_as_ever() {
    let (_cluster, mut client) = sink().await;
    let id = client.producer_id().await;
    let mut send = async |sequence| {
        let produced = client
            .produce("t", 0, sequenced(&["a", "b"], id, 0, sequence))
            .await;
        (produced.error_code, produced.base_offset)
    };
    for sequence in [0, 2, 4] {
        assert_eq!(send(sequence).await, (0, i64::from(sequence)));
    }
    assert_eq!(send(2).await, (0, 2), "a repeat has its first offset");
    let out_of_order = ErrorCode::OutOfOrderSequenceNumber.code();
    assert_eq!(send(8).await, (out_of_order, -1));
    assert_eq!(send(6).await, (0, 6));
}

#[tokio::test(start_paused = true)]
async fn headers_are_checked_and_records_are_not() {
    let (cluster, mut client) = sink().await;
    let good = batch(&["a"]);
    let mut torn = BytesMut::from(&good[..]);
    *torn.last_mut().unwrap() ^= 0xff;
    let refused = client.produce("t", 0, torn.freeze()).await;
    assert_eq!(refused.error_code, ErrorCode::CorruptMessage.code());
    assert!(matches!(
        cluster.violations().await.unwrap()[..],
        [Violation::InvalidBatch {
            reason: InvalidBatch::Checksum,
            ..
        }]
    ));
    let broken = with_broken_record(&good);
    assert_eq!(client.produce("t", 0, broken.clone()).await.error_code, 0);
    let keeps = FakeCluster::builder()
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&keeps, 1).await;
    let refused = client.produce("t", 0, broken).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidRecord.code());
}

#[tokio::test(start_paused = true)]
async fn what_is_appended_stays_until_something_is_produced() {
    let (cluster, mut client) = sink().await;
    let values = ["one", "two", "three"];
    let records = values.map(Record::of);
    cluster.append("small", 0, records).await.unwrap();
    for _ in 0..2 {
        let fetched = client.fetch("small", 0, 0).await.records.unwrap();
        let batches: Vec<_> = Batches::new(fetched.to_bytes())
            .map(Result::unwrap)
            .collect();
        assert_eq!(batches.len(), 1);
        assert_eq!(
            (
                batches[0].compression().unwrap(),
                batches[0].records_count()
            ),
            (Compression::Lz4, 3)
        );
    }
    let log = cluster.log("small", 0).await.unwrap();
    let logged: Vec<_> = log.iter().map(|record| record.value.clone()).collect();
    assert_eq!(logged, values.map(|value| Some(Bytes::from(value))));
    assert_eq!(
        client
            .produce("small", 0, batch(&["four"]))
            .await
            .base_offset,
        3
    );
    assert_eq!(cluster.log("small", 0).await.unwrap(), []);
}
