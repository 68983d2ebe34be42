//! Processors: many records at a time, in order, and commits that follow what is done.

mod commits;
mod failures;
mod handing_over;
mod lifetime;
mod order;
mod real;
mod seeded;
mod stopping;
mod world;
