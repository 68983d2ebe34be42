//! What compaction makes of batches, and what is read of them.

use std::collections::{BTreeMap, BTreeSet};

use ottla_codec::records::Compression;
use tokio::time::{Duration, Instant, interval};

use super::log::Writer::{Idempotent, Plain, Single};
use super::log::{Pair, Seen, newest};
use super::reading;
use super::world::{CODECS, World};
use crate::support::PATIENCE;

/// Every offset of the first batch stays spanned, though records between others are gone.
pub(crate) async fn hole_inside_a_batch(world: &World) {
    let mut log = world.compacted_log().await;
    let pairs = ["a", "b", "c", "d", "e"].map(|key| (key, Some("1")));
    log.write(Plain, &pairs).await;
    log.write(Plain, &[("b", Some("2")), ("d", Some("2"))])
        .await;
    log.roll();
    log.write(Plain, &[("f", Some("1"))]).await;
    let seen = log.compacted_to(&[(0, 4, 3), (5, 6, 2), (7, 7, 1)]).await;
    reading::check(world, &mut log, &seen).await;
}

/// Batches end later than their last records.
pub(crate) async fn tail_of_a_batch_gone(world: &World) {
    let mut log = world.compacted_log().await;
    let pairs = ["a", "b", "c", "d"].map(|key| (key, Some("1")));
    log.write(Plain, &pairs).await;
    let pairs = [("c", Some("2")), ("d", Some("2")), ("e", Some("1"))];
    log.write(Idempotent, &pairs).await;
    log.write(Plain, &[("e", Some("2"))]).await;
    log.roll();
    log.write(Plain, &[("f", Some("1"))]).await;
    let seen = log
        .compacted_to(&[(0, 3, 2), (4, 6, 2), (7, 7, 1), (8, 8, 1)])
        .await;
    reading::check(world, &mut log, &seen).await;
}

/// The log ends with a batch whose tail is gone: nothing comes after it that would move the position.
pub(crate) async fn tail_gone_at_the_end(world: &World) {
    let mut log = world.compacted_log().await;
    log.write(Plain, &[("a", Some("1")), ("b", Some("1"))])
        .await;
    log.write(Plain, &[("c", Some("1")), ("b", None), ("a", None)])
        .await;
    let seen = log.compacted_to(&[(2, 4, 1)]).await;
    reading::check(world, &mut log, &seen).await;
}

/// Of the idempotent producer's batches the first is gone altogether; the last is kept for its sequence, and is there
/// without records.
pub(crate) async fn emptied_batch(world: &World) {
    let mut log = world.compacted_log().await;
    let both = |value| [("a", Some(value)), ("b", Some(value))];
    log.write(Idempotent, &both("1")).await;
    log.write(Plain, &[("c", Some("1"))]).await;
    log.write(Idempotent, &both("2")).await;
    log.write(Plain, &both("3")).await;
    log.roll();
    log.write(Plain, &[("d", Some("1"))]).await;
    let seen = log
        .compacted_to(&[(2, 2, 1), (3, 4, 0), (5, 6, 2), (7, 7, 1)])
        .await;
    reading::check(world, &mut log, &seen).await;
}

/// The log ends with a batch without records.
pub(crate) async fn emptied_at_the_end(world: &World) {
    let mut log = world.compacted_log().await;
    let pairs = ["a", "b", "c"].map(|key| (key, Some("1")));
    log.write(Plain, &pairs).await;
    log.write(Idempotent, &[("a", None), ("b", None)]).await;
    let seen = log.compacted_to(&[(0, 2, 1), (3, 4, 0)]).await;
    reading::check(world, &mut log, &seen).await;
}

/// More batches without records, each of a producer of its own, than fit into a fetch.
pub(crate) async fn run_of_emptied_batches(world: &World) {
    const RUN: i64 = 40;
    let mut log = world.compacted_log().await;
    log.write(Plain, &[("first", Some("1"))]).await;
    for _ in 0..RUN {
        log.write(Single, &[("a", Some("1")), ("b", Some("1"))])
            .await;
    }
    log.write(Plain, &[("a", Some("2")), ("b", Some("2"))])
        .await;
    log.roll();
    log.write(Plain, &[("last", Some("1"))]).await;
    let behind = 1 + 2 * RUN;
    let mut left = vec![(0, 0, 1)];
    left.extend((0..RUN).map(|n| (1 + 2 * n, 2 + 2 * n, 0)));
    left.extend([(behind, behind + 1, 2), (behind + 2, behind + 2, 1)]);
    let seen = log.compacted_to(&left).await;
    reading::check(world, &mut log, &seen).await;
}

/// A tombstone is read until a compaction after its delete horizon; then not even that is left.
pub(crate) async fn tombstone_and_its_removal(world: &World) {
    let mut log = world.compacted_log().await;
    log.write(Plain, &[("a", Some("1")), ("b", Some("1"))])
        .await;
    log.write(Plain, &[("c", Some("1")), ("a", None)]).await;
    log.roll();
    log.write(Plain, &[("d", Some("1"))]).await;
    let seen = log.compacted_to(&[(0, 1, 1), (2, 3, 2), (4, 4, 1)]).await;
    assert_eq!(seen.records[2].value, None);
    reading::check(world, &mut log, &seen).await;
    // Cleaners look again only at logs in which something has become old.
    log.roll();
    log.write(Plain, &[("e", Some("1"))]).await;
    let left = [(0, 1, 1), (2, 3, 1), (4, 4, 1), (5, 5, 1), (6, 6, 1)];
    let seen = log.compacted_to(&left).await;
    reading::check(world, &mut log, &seen).await;
}

/// What is left of a compressed batch was compressed again, by the broker's own code.
pub(crate) async fn recompressed_batches(world: &World) {
    let mut log = world.compacted_log().await;
    let long = "a value that is worth compressing ".repeat(20);
    let keys: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    for codec in CODECS {
        log.codec = codec;
        let name = codec.name();
        let own: Vec<String> = keys.iter().map(|key| format!("{name} {key}")).collect();
        let pairs: Vec<Pair<'_>> = own.iter().map(|key| (&**key, Some(&*long))).collect();
        log.write(Plain, &pairs).await;
        // Every third goes, the last among them.
        let newer: Vec<Pair<'_>> = own
            .iter()
            .skip(2)
            .step_by(3)
            .map(|key| (&**key, Some("new")))
            .collect();
        log.write(Plain, &newer).await;
    }
    log.roll();
    log.write(Plain, &[("last", Some("1"))]).await;
    let left: Vec<_> = (0..5)
        .flat_map(|n| [(40 * n, 40 * n + 29, 20), (40 * n + 30, 40 * n + 39, 10)])
        .chain([(200, 200, 1)])
        .collect();
    let seen = log.compacted_to(&left).await;
    let codecs = CODECS.iter().flat_map(|codec| [codec, codec]);
    assert!(seen.codecs[..10].iter().eq(codecs), "{:?}", seen.codecs);
    reading::check(world, &mut log, &seen).await;
}

/// The topic says how batches are compressed, whatever the producer does, and changes its mind: each batch is as the
/// leader has compressed it again, and the cleaner leaves it so.
pub(crate) async fn recompressed_by_the_topic(world: &World) {
    let mut log = world.compacted_log().await;
    let settings = [
        ("zstd", Compression::Zstd),
        ("gzip", Compression::Gzip),
        ("uncompressed", Compression::None),
        ("lz4", Compression::Lz4),
        ("snappy", Compression::Snappy),
        ("producer", log.codec),
    ];
    let long = "a value that is worth compressing ".repeat(20);
    let mut written: Vec<(String, &str)> = Vec::new();
    for (setting, codec) in settings {
        log.set("compression.type", setting).await;
        // It takes a moment to get to the log.
        let deadline = Instant::now() + PATIENCE;
        let mut tick = interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            log.write(Plain, &[("probe", Some("1"))]).await;
            written.push(("probe".to_owned(), "1"));
            if log.look().await.codecs.last() == Some(&codec) {
                break;
            }
            assert!(Instant::now() < deadline, "not {setting} yet");
        }
        let keys = (0..20).map(|n| format!("{setting} {n}"));
        let batch: Vec<_> = keys.map(|key| (key, long.as_str())).collect();
        // Every third is written again, the last among them.
        let again = batch.iter().skip(1).step_by(3);
        let newer: Vec<_> = again.map(|(key, _)| (key.clone(), "new")).collect();
        for batch in [batch, newer] {
            let pairs: Vec<Pair<'_>> = batch
                .iter()
                .map(|(key, value)| (&**key, Some(*value)))
                .collect();
            log.write(Idempotent, &pairs).await;
            written.extend(batch);
        }
        let seen = log.look().await;
        let newest: Vec<_> = seen.codecs.iter().rev().take(3).collect();
        assert_eq!(newest, [&codec; 3], "{setting}");
    }
    log.roll();
    log.write(Plain, &[("last", Some("1"))]).await;
    written.push(("last".to_owned(), "1"));
    let codec_at = |seen: &Seen| -> BTreeMap<i64, Compression> {
        let starts = seen.batches.iter().map(|(first, ..)| *first);
        starts.zip(seen.codecs.iter().copied()).collect()
    };
    let before = codec_at(&log.look().await);
    let left = newest(written.iter().map(|(key, value)| (&**key, Some(*value))));
    let seen = log.compacted(|seen| seen.records == left).await;
    for (first, codec) in codec_at(&seen) {
        assert_eq!(codec, before[&first], "at {first}");
    }
    reading::check(world, &mut log, &seen).await;
}

/// A table by keys, read to its end: every key's newest value is there, and nothing that it has replaced.
pub(crate) async fn keyed_table(world: &World) {
    let mut log = world.compacted_log().await;
    let mut rng = fastrand::Rng::with_seed(7);
    let keys: Vec<String> = (0..100).map(|key| format!("key {key}")).collect();
    let values: Vec<String> = (0..6).map(|round| format!("round {round}")).collect();
    let mut written: Vec<Pair<'_>> = Vec::new();
    for value in &values {
        let mut round: Vec<Pair<'_>> = Vec::new();
        for key in &keys {
            // Some keys are left alone, and some deleted.
            match rng.u8(..10) {
                0..3 => {}
                3 => round.push((key, None)),
                _ => round.push((key, Some(value))),
            }
        }
        rng.shuffle(&mut round);
        for (index, batch) in round.chunks(23).enumerate() {
            let writer = if index % 2 == 0 { Idempotent } else { Plain };
            log.write(writer, batch).await;
        }
        written.extend(round);
    }
    log.roll();
    log.write(Plain, &[("last", Some("1"))]).await;
    written.push(("last", Some("1")));
    let left = newest(written.iter().copied());
    let seen = log.compacted(|seen| seen.records == left).await;

    let mut table = BTreeMap::new();
    for held in &seen.records {
        let twice = table.insert(held.key.as_str(), held.value.as_deref());
        assert_eq!(twice, None, "nothing is there that was replaced");
    }
    let expected: BTreeMap<_, _> = written.iter().copied().collect();
    assert_eq!(table, expected);
    let deleted: BTreeSet<_> = expected.values().map(Option::is_none).collect();
    assert_eq!(deleted.len(), 2, "some keys live, some are deleted");
    reading::check(world, &mut log, &seen).await;
}
