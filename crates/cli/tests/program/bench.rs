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
