//! From lines to acknowledged records.

use std::pin::pin;
use std::time::Duration;

use ottla::Producer;
use tokio::time::Instant;

use super::lines::Delimiter;
use super::source::{Source, total_bytes};
use super::template::Template;
use crate::args::{Common, Produce};
use crate::deliveries::Deliveries;
use crate::failure::{Failure, Result, chain};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::settings::{Environment, Settings};

/// Kafka's default of `max.request.size`.
const MAX_REQUEST_SIZE: usize = 1024 * 1024;

/// How long closing may take once every record has its outcome.
const CLOSING: Duration = Duration::from_secs(5);

/// Produces until the input ends, a record fails, or a signal comes. What was read by then is flushed; a
/// second signal gives up on that too.
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
        () = interrupt.heard() => return Err(Failure::Interrupted),
        reached = settings.reach(&client) => reached?,
    }
    let delimiter = Delimiter::new(&arguments.delimiter.0);
    let limit = settings
        .last(&["max.request.size", "message.max.bytes"])
        .and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(MAX_REQUEST_SIZE);
    let template = Template::of(&arguments);
    let progress = Progress::bytes(total_bytes(&arguments.files), quiet);
    let started = Instant::now();
    let mut run = Run {
        source: Source::open(arguments.files, delimiter.clone(), limit)?,
        interrupted: false,
        deliveries: Deliveries::default(),
        producer,
        delimiter,
        template,
        interrupt,
        progress,
    };
    let outcome = run.all().await;
    run.progress.clear();
    let flushed = run.flush().await;
    let elapsed = started.elapsed();
    run.report(outcome, flushed, elapsed, quiet)
}

struct Run {
    source: Source,
    /// Whether a signal has come: what was read is still sent, nothing more is read.
    interrupted: bool,
    deliveries: Deliveries,
    producer: Producer,
    delimiter: Delimiter,
    template: Template,
    interrupt: Interrupt,
    progress: Progress,
}

impl Run {
    /// Sends everything; ends early when a record fails.
    async fn all(&mut self) -> Result<()> {
        while self.deliveries.failed == 0 {
            let chunk = tokio::select! {
                biased;
                () = self.interrupt.heard(), if !self.interrupted => {
                    self.interrupted = true;
                    self.source.stop();
                    continue;
                }
                chunk = self.source.next() => chunk,
                // Nothing may come for long; a failure is not kept back until then.
                () = self.deliveries.oldest() => continue,
            };
            let Some(chunk) = chunk.transpose()? else {
                break;
            };
            self.send(&chunk).await?;
            self.source.recycle(chunk);
        }
        Ok(())
    }

    /// Sends a chunk's records, signal or not; a second signal ends it.
    async fn send(&mut self, chunk: &[u8]) -> Result<()> {
        let before = self.deliveries.taken();
        {
            let lines = self.delimiter.cut(chunk);
            let mut sending = pin!(send(
                &self.producer,
                &self.template,
                &mut self.deliveries,
                lines
            ));
            loop {
                tokio::select! {
                    biased;
                    () = &mut sending => break,
                    () = self.interrupt.heard() => {
                        if self.interrupted {
                            return Err(Failure::Interrupted);
                        }
                        self.interrupted = true;
                        self.source.stop();
                    }
                }
            }
        }
        self.progress
            .advance(self.deliveries.taken() - before, chunk.len() as u64);
        Ok(())
    }

    /// Waits for the outcome of everything that was sent.
    async fn flush(&mut self) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                () = self.producer.flush() => break,
                () = self.interrupt.heard() => {
                    if self.interrupted {
                        return Err(Failure::Interrupted);
                    }
                    self.interrupted = true;
                }
            }
        }
        self.deliveries.reap();
        self.producer.close(CLOSING).await?;
        Ok(())
    }

    /// Says how it went; the summary last.
    fn report(
        mut self,
        outcome: Result<()>,
        flushed: Result<()>,
        elapsed: Duration,
        quiet: bool,
    ) -> Result<()> {
        self.deliveries.reap();
        let Deliveries {
            delivered,
            bytes,
            failed,
            first_failure,
            ..
        } = &self.deliveries;
        let all_well = outcome.is_ok() && flushed.is_ok() && *failed == 0;
        if let Some((number, error)) = first_failure {
            let perhaps = match error.possibly_written() {
                true => "; it may have been written all the same",
                false => "",
            };
            eprintln!("ottla: record {number} failed: {}{perhaps}", chain(error));
        }
        for failure in [outcome, flushed].into_iter().filter_map(Result::err) {
            eprintln!("ottla: {}", chain(&failure));
        }
        if !quiet {
            let seconds = elapsed.as_secs_f64();
            eprintln!(
                "produced {delivered} records, {bytes} bytes, in {seconds:.3} s, {failed} errors"
            );
        }
        if all_well {
            Ok(())
        } else {
            Err(Failure::Partial)
        }
    }
}

/// Sends records until one fails.
async fn send(
    producer: &Producer,
    template: &Template,
    deliveries: &mut Deliveries,
    lines: impl Iterator<Item = &[u8]>,
) {
    let headers = template.headers();
    for line in lines {
        let record = template.record(line, &headers);
        match producer.send(record).await {
            Ok(delivery) => deliveries.push(delivery, line.len()),
            Err(error) => return deliveries.refused(error),
        }
        if deliveries.is_full() {
            deliveries.make_room().await;
        }
    }
    deliveries.reap();
}
