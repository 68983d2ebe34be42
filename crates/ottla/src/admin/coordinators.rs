//! Asking the coordinators of groups.
//!
//! Owns who coordinates which group, for the length of one call: all groups are looked up at once where
//! brokers can do that, those of one coordinator are asked about together, and each group that fails for a
//! passing reason is looked up and asked about again, on its own. A coordinator that cannot be reached
//! holds up and fails its own groups only.
//!
//! Knows nothing of what is asked.
//!
//! # References
//! - KIP-699: several coordinators in one look-up

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::{ErrorCode, Message, Request};
use ottla_connection::{Backoff, BoxFuture, Connection};
use ottla_coordinator::{Refusal, lookup};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Admin;
use crate::client::{ADMIN, Core, METADATA, Target, first_answer};
use crate::error::{Error, Result};

/// What became of each of several groups.
pub(super) type Answers<T> = BTreeMap<String, Result<T>>;

/// What a coordinator is asked about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) coordinator: i32,
    pub(super) connection: Connection,
    /// Some of the groups that it coordinates, in order of their names.
    pub(super) groups: Vec<String>,
    pub(super) deadline: Instant,
}

impl Asked {
    /// Sends a request that reads the same in every version, in the newest one both sides know.
    pub(super) async fn call<R: Request>(&self, request: &R) -> Result<R::Response> {
        let version = self.connection.versions().pick::<R>(R::VERSIONS)?;
        Ok(self
            .connection
            .request(request, version, self.deadline)
            .await?)
    }
}

impl Admin {
    /// Has `ask` ask the coordinators of `groups` until each group has an answer, a failure for good, or no
    /// time left. What `ask` fails with as a whole, and leaves out, every group it was about fails with.
    pub(super) async fn ask_coordinators<T, F, Fut>(
        &self,
        operation: &'static str,
        groups: impl IntoIterator<Item = String>,
        ask: F,
    ) -> Answers<T>
    where
        T: Send + 'static,
        F: Fn(Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Answers<T>>> + Send + 'static,
    {
        let groups: BTreeSet<String> = groups.into_iter().collect();
        if groups.is_empty() {
            return Answers::new();
        }
        let call = Call {
            core: self.core.clone(),
            operation,
            began: Instant::now(),
            deadline: self.deadline(),
            ask,
        };
        Arc::new(call).all(groups.into_iter().collect(), 0).await
    }

    /// [`ask_coordinators`](Self::ask_coordinators) about one group.
    pub(super) async fn ask_coordinator<T, F, Fut>(
        &self,
        operation: &'static str,
        group: &str,
        ask: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let name = group.to_owned();
        let ask = move |asked: Asked| {
            let (name, asking) = (name.clone(), ask(asked));
            async move { Ok(BTreeMap::from([(name, asking.await)])) }
        };
        let mut answers = self
            .ask_coordinators(operation, [group.to_owned()], ask)
            .await;
        answers.remove(group).unwrap_or_else(|| Err(left_out()))
    }
}

/// One call, for as long as it takes.
struct Call<F> {
    core: Arc<Core>,
    operation: &'static str,
    began: Instant,
    deadline: Instant,
    ask: F,
}

impl<F> Call<F> {
    /// Looks the groups up and asks about them. `failures` is how often these have failed before.
    ///
    /// Boxed, because a group that fails begins anew from inside it.
    fn all<T, Fut>(
        self: Arc<Self>,
        groups: Vec<String>,
        failures: u32,
    ) -> BoxFuture<'static, Answers<T>>
    where
        T: Send + 'static,
        F: Fn(Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Answers<T>>> + Send + 'static,
    {
        Box::pin(async move {
            let mut coordinated: BTreeMap<i32, Vec<String>> = BTreeMap::new();
            let mut lost = Vec::new();
            for (group, found) in self.find(groups).await {
                match found {
                    Ok(node) => coordinated.entry(node).or_default().push(group),
                    Err(error) => lost.push((group, Err(error))),
                }
            }
            let mut asking = JoinSet::new();
            for (node, groups) in coordinated {
                let call = self.clone();
                asking.spawn(async move {
                    let answers = call.one(node, groups).await;
                    call.settle(answers, failures).await
                });
            }
            asking.spawn(self.settle(lost, failures));
            // A panic in one of them is a bug of ours; it must not pass for a group left out.
            asking.join_all().await.into_iter().flatten().collect()
        })
    }

    /// Keeps what is final, and tries again for what may pass.
    async fn settle<T, Fut>(
        self: Arc<Self>,
        answers: Vec<(String, Result<T>)>,
        failures: u32,
    ) -> Answers<T>
    where
        T: Send + 'static,
        F: Fn(Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Answers<T>>> + Send + 'static,
    {
        let mut settled = BTreeMap::new();
        let mut passing = Vec::new();
        for (group, answer) in answers {
            match answer {
                Err(error) if error.is_retriable() => passing.push((group, error)),
                answer => drop(settled.insert(group, answer)),
            }
        }
        if passing.is_empty() {
            return settled;
        }
        let failures = failures + 1;
        let (first, longest) = self.core.config.retry_backoff;
        let pause = Backoff::new(first, longest).delay(failures, &mut self.core.env.fork_rng());
        let next = Instant::now() + pause;
        if next >= self.deadline {
            let after = self.deadline.saturating_duration_since(self.began);
            let late = |error| Err(Error::timeout(self.operation, after).with_source(error));
            settled.extend(
                passing
                    .into_iter()
                    .map(|(group, error)| (group, late(error))),
            );
            return settled;
        }
        for (group, error) in &passing {
            tracing::debug!(group, %error, operation = self.operation, "trying again");
        }
        self.core.metadata.request_refresh();
        sleep_until(next).await;
        let groups = passing.into_iter().map(|(group, _)| group).collect();
        settled.extend(self.all(groups, failures).await);
        settled
    }

    /// Asks one coordinator.
    async fn one<T, Fut>(&self, node: i32, groups: Vec<String>) -> Vec<(String, Result<T>)>
    where
        F: Fn(Asked) -> Fut,
        Fut: Future<Output = Result<Answers<T>>>,
    {
        let deadline = self.core.request_deadline(self.deadline);
        let asking = async {
            let target = Target::Node(node);
            let connection = target.connection(&self.core.pool, ADMIN, deadline).await?;
            let asked = Asked {
                coordinator: node,
                connection,
                groups: groups.clone(),
                deadline,
            };
            (self.ask)(asked).await
        };
        let mut answers = asking.await;
        let answer = |group: String| {
            let answer = match &mut answers {
                Ok(answers) => answers.remove(&group).unwrap_or_else(|| Err(left_out())),
                Err(error) => Err(error.clone()),
            };
            (group, answer)
        };
        groups.into_iter().map(answer).collect()
    }

    /// Whom any broker names as the groups' coordinators.
    async fn find(&self, groups: Vec<String>) -> Vec<(String, Result<i32>)> {
        let deadline = self.core.request_deadline(self.deadline);
        let groups: Arc<[String]> = groups.into();
        let finding = async {
            self.core.metadata.ready(deadline).await?;
            first_answer(self.core.any_targets(), |target| {
                find(self.core.clone(), target, groups.clone(), deadline)
            })
            .await
        };
        match finding.await {
            Ok(found) => found,
            Err(error) => {
                let groups = groups.iter().cloned();
                groups.map(|group| (group, Err(error.clone()))).collect()
            }
        }
    }
}

async fn find(
    core: Arc<Core>,
    target: Target,
    groups: Arc<[String]>,
    deadline: Instant,
) -> Result<Vec<(String, Result<i32>)>> {
    let connection = target.connection(&core.pool, METADATA, deadline).await?;
    let own = FindCoordinatorRequest::VERSIONS;
    let version = connection.versions().pick::<FindCoordinatorRequest>(own)?;
    if version >= lookup::SEVERAL_KEYS {
        let request = lookup::several(groups.to_vec());
        let response = connection.request(&request, version, deadline).await?;
        let found = |group: &String| lookup::found(&response, group);
        return Ok(groups
            .iter()
            .map(|g| (g.clone(), named(g, found(g))))
            .collect());
    }
    // All are under way before the first answer is waited for.
    let look_up = |group: &String| {
        let request = lookup::Coordinator::request(group, version);
        connection.submit(&request, version, deadline)
    };
    let pending: Vec<_> = groups.iter().map(look_up).collect();
    let mut found = Vec::new();
    for (group, pending) in groups.iter().zip(pending) {
        let node = lookup::Coordinator::new().found(&pending.await?, version);
        found.push((group.clone(), named(group, node)));
    }
    Ok(found)
}

fn named(group: &str, found: Result<i32, Refusal>) -> Result<i32> {
    found.map_err(|refusal| Error::about_group("FindCoordinator", refusal.code, group))
}

/// A broker that leaves out what it was asked about.
pub(super) fn left_out() -> Error {
    let request = "the coordinator's request";
    Error::broker(request, ErrorCode::UnknownServerError, None)
        .with_broker_message(Some("the answer leaves the group out".to_owned()))
}
