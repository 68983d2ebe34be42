//! Members of classic groups: how they join, what they are told in each state of their group, how they go.

mod actor;
pub(super) mod expiry;
pub(super) mod fixed;
pub(super) mod joins;
pub(super) mod reload;
pub(super) mod states;
