//! Plans a consumer group without a cluster: who would get what of some topics, and what would move if a member left.
//!
//! ```text
//! cargo run -p ottla-capacity-planner -- 3 orders=6 payments=4
//! ```

mod plan;

use std::env;
use std::process::ExitCode;

use ottla_assignor::Topics;

const USAGE: &str = "usage: ottla-capacity-planner MEMBERS TOPIC=PARTITIONS...";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((members, topics)) = read(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match plan::report(&topics, members) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The number of members, and topics with their numbers of partitions.
fn read(arguments: &[String]) -> Option<(usize, Topics)> {
    let (members, topics) = arguments.split_first()?;
    let topics = topics.iter().try_fold(Topics::new(), |topics, topic| {
        let (name, partitions) = topic.split_once('=')?;
        Some(topics.with(name, partitions.parse().ok()?))
    })?;
    Some((members.parse().ok()?, topics))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Option<(usize, Topics)> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words)
    }

    #[test]
    fn reads_members_and_topics() {
        let topics = Topics::new().with("orders", 6).with("payments", 4);
        assert_eq!(arguments("3 orders=6 payments=4"), Some((3, topics)));
        assert_eq!(arguments("0"), Some((0, Topics::new())));
    }

    #[test]
    fn reads_nothing_else() {
        for line in ["", "three", "3 orders", "3 orders=many", "3 orders=-1"] {
            assert_eq!(arguments(line), None, "{line:?}");
        }
    }
}
