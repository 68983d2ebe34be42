//! `ottla demo`: the main job on a cluster inside this process, faults included, and a check of the outcome.

mod check;
mod run;
mod text;

pub(crate) use run::run;
