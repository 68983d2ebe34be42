//! The files to produce, read on a thread of their own.
//!
//! A thread, because reading a terminal or a pipe blocks for as long as it likes, and nothing can call
//! such a read back: at the end of the program it is left where it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use snafu::{ResultExt, Snafu};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::lines::{Chunks, Delimiter, Piece};

/// How many chunks are read ahead.
const READ_AHEAD: usize = 2;

/// How long the reader may take to find that nothing follows. It takes no time, but for its turn on a busy machine,
/// unless somebody holds a pipe or a terminal open.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What can go wrong with a source.
#[derive(Debug, Snafu)]
pub(crate) enum SourceError {
    /// A file that cannot be opened.
    #[snafu(display("cannot open {name}"))]
    Open { name: String, source: io::Error },
    /// A file that cannot be read to its end.
    #[snafu(display("cannot read {name}"))]
    Read { name: String, source: io::Error },
    /// No thread could be started.
    #[snafu(display("cannot start a thread"))]
    Thread { source: io::Error },
}

/// What comes next in the files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A chunk of whole records.
    Records(Vec<u8>),
    /// One record that is too large to be kept in memory.
    TooLarge { size: usize },
}

/// Records, one file after the other.
#[derive(Debug)]
pub(crate) struct Source {
    full: mpsc::Receiver<Result<Input, SourceError>>,
    empty: std_mpsc::Sender<Vec<u8>>,
}

impl Source {
    /// Begins to read. `files` in their order; none, or `-`, is stdin.
    pub(crate) fn open(
        files: Vec<PathBuf>,
        delimiter: Delimiter,
        limit: usize,
    ) -> Result<Self, SourceError> {
        let (full_sender, full) = mpsc::channel(READ_AHEAD);
        let (empty, empties) = std_mpsc::channel::<Vec<u8>>();
        let read_all = move || {
            let send = |input| full_sender.blocking_send(input).is_ok();
            let empty = || empties.try_recv().unwrap_or_default();
            if let Err(error) = read_all(files, &delimiter, limit, empty, |input| send(Ok(input))) {
                send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name("reader".to_owned());
        thread.spawn(read_all).context(ThreadSnafu)?;
        Ok(Self { full, empty })
    }

    /// What comes next; `None` at the end of the last file.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn next(&mut self) -> Option<Result<Input, SourceError>> {
        self.full.recv().await
    }

    /// Whether nothing follows. What does is lost, and of what is not there within a second it is not known.
    ///
    /// # Cancel safety
    ///
    /// What follows may be lost by a drop.
    pub(crate) async fn is_at_end(&mut self) -> bool {
        matches!(timeout(LAST_LOOK, self.full.recv()).await, Ok(None))
    }

    /// Takes a chunk's memory back for another one.
    pub(crate) fn recycle(&self, chunk: Vec<u8>) {
        // The reader needs none when it has come to its end.
        let _ = self.empty.send(chunk);
    }
}

/// The size of all files together, if they are regular ones.
pub(crate) fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    if files.is_empty() {
        return None;
    }
    files
        .iter()
        .map(|file| {
            let metadata = file.metadata().ok().filter(|_| !is_stdin(file))?;
            metadata.is_file().then_some(metadata.len())
        })
        .sum()
}

fn read_all(
    files: Vec<PathBuf>,
    delimiter: &Delimiter,
    limit: usize,
    empty: impl Fn() -> Vec<u8>,
    send: impl Fn(Input) -> bool,
) -> Result<(), SourceError> {
    let files = if files.is_empty() {
        vec![PathBuf::from("-")]
    } else {
        files
    };
    for file in files {
        let (source, name): (Box<dyn Read>, _) = if is_stdin(&file) {
            (Box::new(io::stdin().lock()), "stdin".to_owned())
        } else {
            let name = file.display().to_string();
            (
                Box::new(File::open(&file).context(OpenSnafu { name: &name })?),
                name,
            )
        };
        let mut chunks = Chunks::new(source, delimiter.clone(), limit);
        loop {
            let mut chunk = empty();
            let piece = chunks
                .next_into(&mut chunk)
                .context(ReadSnafu { name: &name })?;
            let input = match piece {
                Some(Piece::Records) => Input::Records(chunk),
                Some(Piece::TooLarge { size }) => Input::TooLarge { size },
                None => break,
            };
            if !send(input) {
                // Nobody wants any more.
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(files: &[&Path]) -> (Vec<u8>, Option<SourceError>) {
        let files = files.iter().map(|file| file.to_path_buf()).collect();
        let mut source = Source::open(files, Delimiter::new(b"\n"), 100).unwrap();
        let mut read = Vec::new();
        while let Some(input) = source.next().await {
            match input {
                Ok(Input::Records(chunk)) => {
                    read.extend_from_slice(&chunk);
                    read.push(b'|');
                    source.recycle(chunk);
                }
                Ok(Input::TooLarge { size }) => read.extend(format!("({size})|").bytes()),
                Err(error) => return (read, Some(error)),
            }
        }
        assert!(source.is_at_end().await);
        (read, None)
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_may_take_the_reader_a_moment_to_find() {
        let source = || {
            let (sender, full) = mpsc::channel(READ_AHEAD);
            let (empty, _) = std_mpsc::channel();
            (sender, Source { full, empty })
        };
        let (reader, mut ends) = source();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_LOOK / 2).await;
            drop(reader);
        });
        assert!(ends.is_at_end().await);
        let (reader, mut goes_on) = source();
        reader.send(Ok(Input::TooLarge { size: 1 })).await.unwrap();
        assert!(!goes_on.is_at_end().await);
        assert!(!goes_on.is_at_end().await, "nobody knows");
    }

    #[tokio::test]
    async fn a_files_end_ends_its_last_record() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, format!("1\n{}", "2".repeat(200))).unwrap();
        std::fs::write(&b, "3\n4").unwrap();
        let (read, error) = read(&[&a, &b]).await;
        assert_eq!(String::from_utf8(read).unwrap(), "1\n|(200)|3\n|4|");
        assert!(error.is_none());
        assert_eq!(total_bytes(&[a, b]), Some(205));
        assert_eq!(total_bytes(&[PathBuf::from("-")]), None);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = read(&[&missing]).await.1.unwrap();
        assert!(
            error.to_string().starts_with("cannot open ") && error.to_string().ends_with("missing")
        );
        let error = read(&[dir.path()]).await.1.unwrap();
        assert!(error.to_string().starts_with("cannot read "));
    }
}
