//! All records that have no outcome yet, and every decision about them: a state machine without I/O.
//!
//! Records come in through `append`, which encodes them into the open batch of their partition; before
//! the partitions of their topic are known, they come in through `put_aside` and wait for that. Closed
//! batches wait in the partition's [`Window`](super::window::Window) until the sender of the leader
//! collects them; answers, lost connections and deadlines come back in and decide outcomes.
//!
//! Everything is behind one lock, held for the encoding of one record or a walk over one request's
//! partitions, and never while compressing, computing a checksum over records or waiting. The clock is
//! read by the caller, once per batch.
//!
//! Owns memory, order, numbering and readiness. Refuses to know connections, tasks and metadata
//! requests: it says whom to notify, and [`tokio::sync::Notify`] is all of tokio it knows besides the
//! type of an instant.

mod append;
mod batch;
mod dispatch;
mod estimate;
mod lanes;
mod memory;
mod outcomes;
mod state;
#[cfg(test)]
mod tests;
mod topics;
mod unassigned;

pub(crate) use append::Admission;
pub(crate) use batch::{SealJob, SplitJob};
pub(crate) use dispatch::Parcel;
pub(crate) use lanes::Lane;
pub(crate) use memory::Ticket;
pub(crate) use outcomes::Reply;
pub(crate) use state::{Accumulator, Limits, Now};
pub(crate) use unassigned::{Absence, Waiting};
