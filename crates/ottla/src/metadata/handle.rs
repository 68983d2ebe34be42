//! The handle on the client's metadata.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_cluster::{Broker, Cluster, LeaderHint, Topic};
use ottla_codec::ErrorCode;
use ottla_codec::messages::metadata::MetadataResponse;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, timeout_at};

use super::View;
use crate::error::{Error, ErrorKind, Result};
use crate::watch;

/// Reads the current view and asks for a newer one. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    view: watch::Sender<Arc<View>>,
    interest: Mutex<BTreeMap<Arc<str>, Interest>>,
    /// Set while somebody wants a refresh that has not begun.
    wanted: Notify,
    /// Set when a topic comes into view that no request has asked for.
    news: Notify,
}

#[derive(Debug)]
struct Interest {
    holders: usize,
    last_held: Instant,
    /// Whether a request has asked for it.
    asked: bool,
}

/// Keeps one topic in every metadata request while it lives.
#[derive(Debug)]
pub(crate) struct TopicInterest {
    topic: Arc<str>,
    shared: Arc<Shared>,
}

impl Metadata {
    pub(crate) fn new() -> Self {
        let view = watch::Sender::new(Arc::new(View::default()));
        let interest = Mutex::new(BTreeMap::new());
        Self {
            shared: Arc::new(Shared {
                view,
                interest,
                wanted: Notify::new(),
                news: Notify::new(),
            }),
        }
    }

    /// The current snapshot.
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        self.shared.view.get().cluster.clone()
    }

    /// The current view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.shared.view.get()
    }

    /// Follows the views as they change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.subscribe()
    }

    /// Asks for a refresh. One that is under way does not count: it may have been answered from before
    /// the event that the caller saw. Requests close to each other become one.
    pub(crate) fn request_refresh(&self) {
        self.shared.wanted.notify_one();
    }

    /// Keeps `topic` in view until the interest is dropped, and for a while after that.
    pub(crate) fn hold(&self, topic: &str) -> TopicInterest {
        let mut interest = self.shared.interest();
        let name = match interest.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => {
                // A topic nobody asked for yet is in nobody's next answer.
                self.shared.news.notify_one();
                self.request_refresh();
                Arc::from(topic)
            }
        };
        let entry = interest.entry(name.clone()).or_insert(Interest {
            holders: 0,
            last_held: Instant::now(),
            asked: false,
        });
        entry.holders += 1;
        TopicInterest {
            topic: name,
            shared: self.shared.clone(),
        }
    }

    /// Waits until `topic` is known.
    ///
    /// # Errors
    ///
    /// At once if access to the topic is denied or its name is invalid; at the deadline
    /// [`ErrorKind::UnknownTopic`] if brokers deny knowing it, otherwise [`ErrorKind::Timeout`] with the
    /// reason why none was reached.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn topic(&self, topic: &str, deadline: Instant) -> Result<Arc<Topic>> {
        let _held = self.hold(topic);
        let began = Instant::now();
        let mut views = self.subscribe();
        loop {
            let view = views.borrow_and_update();
            if let Some(known) = view.topic(topic) {
                return Ok(known.clone());
            }
            let failure = view.failure(topic);
            if let Some(failure) = failure.filter(|failure| !failure.is_retriable()) {
                return Err(Error::about_topic("Metadata", failure, topic));
            }
            self.request_refresh();
            if !matches!(timeout_at(deadline, views.changed()).await, Ok(Ok(()))) {
                let waited = deadline.saturating_duration_since(began);
                return Err(match failure {
                    Some(ErrorCode::UnknownTopicOrPartition) => ErrorKind::UnknownTopic {
                        topic: topic.to_owned(),
                    }
                    .into(),
                    _ => out_of_time(&view, "learning a topic's metadata", waited),
                });
            }
            refused(&self.view())?;
        }
    }

    /// Waits until brokers are known.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] at the deadline, with the reason why no broker was reached; at once if that is one which
    /// time does not change, as wrong credentials are.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<Arc<Cluster>> {
        let began = Instant::now();
        let mut views = self.subscribe();
        loop {
            let view = views.borrow_and_update();
            if view.cluster.brokers().len() > 0 {
                return Ok(view.cluster.clone());
            }
            self.request_refresh();
            if !matches!(timeout_at(deadline, views.changed()).await, Ok(Ok(()))) {
                let waited = deadline.saturating_duration_since(began);
                return Err(out_of_time(&view, "reaching a broker", waited));
            }
            refused(&self.view())?;
        }
    }

    /// Applies what error responses said about leaders.
    pub(crate) fn apply_hints(
        &self,
        hints: impl IntoIterator<Item = LeaderHint>,
        endpoints: impl IntoIterator<Item = Broker>,
    ) {
        self.update(|view| {
            view.cluster
                .apply_hints(hints, endpoints)
                .map(|cluster| view.with_cluster(cluster))
        });
    }

    /// Takes in the brokers that an answer to somebody else's request names.
    pub(crate) fn learn_brokers(&self, response: &MetadataResponse) {
        self.update(|view| {
            let cluster = view.cluster.with_brokers_of(response)?;
            Some(view.with_cluster(cluster))
        });
    }

    /// Puts a new view in place of the old one, if the function makes one.
    pub(super) fn update(&self, next: impl FnOnce(&View) -> Option<View>) {
        self.shared.view.send_if_modified(|view| match next(view) {
            Some(next) => {
                *view = Arc::new(next);
                true
            }
            None => false,
        });
    }

    /// Waits for somebody to want a refresh.
    pub(super) async fn wanted(&self) {
        self.shared.wanted.notified().await;
    }

    /// Waits for a topic that no request has asked for.
    pub(super) async fn unasked(&self) {
        while self.shared.interest().values().all(|entry| entry.asked) {
            self.shared.news.notified().await;
        }
    }

    /// The topics to ask about now. Forgets those nobody has held for `max_idle`.
    pub(super) fn topics_in_use(&self, now: Instant, max_idle: Duration) -> Vec<Arc<str>> {
        let mut interest = self.shared.interest();
        interest.retain(|_, entry| {
            entry.holders > 0 || now.saturating_duration_since(entry.last_held) < max_idle
        });
        for entry in interest.values_mut() {
            entry.asked = true;
        }
        interest.keys().cloned().collect()
    }
}

impl Shared {
    fn interest(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Interest>> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a view that has just come says that asking again is of no use.
fn refused(view: &View) -> Result<()> {
    match &view.unreachable {
        Some(reason) if !reason.is_retriable() => Err(reason.clone()),
        _ => Ok(()),
    }
}

fn out_of_time(view: &View, operation: &'static str, waited: Duration) -> Error {
    let error = Error::timeout(operation, waited);
    match &view.unreachable {
        Some(reason) => error.with_source(reason.clone()),
        None => error,
    }
}

impl Drop for TopicInterest {
    fn drop(&mut self) {
        let mut interest = self.shared.interest();
        if let Some(entry) = interest.get_mut(&self.topic) {
            entry.holders -= 1;
            entry.last_held = Instant::now();
        }
    }
}
