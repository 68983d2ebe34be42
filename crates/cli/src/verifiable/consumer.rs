//! Consumes as a member of a group, and says what it is given, what it was taken, and what it has committed.
//!
//! A `records_consumed` is about one batch. As in Java's tool, an error that ends the consumer is told on
//! stderr, and the exit status is 0 all the same: the events say how far it came.

use std::time::Duration;

use ottla::{
    CloseMode, Consumer, ErrorKind, Rebalance, RebalanceKind, Rebalances, RecordBatch,
    TopicPartition,
};
use serde_json::{Value, json};
use snafu::ResultExt;

use super::args::VerifiableConsumer;
use super::events::Events;
use crate::args::Common;
use crate::diagnostics::complain;
use crate::failure::{Failure, Result, StdoutSnafu, SystemSnafu, chain};
use crate::interrupt::Interrupt;
use crate::settings::Environment;

/// How long closing may take: giving up partitions, leaving the group.
const CLOSING: Duration = Duration::from_secs(30);

/// Consumes until there has been enough, a signal comes, or an error that nothing can be done about.
pub(crate) async fn run(
    arguments: VerifiableConsumer,
    common: Common,
    environment: &Environment,
) -> Result<()> {
    let settings = arguments.settings(common, environment)?;
    let mut interrupt = Interrupt::listen()?;
    let client = settings.client()?;
    let consumer = client.consumer().properties(settings.iter())?.build()?;
    let mut events = Events::new().context(SystemSnafu {
        doing: "start a thread",
    })?;
    events.push("startup_complete", json!({}));
    let rebalances = consumer.rebalances();
    consumer.subscribe([&arguments.topic])?;
    let mut run = Run {
        left: u64::try_from(arguments.max_messages).unwrap_or(u64::MAX),
        consumer,
        rebalances,
        events,
        arguments,
    };
    match run.all(&mut interrupt).await {
        Err(Failure::Client { source }) => {
            complain(format_args!("the consumer ends: {}", chain(&source)));
        }
        outcome => outcome?,
    }
    run.finish(&mut interrupt).await
}

struct Run {
    consumer: Consumer,
    rebalances: Rebalances,
    events: Events,
    arguments: VerifiableConsumer,
    /// How many records are still wanted.
    left: u64,
}

impl Run {
    async fn all(&mut self, interrupt: &mut Interrupt) -> Result<()> {
        while self.left > 0 {
            self.events.flush().await.context(StdoutSnafu)?;
            // Whatever has begun is done, and told, before the next thing is looked at.
            tokio::select! {
                biased;
                _ = interrupt.heard() => self.stop(),
                Some(rebalance) = self.rebalances.next() => told(&mut self.events, &rebalance),
                batch = self.consumer.next() => match batch {
                    Ok(Some(batch)) => self.consumed(&batch, interrupt).await?,
                    Ok(None) => return Ok(()),
                    // It comes back by itself, and its partitions were told as revoked.
                    Err(error) if matches!(error.kind(), ErrorKind::MaxPollExceeded { .. }) => {
                        complain(format_args!("{}", chain(&error)));
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(())
    }

    async fn consumed(&mut self, batch: &RecordBatch, interrupt: &mut Interrupt) -> Result<()> {
        let partition = batch.partition();
        let mut offsets = None;
        let mut count: u64 = 0;
        for record in batch {
            let record = record?;
            if count == self.left {
                break;
            }
            count += 1;
            let (first, _) = offsets.unwrap_or((record.offset(), 0));
            offsets = Some((first, record.offset()));
            if self.arguments.verbose {
                let mut event = named(partition);
                event["key"] = json!(record.key().map(String::from_utf8_lossy));
                event["value"] = json!(record.value().map(String::from_utf8_lossy));
                event["offset"] = json!(record.offset());
                self.events.push("record_data", event);
            }
        }
        let Some((first, last)) = offsets else {
            return Ok(());
        };
        self.left -= count;
        let mut summary = named(partition);
        summary["count"] = json!(count);
        summary["minOffset"] = json!(first);
        summary["maxOffset"] = json!(last);
        // Java's count is of what came, beyond what was asked for as well.
        let came = batch.records().count();
        let event = json!({ "count": came, "partitions": [summary] });
        self.events.push("records_consumed", event);
        if self.arguments.enable_autocommit {
            return Ok(());
        }
        self.commit(partition, last + 1, interrupt).await
    }

    /// Commits, and waits for the outcome; a signal gives up on that.
    async fn commit(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        interrupt: &mut Interrupt,
    ) -> Result<()> {
        let commit = self.consumer.commit([(partition.clone(), offset)]);
        let outcome = tokio::select! {
            biased;
            outcome = commit => outcome,
            _ = interrupt.heard() => {
                self.stop();
                return Ok(());
            }
        };
        let mut committed = named(partition);
        committed["offset"] = json!(offset);
        let mut event = json!({ "offsets": [committed], "success": outcome.is_ok() });
        if let Err(error) = &outcome {
            event["error"] = json!(chain(error));
        }
        match outcome {
            // Another has taken its place; that is no commit's outcome but the end.
            Err(error) if error.is_fatal() => Err(error.into()),
            _ => {
                self.events.push("offsets_committed", event);
                Ok(())
            }
        }
    }

    /// A signal has come.
    fn stop(&mut self) {
        self.left = 0;
        self.events.push("shutdown_requested", json!({}));
    }

    /// Leaves the group; what it gives up by that is told as well.
    async fn finish(self, interrupt: &mut Interrupt) -> Result<()> {
        let Self {
            consumer,
            mut rebalances,
            mut events,
            ..
        } = self;
        let mut closing = std::pin::pin!(consumer.close_with(CloseMode::Default, CLOSING));
        loop {
            tokio::select! {
                biased;
                Some(rebalance) = rebalances.next() => told(&mut events, &rebalance),
                () = &mut closing => break,
                _ = interrupt.heard() => break,
            }
        }
        events.push("shutdown_complete", json!({}));
        events.finish().await.context(StdoutSnafu)
    }
}

fn told(events: &mut Events, rebalance: &Rebalance) {
    let name = match rebalance.kind() {
        RebalanceKind::Assigned => "partitions_assigned",
        _ => "partitions_revoked",
    };
    let partitions: Value = rebalance.partitions().iter().map(named).collect();
    events.push(name, json!({ "partitions": partitions }));
}

fn named(partition: &TopicPartition) -> Value {
    json!({ "topic": &*partition.topic, "partition": partition.partition })
}
