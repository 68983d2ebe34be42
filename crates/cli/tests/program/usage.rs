//! Command lines that make no sense: exit status 2 before anything is done.

use std::time::{Duration, Instant};

use crate::support::{cluster, file, ottla, ottla_on};

#[tokio::test]
async fn a_topic_must_be_named() {
    for arguments in [
        "consume -e -t,",
        "consume -e -t=",
        "consume -e -ta -t,,",
        "produce -t=",
        "bench produce -t=",
        "bench consume -t=",
        "bench latency -t=",
    ] {
        let arguments = format!("{arguments} -b localhost:1");
        let started = Instant::now();
        ottla(&arguments).await.failed(2);
        assert!(started.elapsed() < Duration::from_secs(5), "{arguments}");
    }
}

#[tokio::test]
async fn a_number_out_of_its_range_is_called_so() {
    for arguments in [
        "produce -t t -p -1",
        "consume -t t -p -1",
        "consume -t t -c -1",
        "topics create n --partitions -1",
        "topics create n --replication-factor -1",
        "bench produce -t t --records -1",
        "bench produce -t t --size -1",
        "fake --port -1",
        "fake --brokers -1",
    ] {
        let said = ottla(arguments).await.failed(2);
        assert!(said.contains("-1 is not in "), "{arguments}: {said}");
    }
}

#[tokio::test]
async fn ports_that_do_not_exist() {
    let said = ottla("fake --port 65535 --brokers 3").await.failed(2);
    assert!(said.contains("65535") && said.contains('3'), "{said}");
    assert!(!said.contains("refused"), "{said}");
}

#[tokio::test]
async fn an_address_of_the_web_is_none_of_a_broker() {
    for brokers in ["http://localhost:1", "a:1,HTTPS://localhost:1"] {
        let said = ottla(&format!("topics list -b {brokers}")).await.bad();
        assert!(said.contains("HOST:PORT"), "{said}");
        assert!(said.to_lowercase().contains("http"), "{said}");
    }
}

#[tokio::test]
async fn a_flag_may_be_repeated() {
    let cluster = cluster(1).await;
    for arguments in ["consume -t t -e -e -J -J -q -q", "produce -t t -Z -Z"] {
        ottla_on(&cluster, arguments).await.good();
    }
    ottla_on(&cluster, "topics list --json --json").await.good();
}

#[tokio::test]
async fn properties_files() {
    let cluster = cluster(1).await;
    let dir = tempfile::tempdir().unwrap();
    let brokers = cluster.bootstrap_servers();
    let with_mark = format!("\u{feff}bootstrap.servers={brokers}\n");
    let path = file(&dir, "mark", with_mark);
    ottla(&format!("topics list -F {}", path.display()))
        .await
        .good();
    for (text, what) in [
        ("# comment\n=5\n", "line 2"),
        ("client.id=a\nlinger.ms=\\uZZZZ\n", "line 2"),
    ] {
        let path = file(&dir, "bad", text);
        let said = ottla(&format!("topics list -b {brokers} -F {}", path.display()))
            .await
            .bad();
        assert!(said.contains(what), "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
}
