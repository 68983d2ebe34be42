//! `ottla consume -G`: consuming as a member of a group.
//!
//! What is committed is what stdout has taken: every few seconds, before a partition goes to another member,
//! and at the end. So each record is printed at least once by the group, and once unless a member dies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::{
    Client, Consumer, ErrorKind, Rebalance, RebalanceKind, Rebalances, RecordBatch, TopicPartition,
};
use regex::Regex;
use snafu::ResultExt;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::printer::Printer;
use super::run::{CLOSING, LAST_WORDS, LOOK};
use super::{AUTO_COMMIT, Wanted, partitions};
use crate::args::Consume;
use crate::diagnostics::complain;
use crate::failure::{DoingSnafu, Failure, Result, StdoutSnafu, chain};
use crate::interrupt::Interrupt;
use crate::settings::Settings;

/// The time between two commits.
const COMMIT: Duration = Duration::from_secs(5);

/// Consumes until there is enough, the end is reached, or a signal comes.
pub(super) async fn run(arguments: Consume, mut settings: Settings, quiet: bool) -> Result<()> {
    // Without an end that was asked for, a signal is the end.
    let endless = arguments.count.is_none() && !arguments.exit;
    let interrupted = |signal| match endless {
        true => Ok(()),
        false => Err(Failure::Interrupted { signal }),
    };
    settings.set("group.id", arguments.group.as_deref().unwrap_or_default());
    let commits = settings.last(&AUTO_COMMIT).map(str::trim) != Some("false");
    settings.set(AUTO_COMMIT[0], false);
    let mut interrupt = Interrupt::listen()?;
    let printer = Printer::new(&arguments, quiet)?;
    let begin = async {
        let client = settings.client()?;
        let consumer = client.consumer().properties(settings.iter())?.build()?;
        settings.reach(&client).await?;
        let ends = ends(&client, &consumer, &arguments).await?;
        let rebalances = consumer.rebalances();
        subscribe(&consumer, &arguments.topics)?;
        Ok::<_, Failure>((consumer, rebalances, ends))
    };
    let (consumer, rebalances, ends) = tokio::select! {
        biased;
        signal = interrupt.heard() => return interrupted(signal),
        begun = begin => begun?,
    };
    let mut member = Member {
        consumer,
        rebalances,
        printer,
        ends,
        commits,
        is_settled: false,
        printed: BTreeMap::new(),
        committed: Instant::now(),
    };
    let outcome = tokio::select! {
        biased;
        signal = interrupt.heard() => Err(signal),
        outcome = member.all() => Ok(outcome),
    };
    // Nobody waits for ever for a reader that has stopped reading.
    let limit = outcome.as_ref().err().map(|_| LAST_WORDS);
    let ended = tokio::select! {
        biased;
        signal = interrupt.heard() => Err(Failure::Interrupted { signal }),
        ended = member.end(limit) => ended,
    };
    outcome.unwrap_or_else(interrupted).and(ended)
}

/// Where each partition ends now, if that is where to stop.
async fn ends(
    client: &Client,
    consumer: &Consumer,
    arguments: &Consume,
) -> Result<Option<BTreeMap<TopicPartition, i64>>> {
    let admin = client.admin();
    if arguments.exit {
        let found = partitions::find(&admin, &arguments.topics, None).await?;
        return Ok(Some(consumer.end_offsets(found).await?));
    }
    // A pattern may match later. A name that is none is most likely a mistake.
    let names = arguments.topics.iter();
    let names: Vec<_> = names
        .filter(|wanted| matches!(wanted, Wanted::Names(_)))
        .cloned()
        .collect();
    partitions::find(&admin, &names, None).await?;
    Ok(None)
}

fn subscribe(consumer: &Consumer, topics: &[Wanted]) -> Result<()> {
    let mut names = BTreeSet::new();
    let mut patterns: Vec<Regex> = Vec::new();
    for wanted in topics {
        match wanted {
            Wanted::Names(some) => names.extend(some.iter().cloned()),
            Wanted::Pattern(pattern) => patterns.push(pattern.clone()),
        }
    }
    if patterns.is_empty() {
        return Ok(consumer.subscribe(names)?);
    }
    Ok(consumer.subscribe_matching(move |topic| {
        names.contains(topic) || patterns.iter().any(|pattern| pattern.is_match(topic))
    })?)
}

struct Member {
    consumer: Consumer,
    rebalances: Rebalances,
    printer: Printer,
    /// Where to stop, if not for a signal. What came later ended at 0 then.
    ends: Option<BTreeMap<TopicPartition, i64>>,
    /// Whether anything is committed.
    commits: bool,
    /// Whether the member has what it gets, and no rebalance has begun since.
    is_settled: bool,
    /// Where each partition goes on behind what was printed and is not committed yet.
    printed: BTreeMap<TopicPartition, i64>,
    /// When there last was a commit.
    committed: Instant,
}

impl Member {
    /// # Cancel safety
    ///
    /// After a drop, `printed` says what `printer` holds: whole records.
    async fn all(&mut self) -> Result<()> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.printer.wants_more() && !self.is_at_end() {
            let due = self.committed + COMMIT;
            let is_due = !self.printed.is_empty();
            if is_due && due <= Instant::now() {
                self.commit_or_complain(None).await?;
            }
            tokio::select! {
                biased;
                Some(rebalance) = self.rebalances.next() => self.rebalanced(rebalance).await?,
                batch = self.consumer.next() => {
                    if !self.take(batch).await? {
                        break;
                    }
                }
                // Nothing there at the moment: whoever reads may have what there is.
                flushed = self.printer.flush(), if self.printer.is_holding() => {
                    flushed.context(StdoutSnafu)?;
                }
                () = sleep_until(due), if is_due => {}
                _ = look.tick(), if self.ends.is_some() => {}
            }
        }
        Ok(())
    }

    /// Whether everything that is this member's was read to where it ended at the start.
    fn is_at_end(&self) -> bool {
        let Some(ends) = self.ends.as_ref().filter(|_| self.is_settled) else {
            return false;
        };
        let positions = self.consumer.positions();
        self.consumer.assignment().iter().all(|partition| {
            let end = ends.get(partition).copied().unwrap_or(0);
            let position = positions.get(partition);
            position.is_some_and(|position| position.offset >= end)
        })
    }

    /// Prints what came; false if nothing will come any more.
    async fn take(&mut self, batch: ottla::Result<Option<RecordBatch>>) -> Result<bool> {
        let batch = match batch {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(false),
            // It comes back by itself; what had been printed and not committed, others print again.
            Err(error) if matches!(error.kind(), ErrorKind::MaxPollExceeded { .. }) => {
                complain(format_args!("{}", chain(&error)));
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        let partition = batch.partition();
        let end = match &self.ends {
            Some(ends) => ends.get(partition).copied().unwrap_or(0),
            None => i64::MAX,
        };
        let next = self.printer.print(&batch, end)?;
        self.printed.insert(partition.clone(), next);
        self.printer.make_room().await.context(StdoutSnafu)?;
        Ok(true)
    }

    async fn rebalanced(&mut self, rebalance: Rebalance) -> Result<()> {
        let partitions = rebalance.partitions();
        self.is_settled = rebalance.kind() == RebalanceKind::Assigned;
        match rebalance.kind() {
            RebalanceKind::Revoked => self.commit_or_complain(Some(partitions)).await?,
            RebalanceKind::Lost => {
                let others = self.printed.keys().any(|name| partitions.contains(name));
                if others && self.commits {
                    complain(format_args!(
                        "lost partitions to other members before what was printed could be committed: \
                         they may print it again"
                    ));
                }
            }
            _ => {}
        }
        if !self.is_settled {
            self.printed.retain(|name, _| !partitions.contains(name));
        }
        Ok(())
    }

    /// Commits what was printed, of these partitions or of all. If that fails, records are printed again by
    /// whoever consumes them next; only stdout's failures are for good.
    async fn commit_or_complain(&mut self, of: Option<&BTreeSet<TopicPartition>>) -> Result<()> {
        match self.commit(of).await {
            Err(failure @ Failure::Doing { .. }) => complain(format_args!("{}", chain(&failure))),
            outcome => return outcome,
        }
        Ok(())
    }

    async fn commit(&mut self, of: Option<&BTreeSet<TopicPartition>>) -> Result<()> {
        self.committed = Instant::now();
        let mut offsets = self.printed.clone();
        offsets.retain(|name, _| of.is_none_or(|of| of.contains(name)));
        if offsets.is_empty() || !self.commits {
            return Ok(());
        }
        self.printer.settle().await.context(StdoutSnafu)?;
        let names: Vec<_> = offsets.keys().cloned().collect();
        let doing = "cannot commit what was printed, which will come again";
        self.consumer
            .commit(offsets)
            .await
            .context(DoingSnafu { doing })?;
        for name in names {
            self.printed.remove(&name);
        }
        Ok(())
    }

    /// Writes the rest, commits it, and leaves the group. `limit` is how long stdout may take.
    async fn end(mut self, limit: Option<Duration>) -> Result<()> {
        let written = match limit {
            None => Some(self.printer.settle().await),
            // What is not written by then is not committed.
            Some(limit) => timeout(limit, self.printer.settle()).await.ok(),
        };
        let committed = match written {
            Some(Ok(())) => timeout(CLOSING, self.commit(None)).await.unwrap_or(Ok(())),
            Some(Err(source)) => Err(Failure::Stdout { source }),
            None => Ok(()),
        };
        // Whoever does not listen any more agrees to everything.
        drop(self.rebalances);
        self.consumer.close(CLOSING).await;
        self.printer.clear();
        committed
    }
}
