//! The one task that owns the cluster's state.
//!
//! Requests, new connections, test commands and timers are all events of this loop, handled one after the
//! other. Nothing else touches the state, so there is nothing to lock and every run of the same events is the
//! same run.

use std::fmt;
use std::io;

use bytes::Bytes;
use ottla_codec::ApiKey;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// Something for the loop to do.
pub(crate) enum Event {
    /// A whole request frame, without its length.
    Request { connection: u64, frame: Bytes },
    /// A frame was abandoned after `read` of its bytes, by a rule.
    RequestCut {
        connection: u64,
        api: ApiKey,
        read: usize,
    },
    /// The connection's task has ended.
    Closed { connection: u64 },
    /// A TCP client was accepted by a broker's listener.
    Accepted { broker: i32, stream: TcpStream },
    /// A client wants a pipe to (host, port).
    Connect {
        host: String,
        port: u16,
        answer: oneshot::Sender<io::Result<DuplexStream>>,
    },
    /// A command of the test handle.
    Admin(Command),
}

/// A command of the test handle, run inside the loop.
pub(crate) type Command = Box<dyn FnOnce(&mut State) + Send>;

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Request { .. } => "Request",
            Self::RequestCut { .. } => "RequestCut",
            Self::Closed { .. } => "Closed",
            Self::Accepted { .. } => "Accepted",
            Self::Connect { .. } => "Connect",
            Self::Admin(_) => "Admin",
        };
        f.write_str(name)
    }
}

/// Runs until `shutdown` is cancelled.
pub(crate) async fn run(
    mut state: State,
    mut events: mpsc::UnboundedReceiver<Event>,
    shutdown: CancellationToken,
) {
    loop {
        let timer = state.timers.next();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            event = events.recv() => match event {
                Some(event) => {
                    // What was due before it came happens before it.
                    state.fire_due_timers();
                    state.handle(event);
                }
                None => break,
            },
            () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {
                state.fire_due_timers();
            }
        }
    }
}
