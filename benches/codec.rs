//! What a record costs in the codec: into a batch, through each compression codec, and out again.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla_codec::records::{
    BatchBuilder, BatchFields, Batches, Compression, Compressor, Decompressor, SealedBatch,
};

/// The size of batch that the figures in the documentation are for.
const BATCH_BYTES: usize = 128 * 1024;
const LIMIT: usize = 16 << 20;

/// Values of about 100 bytes that compress like log lines do.
fn values() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_u64;
    (0..BATCH_BYTES / 100)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let host = (state >> 40) % 200;
            format!(
                "2026-05-04T11:22:{:02}.{:03}Z host-{host:03} GET /api/v1/items/{:08x} 200 {:>5}us agent=curl/8.5",
                i % 60, i % 1000, state >> 32, (state >> 33) % 90_000,
            )
            .into_bytes()
        })
        .map(|mut value| {
            value.resize(100, b' ');
            value
        })
        .collect()
}

fn fill(builder: &mut BatchBuilder, values: &[Vec<u8>]) -> usize {
    let mut records = 0;
    for value in values {
        if builder.size_bytes() + value.len() + 20 > BATCH_BYTES {
            break;
        }
        let timestamp = 1_777_893_742_000 + i64::from(builder.record_count() >> 4);
        builder
            .try_append(timestamp, None, Some(black_box(value)), [])
            .expect("a small record fits");
        records += 1;
    }
    records
}

fn sealed(compression: Compression) -> SealedBatch {
    let mut builder = BatchBuilder::new(BATCH_BYTES);
    fill(&mut builder, &values());
    let mut compressor = Compressor::new(compression).expect("all codecs are built in");
    builder
        .seal(&BatchFields::default(), &mut compressor)
        .expect("the batch has records")
}

/// Records of 100 bytes into a batch of 128 KiB, sealed.
fn encode(c: &mut Criterion) {
    let values = values();
    let mut group = c.benchmark_group("batch_encode");
    let records = fill(&mut BatchBuilder::new(BATCH_BYTES), &values);
    group.throughput(Throughput::Elements(records as u64));
    group.bench_function("append", |b| {
        let mut builder = BatchBuilder::new(BATCH_BYTES);
        b.iter(|| {
            builder.clear();
            fill(&mut builder, &values)
        });
    });
    group.bench_function("append_key_and_header", |b| {
        let mut builder = BatchBuilder::new(2 * BATCH_BYTES);
        let header: &[u8] = b"4bf92f3577b34da6";
        b.iter(|| {
            builder.clear();
            for value in values.iter().take(records) {
                let headers = [("traceparent", Some(header))];
                let key = value.get(24..32);
                builder
                    .try_append(1_777_893_742_000, key, Some(value), headers)
                    .expect("fits");
            }
        });
    });
    for compression in Compression::ALL {
        let mut compressor = Compressor::new(compression).expect("all codecs are built in");
        group.bench_function(BenchmarkId::new("append_and_seal", compression), |b| {
            b.iter_batched_ref(
                || BatchBuilder::new(BATCH_BYTES),
                |builder| {
                    fill(builder, &values);
                    builder
                        .seal(&BatchFields::default(), &mut compressor)
                        .expect("has records")
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A fetched batch: header, checksum, decompression and a look at every record.
fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_decode");
    for compression in Compression::ALL {
        let batch = sealed(compression);
        let bytes = batch.to_bytes();
        let mut decompressor = Decompressor::new();
        group.throughput(Throughput::Elements(u64::from(batch.record_count())));
        group.bench_function(BenchmarkId::new("check_and_walk", compression), |b| {
            b.iter(|| walk(&bytes, &mut decompressor, true));
        });
    }
    let bytes = sealed(Compression::None).to_bytes();
    let mut decompressor = Decompressor::new();
    group.bench_function("walk_only", |b| {
        b.iter(|| walk(&bytes, &mut decompressor, false));
    });
    // What is done with an answer before the next fetch leaves.
    let answer = Bytes::from(bytes.repeat(8));
    group.throughput(Throughput::Elements(8));
    group.bench_function("scan_headers", |b| {
        b.iter(|| {
            let headers =
                Batches::new(answer.clone()).map(|batch| batch.expect("valid").next_offset());
            headers.max()
        });
    });
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("checksum_only", |b| {
        let batch = Batches::new(bytes.clone())
            .next()
            .expect("complete")
            .expect("valid");
        b.iter(|| batch.verify_crc().expect("right checksum"));
    });
    group.finish();
}

fn walk(bytes: &Bytes, decompressor: &mut Decompressor, check: bool) -> usize {
    let mut total = 0;
    for batch in Batches::new(bytes.clone()) {
        let batch = batch.expect("valid");
        if check {
            batch.verify_crc().expect("right checksum");
        }
        let decoded = batch.decompress(decompressor, LIMIT).expect("valid");
        for record in decoded.records() {
            let record = record.expect("valid");
            total += record.value.map_or(0, <[u8]>::len) + record.offset as usize;
        }
    }
    total
}

/// What a retry under another epoch costs.
fn patch(c: &mut Criterion) {
    let mut batch = sealed(Compression::None);

    c.bench_function("set_producer", |b| {
        b.iter(|| batch.set_producer(black_box(7), black_box(3), black_box(99)));
    });
}

criterion_group!(benches, encode, decode, patch);
criterion_main!(benches);
