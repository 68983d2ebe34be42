//! Signals and broken pipes.

use std::process::Stdio;

use ottla_fake::codec::ApiKey;
use ottla_fake::codec::messages::fetch::FetchRequest;
use ottla_fake::codec::messages::produce::ProduceRequest;
use ottla_fake::{FakeCluster, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{cluster, command_on, ended, number_before, says, signal, until, values};

#[tokio::test]
async fn produce_finishes_what_it_took_in_and_says_what_it_left() {
    for (name, status) in [("-INT", 130), ("-TERM", 143)] {
        let cluster = cluster(1).await;
        let held = cluster.on::<ProduceRequest>().times(1).hold();
        let mut command = command_on(&cluster, "produce -t t");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"a\nb\nunfinished").await.unwrap();
        // The lines were taken in, and are not written yet.
        held.arrived().await.unwrap();
        signal(&child, name).await;
        let (said, mut stderr) = says(&mut child, "again").await;
        assert!(
            said.contains("interrupted: the rest of the input"),
            "{said}"
        );
        assert_eq!(number_before(" records", &said), 2, "{said}");
        held.release().await.unwrap();
        let mut summary = String::new();
        stderr.read_to_string(&mut summary).await.unwrap();
        ended(child).await.failed(status);
        assert!(summary.starts_with("produced 2 records, "), "{summary}");
        assert!(summary.ends_with(", 0 errors\n"), "{summary}");
        assert_eq!(values(&cluster, 0).await, [b"a", b"b"]);
        drop(stdin);
    }
}

#[tokio::test]
async fn a_signal_while_the_last_outcomes_are_waited_for_loses_nothing() {
    let cluster = cluster(1).await;
    let held = cluster.on::<ProduceRequest>().times(1).hold();
    let mut command = command_on(&cluster, "produce -t t");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\nb\n").await.unwrap();
    drop(stdin);
    held.arrived().await.unwrap();
    signal(&child, "-INT").await;
    let (said, mut stderr) = says(&mut child, "again").await;
    assert_eq!(number_before(" records", &said), 2, "{said}");
    held.release().await.unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("produced 2 records, "), "{said}{rest}");
    // The input had come to its end, and all of it is written.
    ended(child).await.good();
}

#[tokio::test]
async fn the_second_signal_gives_up_on_produce() {
    // In the one case everything has been read and waits for its outcome, in the other reading waits for memory.
    let much = "line\n".repeat(100_000);
    for text in ["a\nb\n", &much] {
        let cluster = cluster(1).await;
        cluster.on::<ProduceRequest>().always().drop_request();
        let mut command = command_on(&cluster, "produce -t t -X buffer.memory=200000");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = text.to_owned();
        let feeding = tokio::spawn(async move {
            let _ = stdin.write_all(text.as_bytes()).await;
            stdin
        });
        until(async || asked(&cluster, ApiKey::Produce).await).await;
        signal(&child, "-INT").await;
        let (said, mut stderr) = says(&mut child, "again").await;
        let waiting = number_before(" records", &said);
        assert!(waiting >= 2, "{said}");
        signal(&child, "-INT").await;
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).await.unwrap();
        ended(child).await.failed(130);
        assert_eq!(number_before(" records without an outcome", &rest), waiting);
        let perhaps = number_before(" of them may have been written", &rest);
        assert!((1..=waiting).contains(&perhaps), "{rest}");
        let summary = rest.lines().last().unwrap();
        assert!(summary.starts_with("produced 0 records, "), "{rest}");
        assert_eq!(number_before(" errors", summary), waiting);
        drop(feeding.await.unwrap());
    }
}

#[tokio::test]
async fn a_signal_before_the_end_that_was_asked_for_is_a_failure() {
    for arguments in ["consume -t t -e", "consume -t t -c 5"] {
        let cluster = cluster(1).await;
        cluster.append("t", 0, [Record::of("a")]).await.unwrap();
        cluster.on::<FetchRequest>().always().drop_request();
        let child = command_on(&cluster, arguments).spawn().unwrap();
        until(async || asked(&cluster, ApiKey::Fetch).await).await;
        signal(&child, "-TERM").await;
        let said = ended(child).await.failed(143);
        assert_eq!(said, "ottla: interrupted\n");
    }
}

#[tokio::test]
async fn bench_hears_signals() {
    for arguments in [
        "bench produce -t t --records 1000000000",
        "bench latency -t t --records 1000000000 --size 500000",
    ] {
        let cluster = cluster(1).await;
        let child = command_on(&cluster, arguments).spawn().unwrap();
        until(async || asked(&cluster, ApiKey::Produce).await).await;
        signal(&child, "-TERM").await;
        assert!(ended(child).await.failed(143).contains("interrupted"));
    }
}

async fn asked(cluster: &FakeCluster, api: ApiKey) -> bool {
    let requests = cluster.requests().await.unwrap();
    requests.iter().any(|request| request.api == api)
}

#[tokio::test]
async fn consume_prints_what_came_and_stops() {
    for name in ["-INT", "-TERM"] {
        let cluster = cluster(1).await;
        cluster
            .append("t", 0, [Record::of("a"), Record::of("b")])
            .await
            .unwrap();
        let mut child = command_on(&cluster, "consume -t t").spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut said = [0; 4];
        stdout.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"a\nb\n", "records are printed as they come");
        signal(&child, name).await;
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
        let ended = ended(child).await;
        assert_eq!(ended.stderr, "");
        ended.good();
    }
}

#[tokio::test]
async fn consume_stops_though_nobody_reads_what_it_prints() {
    let cluster = cluster(1).await;
    let value = "x".repeat(500_000);
    for _ in 0..20 {
        cluster
            .append("t", 0, [Record::of(value.clone())])
            .await
            .unwrap();
    }
    let mut child = command_on(&cluster, "consume -t t").spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 1];
    stdout.read_exact(&mut first).await.unwrap();
    signal(&child, "-INT").await;
    ended(child).await.good();
}

#[tokio::test]
async fn a_broken_pipe_ends_it_quietly() {
    let cluster = cluster(1).await;
    let value = "x".repeat(500_000);
    for _ in 0..20 {
        cluster
            .append("t", 0, [Record::of(value.clone())])
            .await
            .unwrap();
    }
    for arguments in ["consume -t t", "consume -t t -e"] {
        let mut child = command_on(&cluster, arguments).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0; 1];
        stdout.read_exact(&mut first).await.unwrap();
        drop(stdout);
        let ended = ended(child).await;
        assert_eq!(ended.stderr, "");
        ended.good();
    }
}
