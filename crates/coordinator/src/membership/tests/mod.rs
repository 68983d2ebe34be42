//! One member, driven by hand; and several, driven by a small coordinator.

mod joining;
mod leading;
mod leaving;
mod rig;
mod session;
