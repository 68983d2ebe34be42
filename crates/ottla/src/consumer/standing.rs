//! How a consumer stands with its group: whether it has one, as whom it may commit, and what the caller
//! has to be told of it.
//!
//! Owned by the [`Assignment`](super::assignment::Assignment), so that who owns a partition, as whom it is
//! committed and whether that may be sent just now are one thing under one lock.

use std::collections::BTreeSet;

use ottla_codec::ErrorCode;
use ottla_coordinator::membership::Identity;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::group::{ConsumerHealth, GroupMetadata, MemberHealth, Rebalance};
use super::positions::Failure;
use crate::error::{Error, ErrorKind};

/// Where the assigned partitions come from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nowhere yet.
    #[default]
    Idle,
    /// From the caller.
    Assigned,
    /// From the group.
    Subscribed,
}

/// The consumer's standing with its group.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    mode: Mode,
    /// The topics that are subscribed to.
    pub(crate) subscription: BTreeSet<String>,
    /// A new generation is there, but not yet what is assigned in it: a commit would be refused.
    pub(super) commits_wait: bool,
    /// Who listens to rebalances.
    listener: Option<mpsc::UnboundedSender<Rebalance>>,
    /// The reader, or the listener, has had no word yet of some partitions.
    pub(super) has_unknown: bool,
    /// A revocation waits for the reader to call.
    pub(super) waits_for_reader: bool,
    /// Refused commits that the member has not been told of yet.
    refusals: Vec<(Identity, ErrorCode)>,
    /// What the member was doing when it was last asked.
    pub(crate) health: MemberHealth,
    /// Stops the group for good, and is told again and again.
    failure: Option<Failure>,
    /// Told once.
    report: Option<Error>,
    expulsion: Expulsion,
}

/// What follows for a member that left because its reader stayed away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expulsion {
    #[default]
    None,
    /// The reader has not been told yet.
    Untold,
    /// The reader was told; its next call brings the member back.
    Told,
    /// The reader is back.
    Over,
}

impl Standing {
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Takes partitions from there from now on.
    ///
    /// # Errors
    ///
    /// They come from elsewhere.
    pub(crate) fn enter(&mut self, mode: Mode) -> Result<(), Error> {
        if self.mode != mode && self.mode != Mode::Idle {
            return Err(ErrorKind::MixedAssignment.into());
        }
        self.mode = mode;
        Ok(())
    }

    /// Takes partitions of these topics from the group from now on; what stopped it before is over.
    ///
    /// # Errors
    ///
    /// They come from elsewhere.
    pub(crate) fn subscribe(&mut self, topics: BTreeSet<String>) -> Result<(), Error> {
        self.enter(Mode::Subscribed)?;
        self.failure = None;
        self.subscription = topics;
        Ok(())
    }

    /// Has neither partitions nor a group any more.
    pub(crate) fn reset(&mut self) {
        let listener = self.listener.take();
        *self = Self {
            listener,
            ..Self::default()
        };
    }

    /// Nobody is told of anything any more.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// Tells this one of rebalances from now on, and nobody else.
    pub(crate) fn listen(&mut self, listener: mpsc::UnboundedSender<Rebalance>) {
        self.listener = Some(listener);
    }

    /// Who listens to rebalances.
    pub(crate) fn listener(&self) -> Option<mpsc::UnboundedSender<Rebalance>> {
        self.listener
            .clone()
            .filter(|listener| !listener.is_closed())
    }

    /// The coordinator has refused a commit, for who this consumer is.
    pub(crate) fn refuse(&mut self, identity: Identity, code: ErrorCode) {
        self.refusals.push((identity, code));
    }

    /// The member's task tells how it goes; whether that is news to others.
    pub(crate) fn publish(&mut self, health: MemberHealth, commits_wait: bool) -> bool {
        let is_news = self.health.identity != health.identity || self.commits_wait != commits_wait;
        self.health = health;
        self.commits_wait = commits_wait;
        is_news
    }

    /// Who the member is, while it is in a generation.
    pub(crate) fn group_metadata(&self, group_id: String) -> Option<GroupMetadata> {
        let identity = self.health.identity.clone()?;
        Some(GroupMetadata {
            group_id,
            generation: identity.generation,
            member_id: identity.member_id,
            instance_id: identity.instance_id,
        })
    }

    /// How it goes.
    pub(crate) fn health(&self, away_since: Option<Instant>, is_starved: bool) -> ConsumerHealth {
        let MemberHealth {
            state,
            since,
            identity,
            last_confirmed,
            unacknowledged_since,
            missing_topics,
        } = self.health.clone();
        ConsumerHealth {
            state,
            since,
            generation: identity.as_ref().map(|identity| identity.generation),
            member_id: identity.map(|identity| identity.member_id),
            last_confirmed,
            away_since,
            unacknowledged_since,
            missing_topics,
            is_starved,
        }
    }

    /// The refusals since this was last asked.
    pub(crate) fn take_refusals(&mut self) -> Vec<(Identity, ErrorCode)> {
        std::mem::take(&mut self.refusals)
    }

    /// Something stops the group for good.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failure = Some(error.into());
    }

    /// Tells the reader of something, once.
    pub(crate) fn report(&mut self, error: Error) {
        self.report = Some(error);
    }

    /// The member left because the reader stayed away.
    pub(crate) fn expel(&mut self, error: Error) {
        self.report(error);
        self.expulsion = Expulsion::Untold;
    }

    /// Whether the reader is back from having stayed away, and knows; true once.
    pub(crate) fn take_return(&mut self) -> bool {
        let is_over = self.expulsion == Expulsion::Over;
        if is_over {
            self.expulsion = Expulsion::None;
        }
        is_over
    }

    /// The reader calls; whether somebody waited for that.
    pub(super) fn attend(&mut self) -> bool {
        let returns = self.expulsion == Expulsion::Told;
        if returns {
            self.expulsion = Expulsion::Over;
        }
        std::mem::take(&mut self.waits_for_reader) || returns
    }

    /// Takes an error that is due.
    pub(super) fn raise(&mut self, now: Instant) -> Option<Error> {
        if let Some(error) = self.report.take() {
            if self.expulsion == Expulsion::Untold {
                self.expulsion = Expulsion::Told;
            }
            return Some(error);
        }
        self.failure.as_mut()?.raise(now)
    }

    /// When an error that was raised is due again after `since`.
    pub(super) fn next_raise(&self, since: Instant) -> Option<Instant> {
        let due = self.failure.as_ref()?.raise_at();
        due.filter(|&at| at > since)
    }
}
