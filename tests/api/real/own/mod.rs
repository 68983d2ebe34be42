//! Tests that start real clusters of their own, one at a time.

mod follower;
mod groups;
mod leader_kill;
mod load;
mod moves;
mod reload;
mod restarts;
mod security;
mod soak;
mod trio;
mod truncation;
mod vitals;
