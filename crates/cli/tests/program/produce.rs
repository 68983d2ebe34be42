//! `ottla produce`.

use std::process::Stdio;
use std::time::Duration;

use ottla_fake::FakeCluster;
use ottla_fake::codec::messages::produce::ProduceRequest;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::support::{cluster, command_on, file, log, ottla_on, ottla_reading, values};

#[tokio::test]
async fn every_line_of_stdin_is_a_record() {
    let cluster = cluster(1).await;
    let ended = ottla_reading(&cluster, "produce -t t", b"one\n\n\xff\xfe\x00\nlast").await;
    assert_eq!(ended.stdout, b"");
    let summary = ended.summary().to_owned();
    ended.good();
    assert!(
        summary.starts_with("produced 4 records, 10 bytes, in "),
        "{summary}"
    );
    assert!(summary.ends_with(" s, 0 errors"), "{summary}");
    assert_eq!(
        values(&cluster, 0).await,
        [&b"one"[..], b"", b"\xff\xfe\x00", b"last"]
    );
    let log = log(&cluster, 0).await;
    assert!(log.iter().all(|record| record.key.is_none()));
    assert!(log[1].value.is_some(), "an empty line is an empty value");
}

#[tokio::test]
async fn files_come_one_after_the_other() {
    let cluster = cluster(1).await;
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (file(&dir, "a", "1\n2"), file(&dir, "b", "3\n"));
    let arguments = format!("produce -t t {} {}", a.display(), b.display());
    ottla_on(&cluster, &arguments).await.good();
    assert_eq!(values(&cluster, 0).await, [b"1", b"2", b"3"]);
}

#[tokio::test]
async fn keys_headers_nulls_and_the_partition() {
    let cluster = cluster(3).await;
    let arguments = r"produce -t t -p 2 -K : -Z -H a=1 -H b -D \x00 -z gzip -q";
    let ended = ottla_reading(&cluster, arguments, b"k:v\nw\0k:\0:v\0no key").await;
    assert_eq!(ended.stderr, "");
    ended.good();
    let log = log(&cluster, 2).await;
    let pairs: Vec<_> = log
        .iter()
        .map(|r| (r.key.as_deref(), r.value.as_deref()))
        .collect();
    let some = |text: &'static str| Some(text.as_bytes());
    let expected = [
        (some("k"), some("v\nw")),
        (some("k"), None),
        (None, some("v")),
        (None, some("no key")),
    ];
    assert_eq!(pairs, expected);
    for record in &log {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(n, v)| (&**n, v.as_deref()))
            .collect();
        assert_eq!(headers, [("a", Some(&b"1"[..])), ("b", None)]);
    }
}

#[tokio::test]
async fn many_lines_arrive_in_order_whatever_the_codec_and_the_memory() {
    let lines: Vec<String> = (0..50_000)
        .map(|n| format!("line number {n} of many"))
        .collect();
    let text = lines.join("\n");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let cluster = cluster(1).await;
        let arguments = format!("produce -t t -z {codec} -X buffer.memory=262144");
        let ended = ottla_reading(&cluster, &arguments, text.as_bytes()).await;
        let summary = ended.summary().to_owned();
        ended.good();
        assert!(summary.starts_with("produced 50000 records, "), "{summary}");
        assert!(
            values(&cluster, 0)
                .await
                .iter()
                .eq(lines.iter().map(|line| line.as_bytes())),
            "{codec}"
        );
    }
}

#[tokio::test]
async fn one_refused_record_is_a_failure() {
    let cluster = cluster(1).await;
    cluster
        .set_topic_config("t", "max.message.bytes", "1000")
        .await
        .unwrap();
    let text = [&b"small\n"[..], &[b'x'; 5000], b"\n"].concat();
    let ended = ottla_reading(&cluster, "produce -t t -X linger.ms=0", &text).await;
    let summary = ended.summary().to_owned();
    let said = ended.bad();
    assert!(said.contains("record 2 failed: "), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        summary.starts_with("produced 1 records, 5 bytes, in ") && summary.ends_with(" 1 errors")
    );
}

#[tokio::test]
async fn what_an_answer_was_lost_for_is_written_once() {
    let cluster = FakeCluster::builder().topic("t", 1).start().await.unwrap();
    cluster.on::<ProduceRequest>().times(2).apply_then_close();
    let ended = ottla_reading(&cluster, "produce -t t", b"a\nb\nc\n").await;
    ended.good();
    assert_eq!(values(&cluster, 0).await, [b"a", b"b", b"c"]);
    assert_eq!(cluster.violations().await.unwrap(), []);
}

/// What a producer takes whose broker has stopped answering: its byte budget and a fixed part beside it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_broker_does_not_make_it_grow() {
    const BUDGET: u64 = 32 << 20;
    const BESIDE: u64 = 12 << 20;

    // From large batches, and from those that are hardly more than their bookkeeping.
    for settings in ["", "-X batch.size=1"] {
        let cluster = cluster(6).await;
        let _held = cluster.on::<ProduceRequest>().always().hold();
        let mut child = command_on(&cluster, &format!("produce -t t {settings}"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let lines = "a line like many others, of no great length\n".repeat(1000);
        let mut taken = 0;
        // It reads as long as it has room.
        while let Ok(fed) = timeout(Duration::from_secs(2), pipe.write_all(lines.as_bytes())).await
        {
            fed.unwrap();
            taken += lines.len() as u64;
            assert!(taken < 10 * BUDGET, "it reads on and on");
        }
        assert!(
            taken > 512 << 10,
            "{settings:?}: it reads {taken} bytes only"
        );
        let status = format!("/proc/{}/status", child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = value.and_then(|value| value.trim().strip_suffix(" kB"));
            kilobytes.unwrap().parse::<u64>().unwrap() * 1024
        };
        // Code is not counted: how much of it there is differs from build to build.
        let peak = field("VmHWM:") - field("RssFile:");
        assert!(
            peak < BUDGET + BESIDE,
            "{settings:?}: {peak} bytes for {taken} read"
        );
        child.kill().await.unwrap();
    }
}
