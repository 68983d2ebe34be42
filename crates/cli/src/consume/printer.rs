//! Records on their way to stdout.

use std::io;

use ottla::RecordBatch;
use snafu::ResultExt;

use super::format::Format;
use super::json;
use super::row::Row;
use crate::args::Consume;
use crate::failure::{Result, SystemSnafu};
use crate::output::Output;
use crate::progress::Progress;

/// Prints as many records as are wanted, as it is wanted.
pub(super) struct Printer {
    print: Print,
    output: Output,
    progress: Progress,
    /// How many records are still wanted.
    left: u64,
}

#[derive(Debug)]
enum Print {
    Format(Format),
    Json,
}

impl Printer {
    pub(super) fn new(arguments: &Consume, quiet: bool) -> Result<Self> {
        let output = Output::stdout().context(SystemSnafu {
            doing: "start a thread",
        })?;
        Ok(Self {
            print: match arguments.json {
                true => Print::Json,
                false => Print::Format(arguments.format.clone()),
            },
            output,
            progress: Progress::bytes(None, quiet || !arguments.exit),
            left: arguments.count.unwrap_or(u64::MAX),
        })
    }

    /// Whether there have not been enough records yet.
    pub(super) fn wants_more(&self) -> bool {
        self.left > 0
    }

    /// Prints a batch's records, up to the end and the count. The offset at which the next one begins.
    pub(super) fn print(&mut self, batch: &RecordBatch, end: i64) -> Result<i64> {
        let partition = batch.partition();
        let log_append_time = batch.is_log_append_time();
        let before = self.left;
        let mut next = batch.next_offset();
        for record in batch {
            let record = record?;
            if self.left == 0 || record.offset() >= end {
                next = record.offset();
                break;
            }
            self.left -= 1;
            let row = Row {
                topic: &partition.topic,
                partition: partition.partition,
                offset: record.offset(),
                timestamp: record.timestamp(),
                log_append_time,
                key: record.key(),
                value: record.value(),
                headers: record.headers().map(|header| (header.key, header.value)),
            };
            match &self.print {
                Print::Format(format) => format.write(row, self.output.buffer()),
                Print::Json => json::write(row, self.output.buffer()),
            }
        }
        self.progress
            .advance(before - self.left, batch.size_bytes() as u64);
        Ok(next)
    }

    /// Waits, if much is printed, until more may be.
    pub(super) async fn make_room(&mut self) -> io::Result<()> {
        match self.output.is_full() {
            true => self.output.flush().await,
            false => Ok(()),
        }
    }

    /// Whether there is something that was not handed over yet.
    pub(super) fn is_holding(&mut self) -> bool {
        !self.output.buffer().is_empty()
    }

    /// Hands over what there is.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.output.flush().await
    }

    /// Waits until everything that was printed is written.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        self.output.settle().await
    }

    /// Shows no progress any more.
    pub(super) fn clear(&mut self) {
        self.progress.clear();
    }

    /// Writes the rest.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        self.clear();
        self.output.finish().await
    }
}
