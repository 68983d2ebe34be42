//! SIGINT and SIGTERM: somebody wants the program to end.

use snafu::ResultExt;

use crate::failure::{Result, SystemSnafu};

/// Hears that the program is to end. Once there is one, the signals no longer end it by themselves.
#[derive(Debug)]
pub(crate) struct Interrupt {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl Interrupt {
    #[cfg(unix)]
    pub(crate) fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let listen = |kind| {
            signal(kind).context(SystemSnafu {
                doing: "listen for signals",
            })
        };
        let signals = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        ];
        Ok(Self { signals })
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    #[cfg(unix)]
    pub(crate) async fn heard(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    #[cfg(not(unix))]
    pub(crate) async fn heard(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
