//! Answers as lines of a transcript: codes and offsets, with what differs from run to run by its name.

mod groups;
mod logs;
mod members;
mod names;
mod topics;

pub(crate) use names::{Names, Outcome};
