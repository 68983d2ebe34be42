//! Two clients' members share a topic out, while they join and leave and somebody writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla::{Admin, Client, GroupState, Record};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::history::{History, Id};
use super::member::Member;

/// Long enough for any client to settle anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

const PARTITIONS: i32 = 6;

/// What starts a member of one of the clients.
pub(crate) type Join<'a> = &'a (dyn Fn() -> Command + Sync);

/// Has members of two clients join and leave a group of [`PARTITIONS`] partitions: whoever comes first leads while
/// it stays, then the other may. Each time the partitions are shared out among all there are; nobody goes unasked;
/// and all that is written meanwhile is consumed, nothing of it again after it was committed. The number of records,
/// and of those that were consumed again.
pub(crate) async fn share(
    client: &Client,
    topic: &str,
    group: &str,
    join: [Join<'_>; 2],
) -> (usize, usize) {
    let mut scenario = Scenario {
        admin: client.admin().with_timeout(PATIENCE),
        group: group.to_owned(),
        history: Arc::default(),
        members: Vec::new(),
        joined: 0,
    };
    let writer = Writer::start(client, topic);
    let [leads, follows] = join;
    let first = scenario.join(leads).await;
    let second = scenario.join(follows).await;
    scenario.join(leads).await;
    scenario.leave(second).await;
    scenario.join(follows).await;
    // The leader goes, and somebody else leads.
    scenario.leave(first).await;
    let last = scenario.join(leads).await;
    scenario.leave(last).await;
    let written = writer.finish().await;
    scenario
        .until("all is consumed", |history, _| {
            history.consumed() == written
        })
        .await;
    while let Some(member) = scenario.members.pop() {
        scenario.dismiss(member).await;
    }
    let history = scenario.history();
    assert_eq!(history.consumed(), written);
    history.check();
    (written, history.repeated())
}

struct Scenario {
    admin: Admin,
    group: String,
    history: Arc<Mutex<History>>,
    members: Vec<Member>,
    joined: usize,
}

impl Scenario {
    async fn join(&mut self, command: Join<'_>) -> Id {
        let id = self.joined;
        self.joined += 1;
        let member = Member::start(command(), id, &self.history);
        self.members.push(member);
        self.settle().await;
        id
    }

    async fn leave(&mut self, id: Id) {
        let at = self.members.iter().position(|member| member.id == id);
        let member = self.members.remove(at.expect("a member"));
        self.dismiss(member).await;
        self.settle().await;
    }

    async fn dismiss(&mut self, member: Member) {
        let id = member.leave().await;
        self.history().ended(id);
    }

    /// Waits until everything is shared out among the members, and they read on.
    async fn settle(&mut self) {
        self.until("it is shared out", |history, members| {
            history.is_shared_out(members, PARTITIONS)
        })
        .await;
        let before = self.history().consumed();
        self.until("it goes on", |history, _| history.consumed() > before + 100)
            .await;
    }

    /// Waits until the group is stable and it is so, and everybody is still there.
    async fn until(&mut self, what: &str, is_so: impl Fn(&History, &[Id]) -> bool) {
        let ids: Vec<Id> = self.members.iter().map(|member| member.id).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let described = self.admin.describe_group(&self.group).await;
            let is_stable = described.as_ref().is_ok_and(|group| {
                group.state == GroupState::Stable && group.members.len() == ids.len()
            });
            if is_stable && is_so(&self.history(), &ids) {
                return;
            }
            let is_running = self.members.iter_mut().all(Member::is_running);
            if !is_running || Instant::now() > deadline {
                let mut complaints = String::new();
                for member in self.members.drain(..) {
                    let id = member.id;
                    complaints += &format!("{id}: {}\n", member.complaints().await);
                }
                panic!(
                    "never came true: {what}; running: {is_running}; {described:?}; {complaints}"
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes on and on, to each partition in turn.
struct Writer {
    stop: watch::Sender<bool>,
    task: JoinHandle<usize>,
}

impl Writer {
    fn start(client: &Client, topic: &str) -> Self {
        let producer = client.producer().build().expect("a producer");
        let topic = topic.to_owned();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut written = 0;
            while !*stopped.borrow() {
                for partition in 0..PARTITIONS {
                    let record = Record::to(&topic).partition(partition).value("v");
                    drop(producer.send(record).await.expect("room"));
                    written += 1;
                }
                sleep(Duration::from_millis(10)).await;
            }
            producer.close(PATIENCE).await.expect("all is written");
            written
        });
        Self { stop, task }
    }

    /// Stops; how many there are.
    async fn finish(self) -> usize {
        self.stop.send_replace(true);
        self.task.await.expect("no panic")
    }
}
