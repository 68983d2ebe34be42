//! Two to five members and a coordinator, with a network that loses, delays and tears: no two members ever hold a
//! partition at once, and once the faults end all of them are stable and hold everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor, StickyAssignor, Topics};
use rstest::rstest;

use super::coordinator::{Address, Answer, Asked, Coordinator};
use super::rig::{SECOND, topics};
use crate::membership::{
    Config, Departure, Membership, Partitions, Planning, State, Stay, Step, Token,
};

const RUNS: u64 = 100;
const FAULTS: Duration = Duration::from_secs(120);
/// Enough for sessions to expire, slow revocations to end and rounds to settle.
const CALM: Duration = Duration::from_secs(150);
const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(20);

fn config(rng: &mut fastrand::Rng) -> Config {
    Config {
        group_id: "g".to_owned(),
        instance_id: None,
        rack: None,
        session_timeout: SESSION,
        // Now the one, now the other clock is the shorter.
        rebalance_timeout: if rng.bool() {
            REBALANCE
        } else {
            SESSION * 2 / 3
        },
        heartbeat_interval: SECOND,
        request_timeout: 5 * SECOND,
    }
}

struct Client {
    member: Membership,
    /// When it next wants to be asked.
    wakes: Option<Instant>,
    held: Partitions,
    /// Nothing gets through before that.
    torn_until: Instant,
    /// What it is expected to end with: a membership, or none.
    stays: bool,
}

#[derive(Debug)]
enum Event {
    /// A client's own time has come.
    Wake(usize),
    Arrives(i32, Address, Box<Asked>),
    Answered(Address, Box<Answer>),
    Unanswered(Address),
    Found(Address, i32),
    Planned(Address, Box<Planning>),
    GivenUp(Address),
    Coordinator,
    Fault,
}

struct World {
    seed: u64,
    rng: fastrand::Rng,
    now: Instant,
    began: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    coordinator: Coordinator,
    coordinator_wakes: Option<Instant>,
    /// The last request of each client's connections to each broker.
    arrived: BTreeMap<(i32, usize, bool), Token>,
    clients: BTreeMap<usize, Client>,
    partitions: u32,
    assignor: fn() -> Arc<dyn Assignor>,
}

impl World {
    fn new(seed: u64, assignor: fn() -> Arc<dyn Assignor>) -> Self {
        let now = Instant::now();
        let mut world = Self {
            seed,
            rng: fastrand::Rng::with_seed(seed),
            now,
            began: now,
            events: BTreeMap::new(),
            sequence: 0,
            coordinator: Coordinator::new(now),
            coordinator_wakes: None,
            arrived: BTreeMap::new(),
            clients: BTreeMap::new(),
            partitions: 6,
            assignor,
        };
        for _ in 0..world.rng.usize(2..=4) {
            world.add_client();
        }
        world.after(SECOND, Event::Fault);
        world
    }

    fn is_calm(&self) -> bool {
        self.now >= self.began + FAULTS
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    fn run(&mut self) {
        while let Some(entry) = self.events.first_entry() {
            let ((at, _), event) = entry.remove_entry();
            if at > self.began + FAULTS + CALM {
                break;
            }
            self.now = at;
            self.happen(event);
            self.hear_coordinator();
        }
        self.check_end();
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        let topics = Topics::new().with("t", self.partitions);
        match event {
            // Another time was named since.
            Event::Wake(id) if self.wakes(id).is_some_and(|wakes| wakes != now) => {}
            Event::Wake(id) => self.drive(id),
            Event::Arrives(node, from, asked) => self.arrive(node, from, *asked),
            Event::Coordinator => {
                self.coordinator_wakes = None;
                self.coordinator.pass(now);
            }
            Event::Fault => self.fault(),
            Event::Answered((id, token), answer) => self.tell(id, |member| match *answer {
                Answer::Join(answer) => member.joined(token, &answer, now),
                Answer::Sync(answer) => member.synced(token, &answer, now),
                Answer::Heartbeat(answer) => member.heartbeat_answered(token, &answer, now),
                Answer::Leave(answer) => member.left(token, &answer, now),
            }),
            Event::Unanswered((id, token)) => self.tell(id, |m| m.unanswered(token, now)),
            Event::Found((id, token), node) => {
                self.tell(id, |m| m.coordinator_found(token, Ok(node), now));
            }
            Event::Planned((id, token), planning) => {
                self.tell(id, |m| m.planned(token, planning.run(topics), now));
            }
            Event::GivenUp((id, token)) => {
                self.tell(id, |m| m.revoked(token, now));
                if let Some(client) = self.clients.get_mut(&id) {
                    client
                        .held
                        .retain(|name| client.member.owned().contains(name));
                }
            }
        }
    }

    /// A broker serves requests in the order of their coming, and who asks anew has closed the connection of what it asks
    /// no more: that comes before, or not at all. Joins and syncs have a connection of their own.
    fn arrive(&mut self, node: i32, from: Address, asked: Asked) {
        let is_parked = matches!(asked, Asked::Join(_) | Asked::Sync(_));
        let (id, token) = from;
        let last = self.arrived.entry((node, id, is_parked)).or_insert(token);
        if *last <= token {
            *last = token;
            self.coordinator.ask(node, from, asked, self.now);
        }
    }

    fn wakes(&self, id: usize) -> Option<Instant> {
        self.clients.get(&id)?.wakes
    }

    fn tell(&mut self, id: usize, what: impl FnOnce(&mut Membership)) {
        if let Some(client) = self.clients.get_mut(&id) {
            what(&mut client.member);
            self.drive(id);
        }
    }

    fn hear_coordinator(&mut self) {
        for ((id, token), answer) in std::mem::take(&mut self.coordinator.answers) {
            self.travel((id, token), |_| {
                Event::Answered((id, token), Box::new(answer))
            });
        }
        let next = self.coordinator.next_event();
        if let Some(at) = next.filter(|_| next != self.coordinator_wakes) {
            self.coordinator_wakes = next;
            let delay = at.saturating_duration_since(self.now);
            self.after(delay, Event::Coordinator);
        }
    }

    /// A message travels, or does not. Whoever waits for it may hear that the connection broke, or never.
    fn travel(&mut self, address: Address, event: impl FnOnce(&mut Self) -> Event) {
        let torn = self.clients.get(&address.0).map(|client| client.torn_until);
        let is_torn = torn.is_none_or(|until| self.now < until);
        let delay = match self.rng.u8(..) {
            0..4 if !self.is_calm() => Duration::from_millis(self.rng.u64(1000..30_000)),
            _ => Duration::from_millis(self.rng.u64(1..50)),
        };
        if is_torn || (!self.is_calm() && self.rng.u8(..) < 8) {
            if self.rng.bool() {
                self.after(delay, Event::Unanswered(address));
            }
            return;
        }
        let event = event(self);
        self.after(delay, event);
    }

    /// Does what a member says.
    fn drive(&mut self, id: usize) {
        for _ in 0..1000 {
            let Some(client) = self.clients.get_mut(&id) else {
                return;
            };
            let step = client.member.step(self.now);
            match step {
                Step::Wait { until } => {
                    assert!(
                        until.is_none_or(|until| until > self.now),
                        "{}: busy",
                        self.seed
                    );
                    if let Some(until) = until.filter(|_| client.wakes != until) {
                        client.wakes = Some(until);
                        self.after(until - self.now, Event::Wake(id));
                    }
                    return;
                }
                Step::FindCoordinator { token, .. } => {
                    let node = self.coordinator.node;
                    // Some broker still takes another for the coordinator.
                    let stale = !self.is_calm() && self.rng.u8(..) < 16;
                    let node = if stale { 3 - node } else { node };
                    self.travel((id, token), |_| Event::Found((id, token), node));
                }
                Step::Join(call) => self.send(id, call.token, call.node, Asked::Join(call.request)),
                Step::Sync(call) => self.send(id, call.token, call.node, Asked::Sync(call.request)),
                Step::Heartbeat(call) => {
                    self.send(id, call.token, call.node, Asked::Heartbeat(call.request));
                }
                Step::Leave(call) => {
                    let asked = Asked::Leave(call.request.request(5));
                    self.send(id, call.token, call.node, asked);
                }
                Step::Plan { token, planning } => {
                    let delay = Duration::from_millis(self.rng.u64(0..3000));
                    self.after(delay, Event::Planned((id, token), Box::new(planning)));
                }
                Step::Revoke(revocation) => {
                    let delay = match self.rng.u8(0..10) {
                        0 => Duration::from_millis(self.rng.u64(0..40_000)),
                        1 if !self.is_calm() => continue,
                        _ => Duration::from_millis(self.rng.u64(0..1000)),
                    };
                    self.after(delay, Event::GivenUp((id, revocation.token)));
                }
                Step::Assigned { added, all, .. } => self.take_up(id, added, &all),
                Step::Lost { partitions, .. } => {
                    client.held.retain(|name| !partitions.contains(name));
                }
                Step::Left => {}
                Step::Failed(failure) => panic!("{}: {failure}", self.seed),
            }
        }
        panic!("{}: client {id} never waits", self.seed);
    }

    fn send(&mut self, id: usize, token: Token, node: i32, asked: Asked) {
        let from = (id, token);
        self.travel(from, |_| Event::Arrives(node, from, Box::new(asked)));
    }

    fn take_up(&mut self, id: usize, added: Partitions, all: &Partitions) {
        for (other, client) in &self.clients {
            let both: Vec<_> = client.held.intersection(&added).collect();
            assert!(
                both.is_empty(),
                "{}: {other} and {id} both hold {both:?}",
                self.seed
            );
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.held.extend(added);
            assert!(client.held.is_superset(all), "{}", self.seed);
            assert_eq!(client.held, *client.member.owned(), "{}", self.seed);
        }
    }

    fn add_client(&mut self) {
        let id = self.sequence as usize;
        let config = config(&mut self.rng);
        let backoff = Box::new(|failures: u32| Duration::from_millis(100) * failures.min(10));
        let assignors = vec![(self.assignor)()];
        let mut member = Membership::new(config, assignors, backoff, self.now).unwrap();
        member.subscribe(topics(&["t"]), self.now);
        let client = Client {
            member,
            wakes: None,
            held: Partitions::new(),
            torn_until: self.now,
            stays: true,
        };
        self.clients.insert(id, client);
        self.after(Duration::ZERO, Event::Wake(id));
    }

    fn fault(&mut self) {
        if self.is_calm() {
            // What was cut off comes back, who rested goes on, and nobody overlooks new partitions.
            let ids: Vec<usize> = self.clients.keys().copied().collect();
            for id in ids {
                self.tell_topics(id);
                let now = self.now;
                self.tell(id, |member| member.resume(now));
            }
            return;
        }
        let delay = Duration::from_millis(self.rng.u64(10..6000));
        self.after(delay, Event::Fault);
        let now = self.now;
        let ids: Vec<usize> = self.clients.keys().copied().collect();
        let id = self.rng.choice(&ids).copied().unwrap_or_default();
        match self.rng.u8(0..14) {
            0..3 if ids.len() < 5 => self.add_client(),
            3 if ids.len() > 2 => drop(self.clients.remove(&id)),
            4 if ids.len() > 2 => {
                let stay = if self.rng.bool() {
                    Stay::IfStatic
                } else {
                    Stay::Always
                };
                let deadline = now + 8 * SECOND;
                let reason = String::new();
                let departure = Departure {
                    reason,
                    stay,
                    deadline,
                };
                if let Some(client) = self.clients.get_mut(&id) {
                    client.stays = false;
                }
                self.tell(id, |member| member.leave(departure, now));
            }
            5 => self.tell(id, |member| member.quit("too slow", now)),
            6 | 7 => self.tell(id, |member| member.resume(now)),
            8 | 9 => {
                let loading = Duration::from_millis(self.rng.u64(0..3000));
                self.coordinator
                    .move_to(3 - self.coordinator.node, loading, now);
            }
            10 | 11 => {
                let torn = Duration::from_millis(self.rng.u64(0..25_000));
                if let Some(client) = self.clients.get_mut(&id) {
                    client.torn_until = now + torn;
                }
            }
            12 if self.partitions < 12 => {
                self.partitions += 1;
                for id in ids {
                    self.tell_topics(id);
                }
            }
            13 => self.tell(id, |member| member.rejoin("enforced", now)),
            _ => {}
        }
    }

    fn tell_topics(&mut self, id: usize) {
        let topics = Topics::new().with("t", self.partitions);
        let now = self.now;
        self.tell(id, |member| member.metadata(&topics, now));
    }

    fn check_end(&self) {
        let mut all = BTreeSet::new();
        for (id, client) in &self.clients {
            let state = client.member.state().0;
            let expected = if client.stays {
                State::Stable
            } else {
                State::Resting
            };
            assert_eq!(state, expected, "{}: {id}: {:?}", self.seed, client.member);
            all.extend(client.held.iter().map(|(_, partition)| *partition));
        }
        if self.clients.values().any(|client| client.stays) {
            let expected: BTreeSet<i32> = (0..self.partitions as i32).collect();
            assert_eq!(all, expected, "{}", self.seed);
        }
    }
}

#[rstest]
#[case::range(|| -> Arc<dyn Assignor> { Arc::new(RangeAssignor::new()) })]
#[case::sticky(|| -> Arc<dyn Assignor> { Arc::new(StickyAssignor::new()) })]
#[case::cooperative(|| -> Arc<dyn Assignor> { Arc::new(CooperativeStickyAssignor::new()) })]
fn no_two_members_hold_a_partition_and_all_end_stable(#[case] assignor: fn() -> Arc<dyn Assignor>) {
    for seed in 0..RUNS {
        World::new(seed, assignor).run();
    }
}
