//! The tables' CPU a record as bars, in SVG.

use std::fmt::Write as _;

use crate::results::Table;
use crate::works::Kind;

const LINE: usize = 16;
const TITLE: usize = 30;
const NAME_WIDTH: usize = 120;
const BAR_WIDTH: usize = 220;
const COLUMN_WIDTH: usize = NAME_WIDTH + BAR_WIDTH + 60;

/// What was produced to the left, what was consumed to the right; of each, less is better.
pub(crate) fn svg(tables: &[Table]) -> String {
    let mut columns = String::new();
    let mut height = 0;
    for (column, kind) in [Kind::Produce, Kind::Consume].into_iter().enumerate() {
        let (x, mut y) = (column * COLUMN_WIDTH, 0);
        for table in tables.iter().filter(|table| table.work.kind == kind) {
            y += group(&mut columns, table, x, y);
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
fn group(out: &mut String, table: &Table, x: usize, y: usize) -> usize {
    let medians = table.rows.iter().map(|(name, cell)| {
        let cpu = cell.median(|run| run.cpu);
        (name, cpu.map(|cpu| cpu.middle))
    });
    let mut rows: Vec<_> = medians.collect();
    let or_last = |cpu: Option<f64>| cpu.unwrap_or(f64::INFINITY);
    rows.sort_by(|(_, one), (_, other)| or_last(*one).total_cmp(&or_last(*other)));
    let greatest = rows.iter().filter_map(|(_, cpu)| *cpu).fold(0.0, f64::max);
    let (kind, size, codec) = (table.work.kind, table.work.size, table.work.codec);
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
        let colour = if name.starts_with("ottla") {
            "#c2410c"
        } else {
            "#94a3b8"
        };
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
