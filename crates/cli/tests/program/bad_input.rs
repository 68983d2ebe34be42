//! What cannot work: a clear error on one line, exit status 1, and soon.

use std::time::{Duration, Instant};

use ottla_fake::Record;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{
    cluster, command_on, ended, file, ottla, ottla_on, ottla_reading, until, values,
};

/// What was said, on one line, within the time that a first answer is waited for.
async fn refusal(arguments: &str) -> String {
    let started = Instant::now();
    let said = ottla(arguments).await.bad();
    assert!(started.elapsed() < Duration::from_secs(20));
    one_line(&said)
}

#[track_caller]
fn one_line(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("ottla: "))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

#[tokio::test]
async fn no_brokers() {
    let said = refusal("topics list").await;
    for way in ["-b HOST:PORT", "OTTLA_BROKERS", "bootstrap.servers"] {
        assert!(said.contains(way), "{said}");
    }
}

#[tokio::test]
async fn no_such_host() {
    let said = refusal("topics list -b no-such-host.invalid:9092").await;
    assert!(
        said.starts_with("ottla: cannot reach no-such-host.invalid:9092: "),
        "{said}"
    );
}

#[tokio::test]
async fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let said = refusal(&format!("produce -t t -b {address}")).await;
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test]
async fn a_port_that_talks_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4];
            let _ = socket.read_exact(&mut request).await;
            let _ = socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    });
    let said = refusal(&format!("consume -t t -b {address}")).await;
    assert!(said.contains("HTTP"), "{said}");
    server.abort();
}

#[tokio::test]
async fn an_unknown_property() {
    let said = refusal("produce -t t -b localhost:1 -X lingr.ms=5").await;
    assert_eq!(
        said,
        "ottla: unknown property lingr.ms, did you mean linger.ms?"
    );
    let said = refusal("produce -t t -b localhost:1 -X linger.ms=soon").await;
    assert!(
        said.contains("linger.ms") && said.contains("soon"),
        "{said}"
    );
}

#[tokio::test]
async fn a_properties_file_that_is_not_there() {
    let said = refusal("topics list -F /no/such/file").await;
    assert!(
        said.starts_with("ottla: cannot read /no/such/file: "),
        "{said}"
    );
}

#[tokio::test]
async fn an_unknown_topic() {
    let cluster = cluster(1).await;
    let said = ottla_on(&cluster, "consume -t nonsense -e").await.bad();
    assert_eq!(one_line(&said), "ottla: the cluster has no topic nonsense");
    let ended = ottla_reading(&cluster, "produce -t nonsense", b"a\nb\n").await;
    let summary = ended.summary().to_owned();
    let said = ended.bad();
    let expected = "ottla: record 1 failed: the cluster has no topic nonsense\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(!said.contains("record 2 failed"), "{said}");
    assert!(
        summary.starts_with("produced 0 records, 0 bytes, in "),
        "{summary}"
    );
    assert!(summary.ends_with(", 2 errors"), "{summary}");
}

#[tokio::test]
async fn a_partition_out_of_range() {
    let cluster = cluster(3).await;
    let expected = "topic t has 3 partitions, there is no partition 3";
    let said = ottla_on(&cluster, "consume -t t -p 3 -e").await.bad();
    assert_eq!(one_line(&said), format!("ottla: {expected}"));
    let said = ottla_reading(&cluster, "produce -t t -p 3", b"a\n")
        .await
        .bad();
    let expected = format!("ottla: record 1 failed: {expected}\n");
    assert!(said.starts_with(&expected), "{said}");
}

#[tokio::test]
async fn an_offset_out_of_range() {
    let cluster = cluster(1).await;
    cluster.append("t", 0, [Record::of("a")]).await.unwrap();
    let said = ottla_on(&cluster, "consume -t t -o 5 -c 1").await.bad();
    assert!(one_line(&said).contains("out of range"), "{said}");
}

#[tokio::test]
async fn records_that_are_too_large_do_not_stop_the_others() {
    let huge = "x".repeat(3 << 20);
    // One that the reader skips, one that the producer refuses, and one of each that the broker refuses.
    let slightly = &huge[..(1 << 20) + 50_000];
    for (huge, options, limit) in [
        (&*huge, "", "1048576"),
        (slightly, "", "1048576"),
        (&*huge, "-X max.request.size=4000000", "MESSAGE_TOO_LARGE"),
        (slightly, "-X max.request.size=4000000", "MESSAGE_TOO_LARGE"),
    ] {
        let cluster = cluster(1).await;
        let text = format!("a\n{huge}\nb\n{huge}\n{huge}\nlast");
        let arguments = format!("produce -t t {options}");
        let ended = ottla_reading(&cluster, &arguments, text.as_bytes()).await;
        let summary = ended.summary().to_owned();
        let said = ended.bad();
        for (line, number) in said.lines().zip([2, 4, 5]) {
            let start = format!("ottla: record {number} failed: ");
            assert!(line.starts_with(&start) && line.contains(limit), "{said}");
        }
        assert_eq!(said.lines().count(), 4, "{said}");
        assert!(
            summary.starts_with("produced 3 records, 6 bytes, in "),
            "{summary}"
        );
        assert!(summary.ends_with(", 3 errors"), "{summary}");
        assert_eq!(values(&cluster, 0).await, [&b"a"[..], b"b", b"last"]);
    }
    let cluster = cluster(1).await;
    cluster
        .set_topic_config("t", "max.message.bytes", "4000000")
        .await
        .unwrap();
    let arguments = "produce -t t -X max.request.size=4000000";
    ottla_reading(&cluster, arguments, huge.as_bytes())
        .await
        .good();
    assert_eq!(values(&cluster, 0).await[0].len(), huge.len());
}

#[tokio::test]
async fn of_many_failures_the_first_are_told() {
    let cluster = cluster(1).await;
    let text = "x".repeat(5000) + "\n";
    let text = format!("{}good\n", text.repeat(200));
    let arguments = "produce -q -t t -X max.request.size=2000";
    let said = ottla_reading(&cluster, arguments, text.as_bytes())
        .await
        .bad();
    assert_eq!(said.lines().count(), 11, "{said}");
    assert!(said.ends_with("ottla: 190 more records failed\n"), "{said}");
    assert_eq!(values(&cluster, 0).await, [b"good"]);
}

#[tokio::test]
async fn a_file_that_is_not_there() {
    let cluster = cluster(1).await;
    let dir = tempfile::tempdir().unwrap();
    let good = file(&dir, "good", "a\n");
    let arguments = format!("produce -t t {} /no/such/file", good.display());
    let ended = ottla_on(&cluster, &arguments).await;
    let summary = ended.summary().to_owned();
    let said = ended.bad();
    assert!(
        one_line(&said).starts_with("ottla: cannot open /no/such/file: "),
        "{said}"
    );
    assert!(summary.starts_with("produced 1 records, "), "{summary}");
}

#[tokio::test]
async fn a_broker_that_dies_for_good_while_producing() {
    let cluster = cluster(1).await;
    let arguments = "produce -t t -X request.timeout.ms=1000 -X delivery.timeout.ms=2000";
    let mut command = command_on(&cluster, arguments);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\n").await.unwrap();
    until(async || values(&cluster, 0).await.len() == 1).await;
    cluster.shutdown();
    stdin.write_all(b"b\n").await.unwrap();
    // Its input stays open: it is the failure that ends it.
    let ended = ended(child).await;
    let summary = ended.summary().to_owned();
    let said = ended.bad();
    assert!(said.contains("ottla: record 2 failed: "), "{said}");
    assert!(
        said.contains("ottla: stopped before the end of the input\n"),
        "{said}"
    );
    assert!(
        summary.starts_with("produced 1 records, 1 bytes, "),
        "{summary}"
    );
}

#[tokio::test]
async fn a_broker_that_dies_for_good_while_consuming_to_the_end() {
    let cluster = cluster(1).await;
    cluster.append("t", 0, [Record::of("a")]).await.unwrap();
    // The end is told, records never come.
    cluster
        .on::<ottla_fake::codec::messages::fetch::FetchRequest>()
        .always()
        .drop_request();
    let child = command_on(&cluster, "consume -t t -e").spawn().unwrap();
    until(async || {
        let requests = cluster.requests().await.unwrap();
        requests
            .iter()
            .any(|request| request.api == ottla_fake::codec::ApiKey::Fetch)
    })
    .await;
    cluster.shutdown();
    let said = ended(child).await.bad();
    assert!(
        one_line(&said).starts_with("ottla: cannot reach the cluster any more: "),
        "{said}"
    );
}
