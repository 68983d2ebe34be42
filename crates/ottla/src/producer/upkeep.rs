//! The task that looks after everything of a producer but sending: leaders, the producer id, deadlines,
//! and, through its [`Assigner`], the records of topics that are not known yet.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ottla_codec::ErrorCode;
use ottla_codec::messages::init_producer_id::InitProducerIdRequest;
use ottla_connection::Backoff;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::accumulator::Lane;
use super::assigner::Assigner;
use super::sender::{Context, Sender, finished};
use super::sequences::Identity;
use crate::client::{Core, METADATA};
use crate::error::{Error, ErrorKind, Result};

type Fetch = Pin<Box<dyn Future<Output = Result<Identity>> + Send>>;

pub(crate) struct Upkeep {
    context: Arc<Context>,
    /// The brokers that have a sender.
    senders: BTreeSet<Lane>,
    fetch: Option<Fetch>,
    assigner: Assigner,
}

impl Upkeep {
    pub(crate) fn new(context: Arc<Context>, assigner: Assigner) -> Self {
        Self {
            context,
            senders: BTreeSet::new(),
            assigner,
            fetch: None,
        }
    }

    /// Runs until the producer is shut down.
    pub(crate) async fn run(mut self) {
        let context = self.context.clone();
        let (shared, core) = (&context.shared, &context.core);
        let upkeep = shared.with(|a| a.upkeep());
        let mut views = core.metadata.subscribe();
        loop {
            let more = self.assigner.assign();
            let expiry = self.look_after();
            tokio::select! {
                biased;
                () = context.shutdown.cancelled() => {
                    // Whoever closed the producer has done this already; not who closed the client.
                    let reason = Error::new(ErrorKind::Closed { what: "client" });
                    shared.with(|a| a.fail_for_good(reason));
                    return core.pool.close_owner(context.owner);
                }
                fetched = finished(&mut self.fetch) => match fetched {
                    Ok(identity) => shared.with(|a| a.identify(identity)),
                    Err(error) => {
                        tracing::error!(%error, "no producer id, so nothing can be produced");
                        shared.with(|a| a.fail_for_good(error));
                    }
                },
                changed = views.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let cluster = views.borrow_and_update().cluster.clone();
                    shared.with(|a| a.update_cluster(&cluster));
                }
                () = upkeep.notified() => {}
                () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {
                    shared.with(|a| a.expire(Instant::now()));
                }
                // Others want to run in between.
                () = yield_now(), if more => {}
            }
        }
    }

    /// Starts what is to be started. Returns when something may expire.
    fn look_after(&mut self) -> Option<Instant> {
        let context = &self.context;
        let (lanes, needs_identity, leaderless, expiry) = context.shared.with(|a| {
            let leaderless = a.has_leaderless_work();
            (a.lanes(), a.needs_identity(), leaderless, a.next_expiry())
        });
        for lane in lanes {
            if self.senders.insert(lane) {
                let sender = Sender::new(context.clone(), lane);
                context.core.tasks.spawn(sender.run());
            }
        }
        if leaderless {
            // Paced by the metadata task; its answer brings this task here again.
            context.core.metadata.request_refresh();
        }
        if needs_identity && self.fetch.is_none() {
            self.fetch = Some(Box::pin(fetch_identity(context.core.clone())));
        }
        expiry
    }
}

/// Fetches a producer id from any broker, until one gives one or all hope is gone.
async fn fetch_identity(core: Arc<Core>) -> Result<Identity> {
    let (first, longest) = core.config.retry_backoff;
    let backoff = Backoff::new(first, longest);
    let mut rng = core.env.fork_rng();
    let mut failures = 0;
    loop {
        match try_fetch_identity(&core).await {
            Ok(identity) => return Ok(identity),
            Err(error) if !error.is_retriable() => return Err(error),
            Err(error) => tracing::debug!(%error, "no producer id yet"),
        }
        failures += 1;
        sleep(backoff.delay(failures, &mut rng)).await;
    }
}

async fn try_fetch_identity(core: &Core) -> Result<Identity> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        // It means nothing without a transactional id, but older brokers check it.
        transaction_timeout_ms: i32::MAX,
        ..Default::default()
    };
    let deadline = Instant::now() + core.config.request_timeout;
    let response = core.call_any(METADATA, &request, deadline).await?;
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None => Ok(Identity {
            id: response.producer_id,
            epoch: response.producer_epoch,
        }),
        error => Err(Error::broker("InitProducerId", error, None)),
    }
}
