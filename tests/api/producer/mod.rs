//! The producer on the fake cluster, mostly under tokio's paused clock.

mod basics;
mod faults;
mod lifetime;
mod seeded;
mod threads;
mod unassigned;
mod world;
