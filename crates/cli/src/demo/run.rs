//! Lines through a cluster inside this process, and back.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use ottla::{Client, Delivery, Record, StartFrom, TopicPartition};
use ottla_fake::FakeCluster;
use ottla_fake::codec::messages::produce::ProduceRequest;
use snafu::ResultExt;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::check::{Findings, Lines, compare, hash};
use super::text;
use crate::args::Demo;
use crate::diagnostics::complain;
use crate::failure::{DoingSnafu, Failure, Result, StalledSnafu, StdoutSnafu, SystemSnafu};
use crate::interrupt::Interrupt;
use crate::progress::Progress;

const TOPIC: &str = "demo";
const PARTITIONS: i32 = 6;
const BROKERS: i32 = 3;

/// Little, so that lines are still on their way while things go wrong.
const PRODUCER_MEMORY: usize = 1024 * 1024;

/// How long a new leader takes to know that it is one.
const NOT_READY: Duration = Duration::from_millis(100);

/// After which time without a record something is wrong.
const STALL: Duration = Duration::from_secs(30);

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(5);

pub(crate) async fn run(arguments: Demo) -> Result<()> {
    let mut interrupt = Interrupt::listen()?;
    tokio::select! {
        biased;
        signal = interrupt.heard() => Err(Failure::Interrupted { signal }),
        outcome = all(arguments) => outcome,
    }
}

async fn all(arguments: Demo) -> Result<()> {
    let quiet = arguments.verbosity.quiet;
    let account = Account { quiet };
    let (text, name) = match arguments.file {
        Some(file) => read(file).await?,
        None => (text::lines(), "generated text".to_owned()),
    };
    let lines: Vec<&[u8]> = split(&text);
    account.say(&format!(
        "sending   {} lines ({} bytes) of {name}",
        lines.len(),
        text.len()
    ))?;
    account.say(&format!(
        "through   a cluster of {BROKERS} brokers inside this process, a topic of {PARTITIONS} partitions"
    ))?;
    let cluster = FakeCluster::builder()
        .brokers(BROKERS)
        .topic(TOPIC, PARTITIONS)
        .start_in_memory()
        .await?;
    let client = client(&cluster)?;

    let started = Instant::now();
    let (sent, faults) = produce(&client, &cluster, &lines, quiet).await?;
    account.rate(
        "produced",
        lines.len(),
        started.elapsed(),
        "all acknowledged",
        &faults,
    )?;

    let started = Instant::now();
    let (received, faults) = consume(&client, &cluster, quiet).await?;
    let came: usize = received.iter().map(Vec::len).sum();
    account.rate(
        "consumed",
        came,
        started.elapsed(),
        "to the end of every partition",
        &faults,
    )?;

    let mut findings = Findings::default();
    for (sent, received) in sent.iter().zip(&received) {
        findings.add(compare(sent, received));
    }
    let violations = cluster.violations().await?;
    account.say(
        "checked   that each line came back once, in the order of its partition, unchanged:",
    )?;
    account.say(&format!("          {findings}"))?;
    account.say("checked   what reached the brokers, for gaps, doubles and anything malformed:")?;
    account.say(&format!("          {} violations", violations.len()))?;
    for violation in violations.iter().take(10) {
        complain(format_args!("violation: {violation}"));
    }
    if !findings.is_good() || !violations.is_empty() || came != lines.len() {
        return Err(Failure::Refused {
            message: "the check failed".to_owned(),
        });
    }
    account.say("all is well")
}

/// A file's text and name. On a thread, because stdin takes as long as it likes.
async fn read(file: PathBuf) -> Result<(Vec<u8>, String)> {
    let reading = spawn_blocking(move || {
        if file.as_os_str() == "-" {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text)?;
            return Ok((text, "stdin".to_owned()));
        }
        Ok((std::fs::read(&file)?, file.display().to_string()))
    });
    reading
        .await
        .unwrap_or_else(|gone| Err(gone.into()))
        .context(SystemSnafu {
            doing: "read the file",
        })
}

fn client(cluster: &FakeCluster) -> Result<Client> {
    let servers = cluster.bootstrap_servers();
    let cluster = cluster.clone();
    let connect = move |host: String, port: u16| {
        let cluster = cluster.clone();
        async move { cluster.connect(&host, port).await }
    };
    Ok(Client::builder()
        .bootstrap_servers(servers)
        .connector(connect)
        .build()?)
}

/// What has gone wrong on purpose.
type Faults = Vec<&'static str>;

/// Sends the lines, with faults on the way. What was acknowledged, for each partition in the order of
/// sending.
async fn produce(
    client: &Client,
    cluster: &FakeCluster,
    lines: &[&[u8]],
    quiet: bool,
) -> Result<(Vec<Lines>, Faults)> {
    let (mut faults, mut lost_answer) = (Faults::new(), None);
    let producer = client.producer().memory(PRODUCER_MEMORY).build()?;
    let mut progress = Progress::records(lines.len() as u64, quiet);
    let mut acknowledged = vec![Lines::new(); PARTITIONS as usize];
    let mut open: VecDeque<(Delivery, u64)> = VecDeque::new();
    let fifth = (lines.len() / 5).max(1);
    for (number, line) in lines.iter().enumerate() {
        if number % fifth == 0 {
            match number / fifth {
                1 => {
                    let to = other_leader(cluster, 0).await?;
                    cluster.move_leader_slowly(TOPIC, 0, to, NOT_READY).await?;
                    faults.push("a partition got another leader, which needed a moment to know");
                }
                2 => {
                    lost_answer = Some(cluster.on::<ProduceRequest>().times(1).apply_then_close());
                }
                3 => {
                    cluster.kill_broker(BROKERS).await?;
                    faults.push("a broker was killed");
                }
                4 => {
                    cluster.start_broker(BROKERS).await?;
                    faults.push("the killed broker came back");
                }
                _ => {}
            }
            progress.advance(fifth as u64, fifth as u64);
        }
        let doing = || DoingSnafu {
            doing: format!("line {} failed", number + 1),
        };
        let delivery = producer
            .send(Record::to(TOPIC).value(line))
            .await
            .with_context(|_| doing())?;
        open.push_back((delivery, hash(line)));
        while let Some(outcome) = open.front().and_then(|(delivery, _)| delivery.try_result()) {
            settle(&mut open, &mut acknowledged, outcome)?;
        }
    }
    producer.flush().await;
    while let Some((delivery, _)) = open.front_mut() {
        let outcome = delivery.await;
        settle(&mut open, &mut acknowledged, outcome)?;
    }
    producer.close(CLOSING).await?;
    if lost_answer.is_some_and(|rule| rule.hits() > 0) {
        faults.push("lines were written, but the answer that said so was lost with its connection");
    }
    Ok((acknowledged, faults))
}

/// Notes the outcome of the oldest line that had none.
fn settle(
    open: &mut VecDeque<(Delivery, u64)>,
    acknowledged: &mut [Lines],
    outcome: ottla::Result<ottla::RecordMetadata>,
) -> Result<()> {
    let written = outcome.context(DoingSnafu {
        doing: "a line was not acknowledged",
    })?;
    if let Some((_, hash)) = open.pop_front()
        && let Some(lines) = acknowledged.get_mut(written.partition.partition as usize)
    {
        // The cluster in this process knows the offset of whatever it has.
        lines.push((written.offset.unwrap_or(-1), hash));
    }
    Ok(())
}

/// Reads every partition to its end, with faults on the way.
async fn consume(
    client: &Client,
    cluster: &FakeCluster,
    quiet: bool,
) -> Result<(Vec<Lines>, Faults)> {
    let mut faults = Faults::new();
    let mut consumer = client.consumer().build()?;
    let partitions: Vec<TopicPartition> = (0..PARTITIONS)
        .map(|partition| (TOPIC, partition).into())
        .collect();
    let mut ends = consumer.end_offsets(partitions.iter().cloned()).await?;
    ends.retain(|_, end| *end > 0);
    let total: i64 = ends.values().sum();
    let mut progress = Progress::records(total as u64, quiet);
    consumer.assign(
        partitions
            .into_iter()
            .map(|name| (name, StartFrom::Beginning)),
    )?;
    let mut received = vec![Lines::new(); PARTITIONS as usize];
    let mut count = 0;
    while !ends.is_empty() {
        let Ok(batch) = timeout(STALL, consumer.next()).await else {
            let remaining = format!("{} of {total} lines", total - count);
            return StalledSnafu {
                after: STALL,
                remaining,
            }
            .fail();
        };
        let Some(batch) = batch? else { break };
        let name = batch.partition();
        for record in &batch {
            let record = record?;
            count += 1;
            received[name.partition as usize]
                .push((record.offset(), hash(record.value().unwrap_or_default())));
        }
        progress.advance(batch.record_count() as u64, batch.record_count() as u64);
        if ends
            .get(name)
            .is_some_and(|end| batch.next_offset() >= *end)
        {
            ends.remove(name);
        }
        if faults.is_empty() && count > total / 3 {
            cluster
                .move_leader(TOPIC, 1, other_leader(cluster, 1).await?)
                .await?;
            faults.push("a partition got another leader");
            cluster.cut_connections(BROKERS).await?;
            faults.push("all connections of a broker broke");
        }
    }
    consumer.close(CLOSING).await;
    Ok((received, faults))
}

/// A broker that does not lead the partition.
async fn other_leader(cluster: &FakeCluster, partition: i32) -> Result<i32> {
    let leader = cluster.partition(TOPIC, partition).await?.leader;
    Ok(if leader == Some(1) { 2 } else { 1 })
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        Vec::new()
    } else {
        text.split(|&byte| byte == b'\n').collect()
    }
}

/// What happens, told on stdout.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// Nothing is told.
    quiet: bool,
}

impl Account {
    fn rate(
        self,
        done: &str,
        lines: usize,
        elapsed: Duration,
        how: &str,
        faults: &[&str],
    ) -> Result<()> {
        let seconds = elapsed.as_secs_f64();
        let rate = lines as f64 / seconds.max(0.000_001);
        self.say(&format!(
            "{done}  {lines} lines in {seconds:.3} s, {rate:.0} a second, {how}"
        ))?;
        faults
            .iter()
            .try_for_each(|fault| self.say(&format!("          meanwhile {fault}")))
    }

    fn say(self, line: &str) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .context(StdoutSnafu)
    }
}
