//! `ottla bench`.

use serde_json::{Value, json};

use crate::support::{cluster, log, ottla_on};

fn parse(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn produce_then_consume() {
    let cluster = cluster(3).await;
    let options = "-t t --records 20000 --size 50 -z zstd --linger 2 --batch 20000";
    let produced = parse(
        &ottla_on(&cluster, &format!("bench produce {options}"))
            .await
            .good(),
    );
    let mut count = 0;
    for partition in 0..3 {
        let log = log(&cluster, partition).await;
        assert!(
            log.iter()
                .all(|record| record.value.as_ref().unwrap().len() == 50)
        );
        count += log.len();
    }
    assert_eq!(count, 20_000);
    let consumed = parse(
        &ottla_on(&cluster, "bench consume -t t --records 15000 --size 50")
            .await
            .good(),
    );
    for (line, mode, at_least) in [(produced, "produce", 20_000), (consumed, "consume", 15_000)] {
        assert_eq!((&line["mode"], &line["errors"]), (&json!(mode), &json!(0)));
        assert!(line["records"].as_u64().unwrap() >= at_least, "{line}");
        assert!(
            line["secs"].as_f64().unwrap() > 0.0 && line["rate"].as_f64().unwrap() > 0.0,
            "{line}"
        );
    }
}

#[tokio::test]
async fn latency() {
    let cluster = cluster(1).await;
    let line = parse(
        &ottla_on(&cluster, "bench latency -t t --records 50 --size 10")
            .await
            .good(),
    );
    let of = |name: &str| line[name].as_u64().unwrap();
    assert!(0 < of("p50_us") && of("p50_us") <= of("p99_us") && of("p99_us") <= of("p999_us"));
    assert_eq!(log(&cluster, 0).await.len(), 50);
}

#[tokio::test]
async fn what_no_producer_takes_is_refused_at_once() {
    let cluster = cluster(1).await;
    for (mode, size, options) in [
        ("latency", "20000000", ""),
        ("produce", "99999999999999", ""),
        ("produce", "2001", "-X max.request.size=2000"),
        ("produce", "2001", "-X message.max.bytes=2000"),
    ] {
        let arguments = format!("bench {mode} -t t --records 5 --size {size} {options}");
        let said = ottla_on(&cluster, &arguments).await.bad();
        assert!(said.contains(size), "{said}");
        assert!(said.contains("max.request.size"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(cluster.requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn large_values_are_few() {
    let cluster = cluster(1).await;
    let size = 50_000_000;
    cluster
        .set_topic_config("t", "max.message.bytes", "60000000")
        .await
        .unwrap();
    let options = "-X max.request.size=60000000 -X buffer.memory=70000000";
    let arguments = format!("bench latency -t t --records 2 --size {size} {options}");
    let latency = parse(&ottla_on(&cluster, &arguments).await.good());
    assert!(latency["p50_us"].is_number());
    assert_eq!(log(&cluster, 0).await.len(), 2);
}
