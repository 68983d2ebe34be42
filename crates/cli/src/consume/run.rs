//! From fetched batches to stdout.

use std::time::Duration;

use ottla::{Client, Consumer, IsolationLevel, RecordBatch};
use snafu::ResultExt;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::printer::Printer;
use super::progress::Ends;
use super::start::Start;
use super::{AUTO_COMMIT, member, partitions};
use crate::args::{Common, Consume};
use crate::failure::{Failure, Result, StalledSnafu, StdoutSnafu, UnreachableSnafu};
use crate::interrupt::Interrupt;
use crate::settings::{Environment, Settings};

/// How often positions are looked at while no records come.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// After which time without progress towards the end the cluster is asked whether it is still there.
const DOUBT: Duration = Duration::from_secs(10);

/// After which time without progress towards the end there is nothing to be expected any more.
const STALL: Duration = Duration::from_secs(60);

/// How long a reader of stdout may take for the rest, once a signal has come.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long closing may take.
pub(super) const CLOSING: Duration = Duration::from_secs(2);

/// Consumes until there is enough, the end is reached, or a signal comes.
pub(crate) async fn run(
    arguments: Consume,
    common: Common,
    environment: &Environment,
) -> Result<()> {
    let common = common.merge(arguments.common.clone());
    let mut settings = Settings::of(&common, environment)?;
    // What a log no longer holds is no reason to skip what it does hold, or to go elsewhere unasked.
    match arguments.offset {
        Start::Stored => {}
        Start::Offset(_) => settings.set_default("auto.offset.reset", "none"),
        Start::End => settings.set_default("auto.offset.reset", "latest"),
        _ => settings.set_default("auto.offset.reset", "earliest"),
    }
    if let Some(level) = arguments.isolation {
        settings.set("isolation.level", level.name());
    }
    if arguments.group.is_some() {
        return member::run(arguments, settings, common.verbosity.quiet).await;
    }
    // Who only looks on leaves the group's place alone, which may be named in an application's properties.
    settings.set(AUTO_COMMIT[0], false);
    // Without an end that was asked for, a signal is the end.
    let endless = arguments.count.is_none() && !arguments.exit;
    let interrupted = |signal| match endless {
        true => Ok(()),
        false => Err(Failure::Interrupted { signal }),
    };
    let mut interrupt = Interrupt::listen()?;
    let begin = async {
        let client = settings.client()?;
        let consumer = client.consumer().properties(settings.iter())?.build()?;
        settings.reach(&client).await?;
        let found =
            partitions::find(&client.admin(), &arguments.topics, arguments.partition).await?;
        let ends = match arguments.exit {
            true => Some(Ends::new(
                consumer.end_offsets(found.iter().cloned()).await?,
            )),
            false => None,
        };
        if let (Start::Offset(offset), true) = (arguments.offset, arguments.exit)
            && settings.last(&["auto.offset.reset"]) == Some("none")
        {
            let all = client.consumer().properties(settings.iter())?;
            let all = all
                .isolation_level(IsolationLevel::ReadUncommitted)
                .build()?;
            partitions::reach(&all, &found, offset).await?;
        }
        let starts = partitions::starts(&consumer, &found, arguments.offset).await?;
        consumer.assign(starts)?;
        Ok::<_, Failure>((client, consumer, ends))
    };
    let (client, consumer, ends) = tokio::select! {
        biased;
        signal = interrupt.heard() => return interrupted(signal),
        begun = begin => begun?,
    };
    let mut run = Run {
        printer: Printer::new(&arguments, common.verbosity.quiet)?,
        moved: Instant::now(),
        asked: Instant::now(),
        positions: 0,
        client,
        consumer,
        ends,
    };
    let outcome = tokio::select! {
        biased;
        signal = interrupt.heard() => Err(signal),
        outcome = run.all() => Ok(outcome),
    };
    run.consumer.shut_down();
    let finishing = run.printer.finish();
    let finished = match outcome {
        Ok(_) => tokio::select! {
            biased;
            signal = interrupt.heard() => return interrupted(signal),
            finished = finishing => finished,
        },
        // Records that were printed in part would look like whole ones.
        Err(_) => tokio::time::timeout(LAST_WORDS, finishing)
            .await
            .unwrap_or(Ok(())),
    };
    outcome
        .unwrap_or_else(interrupted)
        .and(finished.context(StdoutSnafu))?;
    // The connections end with the process; the rest only tells the brokers.
    tokio::time::timeout(CLOSING, run.consumer.close(CLOSING))
        .await
        .ok();
    Ok(())
}

struct Run {
    client: Client,
    consumer: Consumer,
    printer: Printer,
    /// Where to stop, if not for a signal.
    ends: Option<Ends>,
    /// When there last was progress towards the end.
    moved: Instant,
    /// When the cluster was last asked whether it is still there.
    asked: Instant,
    /// The sum of all positions when they were last looked at: it changes if one of them does.
    positions: i64,
}

impl Run {
    /// # Cancel safety
    ///
    /// After a drop, `printer` holds whole records.
    async fn all(&mut self) -> Result<()> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.look_at_positions()?;
        while self.printer.wants_more() && !self.ends.as_ref().is_some_and(Ends::all_done) {
            let batch = tokio::select! {
                biased;
                batch = self.consumer.next() => Some(batch),
                () = std::future::ready(()) => None,
            };
            let batch = match batch {
                Some(batch) => Some(batch),
                None => {
                    // Nothing there at the moment: whoever reads may have what there is.
                    self.printer.flush().await.context(StdoutSnafu)?;
                    tokio::select! {
                        biased;
                        batch = self.consumer.next() => Some(batch),
                        _ = look.tick(), if self.ends.is_some() => None,
                    }
                }
            };
            match batch {
                Some(batch) => match batch? {
                    Some(batch) => self.take(&batch)?,
                    None => break,
                },
                None => {
                    self.look_at_positions()?;
                    self.doubt().await?;
                }
            }
            self.printer.make_room().await.context(StdoutSnafu)?;
        }
        Ok(())
    }

    /// Prints a batch's records, up to the end and the count.
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let partition = batch.partition();
        let end = match &self.ends {
            Some(ends) => ends.of(partition).unwrap_or(i64::MIN),
            None => i64::MAX,
        };
        self.printer.print(batch, end)?;
        self.moved = Instant::now();
        if let Some(ends) = &mut self.ends
            && ends.reached(partition, batch.next_offset())
        {
            self.consumer.incremental_unassign([partition])?;
        }
        Ok(())
    }

    /// Finds the partitions whose position is at their end though no record came from there.
    fn look_at_positions(&mut self) -> Result<()> {
        let Some(ends) = &mut self.ends else {
            return Ok(());
        };
        let mut sum = 0_i64;
        for (partition, position) in self.consumer.positions() {
            sum = sum.wrapping_add(position.offset);
            if ends.reached(&partition, position.offset) {
                self.consumer.incremental_unassign([&partition])?;
            }
        }
        if sum != self.positions {
            self.positions = sum;
            self.moved = Instant::now();
        }
        Ok(())
    }

    /// Asks whether the end will ever be reached.
    async fn doubt(&mut self) -> Result<()> {
        let Some(ends) = &self.ends else {
            return Ok(());
        };
        let idle = self.moved.elapsed();
        if idle >= STALL {
            let remaining = ends.remaining();
            return StalledSnafu {
                after: STALL,
                remaining,
            }
            .fail();
        }
        if idle >= DOUBT && self.asked.elapsed() >= DOUBT {
            self.asked = Instant::now();
            // Fails only if no broker answers within this time; then there is nothing to wait for.
            let admin = self.client.admin().with_timeout(DOUBT);
            let brokers = "the cluster any more";
            admin
                .describe_cluster()
                .await
                .map(drop)
                .context(UnreachableSnafu { brokers })?;
        }
        Ok(())
    }
}
