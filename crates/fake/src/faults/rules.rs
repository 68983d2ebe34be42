//! The armed rules, and what they do to a request.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_codec::wire::Segments;
use ottla_codec::{ApiKey, EncodeError, Response, frame};
use tokio::sync::{mpsc, watch};

use super::cuts::CutAt;
use super::filter::Filter;

/// A response whose type is known only to its API's handler.
pub(crate) trait AnyReply: Send {
    fn encode(&self, correlation_id: i32, version: i16) -> Result<Segments, EncodeError>;
    fn throttle_time_ms(&self) -> i32;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Response + Send + 'static> AnyReply for T {
    fn encode(&self, correlation_id: i32, version: i16) -> Result<Segments, EncodeError> {
        frame::encode_response(correlation_id, self, version)
    }

    fn throttle_time_ms(&self) -> i32 {
        Response::throttle_time_ms(self)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Makes a reply out of a request's body and version; `None` when the body is not such a request.
pub(crate) type ReplyFn = Arc<Mutex<dyn FnMut(&Bytes, i16) -> Option<Box<dyn AnyReply>> + Send>>;
/// Changes the reply that the cluster has made.
pub(crate) type EditFn = Arc<Mutex<dyn FnMut(&Bytes, i16, &mut dyn AnyReply) + Send>>;

/// What a rule does.
#[derive(Clone)]
pub(crate) enum Action {
    /// Nothing more than the rule's delay.
    Proceed,
    /// Answers instead of the cluster.
    Reply(ReplyFn),
    /// Neither applies nor answers; the connection stays muted.
    Drop,
    /// Closes the connection without applying.
    Close,
    /// Applies, with a changed way of answering.
    Apply(Effects),
    /// Keeps its broker busy for so long: it is served after that, and before what has come meanwhile.
    Stall(Duration),
    /// Waits for the test to let it go.
    Hold {
        hold: u64,
        arrived: mpsc::UnboundedSender<()>,
    },
}

/// How the answer to an applied request differs from the usual.
#[derive(Clone, Default)]
pub(crate) struct Effects {
    pub(crate) edit: Option<EditFn>,
    pub(crate) ending: Ending,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Ending {
    #[default]
    Sent,
    /// The connection closes instead.
    Closed,
    /// It never leaves; the connection stays muted.
    Lost,
    /// The connection closes after some of its bytes.
    Cut(CutAt),
}

/// An armed rule.
pub(crate) struct Rule {
    pub(crate) id: u64,
    pub(crate) filter: Filter,
    pub(crate) delay: Option<(Duration, Duration)>,
    pub(crate) action: Action,
    pub(crate) hits: watch::Sender<u64>,
}

/// What a matching rule asks for.
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    pub(crate) action: Action,
}

/// All rules of a cluster, in the order in which they were made; the first that takes a request acts on it.
#[derive(Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    pub(crate) fn arm(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn verdict(
        &mut self,
        head: (ApiKey, i16, i32),
        client_id: Option<&str>,
        body: &Bytes,
    ) -> Option<Verdict> {
        let at = self
            .rules
            .iter_mut()
            .position(|rule| rule.filter.takes(head, client_id, body))?;
        let rule = self.rules.get_mut(at)?;
        rule.hits.send_modify(|hits| *hits += 1);
        let delay = rule.delay.map_or(Duration::ZERO, |(min, max)| {
            let spread = u64::try_from(max.saturating_sub(min).as_micros()).unwrap_or(u64::MAX);
            min + Duration::from_micros(rule.filter.rng.u64(0..=spread))
        });
        let verdict = Verdict {
            delay,
            action: rule.action.clone(),
        };
        if rule.filter.is_spent() {
            self.rules.remove(at);
        }
        Some(verdict)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.rules.iter().map(|rule| (rule.id, &rule.filter)))
            .finish()
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects")
            .field("edit", &self.edit.is_some())
            .field("ending", &self.ending)
            .finish()
    }
}
