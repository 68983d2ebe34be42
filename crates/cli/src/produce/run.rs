//! From lines to acknowledged records.

use std::time::Duration;

use ottla::{ErrorKind, Producer};
use tokio::time::Instant;

use super::lines::Delimiter;
use super::source::{Input, Source, total_bytes};
use super::template::Template;
use crate::args::{Common, Produce};
use crate::deliveries::{Abandoned, Deliveries};
use crate::diagnostics::{complain, say};
use crate::failure::{Failure, Result, chain};
use crate::interrupt::{Interrupt, Signal};
use crate::progress::Progress;
use crate::settings::{Environment, MAX_REQUEST_SIZE, Settings};
use crate::text::counted;

/// How long closing may take once every record has its outcome.
const CLOSING: Duration = Duration::from_secs(5);

/// Produces until the input ends, a failure comes that is not one record's alone, or a signal. What was
/// taken in by then is waited for; a second signal gives up on that too.
pub(crate) async fn run(
    arguments: Produce,
    common: Common,
    environment: &Environment,
) -> Result<()> {
    let common = common.merge(arguments.common.clone());
    let mut settings = Settings::of(&common, environment)?;
    if let Some(codec) = arguments.compression {
        settings.set("compression.type", codec.name());
    }
    let quiet = common.verbosity.quiet;
    let mut interrupt = Interrupt::listen()?;
    let client = settings.client()?;
    let producer = client.producer().properties(settings.iter())?.build()?;
    tokio::select! {
        biased;
        signal = interrupt.heard() => return Err(Failure::Interrupted { signal }),
        reached = settings.reach(&client) => reached?,
    }
    let delimiter = Delimiter::new(&arguments.delimiter.0);
    let limit = settings.max_request_size();
    let template = Template::of(&arguments);
    let progress = Progress::bytes(total_bytes(&arguments.files), quiet);
    let started = Instant::now();
    let mut run = Run {
        source: Source::open(arguments.files, delimiter.clone(), limit)?,
        deliveries: Deliveries::new(),
        signal: None,
        producer,
        delimiter,
        limit,
        template,
        interrupt,
        progress,
    };
    let outcome = run.all().await;
    run.progress.clear();
    let flushed = run.flush(&outcome).await;
    let elapsed = started.elapsed();
    run.report(outcome, flushed, elapsed, quiet)
}

struct Run {
    source: Source,
    deliveries: Deliveries,
    /// The signal that has come: nothing more is taken in.
    signal: Option<Signal>,
    producer: Producer,
    delimiter: Delimiter,
    /// The size of a record that is certainly too large, in bytes.
    limit: usize,
    template: Template,
    interrupt: Interrupt,
    progress: Progress,
}

/// Where taking records in came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At the end of the input.
    Reached,
    /// Before it.
    Missed,
}

impl Run {
    /// Takes records in.
    async fn all(&mut self) -> Result<End> {
        while !self.deliveries.is_stopped() {
            let input = tokio::select! {
                biased;
                signal = self.interrupt.heard() => {
                    self.signal = Some(signal);
                    return Ok(End::Missed);
                }
                input = self.source.next() => input,
                // Nothing may come for long; a failure is not kept back until then.
                () = self.deliveries.oldest() => continue,
            };
            let before = self.deliveries.seen();
            let bytes = match input.transpose()? {
                None => return Ok(End::Reached),
                Some(Input::Records(chunk)) => {
                    if !self.send(&chunk).await {
                        return Ok(End::Missed);
                    }
                    let bytes = chunk.len();
                    self.source.recycle(chunk);
                    bytes
                }
                Some(Input::TooLarge { size }) => {
                    let error = ErrorKind::RecordTooLarge {
                        size,
                        limit: self.limit,
                        limit_name: MAX_REQUEST_SIZE,
                    };
                    self.deliveries.refused(error.into());
                    size
                }
            };
            self.progress
                .advance(self.deliveries.seen() - before, bytes as u64);
        }
        Ok(match self.source.is_at_end().await {
            true => End::Reached,
            false => End::Missed,
        })
    }

    /// Takes a chunk's records in; false if something came in between and some were left.
    async fn send(&mut self, chunk: &[u8]) -> bool {
        let sending = send(
            &self.producer,
            &self.template,
            &mut self.deliveries,
            self.delimiter.cut(chunk),
        );
        tokio::select! {
            biased;
            all = sending => all,
            // What is waited for is memory, and who interrupts does not want to wait for that.
            signal = self.interrupt.heard() => {
                self.signal = Some(signal);
                false
            }
        }
    }

    /// Waits for the outcome of everything that was taken in; of some of it, if a second signal comes.
    async fn flush(&mut self, outcome: &Result<End>) -> Result<Option<Abandoned>> {
        if self.signal.is_some() {
            self.answer(outcome);
        }
        loop {
            tokio::select! {
                biased;
                () = self.producer.flush() => break,
                signal = self.interrupt.heard() => {
                    if self.signal.replace(signal).is_none() {
                        self.answer(outcome);
                        continue;
                    }
                    // What it has to say is that there are records left.
                    let _ = self.producer.close(Duration::ZERO).await;
                    return Ok(Some(self.deliveries.abandon()));
                }
            }
        }
        self.deliveries.reap();
        self.producer.close(CLOSING).await?;
        Ok(None)
    }

    /// Says what the first signal does.
    fn answer(&self, outcome: &Result<End>) {
        let mut parts = Vec::new();
        if let Ok(End::Missed) = outcome {
            parts.push("the rest of the input is not sent".to_owned());
        }
        match self.deliveries.waiting() {
            0 => {}
            waiting => parts.push(format!(
                "waiting for the outcome of {}, interrupt again to give up",
                counted(waiting as u64, "record")
            )),
        }
        if !parts.is_empty() {
            complain(format_args!("interrupted: {}", parts.join("; ")));
        }
    }

    /// Says how it went; the summary last.
    fn report(
        mut self,
        outcome: Result<End>,
        flushed: Result<Option<Abandoned>>,
        elapsed: Duration,
        quiet: bool,
    ) -> Result<()> {
        self.deliveries.reap();
        for (number, error) in self.deliveries.failures() {
            let perhaps = match error.possibly_written() {
                true => "; it may have been written all the same",
                false => "",
            };
            let why = chain(error);
            complain(format_args!("record {number} failed: {why}{perhaps}"));
        }
        match self.deliveries.untold() {
            0 => {}
            untold => complain(format_args!("{} failed", counted(untold, "more record"))),
        }
        if matches!(outcome, Ok(End::Missed)) && self.signal.is_none() {
            complain(format_args!("stopped before the end of the input"));
        }
        if let Ok(Some(Abandoned {
            records,
            possibly_written,
        })) = &flushed
        {
            complain(format_args!(
                "gave up: {} without an outcome, {possibly_written} of them may have been written",
                counted(*records, "record")
            ));
        }
        let Deliveries {
            delivered,
            bytes,
            failed,
            ..
        } = self.deliveries;
        let status = match (self.signal, &outcome, &flushed) {
            (Some(signal), Ok(End::Missed), _) | (Some(signal), _, Ok(Some(_))) => {
                Err(Failure::CutShort { signal })
            }
            (_, Ok(End::Reached), Ok(None)) if failed == 0 => Ok(()),
            _ => Err(Failure::Partial),
        };
        for failure in [outcome.err(), flushed.err()].into_iter().flatten() {
            complain(format_args!("{}", chain(&failure)));
        }
        if !quiet {
            let seconds = elapsed.as_secs_f64();
            say(format_args!(
                "produced {delivered} records, {bytes} bytes, in {seconds:.3} s, {failed} errors"
            ));
        }
        status
    }
}

/// Takes records in until a failure comes that is not one record's alone; false if others were left then.
async fn send(
    producer: &Producer,
    template: &Template,
    deliveries: &mut Deliveries,
    mut lines: impl Iterator<Item = &[u8]>,
) -> bool {
    let headers = template.headers();
    while let Some(line) = lines.next() {
        match producer.send(template.record(line, &headers)).await {
            Ok(delivery) => deliveries.push(delivery, line.len()),
            Err(error) => deliveries.refused(error),
        }
        if deliveries.is_full() {
            deliveries.make_room().await;
        }
        if deliveries.is_stopped() {
            return lines.next().is_none();
        }
    }
    deliveries.reap();
    true
}
