//! The task that produces over one lane to a broker: collects batches, has them sealed, keeps requests in flight.
//!
//! Owns a connection and the order of requests on it. Which batch goes when is the accumulator's
//! decision; what an answer means is the [`request`] module's.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use ottla_codec::messages::produce::ProduceResponse;
use ottla_connection::{
    Alarm, Backoff, Connection, ConnectionError, ConnectionGroup, Pending, Purpose, Written,
};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::accumulator::{Lane, Parcel, Reply, SealJob, SplitJob};
use super::compression::Sealer;
use super::request::{self, Judged};
use super::shared::Shared;
use super::window::{Answer, Route};
use crate::client::Core;
use crate::error::Error;

/// The main lanes, shared by the producers of a client.
const PRODUCE: ConnectionGroup = ConnectionGroup::shared(Purpose::Produce);

/// How long a request may go unanswered before partitions that have nothing to do with it go over another connection.
/// Answers that wait for nothing come far sooner, even those to large requests.
const STALL: Duration = Duration::from_secs(1);

type Dial = Pin<Box<dyn Future<Output = Result<Connection, ConnectionError>> + Send>>;
type Replied = Result<Option<ProduceResponse>, ConnectionError>;

/// What the tasks of one producer have in common.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) core: Arc<Core>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sealer: Sealer,
    /// Bounds how many batches are compressed at a time.
    pub(crate) cpus: Semaphore,
    pub(crate) shutdown: CancellationToken,
    /// Names the connections that are not shared.
    pub(crate) owner: u64,
    pub(crate) acks: i16,
    pub(crate) max_in_flight: usize,
}

pub(crate) struct Sender {
    context: Arc<Context>,
    lane: Lane,
    connection: Option<Connection>,
    dial: Option<Dial>,
    /// After failed dials: none before this instant.
    redial_at: Option<Instant>,
    failed_dials: u32,
    rng: fastrand::Rng,
    in_flight: VecDeque<InFlight>,
    /// The broker looks at the oldest request no earlier than that: when it has answered the one before, and the
    /// throttle that came with the answer is over.
    next_from: Option<Instant>,
    /// The oldest request has been waiting for long, and the accumulator knows.
    stalled: bool,
}

/// A request without an answer yet. Answers come in the order of the requests.
struct InFlight {
    parcels: Vec<Parcel>,
    sent_at: Instant,
    reply: PendingReply,
}

enum PendingReply {
    Answer(Pending<ProduceResponse>),
    Unacknowledged(Written),
}

impl Sender {
    pub(crate) fn new(context: Arc<Context>, lane: Lane) -> Self {
        let rng = context.core.env.fork_rng();
        Self {
            context,
            lane,
            connection: None,
            dial: None,
            redial_at: None,
            failed_dials: 0,
            rng,
            in_flight: VecDeque::new(),
            next_from: None,
            stalled: false,
        }
    }

    /// Runs until the producer is shut down.
    pub(crate) async fn run(mut self) {
        let notify = self.context.shared.with(|a| a.lane_notify(self.lane));
        let shutdown = self.context.shutdown.clone();
        let mut shutdown = pin!(shutdown.cancelled());
        let mut alarm = Alarm::new();
        loop {
            let wake_at = self.send_all().await;
            let due = wake_at.into_iter().chain(self.stalls_at()).min();
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                (parcels, reply) = next_reply(&mut self.in_flight) => {
                    self.next_from = Some(Instant::now() + throttle(&reply));
                    self.set_stalled(false);
                    self.take_reply(&parcels, reply);
                }
                dialed = finished(&mut self.dial) => self.take_dial(dialed),
                // What cannot be sent before the next reply is looked at then.
                () = notify.notified(), if !self.is_full() => {}
                () = poll_fn(|cx| alarm.poll(cx, due)) => {
                    if self.stalls_at().is_some_and(|at| at <= Instant::now()) {
                        self.set_stalled(true);
                    }
                }
            }
        }
    }

    /// Sends all that may be sent now. Returns when to look again, if nothing happens before.
    async fn send_all(&mut self) -> Option<Instant> {
        loop {
            let now = Instant::now();
            if self.is_full() {
                return None;
            }
            let Some(connection) = self.usable_connection() else {
                return self.dial_if_due(now);
            };
            let route = Route {
                node: self.lane.node,
                connection: connection.id(),
            };
            let lane = self.lane;
            let haul = self.context.shared.with(|a| a.collect(lane, route, now));
            if haul.jobs.is_empty() && haul.parcels.is_empty() {
                return haul.wake_at;
            }
            if !haul.parcels.is_empty() {
                self.submit(&connection, haul.parcels, now);
            }
            for job in haul.jobs {
                self.seal(job);
            }
            // Encoding and checksums are work; others want to run too.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Whether the broker has as many requests to answer as it may have.
    fn is_full(&self) -> bool {
        self.in_flight.len() >= self.context.max_in_flight
    }

    /// The connection, unless it is closed.
    fn usable_connection(&mut self) -> Option<Connection> {
        if self.connection.as_ref().is_some_and(Connection::is_closed) {
            self.connection = None;
            if self.context.acks == 0 {
                // The only way in which a broker says that it leads no more.
                self.context.core.metadata.request_refresh();
            }
        }
        self.connection.clone()
    }

    /// Dials if there is something to send; else returns when there will be. A new connection is
    /// made only when all requests on the old one have come back.
    fn dial_if_due(&mut self, now: Instant) -> Option<Instant> {
        if self.dial.is_some() || !self.in_flight.is_empty() {
            return None;
        }
        let due = self.context.shared.with(|a| a.peek(self.lane, now))?;
        let due = self.redial_at.map_or(due, |at| at.max(due));
        if due > now {
            return Some(due);
        }
        let pool = self.context.core.pool.clone();
        let deadline = now + self.context.core.config.request_timeout;
        let node = self.lane.node;
        let group = match self.lane.aside {
            false => PRODUCE,
            true => ConnectionGroup::owned(Purpose::Produce, self.context.owner),
        };
        self.dial = Some(Box::pin(async move {
            pool.connection(node, group, deadline).await
        }));
        None
    }

    /// When to stop having others wait behind the oldest request.
    fn stalls_at(&self) -> Option<Instant> {
        // Without acknowledgements nobody knows when the broker has taken in what went over a connection.
        let may = !self.lane.aside && !self.stalled && self.context.acks != 0;
        let oldest = self.in_flight.front().filter(|_| may)?;
        let begun = oldest.sent_at.max(self.next_from.unwrap_or(oldest.sent_at));
        Some(begun + STALL)
    }

    fn set_stalled(&mut self, stalled: bool) {
        if self.stalled != stalled {
            self.stalled = stalled;
            let node = self.lane.node;
            self.context.shared.with(|a| a.set_stalled(node, stalled));
        }
    }

    fn take_dial(&mut self, dialed: Result<Connection, ConnectionError>) {
        match dialed {
            Ok(connection) => {
                self.failed_dials = 0;
                self.redial_at = None;
                self.connection = Some(connection);
            }
            Err(error) => {
                tracing::debug!(node = self.lane.node, %error, "no connection to produce over");
                // Perhaps somebody else leads by now.
                self.context.core.metadata.request_refresh();
                self.failed_dials = self.failed_dials.saturating_add(1);
                let (first, longest) = self.context.core.config.retry_backoff;
                let delay = Backoff::new(first, longest).delay(self.failed_dials, &mut self.rng);
                self.redial_at = Some(Instant::now() + delay);
                let error = Error::from(error);
                self.context
                    .shared
                    .with(|a| a.unreachable(self.lane.node, &error));
            }
        }
    }

    fn submit(&mut self, connection: &Connection, parcels: Vec<Parcel>, now: Instant) {
        let Context { core, acks, .. } = &*self.context;
        let timeout = core.config.request_timeout;
        let version = match request::version(&parcels, connection.versions()) {
            Ok(version) => version,
            Err(error) => return self.refuse(&parcels, &error),
        };
        let request = request::build(&parcels, *acks, timeout);
        let deadline = now + timeout;
        let reply = if *acks == 0 {
            PendingReply::Unacknowledged(
                connection.submit_unacknowledged(&request, version, deadline),
            )
        } else {
            PendingReply::Answer(connection.submit(&request, version, deadline))
        };
        self.context.shared.with(|a| a.count_request());
        self.in_flight.push_back(InFlight {
            parcels,
            sent_at: now,
            reply,
        });
    }

    fn take_reply(&mut self, parcels: &[Parcel], reply: Replied) {
        match reply {
            Ok(Some(response)) => self.take_answer(parcels, &response),
            Ok(None) => {
                let now = Instant::now();
                self.context.shared.with(|a| {
                    for parcel in parcels {
                        a.answered(parcel.partition, parcel.serial, Reply::written(), now);
                    }
                });
            }
            Err(error @ ConnectionError::Encode { .. }) => self.refuse(parcels, &error.into()),
            Err(error) => {
                self.context.core.metadata.request_refresh();
                let written = error.written();
                self.all_lost(parcels, &Error::from(error), written);
            }
        }
    }

    fn take_answer(&mut self, parcels: &[Parcel], response: &ProduceResponse) {
        let metadata = &self.context.core.metadata;
        let (hints, endpoints) = request::leader_hints(parcels, response);
        if !hints.is_empty() {
            self.context.core.apply_hints(hints, endpoints);
        }
        let judged = request::judge(parcels, response);
        if judged.iter().any(|judged| judged.stale_metadata) {
            metadata.request_refresh();
        }
        let now = Instant::now();
        let splits = self.context.shared.with(|a| {
            for (parcel, Judged { reply, fatal, .. }) in parcels.iter().zip(judged) {
                a.answered(parcel.partition, parcel.serial, reply, now);
                if let Some(reason) = fatal {
                    a.fail_for_good(reason);
                }
            }
            a.take_splits()
        });
        for job in splits {
            self.split(job);
        }
    }

    fn all_lost(&self, parcels: &[Parcel], error: &Error, written: bool) {
        let now = Instant::now();
        self.context.shared.with(|a| {
            for parcel in parcels {
                a.lost(parcel.partition, parcel.serial, error.clone(), written, now);
            }
        });
    }

    /// No part of a request that cannot be encoded for this broker was sent, and none of it ever will be.
    fn refuse(&self, parcels: &[Parcel], error: &Error) {
        let now = Instant::now();
        self.context.shared.with(|a| {
            for parcel in parcels {
                let reply = Reply {
                    answer: Answer::Refused { certain: true },
                    error: Some(error.clone()),
                    ..Reply::written()
                };
                a.answered(parcel.partition, parcel.serial, reply, now);
            }
        });
    }

    /// Seals a batch: here if that is little work, else beside this task, so that requests go on.
    fn seal(&self, job: SealJob) {
        let SealJob {
            partition,
            serial,
            builder,
        } = job;
        let heavy = self.context.sealer.is_heavy(builder.size_bytes());
        let context = self.context.clone();
        self.work(
            heavy,
            move |sealer| sealer.seal(builder),
            move |sealed| context.shared.with(|a| a.sealed(partition, serial, sealed)),
        );
    }

    fn split(&self, job: SplitJob) {
        let SplitJob {
            partition,
            serial,
            batch,
            target,
        } = job;
        let context = self.context.clone();
        self.work(
            true,
            move |sealer| sealer.split(&batch, target),
            move |parts| context.shared.with(|a| a.split(partition, serial, parts)),
        );
    }

    fn work<T: Send + 'static>(
        &self,
        heavy: bool,
        work: impl FnOnce(&Sealer) -> T + Send + 'static,
        done: impl FnOnce(T) + Send + 'static,
    ) {
        if !self.context.core.env.hands_over(heavy) {
            return done(work(&self.context.sealer));
        }
        let context = self.context.clone();
        let worker = context.clone();
        let run = async move {
            let Ok(_permit) = context.cpus.acquire().await else {
                return;
            };
            let shutdown = context.shutdown.clone();
            let worker = worker.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                result = context.core.env.run_cpu(move || work(&worker.sealer)) => done(result),
            }
        };
        self.context.core.tasks.spawn(run);
    }
}

/// How long the connection is to keep quiet from now on.
fn throttle(reply: &Replied) -> Duration {
    let throttle_ms = match reply {
        Ok(Some(response)) => response.throttle_time_ms,
        _ => 0,
    };
    Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0))
}

/// The oldest request's reply. Waits forever if there is no request.
async fn next_reply(in_flight: &mut VecDeque<InFlight>) -> (Vec<Parcel>, Replied) {
    poll_fn(|cx| {
        let Some(oldest) = in_flight.front_mut() else {
            return Poll::Pending;
        };
        let reply = match &mut oldest.reply {
            PendingReply::Answer(pending) => Pin::new(pending).poll(cx).map_ok(Some),
            PendingReply::Unacknowledged(written) => Pin::new(written).poll(cx).map_ok(|()| None),
        };
        reply.map(|reply| {
            let parcels = in_flight.pop_front().map(|oldest| oldest.parcels);
            (parcels.unwrap_or_default(), reply)
        })
    })
    .await
}

/// What a future gives, which is then gone. Waits forever if there is none.
pub(crate) async fn finished<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(running) => {
            let output = running.await;
            *future = None;
            output
        }
        None => pending().await,
    }
}
