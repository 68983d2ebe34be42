//! One event a line.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use ottla::ErrorKind;
use serde_json::{Value, json};

use crate::output::Output;

/// Events on their way to stdout.
#[derive(Debug)]
pub(super) struct Events(Output);

impl Events {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Output::stdout()?))
    }

    /// Appends an event. `fields` is an object; it gets the event's name and time.
    pub(super) fn push(&mut self, name: &str, mut fields: Value) {
        fields["name"] = json!(name);
        fields["timestamp"] = json!(now_ms());
        self.0
            .buffer()
            .extend_from_slice(fields.to_string().as_bytes());
        self.0.buffer().push(b'\n');
    }

    /// Hands over what there is; waits only while stdout is behind.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    /// Writes the rest.
    pub(super) async fn finish(self) -> io::Result<()> {
        self.0.finish().await
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// What stands for the class of an exception: Kafka's name of a refusal, else ours of what happened.
pub(super) fn exception(error: &ottla::Error) -> String {
    match error.kind() {
        ErrorKind::Broker { code, .. } | ErrorKind::NotAuthorized { code, .. } => {
            code.name().to_owned()
        }
        kind => {
            let variant = format!("{kind:?}");
            let end = variant.find(|c: char| !c.is_alphanumeric());
            variant[..end.unwrap_or(variant.len())].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_have_names() {
        let topic = "t".to_owned();
        for (kind, name) in [
            (ErrorKind::UnknownTopic { topic }, "UnknownTopic"),
            (ErrorKind::Fenced, "Fenced"),
        ] {
            assert_eq!(exception(&kind.into()), name);
        }
    }
}
