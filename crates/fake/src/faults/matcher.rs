//! The typed rule builder of the test handle.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_codec::{ErrorCode, Request, decode_message};
use tokio::sync::{mpsc, watch};

use super::cuts::{CutAt, RequestCut};
use super::filter::Filter;
use super::hold::Hold;
use super::replies::FailWith;
use super::rules::{Action, AnyReply, Effects, Ending, Rule};
use crate::handle::Handle;

/// Describes which requests a rule is for; one of the last methods says what happens and arms it.
///
/// A rule acts once unless [`times`](Self::times) or [`always`](Self::always) says otherwise. Rules are asked in
/// the order in which they were armed, and the first that takes a request is the only one that acts on it.
/// A rule is in force for every request that the cluster handles after it was armed.
#[must_use = "a rule does nothing until one of its actions is chosen"]
pub struct RuleBuilder<R> {
    handle: Handle,
    filter: Filter,
    delay: Option<(Duration, Duration)>,
    request: PhantomData<fn(R)>,
}

/// An armed rule. Dropping it leaves the rule in force.
#[derive(Clone)]
pub struct Interception {
    handle: Handle,
    id: u64,
    hits: watch::Sender<u64>,
}

impl Interception {
    /// How many requests the rule has acted on.
    #[must_use]
    pub fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    /// Waits until the rule has acted on so many requests. For a rule with a delay that is when the delay begins.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn wait_for_hits(&self, hits: u64) {
        // The sender lives as long as this, so there is no other way for the wait to end.
        let _ = self.hits.subscribe().wait_for(|count| *count >= hits).await;
    }

    /// Takes the rule out of force.
    pub fn remove(&self) {
        let id = self.id;
        self.handle.send(move |state| {
            state.rules.remove(id);
            state.cuts.remove(id);
        });
    }
}

impl fmt::Debug for Interception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interception")
            .field("id", &self.id)
            .field("hits", &self.hits())
            .finish_non_exhaustive()
    }
}

impl<R> RuleBuilder<R> {
    pub(crate) fn new(handle: Handle, filter: Filter) -> Self {
        Self {
            handle,
            filter,
            delay: None,
            request: PhantomData,
        }
    }

    /// Only requests that reach this broker. Default: all brokers.
    pub fn broker(mut self, broker: i32) -> Self {
        self.filter.broker = Some(broker);
        self
    }

    /// Only requests with this client id. Default: all. Cuts inside a request cannot see it.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.filter.client_id = Some(client_id.into());
        self
    }

    /// Only requests of these versions. Default: all.
    pub fn versions(mut self, versions: RangeInclusive<i16>) -> Self {
        self.filter.versions = versions;
        self
    }

    /// Lets so many matching requests pass first. Default: 0.
    pub fn skip(mut self, skip: u64) -> Self {
        self.filter.skip = skip;
        self
    }

    /// Acts on so many matching requests. Default: 1.
    pub fn times(mut self, times: u64) -> Self {
        self.filter.times = Some(times);
        self
    }

    /// Acts on every matching request.
    pub fn always(mut self) -> Self {
        self.filter.times = None;
        self
    }

    /// Acts on a matching request with this probability, by the cluster's seed. Default: 1.
    pub fn chance(mut self, probability: f64) -> Self {
        self.filter.chance = probability;
        self
    }

    /// Waits before acting. Default: no wait. The connection is muted meanwhile.
    pub fn after(self, delay: Duration) -> Self {
        self.after_between(delay, delay)
    }

    /// Waits a random time before acting, by the cluster's seed.
    pub fn after_between(mut self, min: Duration, max: Duration) -> Self {
        self.delay = Some((min, max.max(min)));
        self
    }

    /// Changes nothing, but counts: for a test that waits until a request has come.
    pub fn observe(self) -> Interception {
        self.arm(Action::Proceed)
    }

    /// The request is answered late. It is applied late too, whether or not its client still waits.
    pub fn delay(self, delay: Duration) -> Interception {
        self.after(delay).arm(Action::Proceed)
    }

    /// [`delay`](Self::delay) by a random time, by the cluster's seed.
    pub fn delay_between(self, min: Duration, max: Duration) -> Interception {
        self.after_between(min, max).arm(Action::Proceed)
    }

    /// Its broker is busy from then on: the request, and all that the broker receives meanwhile over any connection,
    /// is applied and answered only after `time`, in the order in which it came, whether or not its client still waits.
    /// Nothing that was sent later comes to pass earlier, unlike with [`delay`](Self::delay). The broker's timers go on.
    /// It ends before its time when a group's coordinator moves away from the broker, and with its connections when
    /// those are cut.
    pub fn stall(self, time: Duration) -> Interception {
        self.arm(Action::Stall(time))
    }

    /// A black hole: the request is neither applied nor answered, and the connection takes no other.
    pub fn drop_request(self) -> Interception {
        self.arm(Action::Drop)
    }

    /// Closes the connection without applying the request.
    pub fn close(self) -> Interception {
        self.arm(Action::Close)
    }

    /// Applies the request, then closes the connection instead of answering.
    pub fn apply_then_close(self) -> Interception {
        self.arm_ending(Ending::Closed)
    }

    /// Applies the request and never answers; the connection stays open and takes no other.
    pub fn apply_then_drop_response(self) -> Interception {
        self.arm_ending(Ending::Lost)
    }

    /// Applies the request, then closes the connection after so many bytes of the response frame, its four length
    /// bytes included.
    pub fn cut_response_at(self, bytes: usize) -> Interception {
        self.arm_ending(Ending::Cut(CutAt::Byte(bytes)))
    }

    /// [`cut_response_at`](Self::cut_response_at) a random byte, by the cluster's seed.
    pub fn cut_response_anywhere(self) -> Interception {
        self.arm_ending(Ending::Cut(CutAt::Anywhere))
    }

    /// Closes the connection after reading so many bytes of the request frame, its four length bytes included (at
    /// least the eight that name the API are read). The request is not applied. Conditions on the request's content
    /// and client id, and delays, do not apply: the frame is never seen whole.
    pub fn cut_request_at(self, bytes: usize) -> Interception {
        self.arm_request_cut(CutAt::Byte(bytes))
    }

    /// [`cut_request_at`](Self::cut_request_at) a random byte, by the cluster's seed.
    pub fn cut_request_anywhere(self) -> Interception {
        self.arm_request_cut(CutAt::Anywhere)
    }

    /// Parks each request until the test lets it go.
    pub fn hold(self) -> Hold {
        let (sender, arrived) = mpsc::unbounded_channel();
        let handle = self.handle.clone();
        let id = handle.next_id();
        self.arm(Action::Hold {
            hold: id,
            arrived: sender,
        });
        Hold {
            handle,
            id,
            arrived: tokio::sync::Mutex::new(arrived),
        }
    }

    fn arm_ending(self, ending: Ending) -> Interception {
        self.arm(Action::Apply(Effects { edit: None, ending }))
    }

    fn arm(self, action: Action) -> Interception {
        let Self {
            handle,
            mut filter,
            delay,
            ..
        } = self;
        let id = handle.next_id();
        let hits = watch::Sender::new(0);
        let interception = Interception {
            handle: handle.clone(),
            id,
            hits: hits.clone(),
        };
        handle.send(move |state| {
            filter.rng = state.rng.fork();
            state.rules.arm(Rule {
                id,
                filter,
                delay,
                action,
                hits,
            });
        });
        interception
    }

    fn arm_request_cut(self, at: CutAt) -> Interception {
        let Self {
            handle, mut filter, ..
        } = self;
        let id = handle.next_id();
        let hits = watch::Sender::new(0);
        let interception = Interception {
            handle: handle.clone(),
            id,
            hits: hits.clone(),
        };
        handle.send(move |state| {
            filter.rng = state.rng.fork();
            state.cuts.arm(RequestCut {
                id,
                filter,
                at,
                hits,
            });
        });
        interception
    }
}

impl<R: Request + 'static> RuleBuilder<R>
where
    R::Response: Send + 'static,
{
    /// Only requests for which `condition` holds. Default: all.
    pub fn when(mut self, mut condition: impl FnMut(&R) -> bool + Send + 'static) -> Self {
        let mut before = self.filter.predicate.take();
        self.filter.predicate = Some(Box::new(move |body: &Bytes, version| {
            before.as_mut().is_none_or(|before| before(body, version))
                && decode_message::<R>(body, version).is_ok_and(|request| condition(&request))
        }));
        self
    }

    /// Answers in the cluster's place; the request is not applied.
    pub fn reply(self, mut answer: impl FnMut(&R) -> R::Response + Send + 'static) -> Interception {
        self.arm(Action::Reply(Arc::new(Mutex::new(
            move |body: &Bytes, version| {
                let request = decode_message::<R>(body, version).ok()?;
                Some(Box::new(answer(&request)) as Box<dyn AnyReply>)
            },
        ))))
    }

    /// Applies the request, then lets `change` rewrite the answer.
    pub fn edit(
        self,
        mut change: impl FnMut(&R, &mut R::Response) + Send + 'static,
    ) -> Interception {
        let edit = move |body: &Bytes, version: i16, reply: &mut dyn AnyReply| {
            let request = decode_message::<R>(body, version);
            if let (Ok(request), Some(response)) =
                (request, reply.as_any_mut().downcast_mut::<R::Response>())
            {
                change(&request, response);
            }
        };
        self.arm(Action::Apply(Effects {
            edit: Some(Arc::new(Mutex::new(edit))),
            ending: Ending::Sent,
        }))
    }
}

impl<R: FailWith + 'static> RuleBuilder<R>
where
    R::Response: Send + 'static,
{
    /// Refuses the request, every partition (or other item) of it, with this error; nothing is applied.
    pub fn error(self, error: ErrorCode) -> Interception {
        self.reply(move |request| request.fail_with(error))
    }

    /// Applies the request, tells the client of a throttle (KIP-219) and mutes the connection for as long.
    pub fn throttle(self, throttle: Duration) -> Interception {
        let throttle_ms = i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX);
        self.edit(move |_, response| R::set_throttle(response, throttle_ms))
    }
}

impl<R> fmt::Debug for RuleBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleBuilder")
            .field("filter", &self.filter)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}
