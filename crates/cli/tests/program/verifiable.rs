//! `ottla verifiable-producer`, held to the contract of Kafka's system tests; what its consumer is held to is beside it.

use ottla_fake::codec::messages::produce::ProduceRequest;
use ottla_fake::codec::{ApiKey, ErrorCode};
use ottla_fake::{FakeCluster, LoggedRecord};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::{Ended, cluster, command, end, ended, file, log, signal, until};

/// What Java's tool is called with.
fn producer(cluster: &FakeCluster, arguments: &str) -> String {
    let brokers = cluster.bootstrap_servers();
    format!("verifiable-producer --bootstrap-server {brokers} --topic t {arguments}")
}

/// The events of a run that ended as it should.
#[track_caller]
pub(crate) fn events(ended: Ended) -> Vec<Value> {
    let stdout = ended.good();
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn produce(cluster: &FakeCluster, arguments: &str) -> Vec<Value> {
    events(end(command(&producer(cluster, arguments))).await)
}

fn names(events: &[Value]) -> Vec<&str> {
    let name = |event: &'_ Value| event["name"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = events.iter().map(name).collect();
    names.dedup();
    let known = [
        "startup_complete",
        "producer_send_success",
        "producer_send_error",
        "shutdown_complete",
        "tool_data",
    ];
    names
        .iter()
        .map(|name| *known.iter().find(|known| *known == name).unwrap())
        .collect()
}

/// Everything but when it was.
pub(crate) fn untimed(event: &Value) -> Value {
    let mut event = event.clone();
    let timestamp = event.as_object_mut().unwrap().remove("timestamp");
    assert!(timestamp.unwrap().as_u64().unwrap() > 1_700_000_000_000);
    event
}

fn text(bytes: &Option<impl AsRef<[u8]>>) -> Option<String> {
    let bytes = bytes.as_ref()?.as_ref().to_vec();
    Some(String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn every_record_is_an_event_and_the_events_are_in_order() {
    let cluster = cluster(1).await;
    let events = produce(&cluster, "--max-messages 3").await;
    let success = |n: i64| {
        json!({
            "name": "producer_send_success", "key": null, "value": n.to_string(),
            "topic": "t", "partition": 0, "offset": n,
        })
    };
    let (data, others) = events.split_last().unwrap();
    let expected = [
        json!({ "name": "startup_complete" }),
        success(0),
        success(1),
        success(2),
        json!({ "name": "shutdown_complete" }),
    ];
    assert_eq!(others.iter().map(untimed).collect::<Vec<_>>(), expected);
    let mut data = untimed(data);
    let rate = data.as_object_mut().unwrap().remove("avg_throughput");
    assert!(rate.unwrap().as_f64().unwrap() > 0.0);
    let expected = json!({
        "name": "tool_data", "sent": 3, "acked": 3, "target_throughput": -1,
    });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn keys_values_and_times_are_as_asked_for() {
    let cluster = cluster(3).await;
    let arguments = "--max-messages 7 --repeating-keys 3 --value-prefix 12 --acks 1 \
                     --message-create-time 1600000000000";
    let events = produce(&cluster, arguments).await;
    let mut logged: Vec<LoggedRecord> = Vec::new();
    for partition in 0..3 {
        logged.extend(log(&cluster, partition).await);
    }
    let near = 1_600_000_000_000..1_600_000_100_000;
    assert!(logged.iter().all(|record| near.contains(&record.timestamp)));
    let mut records: Vec<_> = logged
        .iter()
        .map(|r| (text(&r.value), text(&r.key)))
        .collect();
    records.sort();
    let number = |n: i32| (Some(format!("12.{n}")), Some((n % 3).to_string()));
    assert_eq!(records, (0..7).map(number).collect::<Vec<_>>());
    let told = events
        .iter()
        .filter(|event| event["name"] == "producer_send_success");
    let field = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
    let mut told: Vec<_> = told.map(|e| (field(e, "value"), field(e, "key"))).collect();
    told.sort();
    assert_eq!(told, records);
}

#[tokio::test]
async fn without_acknowledgements_there_is_no_offset() {
    let cluster = cluster(1).await;
    let events = produce(&cluster, "--max-messages 1 --acks 0").await;
    assert_eq!(events[1]["offset"], json!(-1));
}

#[tokio::test]
async fn a_refused_record_is_an_event_and_no_failure() {
    let cluster = cluster(1).await;
    let refused = ErrorCode::MessageTooLarge;
    cluster.on::<ProduceRequest>().times(1).error(refused);
    let arguments = "--max-messages 5 --throughput 50 --value-prefix 1";
    let events = produce(&cluster, arguments).await;
    let error = &events[1];
    assert_eq!(error["name"], "producer_send_error");
    assert_eq!(
        (&error["key"], &error["value"]),
        (&Value::Null, &json!("1.0"))
    );
    assert_eq!(
        (&error["topic"], &error["exception"]),
        (&json!("t"), &json!(refused.name()))
    );
    assert!(error["message"].as_str().unwrap().contains(refused.name()));
    let data = events.last().unwrap();
    assert_eq!((&data["sent"], &data["acked"]), (&json!(5), &json!(4)));
}

#[tokio::test]
async fn a_file_wins_over_flags_in_either_spelling() {
    let cluster = cluster(1).await;
    let dir = tempfile::tempdir().unwrap();
    let text = "acks=0\nretries=0\nkey.serializer=x.y.Z\n";
    let path = file(&dir, "producer.properties", text);
    for flag in ["--producer.config", "--command-config"] {
        let arguments = format!("--max-messages 1 --acks -1 {flag} {}", path.display());
        let events = produce(&cluster, &arguments).await;
        assert_eq!(events[1]["offset"], json!(-1), "{flag}");
    }
    let brokers = cluster.bootstrap_servers();
    let old = format!("verifiable-producer --broker-list {brokers} --topic t --max-messages 1");
    assert_eq!(events(end(command(&old)).await).len(), 4);
}

/// Reads events as they come.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(arguments: &str) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        ended(self.child).await.good();
        rest
    }
}

#[tokio::test]
async fn a_signal_flushes_closes_and_is_no_failure() {
    for name in ["-INT", "-TERM"] {
        let cluster = cluster(1).await;
        let held = cluster.on::<ProduceRequest>().times(1).hold();
        let mut running = Running::start(&producer(&cluster, "--throughput 1000"));
        assert_eq!(running.next().await.unwrap()["name"], "startup_complete");
        held.arrived().await.unwrap();
        signal(&running.child, name).await;
        held.release().await.unwrap();
        let rest = running.rest().await;
        let expected = ["producer_send_success", "shutdown_complete", "tool_data"];
        assert_eq!(names(&rest), expected);
        let acked = log(&cluster, 0).await.len();
        let data = rest.last().unwrap();
        assert_eq!(
            (&data["sent"], &data["acked"]),
            (&json!(acked), &json!(acked))
        );
        assert_eq!(rest.len(), acked + 2);
    }
}

#[tokio::test]
async fn a_second_signal_gives_up_and_says_so_of_each_record() {
    let cluster = cluster(1).await;
    let mut running = Running::start(&producer(&cluster, "--throughput 100"));
    assert_eq!(running.next().await.unwrap()["name"], "startup_complete");
    assert_eq!(
        running.next().await.unwrap()["name"],
        "producer_send_success"
    );
    cluster.on::<ProduceRequest>().always().drop_request();
    let asked = async || {
        let requests = cluster.requests().await.unwrap();
        requests
            .iter()
            .filter(|request| request.api == ApiKey::Produce)
            .count()
    };
    let before = asked().await;
    until(async || asked().await > before).await;
    signal(&running.child, "-INT").await;
    signal(&running.child, "-TERM").await;
    let rest = running.rest().await;
    let of = |name: &str| rest.iter().filter(|event| event["name"] == name).count();
    let data = rest.last().unwrap();
    let (sent, acked) = (
        data["sent"].as_u64().unwrap(),
        data["acked"].as_u64().unwrap(),
    );
    assert!(of("producer_send_error") > 0);
    assert_eq!(of("producer_send_error") as u64, sent - acked);
    assert_eq!(of("producer_send_success") as u64, acked - 1);
}

#[tokio::test]
async fn events_come_as_they_happen() {
    let cluster = cluster(1).await;
    let mut running = Running::start(&producer(&cluster, "--throughput 20"));
    for expected in [
        "startup_complete",
        "producer_send_success",
        "producer_send_success",
    ] {
        assert_eq!(running.next().await.unwrap()["name"], expected);
    }
    signal(&running.child, "-TERM").await;
    running.rest().await;
}
