//! The task that owns a connection's stream.
//!
//! One task does both directions: it takes orders from the handles, reads, lets time pass, writes,
//! and sleeps on one timer for whatever comes first. All decisions are the [`Session`]'s; all
//! progress is kept in it, in the reader and in the writer, so no poll can lose half a frame.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::alarm::Alarm;
use crate::connection::{Ending, Order};
use crate::error::{CloseReason, DialError, StreamFault};
use crate::handshake::Exchange;
use crate::reader::FrameReader;
use crate::sasl::Identity;
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
    /// What the broker may want to have proven again.
    pub(crate) identity: Option<Identity>,
}

/// Why the ordinary way of things ends.
enum Turn {
    /// For good.
    Close(CloseReason),
    /// Until this client has proven again who it is.
    Prove,
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
            reason = self.work(&mut writer, &mut alarm) => reason,
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

    async fn work(&mut self, writer: &mut Writer, alarm: &mut Alarm) -> CloseReason {
        loop {
            match poll_fn(|cx| self.poll(cx, writer, alarm)).await {
                Turn::Close(reason) => return reason,
                Turn::Prove => {
                    if let Err(reason) = self.prove(alarm).await {
                        return reason;
                    }
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, writer: &mut Writer, alarm: &mut Alarm) -> Poll<Turn> {
        loop {
            let now = Instant::now();
            take_orders(&mut self.orders, &mut self.session, cx, now);
            let more_to_read = match self.read(cx, now) {
                Ok(more) => more,
                Err(reason) => return Poll::Ready(Turn::Close(reason)),
            };
            if let Err(reason) = self.session.tick(now) {
                return Poll::Ready(Turn::Close(reason));
            }
            if let Poll::Ready(Err(error)) =
                writer.poll_write(cx, &mut self.stream, &mut self.session, now)
            {
                return Poll::Ready(Turn::Close(StreamFault::from(error).into()));
            }
            if let Some(reason) = self.session.finished(now) {
                return Poll::Ready(Turn::Close(reason));
            }
            if self.session.wants_proof() {
                return Poll::Ready(Turn::Prove);
            }
            let rang = alarm.poll(cx, self.session.wake_at());
            if rang.is_pending() && !more_to_read {
                return Poll::Pending;
            }
        }
    }

    /// Proves again who this client is. Meanwhile requests are taken in, and those whose time is over fail; nothing of
    /// them is sent.
    async fn prove(&mut self, alarm: &mut Alarm) -> Result<(), CloseReason> {
        let Some(identity) = &mut self.identity else {
            self.session.authenticated(None);
            return Ok(());
        };
        let after = identity.timeout;
        let mut exchange = Exchange::new(&mut self.stream, &mut self.reader);
        let mut proof = pin!(timeout(after, identity.prove(&mut exchange)));
        let proven = poll_fn(|cx| {
            loop {
                if let Poll::Ready(proven) = proof.as_mut().poll(cx) {
                    return Poll::Ready(Ok(proven));
                }
                let now = Instant::now();
                take_orders(&mut self.orders, &mut self.session, cx, now);
                if let Err(reason) = self.session.tick(now) {
                    return Poll::Ready(Err(reason));
                }
                if alarm.poll(cx, self.session.wake_at()).is_pending() {
                    return Poll::Pending;
                }
            }
        });
        let timed_out = DialError::SetupTimedOut {
            after,
            connected: true,
        };
        match proven.await?.unwrap_or(Err(timed_out)) {
            Ok(next) => {
                self.session.authenticated(next);
                Ok(())
            }
            Err(error) => Err(CloseReason::Identity {
                error: Arc::new(error),
            }),
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

fn take_orders(
    orders: &mut mpsc::UnboundedReceiver<Order>,
    session: &mut Session,
    cx: &mut Context<'_>,
    now: Instant,
) {
    loop {
        match orders.poll_recv(cx) {
            Poll::Ready(Some(Order::Submit(submission))) => session.accept(submission, now),
            Poll::Ready(Some(Order::Retire)) => session.retire(),
            // The last handle is gone: nobody can submit anything any more.
            Poll::Ready(None) => return session.retire(),
            Poll::Pending => return,
        }
    }
}

#[cfg(test)]
mod tests;
