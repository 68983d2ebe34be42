//! What a member is told once.

use std::time::Duration;

/// How long to wait before the next try, after so many failures in a row (1 for the first).
pub type Backoff = Box<dyn FnMut(u32) -> Duration + Send>;

/// How to be a member of which group.
#[derive(Clone, Debug)]
pub struct Config {
    /// The group.
    #[doc(alias = "group.id")]
    pub group_id: String,
    /// The member's lasting name, which makes it a static member (KIP-345).
    #[doc(alias = "group.instance.id")]
    pub instance_id: Option<String>,
    /// Where it runs (KIP-881).
    #[doc(alias = "client.rack")]
    pub rack: Option<String>,
    /// How long the coordinator waits for a sign of life before it gives the member up.
    #[doc(alias = "session.timeout.ms")]
    pub session_timeout: Duration,
    /// How long the group waits for its members to give up partitions and join.
    #[doc(alias = "max.poll.interval.ms")]
    pub rebalance_timeout: Duration,
    /// The time between signs of life.
    #[doc(alias = "heartbeat.interval.ms")]
    pub heartbeat_interval: Duration,
    /// How long to wait for answers that nobody holds back.
    #[doc(alias = "request.timeout.ms")]
    pub request_timeout: Duration,
}

impl Config {
    /// Kafka's times are 32-bit milliseconds.
    pub(super) fn bounded(self) -> Self {
        let longest = Duration::from_millis(i32::MAX as u64);
        Self {
            session_timeout: self.session_timeout.min(longest),
            rebalance_timeout: self.rebalance_timeout.min(longest),
            heartbeat_interval: self.heartbeat_interval.min(longest),
            request_timeout: self.request_timeout.min(longest),
            ..self
        }
    }
}
