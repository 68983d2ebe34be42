//! The line that says what came of a scenario, even if that is a panic.

use std::cell::Cell;

pub(crate) struct Report {
    scenario: &'static str,
    broker: String,
    result: Cell<&'static str>,
    requests: Cell<u64>,
}

impl Report {
    pub(crate) fn begin(scenario: &'static str, broker: &str) -> Self {
        Self {
            scenario,
            broker: broker.to_owned(),
            result: Cell::new("failed"),
            requests: Cell::new(0),
        }
    }

    pub(crate) fn add_requests(&self, requests: u64) {
        self.requests.set(self.requests.get() + requests);
    }

    pub(crate) fn ok(self) {
        self.result.set("ok");
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        println!(
            "compaction-result scenario={} broker={} result={} requests={}",
            self.scenario,
            self.broker,
            self.result.get(),
            self.requests.get()
        );
    }
}
