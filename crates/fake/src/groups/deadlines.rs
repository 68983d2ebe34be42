//! What a group does because time has passed.

use std::time::Duration;

use tokio::time::Instant;

use super::group::Group;

/// How long joins are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum JoinPhase {
    /// The first members have come to an empty group; others may be about to.
    Initial {
        end: Instant,
        /// How long this round of waiting takes.
        delay: Duration,
        /// How much longer it may take at most after this round.
        remaining: Duration,
        /// Somebody has come meanwhile, so somebody else may.
        extend: bool,
    },
    /// Members that know the group are to join again.
    Others { end: Instant },
}

/// What is due at some moment; of what is due at once the first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due<'a> {
    JoinPhase,
    SyncPhase,
    Session(&'a str),
    PendingJoin(&'a str),
}

impl JoinPhase {
    fn end(&self) -> Instant {
        match *self {
            Self::Initial { end, .. } | Self::Others { end } => end,
        }
    }
}

impl Group {
    /// When something is next to be done without any request.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due().map(|(at, _)| at)
    }

    /// Does what is due by now.
    pub(crate) fn pass_time(&mut self, now: Instant) {
        while let Some((at, due)) = self.due()
            && at <= now
        {
            match due {
                Due::JoinPhase => self.end_join_phase(now),
                Due::SyncPhase => self.end_sync_phase(now),
                Due::Session(member_id) => {
                    let member_id = member_id.to_owned();
                    self.end_session(&member_id, now);
                }
                Due::PendingJoin(member_id) => {
                    let member_id = member_id.to_owned();
                    self.expire(&member_id, now);
                }
            }
        }
    }

    fn due(&self) -> Option<(Instant, Due<'_>)> {
        let join = self.join_phase.map(|phase| (phase.end(), Due::JoinPhase));
        let sync = self.sync_end.map(|end| (end, Due::SyncPhase));
        let sessions = self.members.values().filter_map(|member| {
            let end = member.session_end?;
            Some((end, Due::Session(&member.id)))
        });
        let pending = self.pending_joins.iter();
        let pending = pending.map(|(id, &end)| (end, Due::PendingJoin(id)));
        join.into_iter()
            .chain(sync)
            .chain(sessions)
            .chain(pending)
            .min()
    }

    fn end_join_phase(&mut self, now: Instant) {
        match self.join_phase {
            Some(JoinPhase::Initial {
                delay,
                remaining,
                extend: true,
                ..
            }) if !remaining.is_zero() => {
                let next = self.options.initial_rebalance_delay.min(remaining);
                self.join_phase = Some(JoinPhase::Initial {
                    end: now + next,
                    delay: next,
                    remaining: remaining.saturating_sub(delay),
                    extend: false,
                });
            }
            _ => self.complete_join(now),
        }
    }

    /// Members that have not asked for their assignments in time are out.
    fn end_sync_phase(&mut self, now: Instant) {
        for member_id in std::mem::take(&mut self.pending_syncs) {
            self.remove(&member_id);
        }
        self.prepare_rebalance(now);
    }

    fn end_session(&mut self, member_id: &str, now: Instant) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        member.session_end = None;
        if !member.waits() {
            self.expire(member_id, now);
        }
    }
}
