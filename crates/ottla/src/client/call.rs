//! One request to one broker, and trying again.

use std::future::Future;

use ottla_codec::Request;
use ottla_connection::{Backoff, ConnectionGroup, Pool};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Core, METADATA, Target, first_answer};
use crate::error::{Error, Result};

impl Core {
    /// Sends a request that reads the same in every version, in the newest version both sides know.
    ///
    /// The deadline covers everything: the dial, the write and the answer.
    pub(crate) async fn call<R: Request>(
        &self,
        target: Target,
        group: ConnectionGroup,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response> {
        call(&self.pool, target, group, request, deadline).await
    }

    /// The end of one request that begins now, under a deadline for the whole.
    pub(crate) fn request_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.config.request_timeout)
    }

    /// A broker to ask what any broker can answer. At random one that metadata came from, because it
    /// answers; else a known one; else a bootstrap server.
    pub(crate) fn any_target(&self) -> Target {
        self.any_targets()
            .first()
            .copied()
            .unwrap_or(Target::Bootstrap)
    }

    /// All that can be asked what any broker can answer: first those that metadata came from, then the
    /// other known ones, each in random order, then the bootstrap servers.
    pub(crate) fn any_targets(&self) -> Vec<Target> {
        let cluster = self.metadata.cluster();
        let mut nodes: Vec<i32> = cluster.brokers().map(|broker| broker.id.0).collect();
        self.env.fork_rng().shuffle(&mut nodes);
        nodes.sort_by_key(|&node| self.pool.existing(node, METADATA).is_none());
        let nodes = nodes.into_iter().map(Target::Node);
        nodes.chain([Target::Bootstrap]).collect()
    }

    /// Sends a request that any broker can answer, and may answer twice: where one is slow, the next is
    /// asked as well.
    pub(crate) async fn call_any<R: Request>(
        &self,
        group: ConnectionGroup,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response> {
        first_answer(self.any_targets(), |target| {
            let (pool, request) = (self.pool.clone(), request.clone());
            async move { call(&pool, target, group, &request, deadline).await }
        })
        .await
    }

    /// Tries until `attempt` succeeds, fails for good, or the deadline passes. Between two attempts it
    /// waits (exponentially, with jitter) and asks for fresh metadata, because what made the first one
    /// fail is most often a broker that is gone or leads no more.
    ///
    /// # Errors
    ///
    /// What `attempt` failed with, if that is not retriable; else a timeout with the last failure as its
    /// source.
    pub(crate) async fn retrying<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &'static str,
        deadline: Instant,
        attempt: impl FnMut() -> F,
    ) -> Result<T> {
        self.retrying_if(Error::is_retriable, operation, deadline, attempt)
            .await
    }

    /// The same, where more than what is retriable in general is worth another try.
    pub(crate) async fn retrying_if<T, F: Future<Output = Result<T>>>(
        &self,
        may_pass: impl Fn(&Error) -> bool,
        operation: &'static str,
        deadline: Instant,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let began = Instant::now();
        let (first, longest) = self.config.retry_backoff;
        let backoff = Backoff::new(first, longest);
        let mut rng = self.env.fork_rng();
        let mut failures = 0;
        let mut last: Option<Error> = None;
        loop {
            match timeout_at(deadline, attempt()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) if !may_pass(&error) => return Err(error),
                Ok(Err(error)) => {
                    tracing::debug!(%error, operation, "trying again");
                    last = Some(error);
                }
                Err(_) => {}
            }
            failures += 1;
            let next = Instant::now() + backoff.delay(failures, &mut rng);
            if next >= deadline {
                let error = Error::timeout(operation, deadline.saturating_duration_since(began));
                return Err(match last {
                    Some(last) => error.with_source(last),
                    None => error,
                });
            }
            self.metadata.request_refresh();
            sleep_until(next).await;
        }
    }
}

async fn call<R: Request>(
    pool: &Pool,
    target: Target,
    group: ConnectionGroup,
    request: &R,
    deadline: Instant,
) -> Result<R::Response> {
    let connection = target.connection(pool, group, deadline).await?;
    let version = connection.versions().pick::<R>(R::VERSIONS)?;
    Ok(connection.request(request, version, deadline).await?)
}
