//! One member, driven by hand; and several, driven by a small coordinator.

mod coordinator;
mod joining;
mod leading;
mod leaving;
mod model;
mod rig;
mod session;
