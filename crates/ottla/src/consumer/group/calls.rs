//! What a member waits for: answers of the coordinator, and of others.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_cluster::TopicPartition;
use ottla_codec::messages::heartbeat::HeartbeatResponse;
use ottla_codec::messages::join_group::JoinGroupResponse;
use ottla_codec::messages::leave_group::LeaveGroupResponse;
use ottla_codec::messages::sync_group::SyncGroupResponse;
use ottla_codec::{Request, VersionRange};
use ottla_connection::{ConnectionGroup, Purpose};
use ottla_coordinator::Refusal;
use ottla_coordinator::membership::{Call, Failure, LeaveCall, Plan, Token};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Core;
use crate::consumer::positions::Generation;
use crate::error::{Error, Result};

/// Something that was waited for.
#[derive(Debug)]
pub(super) enum Answer {
    Found(Token, Result<i32, Refusal>),
    Joined(Token, Box<JoinGroupResponse>),
    Synced(Token, SyncGroupResponse),
    Alive(Token, HeartbeatResponse),
    Left(Token, LeaveGroupResponse),
    /// There will be no answer.
    Unanswered(Token, Error),
    Planned(Token, Result<Plan, Failure>),
    /// Everybody has let go of a revocation's partitions.
    Revoked(Token),
    /// Somebody has not, by the deadline.
    Overrun(Token),
    /// Whoever listens is ready for these partitions' records, which the assignment of this number has added.
    Ready(u64, Vec<(TopicPartition, Generation)>),
    /// The names of all topics that are not internal.
    Listed(Result<BTreeSet<String>>),
}

/// What is under way. Dropped, it gives all of it up.
#[derive(Debug)]
pub(super) struct Calls {
    core: Arc<Core>,
    under_way: JoinSet<Answer>,
    /// Names the connection for joins and syncs.
    joins: u64,
    /// What was sent over it and is not answered.
    parked: BTreeSet<Token>,
}

impl Calls {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            under_way: JoinSet::new(),
            joins: core.next_owner_id(),
            parked: BTreeSet::new(),
            core,
        }
    }

    /// Waits for the next answer.
    pub(super) async fn next(&mut self) -> Answer {
        loop {
            match self.under_way.join_next().await {
                Some(Ok(answer)) => {
                    if let Answer::Joined(token, _)
                    | Answer::Synced(token, _)
                    | Answer::Unanswered(token, _) = &answer
                    {
                        self.parked.remove(token);
                    }
                    return answer;
                }
                // A panic in there is a bug of ours; what it was about is missed at its deadline.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits for something else than the coordinator.
    pub(super) fn wait(&mut self, what: impl Future<Output = Answer> + Send + 'static) {
        self.under_way.spawn(what);
    }

    /// Sends something over the connection for joins and syncs, which a broker may park. Behind one that
    /// is parked still, nothing would be served: then it takes another connection.
    pub(super) fn park<R>(&mut self, call: Call<R>, answer: fn(Token, R::Response) -> Answer)
    where
        R: Request<Response: Send + 'static> + Send + Sync + 'static,
    {
        if !self.parked.is_empty() {
            self.core.pool.close_owner(self.joins);
            self.joins = self.core.next_owner_id();
            self.parked.clear();
        }
        self.parked.insert(call.token);
        let group = ConnectionGroup::owned(Purpose::Join, self.joins);
        self.ask(group, call, |request, _| request, answer);
    }

    /// Sends something that is answered at once.
    pub(super) fn send<R>(
        &mut self,
        group: ConnectionGroup,
        call: Call<R>,
        answer: fn(Token, R::Response) -> Answer,
    ) where
        R: Request<Response: Send + 'static> + Send + Sync + 'static,
    {
        self.ask(group, call, |request, _| request, answer);
    }

    /// Sends a LeaveGroup.
    pub(super) fn leave(&mut self, group: ConnectionGroup, call: Call<LeaveCall>) {
        self.ask(
            group,
            call,
            |call, version| call.request(version),
            Answer::Left,
        );
    }

    fn ask<C, R>(
        &mut self,
        group: ConnectionGroup,
        call: Call<C>,
        request: fn(C, i16) -> R,
        answer: fn(Token, R::Response) -> Answer,
    ) where
        C: Send + 'static,
        R: Request<Response: Send + 'static> + Send + Sync + 'static,
    {
        let core = self.core.clone();
        self.under_way.spawn(async move {
            let Call {
                token,
                node,
                request: content,
                versions,
                deadline,
            } = call;
            let deadline = Instant::from_std(deadline);
            let build = |version| request(content, version);
            match exchange(&core, node, group, versions, deadline, build).await {
                Ok(response) => answer(token, response),
                Err(error) => Answer::Unanswered(token, error),
            }
        });
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.core.pool.close_owner(self.joins);
    }
}

async fn exchange<R>(
    core: &Core,
    node: i32,
    group: ConnectionGroup,
    versions: VersionRange,
    deadline: Instant,
    request: impl FnOnce(i16) -> R,
) -> Result<R::Response>
where
    R: Request<Response: Send + 'static> + 'static,
{
    let connection = core.pool.connection(node, group, deadline).await?;
    let version = connection.versions().pick::<R>(versions)?;
    Ok(connection
        .request(&request(version), version, deadline)
        .await?)
}
