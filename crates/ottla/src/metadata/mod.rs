//! What the client knows of the cluster, and the one task that keeps it fresh.
//!
//! [`Metadata`] is the handle everyone holds: it reads the current view, registers interest in topics and
//! asks for a refresh. [`refresher`] is the task that asks brokers. [`view`] is the state between the two,
//! [`question`] one request.
//! None of them knows what a producer or a consumer does with it.

mod handle;
mod question;
mod refresher;
mod view;

pub(crate) use handle::{Metadata, TopicInterest};
pub(crate) use question::Question;
pub(crate) use refresher::{Refresher, update_nodes};
pub(crate) use view::View;
