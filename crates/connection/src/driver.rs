//! The task that owns a connection's stream.
//!
//! One task does both directions: it takes orders from the handles, reads, lets time pass, writes,
//! and sleeps on one timer for whatever comes first. All decisions are the [`Session`]'s; all
//! progress is kept in it, in the reader and in the writer, so no poll can lose half a frame.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::alarm::Alarm;
use crate::connection::{Ending, Order};
use crate::error::{CloseReason, StreamFault};
use crate::reader::FrameReader;
use crate::session::Session;
use crate::writer::Writer;

/// Frames read before the other direction gets its turn.
const FRAMES_PER_TURN: usize = 32;
/// How long a peer may take to notice that a connection nobody uses is closed in good order.
const FAREWELL: Duration = Duration::from_secs(1);

/// Moves a connection's bytes until the connection closes.
pub(crate) struct Driver<S> {
    pub(crate) stream: S,
    pub(crate) reader: FrameReader,
    pub(crate) session: Session,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) ending: Arc<Ending>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Runs until the connection closes, by itself or because of `stop`; then every request is
    /// settled.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream; pending requests then fail as possibly written.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> CloseReason {
        let mut writer = Writer::default();
        let mut alarm = Alarm::new();
        let reason = tokio::select! {
            biased;
            () = stop.cancelled() => CloseReason::Shutdown,
            reason = poll_fn(|cx| self.poll(cx, &mut writer, &mut alarm)) => reason,
        };
        self.ending.set_reason(reason.clone());
        // From here on handles refuse by themselves; what they queued before is refused here.
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            self.ending.refuse(order);
        }
        self.session.close(&reason, Instant::now());
        if matches!(reason, CloseReason::Idle | CloseReason::Retired) {
            // The peer may already be gone, and nobody waits for this.
            drop(timeout(FAREWELL, self.stream.shutdown()).await);
        }
        reason
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut Writer,
        alarm: &mut Alarm,
    ) -> Poll<CloseReason> {
        loop {
            let now = Instant::now();
            self.take_orders(cx, now);
            let more_to_read = match self.read(cx, now) {
                Ok(more) => more,
                Err(reason) => return Poll::Ready(reason),
            };
            if let Err(reason) = self.session.tick(now) {
                return Poll::Ready(reason);
            }
            if let Poll::Ready(Err(error)) =
                writer.poll_write(cx, &mut self.stream, &mut self.session, now)
            {
                return Poll::Ready(StreamFault::from(error).into());
            }
            if let Some(reason) = self.session.finished(now) {
                return Poll::Ready(reason);
            }
            let rang = alarm.poll(cx, self.session.wake_at());
            if rang.is_pending() && !more_to_read {
                return Poll::Pending;
            }
        }
    }

    fn take_orders(&mut self, cx: &mut Context<'_>, now: Instant) {
        loop {
            match self.orders.poll_recv(cx) {
                Poll::Ready(Some(Order::Submit(submission))) => {
                    self.session.accept(submission, now)
                }
                Poll::Ready(Some(Order::Retire)) => self.session.retire(),
                // The last handle is gone: nobody can submit anything any more.
                Poll::Ready(None) => return self.session.retire(),
                Poll::Pending => return,
            }
        }
    }

    /// Reads what there is; true if there may be more.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, CloseReason> {
        for _ in 0..FRAMES_PER_TURN {
            match self.reader.poll_frame(cx, &mut self.stream) {
                Poll::Ready(frame) => self.session.received(&frame?, now)?,
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
