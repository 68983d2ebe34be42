//! Who coordinates the consumer's group, and the way there.
//!
//! Owns what is known of it. Everybody who asks the coordinator something reports what came of it, so that
//! one who was refused or found nobody there spares the others that. Look-ups are not shared: one that is
//! dropped with its caller takes nothing from the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_cluster::TopicPartition;
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::{ErrorCode, Message};
use ottla_connection::{Connection, ConnectionGroup};
use ottla_coordinator::offsets::concerns_membership;
use ottla_coordinator::{Refusal, lookup};
use tokio::time::Instant;

use super::shared::Shared;
use crate::client::{METADATA, Target};
use crate::error::{Error, ErrorKind, Result};

/// The way to the group's coordinator. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator {
    pub(super) shared: Arc<Shared>,
    known: Arc<Mutex<lookup::Coordinator>>,
}

impl Coordinator {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            known: Arc::new(Mutex::new(lookup::Coordinator::new())),
        }
    }

    /// The consumer's group.
    ///
    /// # Errors
    ///
    /// It has none.
    pub(crate) fn group(&self) -> Result<&str> {
        self.shared.config.group_id.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig {
                property: "group.id".to_owned(),
                reason: "this needs a group, and none is set".to_owned(),
            })
        })
    }

    /// A connection to the coordinator, which is looked up if it is not known.
    pub(crate) async fn connection(
        &self,
        purpose: ConnectionGroup,
        deadline: Instant,
    ) -> Result<Connection> {
        let node = match self.node() {
            Some(node) => node,
            None => self.find(deadline).await?,
        };
        let pool = &self.shared.core.pool;
        pool.connection(node, purpose, deadline)
            .await
            .map_err(|error| {
                self.lost();
                error.into()
            })
    }

    /// The broker that coordinates the group, if that is known.
    pub(crate) fn node(&self) -> Option<i32> {
        self.known().node()
    }

    async fn find(&self, deadline: Instant) -> Result<i32> {
        let found = self.look_up(deadline).await?;
        found.map_err(|refusal| refused("FindCoordinator", refusal))
    }

    /// Looks the coordinator up.
    ///
    /// # Errors
    ///
    /// Nobody could be asked. What a broker says against it is in the result.
    pub(crate) async fn look_up(&self, deadline: Instant) -> Result<Result<i32, Refusal>> {
        let core = &self.shared.core;
        core.metadata.ready(deadline).await?;
        let target: Target = core.any_target();
        let connection = target.connection(&core.pool, METADATA, deadline).await?;
        let versions = FindCoordinatorRequest::VERSIONS;
        let version = connection
            .versions()
            .pick::<FindCoordinatorRequest>(versions)?;
        let request = lookup::Coordinator::request(self.group()?, version);
        let response = connection.request(&request, version, deadline).await?;
        Ok(self.known().found(&response, version))
    }

    /// Takes in that the coordinator could not be reached, or did not answer.
    pub(crate) fn lost(&self) {
        self.known().lost();
        self.shared.core.metadata.request_refresh();
    }

    /// Takes in what came of asking the coordinator something.
    pub(crate) fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            match error.kind() {
                // It knows the group well enough to know who is in it.
                _ if member_refusal(error).is_some() => {}
                ErrorKind::Broker { code, .. } => self.known().refused(code.error_code()),
                _ => self.known().lost(),
            }
        }
        outcome
    }

    fn known(&self) -> MutexGuard<'_, lookup::Coordinator> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The code with which a coordinator refused one for who asked, and not for what was asked.
pub(crate) fn member_refusal(error: &Error) -> Option<ErrorCode> {
    match error.kind() {
        ErrorKind::Broker { code, .. } => {
            Some(code.error_code()).filter(|&code| concerns_membership(code))
        }
        _ => None,
    }
}

pub(crate) fn refused(api: &'static str, refusal: Refusal) -> Error {
    Error::broker(
        api,
        refusal.code,
        refusal.partition.map(TopicPartition::from),
    )
}
