//! The report: one table of who gets what for each assignor, and one of what a leave moves.

use std::collections::BTreeMap;

use ottla_assignor::{
    AssignError, Assignment, Assignor, CooperativeStickyAssignor, Member, RangeAssignor,
    RoundRobinAssignor, StickyAssignor, Topics,
};

/// A partition's owner, for all partitions.
type Owners<'a> = BTreeMap<(&'a str, i32), &'a str>;

pub(crate) fn report(topics: &Topics, members: usize) -> Result<String, AssignError> {
    let names: Vec<&str> = topics.iter().map(|(name, _)| name).collect();
    let group: Vec<Member> = (1..=members)
        .map(|number| Member::new(format!("member-{number}"), names.iter().copied()))
        .collect();
    let assignors: [&dyn Assignor; 3] = [
        &RangeAssignor::new(),
        &RoundRobinAssignor::new(),
        &StickyAssignor::new(),
    ];
    let mut report = String::new();
    for assignor in assignors {
        let given = assignor.assign(topics, &group)?;
        report.push_str(&format!("{}\n", assignor.name()));
        let header = ["member", "partitions", "which"].map(str::to_owned);
        let rows = group.iter().zip(&given).map(|(member, given)| {
            let count = given.partition_count().to_string();
            [member.id.clone(), count, which(given)]
        });
        report.push_str(&table(header, rows));
        report.push('\n');
    }

    let assignors: [&dyn Assignor; 4] = [
        assignors[0],
        assignors[1],
        assignors[2],
        &CooperativeStickyAssignor::new(),
    ];
    let mut rows = Vec::new();
    for leaver in 0..members {
        for assignor in assignors {
            let moved = moved_by_leave(assignor, topics, &group, leaver)?;
            rows.push([
                group[leaver].id.clone(),
                assignor.name().to_owned(),
                moved.to_string(),
            ]);
        }
    }
    let header = ["who leaves", "assignor", "partitions taken from others"].map(str::to_owned);
    report.push_str(&table(header, rows));
    Ok(report)
}

/// How many partitions change hands between those who stay.
fn moved_by_leave(
    assignor: &dyn Assignor,
    topics: &Topics,
    group: &[Member],
    leaver: usize,
) -> Result<usize, AssignError> {
    let given = assignor.assign(topics, group)?;
    let before = owners(group, &given);
    let mut rest: Vec<Member> = group
        .iter()
        .zip(&given)
        .map(|(member, given)| came_back(member, given))
        .collect();
    rest.remove(leaver);
    let given = assignor.assign(topics, &rest)?;
    let after = owners(&rest, &given);
    let changed = after.iter().filter(|&(partition, owner)| {
        let earlier = before.get(partition);
        earlier.is_some_and(|earlier| *earlier != group[leaver].id && earlier != owner)
    });
    Ok(changed.count())
}

/// A member as its group hears of it at the next rebalance: it says what it had, in both of the ways there are.
fn came_back(member: &Member, given: &Assignment) -> Member {
    let memory = StickyAssignor::new();
    memory.on_assignment(given, 1);
    Member {
        owned: given.partitions.clone(),
        generation: Some(1),
        user_data: memory.user_data(&member.topics),
        ..member.clone()
    }
}

fn owners<'a>(members: &'a [Member], given: &'a [Assignment]) -> Owners<'a> {
    let mut owners = Owners::new();
    for (member, given) in members.iter().zip(given) {
        for (topic, numbers) in &given.partitions {
            owners.extend(
                numbers
                    .iter()
                    .map(|&number| ((&**topic, number), &*member.id)),
            );
        }
    }
    owners
}

/// Such as `orders 0 1 2, payments 0`.
fn which(given: &Assignment) -> String {
    let topics = given.partitions.iter().map(|(topic, numbers)| {
        let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
        format!("{topic} {}", numbers.join(" "))
    });
    topics.collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(
    header: [String; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = [header].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().enumerate();
        let line: Vec<String> = cells
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)))
            .collect();
        table.push_str(&format!("  {}\n", line.join("  ").trim_end()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_who_gets_what_and_what_a_leave_moves() {
        let topics = Topics::new().with("orders", 6).with("payments", 4);
        let expected = "\
range
  member    partitions  which
  member-1  4           orders 0 1, payments 0 1
  member-2  3           orders 2 3, payments 2
  member-3  3           orders 4 5, payments 3

roundrobin
  member    partitions  which
  member-1  4           orders 0 3, payments 0 3
  member-2  3           orders 1 4, payments 1
  member-3  3           orders 2 5, payments 2

sticky
  member    partitions  which
  member-1  4           orders 0 3, payments 0 3
  member-2  3           orders 1 4, payments 1
  member-3  3           orders 2 5, payments 2

  who leaves  assignor            partitions taken from others
  member-1    range               2
  member-1    roundrobin          4
  member-1    sticky              0
  member-1    cooperative-sticky  0
  member-2    range               0
  member-2    roundrobin          4
  member-2    sticky              0
  member-2    cooperative-sticky  0
  member-3    range               1
  member-3    roundrobin          3
  member-3    sticky              0
  member-3    cooperative-sticky  0
";
        let report = report(&topics, 3).unwrap();
        assert_eq!(report, expected, "{report}");
    }

    #[test]
    fn nobody_and_nothing_are_no_error() {
        assert!(report(&Topics::new(), 0).is_ok());
        assert!(report(&Topics::new().with("orders", 3), 0).is_ok());
        assert!(report(&Topics::new(), 2).is_ok());
    }
}
