//! The caller's end of a request: futures that may be dropped at any time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use ottla_codec::{ApiKey, DecodeError, Request, Response, frame};
use tokio::sync::oneshot;

use crate::error::{CloseReason, ConnectionError};
use crate::peer::Peer;

/// A broker's answer that is on its way.
///
/// The request is already queued, in the order of the submits; awaiting this only waits for the
/// answer.
///
/// # Cancel safety
///
/// Dropping it forgets the answer and nothing else: the request is sent all the same, its deadline
/// goes on counting, and its answer is read and thrown away.
#[must_use = "the request is sent, but its outcome goes unnoticed"]
pub struct Pending<T> {
    outcome: oneshot::Receiver<Result<T, ConnectionError>>,
    subject: Subject,
}

/// A request without an answer (Produce with acks=0) that is being written.
///
/// Resolves when the last byte was handed over and flushed, which says nothing of what the broker
/// does with it.
///
/// # Cancel safety
///
/// Dropping it changes nothing: the request is written all the same.
#[must_use = "the request is sent, but its outcome goes unnoticed"]
pub struct Written(Pending<()>);

/// What an error is about that nobody else is left to write.
struct Subject {
    peer: Peer,
    api: ApiKey,
}

impl<T> Future for Pending<T> {
    type Output = Result<T, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome)
            .poll(cx)
            .map(|outcome| match outcome {
                Ok(outcome) => outcome,
                // Nobody can say how far the request came: the runtime has dropped the connection's
                // task.
                Err(_) => Err(ConnectionError::Closed {
                    peer: self.subject.peer.clone(),
                    api: self.subject.api,
                    written: true,
                    reason: CloseReason::Shutdown,
                }),
            })
    }
}

impl Future for Written {
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("peer", &self.subject.peer)
            .field("api", &self.subject.api)
            .finish()
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Written").field(&self.0).finish()
    }
}

/// The connection's end of a request.
pub(crate) enum Outcome {
    /// An answer is due.
    Response(Box<dyn ResponseSink>),
    /// The request is done when it is written.
    Written(oneshot::Sender<Result<(), ConnectionError>>),
}

impl Outcome {
    pub(crate) fn response<R>(peer: &Peer) -> (Self, Pending<R::Response>)
    where
        R: Request<Response: Send + 'static> + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        let sink: Sink<R> = Sink { sender };
        let subject = Subject {
            peer: peer.clone(),
            api: R::KEY,
        };
        (Self::Response(Box::new(sink)), Pending { outcome, subject })
    }

    pub(crate) fn written(peer: &Peer, api: ApiKey) -> (Self, Written) {
        let (sender, outcome) = oneshot::channel();
        let subject = Subject {
            peer: peer.clone(),
            api,
        };
        (Self::Written(sender), Written(Pending { outcome, subject }))
    }

    pub(crate) fn fail(self, error: ConnectionError) {
        match self {
            Self::Response(sink) => sink.fail(error),
            // Whoever has stopped waiting does not want to know.
            Self::Written(sender) => drop(sender.send(Err(error))),
        }
    }
}

/// Decodes an answer whose type only the caller knows.
pub(crate) trait ResponseSink: Send {
    /// Hands the answer to the caller and returns its throttle time in milliseconds, or gives
    /// itself back beside the error.
    fn complete(
        self: Box<Self>,
        frame: &Bytes,
        version: i16,
    ) -> Result<i32, (Box<dyn ResponseSink>, DecodeError)>;

    fn fail(self: Box<Self>, error: ConnectionError);
}

struct Sink<R: Request> {
    sender: oneshot::Sender<Result<R::Response, ConnectionError>>,
}

impl<R> ResponseSink for Sink<R>
where
    R: Request<Response: Send + 'static> + 'static,
{
    fn complete(
        self: Box<Self>,
        frame: &Bytes,
        version: i16,
    ) -> Result<i32, (Box<dyn ResponseSink>, DecodeError)> {
        // Decoded here even when nobody waits any more: a throttle time must be obeyed all the
        // same.
        match frame::decode_response::<R>(frame, version) {
            Ok((_, response)) => {
                let throttle_ms = response.throttle_time_ms();
                drop(self.sender.send(Ok(response)));
                Ok(throttle_ms)
            }
            Err(error) => Err((self, error)),
        }
    }

    fn fail(self: Box<Self>, error: ConnectionError) {
        drop(self.sender.send(Err(error)));
    }
}
