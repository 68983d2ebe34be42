//! A progress bar on stderr, if stderr is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far a long piece of work is: records, MB/s, and the time left where the total is known.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    records: u64,
}

impl Progress {
    /// `total` is in bytes. Without a terminal, and if `quiet`, nothing is ever shown.
    pub(crate) fn bytes(total: Option<u64>, quiet: bool) -> Self {
        let template = match total {
            Some(_) => "{wide_bar} {msg} records, {bytes_per_sec}, {eta} left",
            None => "{spinner} {msg} records, {bytes}, {bytes_per_sec}, {elapsed}",
        };
        Self::new(total, template, quiet)
    }

    /// `total` is in records.
    pub(crate) fn records(total: u64, quiet: bool) -> Self {
        Self::new(
            Some(total),
            "{wide_bar} {pos} of {len} records, {per_sec}, {eta} left",
            quiet,
        )
    }

    fn new(total: Option<u64>, template: &str, quiet: bool) -> Self {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            // Draws only where there is a terminal.
            false => ProgressDrawTarget::stderr_with_hz(5),
        };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self { bar, records: 0 }
    }

    /// Takes note of so many records, and bytes, more. Not for every single record.
    pub(crate) fn advance(&mut self, records: u64, bytes: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.records += records;
        self.bar.set_message(self.records.to_string());
        self.bar.inc(bytes);
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
