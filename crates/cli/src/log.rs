//! What the client logs, on stderr.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::Verbosity;

/// Sends what is logged to stderr: warnings and errors, more or less if asked for.
pub(crate) fn to_stderr(verbosity: Verbosity) {
    let level = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Unrepeated::new(io::stderr))
        // What cannot be logged is dropped; it would be said with `eprintln`, which panics if that fails too.
        .log_internal_errors(false)
        .with_target(false)
        .without_time()
        .init();
}

/// Nothing is logged by this thread until the guard is dropped.
pub(crate) fn silence() -> DefaultGuard {
    tracing::subscriber::set_default(NoSubscriber::default())
}

/// Writes no line twice in a row: that nobody answers is said once, not with every try.
#[derive(Debug)]
struct Unrepeated<M> {
    sink: M,
    last: Mutex<Vec<u8>>,
}

impl<M> Unrepeated<M> {
    fn new(sink: M) -> Self {
        Self {
            sink,
            last: Mutex::default(),
        }
    }
}

impl<'a, M: Fn() -> W + 'a, W: Write> MakeWriter<'a> for Unrepeated<M> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Line<'a, W> {
        Line {
            sink: (self.sink)(),
            last: &self.last,
        }
    }
}

/// Takes one line, as a whole.
#[derive(Debug)]
struct Line<'a, W> {
    sink: W,
    last: &'a Mutex<Vec<u8>>,
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            self.sink.write_all(line)?;
            last.clear();
            last.extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_not_repeated_but_may_come_again() {
        let sink = Sink::default();
        let written = sink.clone();
        let unrepeated = Unrepeated::new(move || sink.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_writer(unrepeated)
            .with_ansi(false)
            .without_time()
            .with_level(false)
            .with_target(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for what in ["a", "a", "b", "b", "b", "a"] {
                tracing::warn!("{what}");
            }
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written, "a\nb\na\n");
    }
}
