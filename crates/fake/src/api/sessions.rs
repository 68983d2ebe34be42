//! Fetch sessions of one broker (KIP-227).
//!
//! Owns the cache of sessions, their partitions in order, their epochs, and what of a response an incremental
//! fetch may leave out. A test may evict sessions; slots run out as they do on a broker.

use std::collections::BTreeMap;

use ottla_codec::messages::fetch::PartitionData;
use ottla_codec::{ErrorCode, Uuid};

/// The epoch of a full fetch that opens a session.
pub(crate) const INITIAL_EPOCH: i32 = 0;
/// The epoch of a full fetch outside any session.
pub(crate) const FINAL_EPOCH: i32 = -1;

/// Partitions with what is answered about them.
pub(crate) type Answers = Vec<(Wanted, PartitionData)>;

/// One partition as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic: String,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) fetch_offset: i64,
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_bytes: i32,
}

impl Wanted {
    /// Partitions of a session are told apart by topic id where ids are used, else by name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.partition == other.partition
            && if self.topic_id.is_zero() && other.topic_id.is_zero() {
                self.topic == other.topic
            } else {
                self.topic_id == other.topic_id
            }
    }
}

/// How a fetch relates to sessions, decided when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionContext {
    /// Without a session.
    None,
    /// Full, and wants a session made from it.
    Open,
    /// Incremental in this session, sent with this epoch.
    Incremental { id: i32, epoch: i32 },
}

#[derive(Clone, Debug)]
struct CachedPartition {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Clone, Debug)]
struct FetchSession {
    partitions: Vec<CachedPartition>,
    uses_topic_ids: bool,
    epoch: i32,
    last_used: u64,
}

/// The sessions of one broker.
#[derive(Clone, Debug)]
pub(crate) struct FetchSessions {
    sessions: BTreeMap<i32, FetchSession>,
    slots: usize,
    uses: u64,
}

impl FetchSessions {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            sessions: BTreeMap::new(),
            slots,
            uses: 0,
        }
    }

    /// Takes a fetch in: returns its relation to sessions and every partition that it is about.
    pub(crate) fn begin(
        &mut self,
        (id, epoch): (i32, i32),
        by_topic_id: bool,
        wanted: Vec<Wanted>,
        forgotten: &[Wanted],
    ) -> Result<(SessionContext, Vec<Wanted>), ErrorCode> {
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            // A full fetch ends the session that it names.
            self.sessions.remove(&id);
            let context = if epoch == INITIAL_EPOCH {
                SessionContext::Open
            } else {
                SessionContext::None
            };
            return Ok((context, wanted));
        }
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != by_topic_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.update(&wanted, forgotten);
        if session.partitions.is_empty() {
            self.sessions.remove(&id);
            return Ok((SessionContext::None, wanted));
        }
        session.epoch = next_epoch(epoch);
        self.uses += 1;
        session.last_used = self.uses;
        let all = session
            .partitions
            .iter()
            .map(|partition| partition.wanted.clone())
            .collect();
        Ok((SessionContext::Incremental { id, epoch }, all))
    }

    /// Takes the answer's partitions through the session: returns the session id for the answer and what is left
    /// to send.
    pub(crate) fn complete(
        &mut self,
        context: SessionContext,
        by_topic_id: bool,
        answers: Answers,
        rng: &mut fastrand::Rng,
    ) -> Result<(i32, Answers), (i32, ErrorCode)> {
        match context {
            SessionContext::None => Ok((0, answers)),
            SessionContext::Open => {
                let id = self.open(by_topic_id, &answers, rng);
                Ok((id, answers))
            }
            SessionContext::Incremental { id, epoch } => {
                let Some(session) = self.sessions.get_mut(&id) else {
                    // Evicted while the fetch was parked: its answer still goes out, as on a broker.
                    return Ok((id, answers));
                };
                if session.epoch != next_epoch(epoch) {
                    return Err((id, ErrorCode::InvalidFetchSessionEpoch));
                }
                Ok((id, session.filter(answers)))
            }
        }
    }

    /// Forgets sessions, all or one; returns how many there were.
    pub(crate) fn evict(&mut self, id: Option<i32>) -> usize {
        let before = self.sessions.len();
        match id {
            Some(id) => {
                self.sessions.remove(&id);
            }
            None => self.sessions.clear(),
        }
        before - self.sessions.len()
    }

    pub(crate) fn ids(&self) -> Vec<i32> {
        self.sessions.keys().copied().collect()
    }

    pub(crate) fn set_slots(&mut self, slots: usize) {
        self.slots = slots;
    }

    /// A new session's id, or 0 when there is no slot for it.
    ///
    /// A broker evicts a session that has not been used for two minutes, or a smaller one that old; here the one
    /// used longest ago goes if it is smaller.
    fn open(
        &mut self,
        uses_topic_ids: bool,
        answers: &[(Wanted, PartitionData)],
        rng: &mut fastrand::Rng,
    ) -> i32 {
        if self.sessions.len() >= self.slots {
            let oldest = self
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.last_used);
            let Some((&oldest, _)) =
                oldest.filter(|(_, session)| session.partitions.len() < answers.len())
            else {
                return 0;
            };
            self.sessions.remove(&oldest);
        }
        let mut id = rng.i32(1..i32::MAX);
        while self.sessions.contains_key(&id) {
            id = rng.i32(1..i32::MAX);
        }
        let partitions = answers.iter().map(|(wanted, answer)| CachedPartition {
            wanted: wanted.clone(),
            high_watermark: answer.high_watermark,
            log_start_offset: answer.log_start_offset,
        });
        self.uses += 1;
        let session = FetchSession {
            partitions: partitions.collect(),
            uses_topic_ids,
            epoch: next_epoch(INITIAL_EPOCH),
            last_used: self.uses,
        };
        self.sessions.insert(id, session);
        id
    }
}

impl FetchSession {
    fn update(&mut self, wanted: &[Wanted], forgotten: &[Wanted]) {
        for wanted in wanted {
            match self
                .partitions
                .iter_mut()
                .find(|cached| cached.wanted.is_same(wanted))
            {
                Some(cached) => cached.wanted = wanted.clone(),
                None => self.partitions.push(CachedPartition {
                    wanted: wanted.clone(),
                    high_watermark: -1,
                    log_start_offset: -1,
                }),
            }
        }
        self.partitions
            .retain(|cached| !forgotten.iter().any(|gone| cached.wanted.is_same(gone)));
    }

    /// Drops answers without news. A partition that got records moves to the end, so that others come first next
    /// time.
    fn filter(&mut self, answers: Answers) -> Answers {
        let mut news = Vec::new();
        for (wanted, answer) in answers {
            let Some(at) = self
                .partitions
                .iter()
                .position(|cached| cached.wanted.is_same(&wanted))
            else {
                continue;
            };
            let Some(cached) = self.partitions.get_mut(at) else {
                continue;
            };
            let has_records = answer
                .records
                .as_ref()
                .is_some_and(|records| !records.is_empty());
            let failed = answer.error_code != ErrorCode::None.code();
            let is_news = has_records
                || failed
                || cached.high_watermark != answer.high_watermark
                || cached.log_start_offset != answer.log_start_offset
                || answer.preferred_read_replica >= 0
                || answer.diverging_epoch.end_offset >= 0;
            // After an error the partition is sent again even if nothing changed meanwhile.
            cached.high_watermark = if failed { -1 } else { answer.high_watermark };
            cached.log_start_offset = answer.log_start_offset;
            if has_records {
                let cached = self.partitions.remove(at);
                self.partitions.push(cached);
            }
            if is_news {
                news.push((wanted, answer));
            }
        }
        news
    }
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(partition: i32) -> Wanted {
        Wanted {
            topic: "t".to_owned(),
            topic_id: Uuid::ZERO,
            partition,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            max_bytes: 100,
        }
    }

    fn answer(partition: i32, high_watermark: i64) -> (Wanted, PartitionData) {
        (
            wanted(partition),
            PartitionData {
                high_watermark,
                ..Default::default()
            },
        )
    }

    fn opened(slots: usize) -> (FetchSessions, i32, fastrand::Rng) {
        let mut sessions = FetchSessions::new(slots);
        let mut rng = fastrand::Rng::with_seed(1);
        let (context, all) = sessions
            .begin((0, 0), false, vec![wanted(0), wanted(1)], &[])
            .unwrap();
        assert_eq!((context, all.len()), (SessionContext::Open, 2));
        let (id, _) = sessions
            .complete(context, false, vec![answer(0, 5), answer(1, 5)], &mut rng)
            .unwrap();
        (sessions, id, rng)
    }

    #[test]
    fn incremental_fetches_carry_only_news() {
        let (mut sessions, id, mut rng) = opened(10);
        let (context, all) = sessions.begin((id, 1), false, vec![], &[]).unwrap();
        assert_eq!(all, [wanted(0), wanted(1)]);
        let (_, news) = sessions
            .complete(context, false, vec![answer(0, 5), answer(1, 6)], &mut rng)
            .unwrap();
        assert_eq!(news, [answer(1, 6)]);
        let (_, all) = sessions
            .begin((id, 2), false, vec![wanted(2)], &[wanted(0)])
            .unwrap();
        assert_eq!(all, [wanted(1), wanted(2)]);
    }

    #[test]
    fn wrong_ids_epochs_and_kinds_are_errors() {
        let (mut sessions, id, _) = opened(10);
        let mut begin = |id, epoch, ids| sessions.begin((id, epoch), ids, vec![], &[]).unwrap_err();
        assert_eq!(begin(id ^ 1, 1, false), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(begin(id, 2, false), ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(begin(id, 1, true), ErrorCode::FetchSessionTopicIdError);
        assert_eq!(sessions.evict(None), 1);
        assert_eq!(
            sessions.begin((id, 1), false, vec![], &[]),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
    }

    #[test]
    fn a_session_without_partitions_ends() {
        let (mut sessions, id, _) = opened(10);
        let (context, all) = sessions
            .begin((id, 1), false, vec![], &[wanted(0), wanted(1)])
            .unwrap();
        assert_eq!(
            (context, all.len(), sessions.ids().len()),
            (SessionContext::None, 0, 0)
        );
    }

    #[test]
    fn without_a_slot_there_is_no_session() {
        let (mut sessions, id, mut rng) = opened(1);
        let same_size = vec![answer(3, 0), answer(4, 0)];
        assert_eq!(
            sessions
                .complete(SessionContext::Open, false, same_size, &mut rng)
                .unwrap()
                .0,
            0
        );
        let larger = vec![answer(3, 0), answer(4, 0), answer(5, 0)];
        let other = sessions
            .complete(SessionContext::Open, false, larger, &mut rng)
            .unwrap()
            .0;
        assert_eq!(sessions.ids(), [other]);
        assert_ne!(other, id);
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
        assert_eq!(next_epoch(0), 1);
    }
}
