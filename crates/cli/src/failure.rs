//! Why the program ends with another status than 0, and how that is said.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use snafu::Snafu;

use crate::interrupt::Signal;
use crate::produce::SourceError;

/// A shorthand for results of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What ends a command.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub(crate) enum Failure {
    /// Nothing says which cluster is meant.
    #[snafu(display(
        "no brokers: name them with -b HOST:PORT, in the environment variable OTTLA_BROKERS, or as \
         bootstrap.servers in a properties file (-F FILE or OTTLA_CONFIG)"
    ))]
    NoBrokers,
    /// What the client says.
    #[snafu(transparent)]
    Client { source: ottla::Error },
    /// What the client says, while something was done that is worth naming.
    #[snafu(display("{doing}"))]
    Doing { doing: String, source: ottla::Error },
    /// No broker answered in time.
    #[snafu(display("cannot reach {brokers}"))]
    Unreachable {
        brokers: String,
        source: ottla::Error,
    },
    /// A properties file that cannot be read.
    #[snafu(display("cannot read {}", path.display()))]
    PropertiesFile { path: PathBuf, source: io::Error },
    /// A properties file that is none.
    #[snafu(display("{}", path.display()))]
    Properties { path: PathBuf, source: ottla::Error },
    /// Input that cannot be read.
    #[snafu(transparent)]
    Input { source: SourceError },
    /// Stdout does not take what is written to it.
    #[snafu(display("cannot write to stdout"))]
    Stdout { source: io::Error },
    /// The system refuses something.
    #[snafu(display("cannot {doing}"))]
    System {
        doing: &'static str,
        source: io::Error,
    },
    /// The fake cluster does not start, or does not do as it is told.
    #[snafu(display("the fake cluster failed"), context(false))]
    Fake { source: ottla_fake::FakeError },
    /// Anything about what was asked for.
    #[snafu(display("{message}"))]
    Refused { message: String },
    /// A signal, before it was done.
    #[snafu(display("interrupted"))]
    Interrupted { signal: Signal },
    /// The same, and what that meant has been said already.
    #[snafu(display("interrupted"))]
    CutShort { signal: Signal },
    /// The cluster has fallen silent.
    #[snafu(display("no progress for {} s; still to come: {remaining}", after.as_secs()))]
    Stalled {
        after: std::time::Duration,
        remaining: String,
    },
    /// Some of it did not work; what exactly has been said already.
    #[snafu(display("not all of it worked"))]
    Partial,
}

impl Failure {
    /// Whether this is about a reader that has gone: `ottla consume … | head` is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout { source } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether there is nothing left to be said.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self, Self::Partial | Self::CutShort { .. })
    }

    /// The program's exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Interrupted { signal } | Self::CutShort { signal } => signal.status(),
            _ => 1,
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_on_one_line_without_repetition() {
        let source = io::Error::other("permission denied\nby somebody");
        let error = Failure::PropertiesFile {
            path: "/etc/x".into(),
            source,
        };
        assert_eq!(
            chain(&error),
            "cannot read /etc/x: permission denied by somebody"
        );
        let error = SourceError::Open {
            name: "f".into(),
            source: io::Error::other("gone"),
        };
        assert_eq!(chain(&Failure::from(error)), "cannot open f: gone");
    }

    #[test]
    fn only_a_broken_stdout_is_a_broken_pipe() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(Failure::Stdout { source: broken() }.is_broken_pipe());
        assert!(
            !Failure::System {
                doing: "x",
                source: broken()
            }
            .is_broken_pipe()
        );
    }
}
