//! The fuzz targets on drawn bytes: noise, and damaged vectors. `OTTLA_TEST_LONG` draws twenty times as much.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]

use std::fs;
use std::sync::OnceLock;

use fastrand::Rng;
use proptest::prelude::*;

#[path = "hostile/mutation.rs"]
#[expect(dead_code, reason = "what only messages need")]
mod mutation;
#[path = "hostile/targets.rs"]
mod targets;

#[path = "vectors/directory.rs"]
mod directory;

/// Batches and message sets that Java wrote, but for the largest.
fn logs() -> &'static [Vec<u8>] {
    static LOGS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    LOGS.get_or_init(|| {
        let mut paths = Vec::new();
        for directory in ["batches", "message-sets"] {
            let entries = fs::read_dir(directory::vectors().join(directory)).expect("vectors");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
        paths.sort();
        let logs = paths.iter().map(|path| fs::read(path).expect("a log"));
        logs.filter(|log| log.len() < 10_000).collect()
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: mutation::draws(2_000) as u32,
        // The seed is always the same; what it draws is repeated by running again.
        rng_seed: prop::test_runner::RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A seed of everything else that is drawn, and a length that shrinks.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), any::<prop::sample::Index>()).prop_map(|(seed, index)| {
        mutation::drawn(&mut Rng::with_seed(seed), index.get::<Vec<u8>>(logs()))
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn noise(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        for target in targets::TARGETS {
            target(&noise);
        }
    }

    /// A beginning that leads into some message.
    #[test]
    fn noise_in_messages(key in 0i16..93, version in 0i16..18, noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let head = [key.to_be_bytes(), version.to_be_bytes()].concat();
        targets::response(&[&head[..], &noise].concat());
        targets::request(&[&head[..], &[0, 0, 0, 7, 0xff, 0xff, 0], &noise].concat());
    }

    #[test]
    fn damaged_logs(log in damaged()) {
        targets::record_batches(&log);
    }

    #[test]
    fn damaged_message_sets(how: u8, log in damaged()) {
        targets::message_sets(&[&[how][..], &log].concat());
    }

    /// A log's compressed bytes are behind its first header; those of another codec are damage enough.
    #[test]
    fn damaged_compression(codec in 0u8..5, limit: [u8; 2], log in damaged()) {
        let compressed = log.get(61..).unwrap_or_default();
        targets::decompression(&[&[codec][..], &limit, compressed].concat());
    }
}
