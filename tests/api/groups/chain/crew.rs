//! The members of a hop: who comes, who goes, and how.

use std::sync::Arc;
use std::time::Duration;

use ottla::Client;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::level::Level;
use super::worker::Worker;

const FEWEST: usize = 3;
const MOST: usize = 6;

/// What happens to a crew.
#[derive(Clone, Copy, Debug)]
enum Change {
    Joins,
    Leaves,
    Quits,
    Dies,
}

/// Makes clients: of a name, by a seed.
pub(super) type Clients = Arc<dyn Fn(String, u64) -> Client>;

/// The workers of a level.
pub(super) struct Crew {
    level: Arc<Level>,
    clients: Clients,
    /// Whether its members have lasting names.
    is_static: bool,
    at_a_time: usize,
    rng: fastrand::Rng,
    workers: Vec<Worker>,
    begun: usize,
}

impl Crew {
    pub(super) fn new(
        level: Arc<Level>,
        clients: Clients,
        is_static: bool,
        at_a_time: usize,
        rng: fastrand::Rng,
    ) -> Self {
        let mut crew = Self {
            level,
            clients,
            is_static,
            at_a_time,
            rng,
            workers: Vec::new(),
            begun: 0,
        };
        for place in 0..FEWEST {
            crew.begin(place);
        }
        crew
    }

    fn begin(&mut self, place: usize) {
        self.begun += 1;
        let (id, group) = (self.begun, &self.level.group);
        let client = (self.clients)(format!("{group}-{id}"), self.rng.u64(..));
        let instance = self.is_static.then(|| format!("{group}-{place}"));
        let instance = instance.as_deref();
        let worker = Worker::begin(&self.level, (id, place), instance, &client, self.at_a_time);
        self.workers.push(worker);
    }

    /// Goes through so many changes, spread over the passing of `records` keys.
    pub(super) async fn change(&mut self, changes: usize, records: usize) {
        // Each kind in turn, so that none is left to chance; when it comes is left to it.
        let kinds = [Change::Dies, Change::Joins, Change::Quits, Change::Leaves];
        let mut all: Vec<Change> = kinds.into_iter().cycle().take(changes).collect();
        self.rng.shuffle(&mut all);
        for (n, change) in all.into_iter().enumerate() {
            self.until_passed((n + 1) * records / (changes + 1)).await;
            self.undergo(change).await;
        }
        self.until_passed(records).await;
    }

    async fn undergo(&mut self, change: Change) {
        if let Change::Joins = change {
            let is_free = |place: &usize| self.workers.iter().all(|w| w.place != *place);
            if let Some(place) = (0..MOST).find(is_free) {
                self.begin(place);
            }
            return;
        }
        let index = self.rng.usize(..self.workers.len());
        let worker = self.workers.swap_remove(index);
        let place = worker.place;
        match change {
            Change::Dies => worker.die().await,
            Change::Quits => worker.quit().await,
            Change::Leaves | Change::Joins => worker.leave().await,
        }
        // A static member is missed until it is back.
        if self.is_static || self.workers.len() < FEWEST {
            self.begin(place);
        }
    }

    async fn until_passed(&mut self, keys: usize) {
        let mut tick = interval(Duration::from_millis(5));
        while self.level.passed() < keys {
            self.check();
            tick.tick().await;
        }
    }

    /// Nobody has ended by itself.
    pub(super) fn check(&self) {
        for worker in &self.workers {
            assert!(!worker.has_ended(), "{} has failed", worker.id);
        }
    }

    /// Everybody leaves, one as the other.
    pub(super) async fn leave(self) {
        let leaving: JoinSet<()> = self.workers.into_iter().map(Worker::leave).collect();
        leaving.join_all().await;
    }
}
