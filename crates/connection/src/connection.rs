//! The handle of a ready connection: where callers submit requests.

use std::fmt;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use ottla_codec::{Request, frame};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::ConnectionConfig;
use crate::error::{CloseReason, ConnectionError};
use crate::peer::{ConnectionGroup, Peer};
use crate::pending::{Outcome, Pending, Written};
use crate::session::Submission;
use crate::versions::Versions;

/// A connection to a broker whose versions are known. Cloning is cheap, and all clones share the
/// connection.
///
/// Requests are pipelined: they go out in the order of their submission, and a broker answers them
/// in that order, one after the other. So a long poll delays everything behind it, which is what
/// [`ConnectionGroup`]s are for.
///
/// Each request has one deadline for everything: waiting in the queue, writing, flushing, the
/// answer. When it passes, the connection is closed, because an answer that is late now would be
/// taken for the next one's. The other requests on it fail too, and [`ConnectionError::written`]
/// tells which of them may simply be sent again. Requests held back because the broker throttles
/// this connection are the exception: those fail alone, and what was submitted after them is still
/// sent.
///
/// There is no bound on how much may be submitted; callers have their own.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    group: ConnectionGroup,
    versions: Versions,
    config: Arc<ConnectionConfig>,
    next_correlation_id: AtomicI32,
    orders: mpsc::UnboundedSender<Order>,
    ending: Arc<Ending>,
}

/// What handles and the task that owns the stream both know. Without a sender of orders in it, so
/// that the task notices when the last handle is gone.
pub(crate) struct Ending {
    peer: Peer,
    reason: OnceLock<CloseReason>,
}

/// What handles tell the task that owns the stream.
pub(crate) enum Order {
    /// Send this.
    Submit(Submission),
    /// Close as soon as nothing is pending.
    Retire,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: Peer,
        group: ConnectionGroup,
        versions: Versions,
        config: Arc<ConnectionConfig>,
    ) -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let next_correlation_id = AtomicI32::new(0);
        let ending = Arc::new(Ending {
            peer,
            reason: OnceLock::new(),
        });
        let shared = Shared {
            id,
            group,
            versions,
            config,
            next_correlation_id,
            orders,
            ending,
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            receiver,
        )
    }

    /// Tells this connection from all others of its pool, earlier ones to the same broker included.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// The broker at the other end.
    pub fn peer(&self) -> &Peer {
        &self.shared.ending.peer
    }

    /// The broker's node id, `None` for a bootstrap connection.
    pub fn node(&self) -> Option<i32> {
        self.peer().id()
    }

    /// What the connection is for.
    pub fn group(&self) -> ConnectionGroup {
        self.shared.group
    }

    /// What the broker can do.
    pub fn versions(&self) -> &Versions {
        &self.shared.versions
    }

    /// Whether the connection is closed, so that every request fails.
    pub fn is_closed(&self) -> bool {
        self.shared.orders.is_closed()
    }

    /// Waits until the connection is closed and says why.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub async fn closed(&self) -> CloseReason {
        self.shared.orders.closed().await;
        self.shared.ending.reason()
    }

    /// Queues a request and returns its answer to wait for.
    ///
    /// The request is encoded and queued before this returns: the order of the calls is the order
    /// on the wire. `version` is one that [`Versions::pick`] has chosen. Whatever goes wrong, the
    /// [`Pending`] says so.
    pub fn submit<R>(&self, request: &R, version: i16, deadline: Instant) -> Pending<R::Response>
    where
        R: Request<Response: Send + 'static> + 'static,
    {
        let (outcome, pending) = Outcome::response::<R>(self.peer());
        self.enqueue(request, version, deadline, outcome);
        pending
    }

    /// Queues a request that the broker does not answer: Produce with acks=0.
    ///
    /// Like [`Self::submit`], but what is returned waits for the last byte to be written and
    /// flushed. Given a request that the broker does answer, the connection closes over an answer
    /// nobody asked for.
    pub fn submit_unacknowledged<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Written {
        let (outcome, written) = Outcome::written(self.peer(), R::KEY);
        self.enqueue(request, version, deadline, outcome);
        written
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    ///
    /// When there is no answer by the deadline, or the connection closes first.
    ///
    /// # Cancel safety
    ///
    /// Dropping it forgets the answer; the request is sent all the same once this was polled.
    pub async fn request<R>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<R::Response, ConnectionError>
    where
        R: Request<Response: Send + 'static> + 'static,
    {
        self.submit(request, version, deadline).await
    }

    /// Closes the connection as soon as nothing is pending.
    pub(crate) fn retire(&self) {
        // A closed connection needs no retirement.
        drop(self.shared.orders.send(Order::Retire));
    }

    /// What the task that owns the stream shares with the handles.
    pub(crate) fn ending(&self) -> Arc<Ending> {
        self.shared.ending.clone()
    }

    fn enqueue<R: Request>(&self, request: &R, version: i16, deadline: Instant, outcome: Outcome) {
        let shared = &*self.shared;
        // Never negative, as in Java; ids only have to differ among the requests that are pending.
        let correlation_id = shared.next_correlation_id.fetch_add(1, Relaxed) & i32::MAX;
        match frame::encode_request(correlation_id, shared.config.client_id(), request, version) {
            Err(source) => outcome.fail(ConnectionError::Encode { source }),
            Ok(frame) => {
                let submission = Submission {
                    correlation_id,
                    api: R::KEY,
                    version,
                    deadline,
                    frame,
                    outcome,
                };
                if let Err(mpsc::error::SendError(order)) =
                    shared.orders.send(Order::Submit(submission))
                {
                    shared.ending.refuse(order);
                }
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.shared.id)
            .field("peer", self.peer())
            .field("group", &self.shared.group)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Ending {
    /// Notes why the connection closes; only the first reason counts.
    pub(crate) fn set_reason(&self, reason: CloseReason) {
        self.reason.get_or_init(|| reason);
    }

    /// Fails what came too late to be sent.
    pub(crate) fn refuse(&self, order: Order) {
        if let Order::Submit(Submission { api, outcome, .. }) = order {
            let (peer, reason) = (self.peer.clone(), self.reason());
            outcome.fail(ConnectionError::Closed {
                peer,
                api,
                written: false,
                reason,
            });
        }
    }

    fn reason(&self) -> CloseReason {
        // Without a reason the task was aborted together with its runtime.
        self.reason.get().cloned().unwrap_or(CloseReason::Shutdown)
    }
}
