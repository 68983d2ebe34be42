//! Classic groups: members, generations, timers, and what is refused when.

mod coordinators;
mod fixed;
mod listing;
mod member;
mod rebalances;
mod releases;
