//! `ottla groups`: who consumes what, how far behind, and from where on.

mod args;
mod describe;
mod forget;
mod reset;
mod run;

pub(crate) use args::Groups;
pub(crate) use run::run;
