//! Data on its way to stdout.
//!
//! A thread does the writing, because a pipe whose reader is slow blocks for as long as it likes:
//! connections and signals are looked after meanwhile.

use std::io::{self, Write};
use std::sync::mpsc as std_mpsc;

use tokio::sync::{mpsc, oneshot, watch};

/// From which size on a buffer is handed to the thread.
const BUFFER_BYTES: usize = 128 * 1024;

/// A big buffer before stdout.
#[derive(Debug)]
pub(crate) struct Output {
    buffer: Vec<u8>,
    full: mpsc::Sender<Vec<u8>>,
    empty: std_mpsc::Receiver<Vec<u8>>,
    /// How many buffers the thread was handed.
    handed: u64,
    /// How many of them it has written.
    written: watch::Receiver<u64>,
    /// What the thread has to say at its end, until it was asked.
    outcome: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Output {
    /// Writes to stdout.
    pub(crate) fn stdout() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (full, buffers) = mpsc::channel(1);
        let (empties, empty) = std_mpsc::channel();
        let (sender, outcome) = oneshot::channel();
        let (count, written) = watch::channel(0);
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                // Nobody hears it only when the program has been interrupted.
                let _ = sender.send(write_all(sink, buffers, &empties, &count));
            })?;
        Ok(Self {
            buffer: Vec::new(),
            full,
            empty,
            handed: 0,
            written,
            outcome: Some(outcome),
        })
    }

    /// Where to append what is to be written.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether enough has been appended for a [`flush`](Self::flush).
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER_BYTES
    }

    /// Hands over what has been appended; waits only while the thread is behind.
    ///
    /// # Errors
    ///
    /// What stdout said to an earlier buffer; after that, that nothing is written any more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match self.full.reserve().await {
            Ok(permit) => {
                let empty = self.empty.try_recv().unwrap_or_default();
                permit.send(std::mem::replace(&mut self.buffer, empty));
                self.handed += 1;
                Ok(())
            }
            Err(_) => Err(ended(self.outcome.take()).await.err().unwrap_or_else(gone)),
        }
    }

    /// Hands over what has been appended, and waits until all of it is written.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn settle(&mut self) -> io::Result<()> {
        self.flush().await?;
        let handed = self.handed;
        if self
            .written
            .wait_for(|written| *written >= handed)
            .await
            .is_ok()
        {
            return Ok(());
        }
        Err(ended(self.outcome.take()).await.err().unwrap_or_else(gone))
    }

    /// Writes the rest and waits until all of it is written.
    ///
    /// # Errors
    ///
    /// What stdout said.
    ///
    /// # Cancel safety
    ///
    /// After a drop the rest may or may not be written.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        self.flush().await?;
        drop(self.full);
        ended(self.outcome).await
    }
}

fn write_all(
    mut sink: impl Write,
    mut buffers: mpsc::Receiver<Vec<u8>>,
    empties: &std_mpsc::Sender<Vec<u8>>,
    written: &watch::Sender<u64>,
) -> io::Result<()> {
    while let Some(mut buffer) = buffers.blocking_recv() {
        sink.write_all(&buffer)?;
        sink.flush()?;
        written.send_modify(|written| *written += 1);
        buffer.clear();
        // A record may have been huge; its memory is not for keeping.
        buffer.shrink_to(2 * BUFFER_BYTES);
        // The last buffer is wanted by nobody.
        let _ = empties.send(buffer);
    }
    Ok(())
}

async fn ended(outcome: Option<oneshot::Receiver<io::Result<()>>>) -> io::Result<()> {
    match outcome {
        Some(outcome) => outcome.await.unwrap_or_else(|_| Err(gone())),
        None => Err(gone()),
    }
}

fn gone() -> io::Error {
    io::Error::other("the writing thread has gone")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink {
        written: Arc<Mutex<Vec<u8>>>,
        room: Option<usize>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().unwrap();
            if self.room.is_some_and(|room| written.len() >= room) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn everything_is_written_in_order() {
        let sink = Sink::default();
        let mut output = Output::to(sink.clone()).unwrap();
        let mut expected = Vec::new();
        for n in 0..100_000 {
            let line = format!("line {n}\n");
            output.buffer().extend_from_slice(line.as_bytes());
            expected.extend_from_slice(line.as_bytes());
            if output.is_full() {
                output.flush().await.unwrap();
            }
        }
        output.finish().await.unwrap();
        assert!(*sink.written.lock().unwrap() == expected);
    }

    #[tokio::test]
    async fn settled_means_written() {
        let sink = Sink::default();
        let mut output = Output::to(sink.clone()).unwrap();
        for n in 1..100 {
            output.buffer().push(b'x');
            output.settle().await.unwrap();
            assert_eq!(sink.written.lock().unwrap().len(), n);
        }
        let mut output = Output::to(Sink {
            room: Some(0),
            ..Sink::default()
        })
        .unwrap();
        output.buffer().push(b'x');
        let error = output.settle().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_broken_pipe_is_noticed() {
        let mut output = Output::to(Sink {
            room: Some(1),
            ..Sink::default()
        })
        .unwrap();
        let error = loop {
            output.buffer().push(b'x');
            if let Err(error) = output.flush().await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        output.buffer().push(b'x');
        assert!(output.flush().await.is_err() && output.finish().await.is_err());
    }

    #[tokio::test]
    async fn the_last_buffers_failure_is_noticed() {
        let mut output = Output::to(Sink {
            room: Some(0),
            ..Sink::default()
        })
        .unwrap();
        output.buffer().push(b'x');
        assert_eq!(
            output.finish().await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
