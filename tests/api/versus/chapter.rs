//! Scripts, and what they are expected to yield.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::pin::Pin;

use super::run::{Line, Restart, Run};
use super::{
    describing, fetching, groups, idempotence, lookups, members, producing, sessions, topics,
};
use crate::support::raw::Broker;

type Script = for<'r> fn(&'r mut Run) -> Pin<Box<dyn Future<Output = ()> + 'r>>;

/// One script with its transcript.
#[derive(Clone, Copy)]
pub(crate) struct Chapter {
    name: &'static str,
    script: Script,
}

pub(crate) const PRODUCING: Chapter = Chapter {
    name: "producing",
    script: |run| Box::pin(producing::script(run)),
};
pub(crate) const IDEMPOTENCE: Chapter = Chapter {
    name: "idempotence",
    script: |run| Box::pin(idempotence::script(run)),
};
pub(crate) const FETCHING: Chapter = Chapter {
    name: "fetching",
    script: |run| Box::pin(fetching::script(run)),
};
pub(crate) const SESSIONS: Chapter = Chapter {
    name: "sessions",
    script: |run| Box::pin(sessions::script(run)),
};
pub(crate) const LOOKUPS: Chapter = Chapter {
    name: "lookups",
    script: |run| Box::pin(lookups::script(run)),
};
pub(crate) const GROUPS: Chapter = Chapter {
    name: "groups",
    script: |run| Box::pin(groups::script(run)),
};
pub(crate) const JOINS: Chapter = Chapter {
    name: "joins",
    script: |run| Box::pin(members::joins::script(run)),
};
pub(crate) const STATES: Chapter = Chapter {
    name: "states",
    script: |run| Box::pin(members::states::script(run)),
};
pub(crate) const FIXED: Chapter = Chapter {
    name: "fixed",
    script: |run| Box::pin(members::fixed::script(run)),
};
pub(crate) const EXPIRY: Chapter = Chapter {
    name: "expiry",
    script: |run| Box::pin(members::expiry::script(run)),
};
pub(crate) const RELOAD: Chapter = Chapter {
    name: "reload",
    script: |run| Box::pin(members::reload::script(run)),
};
pub(crate) const DESCRIBING: Chapter = Chapter {
    name: "describing",
    script: |run| Box::pin(describing::script(run)),
};
pub(crate) const TOPICS: Chapter = Chapter {
    name: "topics",
    script: |run| Box::pin(topics::script(run)),
};

impl Chapter {
    /// Runs the script and compares what comes back with what is written down.
    pub(crate) async fn check(self, broker: Broker) {
        self.check_restarting(broker, None).await;
    }

    /// [`check`](Self::check) for a script that restarts its broker.
    pub(crate) async fn check_restarting(self, broker: Broker, restart: Option<Restart>) {
        let is_real = matches!(broker, Broker::Real(_));
        let mut run = Run::start(broker, restart).await;
        (self.script)(&mut run).await;
        let actual = run.transcript();
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("api/versus/expected")
            .join(self.name)
            .with_extension("txt");
        if is_real && env::var_os("OTTLA_TEST_RECORD").is_some() {
            let text: String = actual.iter().map(|line| format!("{line}\n")).collect();
            fs::write(&path, text).expect("a file");
            return;
        }
        let expected: Vec<Line> = fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .map(Line::parse)
            .collect();
        let (differences, count) = diff(&expected, &actual);
        assert_eq!(
            count,
            0,
            "{}: {count} answers differ (- {}, + this broker)\n{differences}",
            self.name,
            path.display()
        );
    }
}

/// The steps whose outcomes differ, or that only one side has.
fn diff(expected: &[Line], actual: &[Line]) -> (String, usize) {
    let mut text = String::new();
    let mut count = 0;
    let mut note = |step: &str, expected: Option<&str>, actual: Option<&str>| {
        count += 1;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {step}");
        for (sign, outcome) in [('-', expected), ('+', actual)] {
            if let Some(outcome) = outcome {
                let _ = writeln!(text, "    {sign} {outcome}");
            }
        }
    };
    for line in expected {
        let found = actual.iter().find(|other| other.step == line.step);
        let outcome = found.map(|found| &*found.outcome);
        if outcome != Some(&line.outcome) {
            note(&line.step, Some(&line.outcome), outcome);
        }
    }
    for line in actual {
        if !expected.iter().any(|other| other.step == line.step) {
            note(&line.step, None, Some(&line.outcome));
        }
    }
    (text, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let parse = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| Line::parse(line))
                .collect::<Vec<_>>()
        };
        let expected = parse(&["a: 1", "b: 2", "c: 3"]);
        let actual = parse(&["a: 1", "b: 3", "d: 4"]);
        let (text, count) = diff(&expected, &actual);
        assert_eq!(count, 3);
        assert_eq!(text, "  b\n    - 2\n    + 3\n  c\n    - 3\n  d\n    + 4\n");
        assert_eq!(diff(&expected, &expected).1, 0);
    }
}
