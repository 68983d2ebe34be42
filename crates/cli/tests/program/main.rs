//! The program from outside: what it prints, what it leaves in the cluster, how it ends.

mod bad_input;
mod bench;
mod consume;
mod diagnostics;
mod fake;
mod groups;
mod members;
mod produce;
mod signals;
mod support;
mod topics;
mod usage;
mod verifiable;
mod verifiable_consumer;
