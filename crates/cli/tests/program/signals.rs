//! Signals and broken pipes.

use std::process::Stdio;

use ottla_fake::Record;
use ottla_fake::codec::messages::produce::ProduceRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{cluster, command_on, ended, signal, values};

#[tokio::test]
async fn produce_flushes_what_was_read() {
    for name in ["-INT", "-TERM"] {
        let cluster = cluster(1).await;
        let held = cluster.on::<ProduceRequest>().hold();
        let mut command = command_on(&cluster, "produce -t t");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"a\nb\nunfinished").await.unwrap();
        // The lines were read, and are not written yet.
        held.arrived().await.unwrap();
        signal(&child, name).await;
        held.release().await.unwrap();
        let ended = ended(child).await;
        let summary = ended.summary().to_owned();
        ended.good();
        assert!(summary.starts_with("produced 2 records, "), "{summary}");
        assert_eq!(values(&cluster, 0).await, [b"a", b"b"]);
        drop(stdin);
    }
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
