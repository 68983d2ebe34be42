//! Tests that start real clusters of their own, one at a time.

mod leader_kill;
