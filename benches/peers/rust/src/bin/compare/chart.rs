//! The tables' CPU a record as bars, in SVG.

use std::fmt::Write as _;

use crate::measurement::Metric;
use crate::table::{Table, is_ottla};
use crate::works::{Against, Kind, Work};

const LINE: usize = 16;
const TITLE: usize = 30;
const NAME_WIDTH: usize = 120;
const BAR_WIDTH: usize = 220;
const COLUMN_WIDTH: usize = NAME_WIDTH + BAR_WIDTH + 60;

/// What was produced to a broker to the left, what was consumed from it to the right; of each, less is better.
pub(crate) fn svg(tables: &[(Work, &Table)]) -> String {
    let mut columns = String::new();
    let mut height = 0;
    for (column, kind) in [Kind::Produce, Kind::Consume].into_iter().enumerate() {
        let (x, mut y) = (column * COLUMN_WIDTH, 0);
        let is_shown = |work: &Work| work.kind == kind && work.against == Against::Broker;
        for (work, table) in tables.iter().filter(|(work, _)| is_shown(work)) {
            y += group(&mut columns, work, table, x, y);
        }
        height = height.max(y);
    }
    let (width, height) = (2 * COLUMN_WIDTH, height + LINE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{columns}</svg>\n"
    )
}

/// A work's bars, the longest for whoever takes the most; how high they are together.
fn group(out: &mut String, work: &Work, table: &Table, x: usize, y: usize) -> usize {
    let ranked = table.ranked(Metric::Cpu).into_iter();
    let rows: Vec<_> = ranked
        .map(|(name, cell)| (name, cell.median(Metric::Cpu).map(|cpu| cpu.middle)))
        .collect();
    let greatest = rows.iter().filter_map(|(_, cpu)| *cpu).fold(0.0, f64::max);
    let (kind, size, codec) = (work.kind, work.size, work.codec);
    // To a string this cannot fail.
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{} {size} bytes, {}: CPU, µs a record</text>",
        x + LINE / 2,
        y + TITLE - 10,
        kind.name(),
        codec.name()
    );
    for (index, (name, cpu)) in rows.iter().enumerate() {
        let top = y + TITLE + index * LINE;
        let (length, label) = match cpu {
            Some(cpu) => (BAR_WIDTH as f64 * cpu / greatest, format!("{cpu:.2}")),
            None => (0.0, "failed".to_owned()),
        };
        let colour = if is_ottla(name) { "#c2410c" } else { "#94a3b8" };
        let baseline = top + 11;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{}\" y=\"{}\" width=\"{length:.1}\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{baseline}\">{label}</text>",
            x + NAME_WIDTH,
            x + NAME_WIDTH + 6,
            top + 1,
            (x + NAME_WIDTH + 10) as f64 + length
        );
    }
    TITLE + rows.len() * LINE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{cell, failed, table};
    use crate::works::WORKS;

    #[test]
    fn bars_are_as_long_as_the_numbers() {
        let cells = [
            ("ottla", cell(&[0.25])),
            ("half", cell(&[0.5])),
            ("most", cell(&[1.0])),
            ("broken", failed()),
        ];
        let (table, [work, ..]) = (table(&cells), WORKS);
        let svg = svg(&[(work, &table)]);
        let bars: Vec<_> = svg
            .lines()
            .filter(|line| line.contains("text-anchor"))
            .collect();
        let order = ["ottla", "half", "most", "broken"];
        let widths = ["55.0", "110.0", "220.0", "0.0"];
        let labels = ["0.25", "0.50", "1.00", "failed"];
        assert_eq!(bars.len(), 4);
        for (index, bar) in bars.iter().enumerate() {
            assert!(bar.contains(&format!(">{}</text>", order[index])), "{bar}");
            assert!(
                bar.contains(&format!("width=\"{}\"", widths[index])),
                "{bar}"
            );
            assert!(bar.contains(&format!(">{}</text>", labels[index])), "{bar}");
        }
        assert_eq!(svg.matches("#c2410c").count(), 1, "one bar is ottla's");
    }

    #[test]
    fn what_the_sink_has_shown_is_not_in_the_chart() {
        let table = table(&[("ottla", cell(&[0.25]))]);
        let sink = WORKS
            .into_iter()
            .find(|work| work.against != Against::Broker);
        assert!(!svg(&[(sink.unwrap(), &table)]).contains("ottla"));
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
