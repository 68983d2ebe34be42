//! `ottla produce`: one record a line, from files or stdin, to a topic.

mod lines;
mod run;
mod source;
mod template;

pub(crate) use run::run;
pub(crate) use source::SourceError;
