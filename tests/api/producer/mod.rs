//! The producer on the fake cluster, under tokio's paused clock.

mod basics;
mod faults;
mod lifetime;
mod seeded;
mod world;
