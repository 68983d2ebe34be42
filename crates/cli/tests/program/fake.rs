//! `ottla fake` and `ottla demo`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::{command, ended, file, ottla, says, signal};

#[tokio::test]
async fn a_fake_cluster_says_where_it_is_and_serves() {
    for name in ["-INT", "-TERM"] {
        let mut child = command("fake --brokers 3 --port 0 --topic a:2 --topic b")
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let (said, _) = says(&mut child, "\n").await;
        assert!(said.starts_with("ottla: 3 fake brokers at "), "{said}");
        let address = line
            .strip_prefix("ready ")
            .expect("ready HOST:PORT")
            .to_owned();
        let list = ottla(&format!("topics list -b {address}")).await.good();
        let rows: Vec<_> = list
            .lines()
            .skip(1)
            .map(|row| row.split_whitespace().take(2).collect::<Vec<_>>())
            .collect();
        assert_eq!(rows, [["a", "2"], ["b", "1"]]);
        signal(&child, name).await;
        ended(child).await.good();
    }
}

#[tokio::test]
async fn a_fake_cluster_plays_an_older_release() {
    let mut child = command("fake --port 0 --topic a:1 --release 2.1")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.strip_prefix("ready ").expect("ready HOST:PORT");
    // Topics have ids since 2.8.
    let list = ottla(&format!("topics list -b {address}")).await.good();
    let row: Vec<_> = list
        .lines()
        .skip(1)
        .flat_map(str::split_whitespace)
        .collect();
    assert_eq!(row, ["a", "1", "-"]);
    signal(&child, "-TERM").await;
    ended(child).await.good();
    let said = ottla("fake --release 2.2").await;
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("not a release"), "{}", said.stderr);
}

#[tokio::test]
async fn a_sink_has_records_to_consume_and_keeps_none_that_are_produced() {
    let mut child =
        command("fake --port 0 --sink --topic full:3 --records 3000 --size 1000 -z lz4")
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.strip_prefix("ready ").expect("ready HOST:PORT");
    let ends = || async {
        let command = format!("consume -b {address} -t full -e -f %p,%o\\n");
        let mut ends = [0; 3];
        for line in ottla(&command).await.good().lines() {
            let (partition, offset) = line.split_once(',').unwrap();
            let partition: usize = partition.parse().unwrap();
            assert_eq!(offset.parse(), Ok(ends[partition]), "{line}");
            ends[partition] += 1;
        }
        ends
    };
    // Batches of 131 records in turn, the last one of what is left.
    let full = [8 * 131, 7 * 131 + 118, 7 * 131];
    for _ in 0..2 {
        assert_eq!(ends().await, full);
    }
    let produced = ottla(&format!("bench produce -b {address} -t full --records 500")).await;
    assert!(produced.good().contains("\"records\":500,\"errors\":0"));
    let left: usize = ends().await.iter().sum();
    assert!(left < 3000, "{left} of what was produced to is still there");
    signal(&child, "-INT").await;
    ended(child).await.good();
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = ottla(&format!("fake --port {port}")).await.bad();
    assert!(
        said.starts_with("ottla: the fake cluster failed: "),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test]
async fn the_demo_checks_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let text: Vec<u8> = (0..20_000)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect();
    let path = file(&dir, "text", [&text[..], b"\n\xff\xfe\nlast"].concat());
    let said = ottla(&format!("demo {}", path.display())).await.good();
    assert!(said.contains("sending   20003 lines"), "{said}");
    assert!(
        said.contains("0 missing, 0 too many, 0 out of order, 0 changed"),
        "{said}"
    );
    assert!(said.ends_with("all is well\n"), "{said}");
}

#[tokio::test]
async fn the_demo_needs_nothing() {
    let said = ottla("demo").await.good();
    assert!(said.ends_with("all is well\n"), "{said}");
}

#[tokio::test]
async fn one_broker_is_no_plural() {
    let mut child = command("fake --port 0").spawn().unwrap();
    let (said, _) = says(&mut child, "\n").await;
    assert!(said.starts_with("ottla: 1 fake broker at "), "{said}");
    signal(&child, "-INT").await;
    ended(child).await.good();
}

#[tokio::test]
async fn a_quiet_demo_says_nothing() {
    let ended = ottla("demo -q").await;
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.good(), "");
}

#[tokio::test]
async fn the_demo_reads_stdin() {
    let mut child = command("demo -").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\nb\nc").await.unwrap();
    drop(stdin);
    let said = ended(child).await.good();
    assert!(
        said.contains("sending   3 lines (5 bytes) of stdin"),
        "{said}"
    );
    assert!(said.ends_with("all is well\n"), "{said}");
}
