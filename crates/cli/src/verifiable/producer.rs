//! Sends numbers, and says of each what has become of it.
//!
//! Two things differ from Java's tool. Java's has no retries unless its file says otherwise; here each
//! record is retried until its delivery timeout, without duplicates unless idempotence is turned off. And
//! `exception` is a name, not a Java class.

use std::collections::VecDeque;
use std::time::Duration;

use ottla::{Delivery, ErrorKind, Producer, Record, RecordMetadata};
use serde_json::{Value, json};
use snafu::ResultExt;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::args::VerifiableProducer;
use super::events::{Events, exception};
use super::pace::Pace;
use crate::args::Common;
use crate::failure::{Result, StdoutSnafu, SystemSnafu, chain};
use crate::interrupt::Interrupt;
use crate::settings::Environment;

/// How often outcomes are looked for. One record that takes long keeps back nothing about the others.
const LOOK: Duration = Duration::from_millis(20);

/// How many records are sent between two looks, if they go out faster than that.
const BURST: u64 = 500;

/// How many records may be without an outcome.
const MAX_OPEN: usize = 20_000;

/// How long closing may take once every record has its outcome, or nobody wants to wait for that.
const CLOSING: Duration = Duration::from_secs(5);

/// Sends until there have been enough, or a signal comes. What was taken in by then is waited for; a second
/// signal gives up on that.
pub(crate) async fn run(
    arguments: VerifiableProducer,
    common: Common,
    environment: &Environment,
) -> Result<()> {
    let mut settings = arguments.tool.settings(common, environment)?;
    settings.set("acks", arguments.acks);
    if let Some(file) = &arguments.config {
        // What cannot be had is not worth failing for: see above.
        settings.overlay(file, |name, value| !(name == "retries" && value == "0"))?;
    }
    let mut interrupt = Interrupt::listen()?;
    let client = settings.client()?;
    let producer = client.producer().properties(settings.iter())?.build()?;
    let mut events = Events::new().context(SystemSnafu {
        doing: "start a thread",
    })?;
    events.push("startup_complete", json!({}));
    let mut run = Run {
        pace: Pace::new(arguments.throughput),
        began: Instant::now(),
        create_time: Some(arguments.message_create_time).filter(|&time| time >= 0),
        open: VecDeque::new(),
        sent: 0,
        acked: 0,
        arguments,
        producer,
        events,
    };
    tokio::select! {
        biased;
        _ = interrupt.heard() => {}
        sent = run.all() => sent?,
    }
    run.flush(&mut interrupt).await?;
    run.finish().await
}

struct Run {
    arguments: VerifiableProducer,
    producer: Producer,
    events: Events,
    pace: Pace,
    began: Instant,
    /// The next record's timestamp, if it is not the time of sending.
    create_time: Option<i64>,
    /// Records without an outcome, by their numbers from 0.
    open: VecDeque<(u64, Delivery)>,
    sent: u64,
    acked: u64,
}

impl Run {
    /// Sends all there is to send.
    ///
    /// # Cancel safety
    ///
    /// After a drop every record that was taken in is in `open`.
    async fn all(&mut self) -> Result<()> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let count = u64::try_from(self.arguments.max_messages).unwrap_or(u64::MAX);
        while self.sent < count {
            tokio::select! {
                biased;
                _ = look.tick() => self.look().await?,
                () = self.pace.wait(self.sent), if self.open.len() < MAX_OPEN => {
                    self.send().await;
                    if self.sent.is_multiple_of(BURST) {
                        self.look().await?;
                        // On one thread, nothing is sent as long as there is always more to take in.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self) {
        let number = self.sent;
        let (key, value) = (self.key(number), self.value(number));
        let mut record = Record::to(&self.arguments.topic).value(&value);
        if let Some(key) = &key {
            record = record.key(key);
        }
        if let Some(time) = &mut self.create_time {
            record = record.timestamp(*time);
            let elapsed = self.began.elapsed().as_millis();
            *time = time.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX));
        }
        let delivery = self.producer.send(record).await;
        self.sent += 1;
        match delivery {
            Ok(delivery) => self.open.push_back((number, delivery)),
            Err(error) => self.failed(number, &error),
        }
    }

    /// Says what has become of those records that have an outcome.
    async fn look(&mut self) -> Result<()> {
        for _ in 0..self.open.len() {
            let Some((number, delivery)) = self.open.pop_front() else {
                break;
            };
            match delivery.try_result() {
                Some(Ok(metadata)) => self.succeeded(number, &metadata),
                Some(Err(error)) => self.failed(number, &error),
                None => self.open.push_back((number, delivery)),
            }
        }
        self.events.flush().await.context(StdoutSnafu)
    }

    /// Waits until every record has its outcome, or a signal comes.
    async fn flush(&mut self, interrupt: &mut Interrupt) -> Result<()> {
        let producer = self.producer.clone();
        let mut look = interval(LOOK);
        let mut flushing = std::pin::pin!(producer.flush());
        loop {
            tokio::select! {
                biased;
                () = &mut flushing => return Ok(()),
                _ = interrupt.heard() => return Ok(()),
                _ = look.tick() => self.look().await?,
            }
        }
    }

    async fn finish(mut self) -> Result<()> {
        // What it has to say is that there are records left, and the events say so one by one.
        let _ = self.producer.close(CLOSING).await;
        self.look().await?;
        for (number, _) in std::mem::take(&mut self.open) {
            let closed = ErrorKind::Closed { what: "producer" };
            self.failed(number, &closed.into());
        }
        let (sent, acked) = (self.sent, self.acked);
        let seconds = self.pace.elapsed().as_secs_f64();
        self.events.push("shutdown_complete", json!({}));
        self.events.push(
            "tool_data",
            json!({
                "sent": sent,
                "acked": acked,
                "target_throughput": self.arguments.throughput,
                "avg_throughput": acked as f64 / seconds,
            }),
        );
        self.events.finish().await.context(StdoutSnafu)
    }

    fn succeeded(&mut self, number: u64, metadata: &RecordMetadata) {
        self.acked += 1;
        let mut event = self.of(number);
        event["topic"] = json!(&*metadata.partition.topic);
        event["partition"] = json!(metadata.partition.partition);
        event["offset"] = json!(metadata.offset.unwrap_or(-1));
        self.events.push("producer_send_success", event);
    }

    fn failed(&mut self, number: u64, error: &ottla::Error) {
        let mut event = self.of(number);
        event["topic"] = json!(self.arguments.topic);
        event["exception"] = json!(exception(error));
        event["message"] = json!(chain(error));
        self.events.push("producer_send_error", event);
    }

    fn of(&self, number: u64) -> Value {
        json!({ "key": self.key(number), "value": self.value(number) })
    }

    fn key(&self, number: u64) -> Option<String> {
        let keys = self.arguments.repeating_keys?;
        Some((number % keys).to_string())
    }

    fn value(&self, number: u64) -> String {
        match self.arguments.value_prefix {
            Some(prefix) => format!("{prefix}.{number}"),
            None => number.to_string(),
        }
    }
}
