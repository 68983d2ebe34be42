//! Memory, waiting, flushing, closing and dropping.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use ottla::{Client, ErrorKind, Record};
use ottla_codec::messages::produce::ProduceRequest;
use tokio::time::{Instant, timeout};

use super::world::{World, send, send_all};
use crate::support::fake;

const KIB: usize = 1024;

#[tokio::test(start_paused = true)]
async fn p01_every_delivery_is_resolved_when_flush_returns() {
    let world = World::new(6).await;
    let producer = world.producer();
    for round in 0..50 {
        let mut deliveries = Vec::new();
        for value in 0..40 {
            deliveries.push(send(&producer, (round + value) % 6, "v").await);
        }
        producer.flush().await;
        assert!(
            deliveries
                .iter()
                .all(|d| matches!(d.try_result(), Some(Ok(_))))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_the_linger() {
    let world = World::new(1).await;
    let producer = world.client.producer().linger(Duration::from_secs(60));
    let producer = producer
        .delivery_timeout(Duration::from_secs(100))
        .build()
        .unwrap();
    let delivery = send(&producer, 0, "a").await;
    let began = Instant::now();
    producer.flush().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(delivery.try_result().is_some());
    // With nothing to do it is done.
    producer.flush().await;
}

#[tokio::test(start_paused = true)]
async fn memory_bounds_what_is_taken_in() {
    let world = World::new(1).await;
    let producer = world
        .client
        .producer()
        .memory(64 * KIB)
        .batch_size(16 * KIB);
    let producer = producer.build().unwrap();
    let held = world.cluster.on::<ProduceRequest>().always().hold();
    let value = "x".repeat(KIB);
    let mut admitted = 0;
    while timeout(Duration::from_secs(1), send(&producer, 0, &value))
        .await
        .is_ok()
    {
        admitted += 1;
        assert!(producer.metrics().buffered_bytes <= 64 * KIB);
    }
    assert!((40..=64).contains(&admitted), "{admitted}");
    let full = producer
        .try_send(Record::to("t").value(&value))
        .unwrap_err();
    assert_eq!(full.kind(), &ErrorKind::MemoryFull);
    let waiting = send(&producer, 0, &value);
    let release = async {
        loop {
            held.arrived().await.unwrap();
            held.release().await.unwrap();
        }
    };
    tokio::select! {
        delivery = waiting => drop(delivery),
        () = release => {}
    }
}

#[tokio::test(start_paused = true)]
async fn send_waits_for_memory_no_longer_than_it_may() {
    let world = World::new(1).await;
    let producer = world.client.producer().memory(4 * KIB);
    let producer = producer.max_block(Duration::from_secs(7)).build().unwrap();
    send_all(&producer, &["warm"]).await;
    world.cluster.on::<ProduceRequest>().always().drop_request();
    let value = "x".repeat(3 * KIB);
    drop(send(&producer, 0, &value).await);
    let began = Instant::now();
    let record = Record::to("t").partition(0).value(&value);
    let error = producer.send(record).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }));
    assert!(!error.possibly_written());
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn f21_who_gives_up_waiting_blocks_nobody() {
    let world = World::new(1).await;
    let producer = world.client.producer().memory(4 * KIB).build().unwrap();
    send_all(&producer, &["warm"]).await;
    let held = world.cluster.on::<ProduceRequest>().hold();
    let value = "x".repeat(3 * KIB);
    drop(send(&producer, 0, &value).await);
    let mut others = Vec::new();
    {
        let mut impatient = pin!(send(&producer, 0, &value));
        let mut context = Context::from_waker(Waker::noop());
        assert!(impatient.as_mut().poll(&mut context).is_pending());
        for _ in 0..5 {
            let (producer, value) = (producer.clone(), value.clone());
            others.push(tokio::spawn(async move {
                send(&producer, 0, &value).await.await.unwrap();
            }));
        }
        held.arrived().await.unwrap();
        assert_eq!(producer.metrics().waiting_sends, 6);
        held.release().await.unwrap();
        // The first in the line has been woken by now, and goes away without a word.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for other in others {
        timeout(Duration::from_secs(5), other)
            .await
            .unwrap()
            .unwrap();
    }
    producer.flush().await;
    assert_eq!(producer.metrics().waiting_sends, 0);
    assert_eq!(world.values(0).await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn f16_failing_records_are_not_kept() {
    let world = World::new(1).await;
    let producer = world.client.producer().memory(64 * KIB).build().unwrap();
    let failing = world.cluster.on::<ProduceRequest>().always();
    failing.error(ottla_codec::ErrorCode::InvalidRecord);
    let value = "x".repeat(KIB);
    for _ in 0..2000 {
        drop(send(&producer, 0, &value).await);
    }
    producer.flush().await;
    let metrics = producer.metrics();
    assert_eq!(metrics.records_failed, 2000);
    assert_eq!(
        (metrics.buffered_bytes, metrics.undelivered_batches),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn p03_many_tasks_on_one_thread_share_little_memory() {
    let world = World::new(3).await;
    let producer = world.client.producer().memory(16 * KIB).build().unwrap();
    let began = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..50 {
        let producer = producer.clone();
        tasks.push(tokio::spawn(async move {
            let value = "x".repeat(500);
            for _ in 0..20 {
                send(&producer, task % 3, &value).await.await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(producer.metrics().records_written, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p04_a_send_loop_in_a_task_of_its_own_keeps_to_the_budget() {
    let cluster = fake::cluster().brokers(1).topic("t", 1);
    let cluster = cluster.start().await.unwrap();
    let client = Client::builder().bootstrap_servers(cluster.bootstrap_servers());
    let client = client.build().unwrap();
    let producer = client.producer().memory(256 * KIB).build().unwrap();
    let loops = producer.clone();
    let sending = tokio::spawn(async move {
        let value = "x".repeat(100);
        let mut most = 0;
        for _ in 0..50_000 {
            drop(send(&loops, 0, &value).await);
            most = most.max(loops.metrics().buffered_bytes);
        }
        most
    });
    let most = sending.await.unwrap();
    assert!(most <= 256 * KIB, "{most}");
    producer.flush().await;
    assert_eq!(producer.metrics().records_written, 50_000);
}

#[tokio::test(start_paused = true)]
async fn with_nobody_reachable_records_expire_as_certainly_not_written() {
    let world = World::new(1).await;
    let producer = world.client.producer().memory(64 * KIB).build().unwrap();
    send_all(&producer, &["warm"]).await;
    for broker in 1..=3 {
        world.cluster.kill_broker(broker).await.unwrap();
    }
    let began = Instant::now();
    let value = "x".repeat(KIB);
    let mut deliveries = Vec::new();
    while let Ok(delivery) = timeout(Duration::from_secs(1), send(&producer, 0, &value)).await {
        deliveries.push(delivery);
    }
    assert!(deliveries.len() >= 30, "{}", deliveries.len());
    for delivery in deliveries {
        let error = delivery.await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. }));
        assert!(!error.possibly_written(), "{error:?}");
        assert!(std::error::Error::source(&error).is_some());
    }
    assert_eq!(began.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn close_delivers_what_is_in_and_takes_no_more() {
    let world = World::new(1).await;
    let producer = world.producer();
    let delivery = send(&producer, 0, "a").await;
    let other = producer.clone();
    producer.close(Duration::from_secs(5)).await.unwrap();
    delivery.await.unwrap();
    let error = other.send(Record::to("t").value("b")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed { .. }) && error.is_fatal());
    other.close(Duration::ZERO).await.unwrap();
    other.flush().await;
}

#[tokio::test(start_paused = true)]
async fn close_returns_by_its_deadline() {
    let world = World::new(1).await;
    let producer = world.client.producer().max_in_flight(1).build().unwrap();
    send_all(&producer, &["warm"]).await;
    world.cluster.on::<ProduceRequest>().always().drop_request();
    let on_the_wire = send(&producer, 0, "a").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let waiting = send(&producer, 0, "b").await;
    let began = Instant::now();
    let error = producer.close(Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }));
    assert_eq!(began.elapsed().as_secs(), 3);
    let results = [on_the_wire, waiting].map(|d| d.try_result().unwrap().unwrap_err());
    assert!(
        results
            .iter()
            .all(|e| matches!(e.kind(), ErrorKind::Closed { .. }))
    );
    assert_eq!(results.map(|e| e.possibly_written()), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_close_wakes_those_who_wait_for_memory() {
    let world = World::new(1).await;
    let producer = world.client.producer().memory(4 * KIB).build().unwrap();
    send_all(&producer, &["warm"]).await;
    world.cluster.on::<ProduceRequest>().always().drop_request();
    let value = "x".repeat(3 * KIB);
    drop(send(&producer, 0, &value).await);
    let memory = producer.send(Record::to("t").value(&value));
    let close = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        producer.close(Duration::from_secs(1)).await
    };
    let (memory, closed) = tokio::join!(memory, close);
    let refused = memory.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Closed { .. }));
    assert!(closed.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_drop_fails_what_is_left_at_once() {
    let world = World::new(1).await;
    let producer = world.producer();
    send_all(&producer, &["warm"]).await;
    world.cluster.on::<ProduceRequest>().always().drop_request();
    let on_the_wire = send(&producer, 0, "a").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let waiting = send(&producer, 0, "b").await;
    drop(producer);
    let results = [on_the_wire, waiting].map(|d| d.try_result().unwrap().unwrap_err());
    assert_eq!(results.map(|e| e.possibly_written()), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn closing_the_client_closes_its_producers() {
    let world = World::new(1).await;
    let producer = world.producer();
    send_all(&producer, &["warm"]).await;
    world.cluster.on::<ProduceRequest>().always().drop_request();
    let delivery = send(&producer, 0, "a").await;
    world.client.close(Duration::from_secs(1)).await;
    let error = delivery.await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Closed { .. }),
        "{error:?}"
    );
    assert!(producer.send(Record::to("t").value("b")).await.is_err());
}
