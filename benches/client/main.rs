//! Whole records through the whole client: in by `send` until they are acknowledged, out by `next` or as a stream, over
//! a stream that is no socket. For an optimised build's instructions rather than its time, give one bench to
//! `perf stat`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "../allocations.rs"]
mod allocations;
mod broker;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

use broker::{Log, PARTITIONS, TOPIC};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_core::Stream as _;
use ottla::{Consumer, Delivery, Producer, Record, StartFrom};
use ottla_codec::records::{BatchBuilder, BatchFields, Compression, Compressor};
use tokio::runtime::{Builder, Runtime};

/// Of each run: several batches for each partition.
const RECORDS: usize = 100_000;
/// Several times what a consumer may have fetched ahead: most of them are fetched while they are counted.
const BEYOND_MEMORY: usize = 4_000_000;
/// A caller's own bound on records without an outcome.
const OPEN: usize = 65_536;
const VALUE: [u8; 100] = [b'v'; 100];
const BATCH_BYTES: usize = 128 * 1024;

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// Sends records and forgets their deliveries.
async fn send_all(producer: &Producer) {
    for _ in 0..RECORDS {
        let sent = producer.send(Record::to(TOPIC).value(&VALUE)).await;
        drop(sent.expect("it is taken in"));
    }
    producer.flush().await;
}

/// Sends records and sees each of them acknowledged.
async fn send_and_follow_all(producer: &Producer) {
    let mut open: VecDeque<Delivery> = VecDeque::with_capacity(OPEN);
    for _ in 0..RECORDS {
        if open.len() == OPEN
            && let Some(oldest) = open.pop_front()
        {
            oldest.await.expect("it is written");
        }
        let sent = producer.send(Record::to(TOPIC).value(&VALUE)).await;
        open.push_back(sent.expect("it is taken in"));
    }
    producer.flush().await;
    for delivery in open {
        delivery.await.expect("it is written");
    }
}

/// Sends one record after another, each when the one before is acknowledged.
async fn send_one_by_one(producer: &Producer, records: usize) {
    for _ in 0..records {
        let sent = producer.send(Record::to(TOPIC).value(&VALUE)).await;
        let delivery = sent.expect("it is taken in");
        delivery.await.expect("it is written");
    }
}

/// Reads so many records, in batches. Returns the bytes of their values.
async fn read_batches(consumer: &mut Consumer, records: usize) -> usize {
    let (mut count, mut bytes) = (0, 0);
    while count < records {
        let batch = consumer.next().await.expect("a batch").expect("not closed");
        for record in &batch {
            bytes += record.expect("a record").value().map_or(0, <[u8]>::len);
            count += 1;
        }
    }
    bytes
}

/// Reads so many records, one by one.
async fn read_stream(consumer: &mut Consumer, records: usize) -> usize {
    let mut stream = consumer.records();
    let mut bytes = 0;
    for _ in 0..records {
        let record = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await;
        let record = record.expect("not closed").expect("a record");
        bytes += record.value.map_or(0, |value| value.len());
    }
    bytes
}

fn produce(c: &mut Criterion) {
    let runtime = runtime();
    let client = runtime.block_on(async { broker::client(None) });
    let mut group = c.benchmark_group("produce");
    let producer = |linger| {
        let builder = client.producer().linger(linger).batch_size(BATCH_BYTES);
        runtime.block_on(async { builder.build().expect("a producer") })
    };

    let lingering = producer(Duration::from_millis(5));
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("send", |b| {
        b.iter(|| runtime.block_on(send_all(&lingering)));
    });
    allocations::report("produce/send", RECORDS, || {
        runtime.block_on(send_all(&lingering));
    });
    group.bench_function("send_and_follow", |b| {
        b.iter(|| runtime.block_on(send_and_follow_all(&lingering)));
    });
    allocations::report("produce/send_and_follow", RECORDS, || {
        runtime.block_on(send_and_follow_all(&lingering));
    });

    let prompt = producer(Duration::ZERO);
    group.throughput(Throughput::Elements(1));
    group.bench_function("one_by_one", |b| {
        b.iter_custom(|iterations| {
            let started = Instant::now();
            runtime.block_on(send_one_by_one(&prompt, iterations as usize));
            started.elapsed()
        });
    });
    allocations::report("produce/one_by_one", 1000, || {
        runtime.block_on(send_one_by_one(&prompt, 1000));
    });
    group.finish();
}

/// What a fetch brings from one partition: a MiB of batches.
fn log() -> Log {
    let mut builder = BatchBuilder::new(BATCH_BYTES);
    while builder.size_bytes() + VALUE.len() + 20 < BATCH_BYTES {
        let appended = builder.try_append(1_777_893_742_000, None, Some(&VALUE), []);
        appended.expect("a small record fits");
    }
    let records = i64::from(builder.record_count());
    let mut compressor = Compressor::new(Compression::None).expect("built in");
    let batch = builder.seal(&BatchFields::default(), &mut compressor);
    let batch = batch.expect("it has records").to_bytes();
    Log::repeating(&batch, records, 8)
}

fn consume(c: &mut Criterion) {
    let runtime = runtime();
    let mut consumer = runtime.block_on(async {
        let client = broker::client(Some(log()));
        let consumer = client.consumer().build().expect("a consumer");
        let partitions = (0..PARTITIONS).map(|index| ((TOPIC, index).into(), StartFrom::Beginning));
        consumer.assign(partitions).expect("new partitions");
        consumer
    });
    let mut group = c.benchmark_group("consume");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("batches", |b| {
        b.iter(|| runtime.block_on(read_batches(&mut consumer, RECORDS)));
    });
    allocations::report("consume/batches", BEYOND_MEMORY, || {
        runtime.block_on(read_batches(&mut consumer, BEYOND_MEMORY));
    });
    group.bench_function("stream", |b| {
        b.iter(|| runtime.block_on(read_stream(&mut consumer, RECORDS)));
    });
    allocations::report("consume/stream", BEYOND_MEMORY, || {
        runtime.block_on(read_stream(&mut consumer, BEYOND_MEMORY));
    });
    group.finish();
}

criterion_group!(benches, produce, consume);
criterion_main!(benches);
