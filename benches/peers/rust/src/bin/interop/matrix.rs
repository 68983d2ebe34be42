//! Who has read what of whom.

use std::collections::BTreeMap;
use std::fmt;

use ottla_peers::Codec;

/// What became of a writer's cases of one codec at one reader.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(crate) good: usize,
    /// Each case that was not read as it was written, and why.
    pub(crate) bad: Vec<String>,
}

impl Cell {
    pub(crate) fn failed(why: String) -> Self {
        Self {
            good: 0,
            bad: vec![why],
        }
    }

    /// Nothing read is not good.
    fn is_good(&self) -> bool {
        self.bad.is_empty() && self.good > 0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Matrix {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    writer: &'static str,
    reader: &'static str,
    concerns_us: bool,
    cells: BTreeMap<Codec, Cell>,
}

impl Matrix {
    pub(crate) fn add(
        &mut self,
        writer: &'static str,
        reader: &'static str,
        codec: Codec,
        concerns_us: bool,
        cell: Cell,
    ) {
        let is_good = if cell.is_good() { "ok" } else { "FAILED" };
        eprintln!(
            "{writer} -> {reader}, {}: {} {is_good}",
            codec.name(),
            cell.good
        );
        let is_row = |row: &&mut Row| row.writer == writer && row.reader == reader;
        let cells = match self.rows.iter_mut().find(is_row) {
            Some(row) => &mut row.cells,
            None => {
                let cells = BTreeMap::new();
                self.rows.push(Row {
                    writer,
                    reader,
                    concerns_us,
                    cells,
                });
                &mut self.rows.last_mut().expect("just pushed").cells
            }
        };
        cells.insert(codec, cell);
    }

    /// Whether ottla and every other client read all of each other, with every codec.
    pub(crate) fn is_good(&self) -> bool {
        let mut ours = self.rows.iter().filter(|row| row.concerns_us).peekable();
        ours.peek().is_some()
            && ours.all(|row| {
                let is_good = |codec| row.cells.get(&codec).is_some_and(Cell::is_good);
                Codec::ALL.into_iter().all(is_good)
            })
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:16}{:16}", "writer", "reader")?;
        for codec in Codec::ALL {
            write!(f, "{:>10}", codec.name())?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{:16}{:16}", row.writer, row.reader)?;
            for codec in Codec::ALL {
                let shown = match row.cells.get(&codec) {
                    None => "not run".to_owned(),
                    Some(cell) => format!("{}/{}", cell.good, cell.good + cell.bad.len()),
                };
                write!(f, "{shown:>10}")?;
            }
            writeln!(f)?;
        }
        for row in &self.rows {
            for (codec, cell) in &row.cells {
                for bad in &cell.bad {
                    writeln!(
                        f,
                        "{} -> {}, {}, {bad}",
                        row.writer,
                        row.reader,
                        codec.name()
                    )?;
                }
            }
        }
        Ok(())
    }
}
