//! Up to when a member may count what it holds as its own.
//!
//! The coordinator gives a member's partitions away in two cases: it hears nothing for the session timeout, or the
//! group rebalances and the member has not joined within the rebalance timeout. The coordinator's clocks start when
//! it receives something, or later; these start when that was sent, so that they run out first.

use std::time::{Duration, Instant};

use super::Loss;

/// The two clocks of a member.
#[derive(Clone, Debug)]
pub(super) struct Session {
    timeout: Duration,
    rebalance_timeout: Duration,
    /// When the last heartbeat was sent that the coordinator has confirmed.
    confirmed: Option<Instant>,
    /// When the last request was sent whose answer shows that the group had not begun to rebalance by then.
    settled: Option<Instant>,
}

impl Session {
    pub(super) fn new(timeout: Duration, rebalance_timeout: Duration) -> Self {
        Self {
            timeout,
            rebalance_timeout,
            confirmed: None,
            settled: None,
        }
    }

    /// A join sent then has been answered: the member is in a generation, which the group had not begun to leave.
    ///
    /// It may have been parked for long: heartbeats confirmed meanwhile were sent before the generation was formed.
    pub(super) fn begin(&mut self, sent: Instant) {
        self.settled = self.confirmed.max(Some(sent));
    }

    /// A heartbeat sent then has been confirmed. Nothing else is a sign of life: a coordinator that has the answer to a
    /// join or a sync at hand gives it and counts on, since Kafka 4.0 also for a sync.
    pub(super) fn confirm(&mut self, sent: Instant) {
        self.confirmed = self.confirmed.max(Some(sent));
    }

    /// The same, and the group was not rebalancing.
    pub(super) fn confirm_settled(&mut self, sent: Instant) {
        self.confirm(sent);
        self.settle(sent);
    }

    /// A sync sent then has been answered: the group was not rebalancing.
    pub(super) fn settle(&mut self, sent: Instant) {
        self.settled = self.settled.max(Some(sent));
    }

    /// Whether the coordinator may have given the member up.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expiry().is_none_or(|(at, _)| at <= now)
    }

    /// Forgets everything: there is no membership.
    pub(super) fn end(&mut self) {
        self.confirmed = None;
        self.settled = None;
    }

    pub(super) fn last_confirmed(&self) -> Option<Instant> {
        self.confirmed
    }

    /// When whatever is held is lost, and why; none without a membership.
    pub(super) fn expiry(&self) -> Option<(Instant, Loss)> {
        let session = (self.confirmed? + self.timeout, Loss::SessionExpired);
        let rebalance = (
            self.settled? + self.rebalance_timeout,
            Loss::RebalanceExpired,
        );
        Some(session.min(rebalance))
    }

    /// When the coordinator may stop waiting for this member's join, if the group has begun to rebalance.
    pub(super) fn rebalance_expiry(&self) -> Option<Instant> {
        Some(self.settled? + self.rebalance_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_earlier_clock_counts() {
        let start = Instant::now();
        let mut session = Session::new(10 * SECOND, 30 * SECOND);
        assert_eq!(session.expiry(), None);
        session.begin(start);
        assert!(session.has_expired(start));
        session.confirm(start);
        let expired = |after: u32, why| Some((start + after * SECOND, why));
        assert_eq!(session.expiry(), expired(10, Loss::SessionExpired));

        // The group rebalances: signs of life keep the session, but not for ever.
        session.confirm(start + 9 * SECOND);
        assert_eq!(session.expiry(), expired(19, Loss::SessionExpired));
        session.confirm(start + 25 * SECOND);
        assert_eq!(session.expiry(), expired(30, Loss::RebalanceExpired));

        // The next generation was formed after the last of them.
        session.begin(start + 2 * SECOND);
        assert_eq!(session.expiry(), expired(35, Loss::SessionExpired));
        session.confirm_settled(start + 26 * SECOND);
        assert_eq!(session.rebalance_expiry(), Some(start + 56 * SECOND));
    }

    #[test]
    fn answers_out_of_order_set_no_clock_back() {
        let start = Instant::now();
        let mut session = Session::new(10 * SECOND, 30 * SECOND);
        session.begin(start + SECOND);
        session.confirm(start + SECOND);
        session.confirm_settled(start);
        assert_eq!(session.last_confirmed(), Some(start + SECOND));
        session.end();
        assert_eq!(session.expiry(), None);
    }
}
