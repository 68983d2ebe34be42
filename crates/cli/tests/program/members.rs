//! `ottla consume -G`: members of a group.

use std::time::Duration;

use ottla_fake::codec::ApiKey;
use ottla_fake::{FakeCluster, Record, TopicSpec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::{command_on, ended, ottla_on, signal, until};

/// One broker, whose groups do not wait for more members than there are, and a topic `t` whose partitions
/// hold so many records each: `0-0`, `0-1`, … in partition 0.
async fn filled(partitions: i32, records: i64) -> FakeCluster {
    let cluster = FakeCluster::builder()
        .topic("t", partitions)
        .auto_create_topics(false)
        .initial_rebalance_delay(Duration::ZERO)
        .start()
        .await
        .unwrap();
    for partition in 0..partitions {
        append(&cluster, partition, 0..records).await;
    }
    cluster
}

async fn append(cluster: &FakeCluster, partition: i32, numbers: std::ops::Range<i64>) {
    let records = numbers.map(|n| Record::of(format!("{partition}-{n}")));
    cluster.append("t", partition, records).await.unwrap();
}

/// What group `g` has committed, by partition.
async fn committed(cluster: &FakeCluster) -> Vec<(i32, i64)> {
    let committed = cluster.committed("g").await.unwrap().into_iter();
    committed
        .map(|((_, partition), committed)| (partition, committed.offset))
        .collect()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn a_group_prints_each_record_once() {
    let cluster = filled(3, 4).await;
    let consume = "consume -t t -G g -e";
    let printed = ottla_on(&cluster, consume).await.good();
    let all = (0..3).flat_map(|partition| (0..4).map(move |n| format!("{partition}-{n}")));
    assert_eq!(sorted(&printed), all.collect::<Vec<_>>());
    assert_eq!(committed(&cluster).await, [(0, 4), (1, 4), (2, 4)]);
    assert_eq!(ottla_on(&cluster, consume).await.good(), "");
    append(&cluster, 1, 4..6).await;
    assert_eq!(ottla_on(&cluster, consume).await.good(), "1-4\n1-5\n");
    // It has left, and not merely gone.
    assert!(
        cluster
            .group("g")
            .await
            .unwrap()
            .unwrap()
            .members
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_committed_is_what_was_printed() {
    let cluster = filled(1, 10).await;
    let printed = ottla_on(&cluster, "consume -t t -G g -c 3").await.good();
    assert_eq!(printed, "0-0\n0-1\n0-2\n");
    assert_eq!(committed(&cluster).await, [(0, 3)]);
    let printed = ottla_on(&cluster, "consume -t t -G g -c 2").await.good();
    assert_eq!(printed, "0-3\n0-4\n");
    let look = "consume -t t -G g -c 2 -X enable.auto.commit=false";
    for _ in 0..2 {
        assert_eq!(ottla_on(&cluster, look).await.good(), "0-5\n0-6\n");
    }
    assert_eq!(committed(&cluster).await, [(0, 5)]);
}

#[tokio::test]
async fn where_nothing_is_committed_it_begins_as_asked() {
    let cluster = filled(1, 5).await;
    let printed = ottla_on(&cluster, "consume -t t -G a -o beginning -c 1").await;
    assert_eq!(printed.good(), "0-0\n");
    assert_eq!(
        ottla_on(&cluster, "consume -t t -G b -o end -e")
            .await
            .good(),
        ""
    );
}

#[tokio::test]
async fn a_topic_that_is_none_is_said_at_once() {
    let cluster = filled(1, 1).await;
    for arguments in ["consume -t nonsense -G g", "consume -t nonsense -G g -e"] {
        let said = ottla_on(&cluster, arguments).await.bad();
        assert_eq!(said, "ottla: the cluster has no topic nonsense\n");
    }
}

/// A member whose lines are read as they come.
struct Member {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Member {
    fn start(cluster: &FakeCluster, arguments: &str) -> Self {
        let arguments = format!("consume -G g {arguments}");
        let mut child = command_on(cluster, &arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().unwrap()
    }

    async fn stop(self, name: &str) {
        signal(&self.child, name).await;
        let ended = ended(self.child).await;
        assert_eq!(ended.stderr, "");
        ended.good();
    }
}

/// How many members have partitions.
async fn members(cluster: &FakeCluster) -> usize {
    let group = cluster.group("g").await.unwrap();
    let members = group.into_iter().flat_map(|group| group.members);
    members
        .filter(|(_, member)| !member.partitions.is_empty())
        .count()
}

#[tokio::test]
async fn members_share_and_hand_over_what_is_printed_and_committed() {
    let cluster = filled(2, 3).await;
    let mut first = Member::start(&cluster, "-t t");
    let mut printed = Vec::new();
    for _ in 0..6 {
        printed.push(first.line().await);
    }
    // The second one begins behind what the first has printed, though the time for a commit has not come.
    let mut second = Member::start(&cluster, "-t t");
    until(async || members(&cluster).await == 2).await;
    assert_eq!(committed(&cluster).await, [(0, 3), (1, 3)]);
    for partition in 0..2 {
        append(&cluster, partition, 3..5).await;
    }
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        of_first.push(first.line().await);
        of_second.push(second.line().await);
    }
    let partition = |lines: &[String]| lines[0][..1].to_owned();
    assert_ne!(partition(&of_first), partition(&of_second));
    for lines in [&of_first, &of_second] {
        let partition = partition(lines);
        assert_eq!(*lines, [format!("{partition}-3"), format!("{partition}-4")]);
    }
    first.stop("-INT").await;
    until(async || members(&cluster).await == 1).await;
    for partition in 0..2 {
        append(&cluster, partition, 5..6).await;
    }
    let mut last = [second.line().await, second.line().await];
    last.sort();
    assert_eq!(last, ["0-5", "1-5"]);
    second.stop("-TERM").await;
    assert_eq!(committed(&cluster).await, [(0, 6), (1, 6)]);
}

#[tokio::test]
async fn a_pattern_finds_topics_that_come_later() {
    let cluster = filled(1, 1).await;
    let mut member = Member::start(&cluster, "-t ^[tu]$ -X metadata.max.age.ms=100");
    assert_eq!(member.line().await, "0-0");
    cluster.create_topic(TopicSpec::new("u", 1)).await.unwrap();
    cluster.append("u", 0, [Record::of("later")]).await.unwrap();
    assert_eq!(member.line().await, "later");
    member.stop("-INT").await;
}

#[tokio::test]
async fn a_broken_pipe_ends_it_quietly_and_commits_nothing_that_was_not_taken() {
    let cluster = filled(1, 0).await;
    let value = "x".repeat(500_000);
    for _ in 0..20 {
        cluster
            .append("t", 0, [Record::of(value.clone())])
            .await
            .unwrap();
    }
    let mut child = command_on(&cluster, "consume -t t -G g").spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 1];
    stdout.read_exact(&mut first).await.unwrap();
    drop(stdout);
    let ended = ended(child).await;
    assert_eq!(ended.stderr, "");
    ended.good();
    assert_eq!(committed(&cluster).await, []);
    assert_eq!(members(&cluster).await, 0);
}

#[tokio::test]
async fn what_stdout_has_not_taken_is_not_committed() {
    let cluster = filled(1, 0).await;
    // More than a pipe takes, and less than makes the program wait before it looks at anything else.
    let value = "x".repeat(999);
    let records = (0..150).map(|_| Record::of(value.clone()));
    cluster.append("t", 0, records).await.unwrap();
    let arguments = "consume -t t -G g -X heartbeat.interval.ms=100";
    let mut first = command_on(&cluster, arguments).spawn().unwrap();
    let mut stdout = first.stdout.take().unwrap();
    let mut line = vec![0; 1_000];
    stdout.read_exact(&mut line).await.unwrap();

    // Its partition is wanted, and would be given up with what was printed committed.
    let second = Member::start(&cluster, "-t t");
    let joined = async || cluster.group("g").await.unwrap().unwrap().members.len();
    until(async || joined().await == 2).await;
    let beats = async || {
        let requests = cluster.requests().await.unwrap();
        let beats = requests
            .iter()
            .filter(|request| request.api == ApiKey::Heartbeat);
        beats.count()
    };
    let before = beats().await;
    until(async || beats().await >= before + 5).await;
    assert_eq!(committed(&cluster).await, []);
    let mut rest = vec![0; 149_000];
    stdout.read_exact(&mut rest).await.unwrap();
    until(async || committed(&cluster).await == [(0, 150)]).await;
    second.stop("-INT").await;
    signal(&first, "-INT").await;
    ended(first).await.good();
}
