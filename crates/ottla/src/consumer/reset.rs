//! What becomes of a position that the log does not hold, or no longer holds.
//!
//! Owns the decisions, one partition at a time; asking the leader and applying its answer is done
//! elsewhere. A transient error never comes here: only what a broker says about an offset does.
//!
//! # References
//! - KIP-320: truncation detected by leader epochs
//! - KIP-392: a follower's log may lag behind the position, which is no reason to give it up
//! - KIP-1106: reset by duration

use tokio::time::Duration;

use super::positions::Position;

/// Where to start when there is no position, or when the log does not hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AutoOffsetReset {
    /// At the log's first record.
    Earliest,
    /// Behind the log's last record.
    Latest,
    /// At the first record that is not older than this, or behind the last one if all are (KIP-1106).
    ByDuration(Duration),
    /// Nowhere: it is an error, and the caller decides.
    None,
}

/// An offset that a partition's leader has to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetTo {
    /// The log's first offset.
    Earliest,
    /// The offset behind the last record that may be read.
    Latest,
    /// The first offset with this timestamp (milliseconds) or a later one; if there is none, the latest.
    Timestamp(i64),
}

impl AutoOffsetReset {
    /// The reset this policy asks for at a given wall time in milliseconds; `None` if it asks for none.
    pub(crate) fn reset(self, now_ms: i64) -> Option<ResetTo> {
        match self {
            Self::Earliest => Some(ResetTo::Earliest),
            Self::Latest => Some(ResetTo::Latest),
            Self::ByDuration(back) => {
                let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
                Some(ResetTo::Timestamp(now_ms.saturating_sub(back).max(0)))
            }
            Self::None => None,
        }
    }
}

/// What follows from OFFSET_OUT_OF_RANGE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutOfRange {
    /// A follower says so: the leader is asked first.
    AskLeader,
    /// Records before that offset still wait for the caller; it is asked again when they are gone.
    DrainFirst,
    /// The position is given up.
    Reset(ResetTo),
    /// It becomes an error that names the log's range.
    Explain,
}

/// Decides on OFFSET_OUT_OF_RANGE at the fetch position. `reset` is what the policy asks for.
pub(crate) fn out_of_range(
    from_leader: bool,
    is_drained: bool,
    reset: Option<ResetTo>,
) -> OutOfRange {
    match reset {
        _ if !from_leader => OutOfRange::AskLeader,
        _ if !is_drained => OutOfRange::DrainFirst,
        Some(to) => OutOfRange::Reset(to),
        None => OutOfRange::Explain,
    }
}

/// What follows from a log that is no longer what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truncation {
    /// Only records that nobody has seen yet may be gone: they are dropped and fetched again.
    FetchAgain,
    /// Records that were handed out are gone from the log; it goes on from here.
    ResumeAt(Position),
    /// The log shares nothing known with what was read: the position is given up.
    Reset(ResetTo),
    /// It becomes an error.
    Fail,
}

/// Decides on a truncated log. `diverging` is the last epoch the log and the reader share and the offset
/// at which it ends, if the broker could tell; `reset` is what the policy asks for.
pub(crate) fn truncated(
    consumed: Position,
    fetch: Position,
    diverging: Option<Position>,
    reset: Option<ResetTo>,
) -> Truncation {
    if consumed.offset < fetch.offset {
        return Truncation::FetchAgain;
    }
    match (reset, diverging) {
        (None, _) => Truncation::Fail,
        // Never forward: behind the reader's own position the log is new to it.
        (Some(_), Some(end)) => Truncation::ResumeAt(Position {
            offset: end.offset.min(consumed.offset),
            leader_epoch: end.leader_epoch,
        }),
        (Some(to), None) => Truncation::Reset(to),
    }
}

/// Whether the end of an epoch, as the leader reports it, contradicts a position.
pub(crate) fn contradicts(end: Option<Position>, position: Position) -> bool {
    end.is_none_or(|end| {
        end.offset < position.offset
            || matches!((end.leader_epoch, position.leader_epoch), (Some(end), Some(own)) if end < own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64, epoch: i32) -> Position {
        Position {
            offset,
            leader_epoch: Some(epoch),
        }
    }

    #[test]
    fn policies_name_their_reset() {
        let day = Duration::from_secs(86_400);
        assert_eq!(AutoOffsetReset::None.reset(5), None);
        assert_eq!(AutoOffsetReset::Earliest.reset(5), Some(ResetTo::Earliest));
        assert_eq!(AutoOffsetReset::Latest.reset(5), Some(ResetTo::Latest));
        let policy = AutoOffsetReset::ByDuration(day);
        assert_eq!(policy.reset(86_400_007), Some(ResetTo::Timestamp(7)));
        assert_eq!(policy.reset(5), Some(ResetTo::Timestamp(0)));
    }

    #[test]
    fn f19_a_followers_word_is_not_enough() {
        for reset in [None, Some(ResetTo::Earliest)] {
            assert_eq!(out_of_range(false, true, reset), OutOfRange::AskLeader);
        }
    }

    #[test]
    fn the_leaders_word_counts_once_all_was_handed_out() {
        let latest = Some(ResetTo::Latest);
        assert_eq!(out_of_range(true, false, latest), OutOfRange::DrainFirst);
        assert_eq!(out_of_range(true, false, None), OutOfRange::DrainFirst);
        let reset = OutOfRange::Reset(ResetTo::Latest);
        assert_eq!(out_of_range(true, true, latest), reset);
        assert_eq!(out_of_range(true, true, None), OutOfRange::Explain);
    }

    #[test]
    fn what_nobody_saw_is_fetched_again() {
        let reset = Some(ResetTo::Latest);
        let what = truncated(at(5, 1), at(9, 1), Some(at(7, 0)), reset);
        assert_eq!(what, Truncation::FetchAgain);
    }

    #[test]
    fn a_truncated_log_goes_on_where_it_diverges_and_never_skips() {
        let reset = Some(ResetTo::Latest);
        let back = truncated(at(9, 2), at(9, 2), Some(at(7, 1)), reset);
        assert_eq!(back, Truncation::ResumeAt(at(7, 1)));
        let ahead = truncated(at(9, 2), at(9, 2), Some(at(12, 1)), reset);
        assert_eq!(ahead, Truncation::ResumeAt(at(9, 1)));
        let unknown = truncated(at(9, 2), at(9, 2), None, reset);
        assert_eq!(unknown, Truncation::Reset(ResetTo::Latest));
        let strict = truncated(at(9, 2), at(9, 2), Some(at(7, 1)), None);
        assert_eq!(strict, Truncation::Fail);
    }

    #[test]
    fn an_epochs_end_contradicts_by_offset_or_by_epoch() {
        assert!(!contradicts(Some(at(9, 2)), at(9, 2)));
        assert!(!contradicts(Some(at(12, 2)), at(9, 2)));
        assert!(contradicts(Some(at(8, 2)), at(9, 2)));
        assert!(contradicts(Some(at(12, 1)), at(9, 2)));
        assert!(contradicts(None, at(9, 2)));
    }
}
