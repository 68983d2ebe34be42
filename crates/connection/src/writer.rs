//! A session's queue into the socket: vectored writes over as many frames as are waiting, then one
//! flush.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::session::Session;

/// Slices given to the system at once. A produce frame has about two per partition, a small request
/// one.
const MAX_SLICES: usize = 64;

/// Writes what a session has to send.
///
/// The session keeps account of every byte the socket has taken, so a frame that is half written
/// when a poll ends is continued by the next one, whoever has lost interest in it.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    unflushed: bool,
}

impl Writer {
    /// Ready when nothing is left to write and everything is flushed.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        session: &mut Session,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = session.slices(&mut slices);
            let Some(slices @ [_, ..]) = slices.get(..used) else {
                break;
            };
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            session.wrote(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
            session.flushed(now);
        }
        Poll::Ready(Ok(()))
    }
}
