//! Fetch sessions (KIP-227): which partitions a broker already knows of, so that a fetch names only
//! what changed.
//!
//! Owns the client's half of one session with one broker over one connection: the session's id and
//! epoch, and a mirror of what the broker has *acknowledged*. A request that got no answer, or a
//! refusal, leaves the mirror untrusted, so the next request is a full one.
//!
//! Knows nothing of connections, responses' contents or positions: it is told what is wanted and says
//! what to send.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::TopicPartition;
use ottla_codec::Uuid;

/// The session id of "no session".
const NO_SESSION: i32 = 0;
/// The epoch that asks for a new session.
const OPEN: i32 = 0;
/// The epoch of a fetch outside any session.
const SESSIONLESS: i32 = -1;
/// After so many answers in a row without a session, none is asked for any more.
const REFUSALS_BEFORE_GIVING_UP: u32 = 3;

/// One partition as a fetch names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchPartition {
    /// The topic's id, zero when it is not known.
    pub(crate) topic_id: Uuid,
    /// The offset to read from.
    pub(crate) offset: i64,
    /// The leader epoch the client believes in.
    pub(crate) current_leader_epoch: Option<i32>,
    /// The leader epoch of the last record before `offset` (KIP-320).
    pub(crate) last_fetched_epoch: Option<i32>,
    /// At most so many bytes of this partition.
    pub(crate) max_bytes: i32,
}

/// A partition the broker shall drop from the session, by name and by id: which of the two goes on the
/// wire depends on the request's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// The topic's name, for requests before version 13.
    pub(crate) topic: Arc<str>,
    /// The topic's id, for requests from version 13.
    pub(crate) topic_id: Uuid,
    /// The partition's index.
    pub(crate) partition: i32,
}

/// What a fetch request shall say about the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    /// The session's id, 0 for none yet.
    pub(crate) session_id: i32,
    /// The session's epoch: 0 opens one, -1 asks for none.
    pub(crate) session_epoch: i32,
    /// The partitions to name, in the order in which they were wanted.
    pub(crate) partitions: Vec<(TopicPartition, FetchPartition)>,
    /// The partitions to drop from the session.
    pub(crate) forgotten: Vec<Forgotten>,
}

/// Why a broker refused a whole fetch on account of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionRefusal {
    /// The broker does not know the session: evicted, or the broker restarted.
    UnknownId,
    /// The epoch, or the use of topic ids, does not fit the session that the broker knows.
    OutOfStep,
}

/// The client's half of a fetch session with one broker.
#[derive(Debug)]
pub(crate) struct FetchSession {
    mode: Mode,
    /// Whether the session was opened by requests that name topics by id.
    by_id: bool,
    /// What the broker has acknowledged.
    acknowledged: BTreeMap<TopicPartition, FetchPartition>,
    /// What the request in flight asks for.
    asked: Option<Asked>,
    /// Answers without a session, in a row.
    refusals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The next request is a full one; `closing` names a session the broker may still hold.
    Full { closing: i32 },
    /// The next request is incremental.
    Incremental { id: i32, epoch: i32 },
    /// Every request is a full one outside any session.
    Off,
}

#[derive(Debug)]
struct Asked {
    by_id: bool,
    partitions: BTreeMap<TopicPartition, FetchPartition>,
}

impl Default for FetchSession {
    fn default() -> Self {
        Self {
            mode: Mode::Full {
                closing: NO_SESSION,
            },
            by_id: false,
            acknowledged: BTreeMap::new(),
            asked: None,
            refusals: 0,
        }
    }
}

impl FetchSession {
    /// A session that is never opened: every fetch is complete in itself.
    pub(crate) fn off() -> Self {
        Self {
            mode: Mode::Off,
            ..Self::default()
        }
    }

    /// What to send so that the broker serves exactly `wanted`. `by_id` says whether the request's
    /// version names topics by id.
    pub(crate) fn request(
        &mut self,
        wanted: Vec<(TopicPartition, FetchPartition)>,
        by_id: bool,
    ) -> SessionRequest {
        if let Mode::Incremental { id, .. } = self.mode
            && self.by_id != by_id
        {
            self.start_over(id);
        }
        let (session_id, session_epoch) = match self.mode {
            Mode::Full { closing } => (closing, OPEN),
            Mode::Incremental { id, epoch } => (id, epoch),
            Mode::Off => (NO_SESSION, SESSIONLESS),
        };
        let all: BTreeMap<_, _> = wanted.iter().cloned().collect();
        let mut forgotten = Vec::new();
        let partitions = match self.mode {
            Mode::Full { .. } | Mode::Off => wanted,
            Mode::Incremental { .. } => {
                for (partition, known) in &self.acknowledged {
                    // Under ids, a topic's successor of the same name is another topic.
                    let gone = all
                        .get(partition)
                        .is_none_or(|now| by_id && now.topic_id != known.topic_id);
                    if gone {
                        forgotten.push(Forgotten {
                            topic: Arc::clone(&partition.topic),
                            topic_id: known.topic_id,
                            partition: partition.partition,
                        });
                    }
                }
                let unchanged = |partition: &TopicPartition, now: &FetchPartition| {
                    self.acknowledged.get(partition) == Some(now)
                };
                wanted
                    .into_iter()
                    .filter(|(partition, now)| !unchanged(partition, now))
                    .collect()
            }
        };
        self.asked = Some(Asked {
            by_id,
            partitions: all,
        });
        SessionRequest {
            session_id,
            session_epoch,
            partitions,
            forgotten,
        }
    }

    /// The broker served the request in flight and named `session_id` in its answer.
    pub(crate) fn acknowledge(&mut self, session_id: i32) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        match self.mode {
            Mode::Off => {}
            _ if session_id == NO_SESSION => {
                // No room for a session, or the broker closed it. The answer itself counts.
                self.start_over(NO_SESSION);
                self.refused();
            }
            Mode::Incremental { id, epoch } if id == session_id => {
                self.mode = Mode::Incremental {
                    id,
                    epoch: next_epoch(epoch),
                };
                self.by_id = asked.by_id;
                self.acknowledged = asked.partitions;
            }
            Mode::Full { closing } if closing == session_id => {
                // The session that was to be closed lives on, with partitions of its own.
                self.start_over(NO_SESSION);
                self.refused();
            }
            Mode::Full { .. } => {
                self.mode = Mode::Incremental {
                    id: session_id,
                    epoch: next_epoch(OPEN),
                };
                self.by_id = asked.by_id;
                self.acknowledged = asked.partitions;
                self.refusals = 0;
            }
            Mode::Incremental { .. } => self.start_over(session_id),
        }
    }

    /// The broker refused the request in flight on account of its session.
    pub(crate) fn refuse(&mut self, refusal: SessionRefusal) {
        self.asked = None;
        match (self.mode, refusal) {
            (Mode::Off, _) => {}
            (Mode::Incremental { id, .. }, SessionRefusal::OutOfStep) => self.start_over(id),
            (Mode::Incremental { .. }, SessionRefusal::UnknownId) => self.start_over(NO_SESSION),
            (Mode::Full { .. }, _) => {
                // A broker that refuses even to open one will not serve any.
                self.start_over(NO_SESSION);
                self.refused();
            }
        }
    }

    /// The request in flight failed otherwise, or its answer was lost: whether the broker has seen it
    /// is not known.
    pub(crate) fn lose(&mut self) {
        self.asked = None;
        match self.mode {
            Mode::Off => {}
            Mode::Incremental { id, .. } => self.start_over(id),
            Mode::Full { closing } => self.start_over(closing),
        }
    }

    /// Whether fetches are sent without any session, because the broker keeps refusing one.
    pub(crate) fn is_off(&self) -> bool {
        self.mode == Mode::Off
    }

    /// Whether the next request builds on what the broker has acknowledged.
    pub(crate) fn is_incremental(&self) -> bool {
        matches!(self.mode, Mode::Incremental { .. })
    }

    fn refused(&mut self) {
        self.refusals += 1;
        if self.refusals >= REFUSALS_BEFORE_GIVING_UP {
            self.mode = Mode::Off;
        }
    }

    fn start_over(&mut self, closing: i32) {
        self.mode = Mode::Full { closing };
        self.acknowledged.clear();
    }
}

/// Epochs go from 1 to the largest number and then to 1 again: 0 and -1 have meanings of their own.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests;
