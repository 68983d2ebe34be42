//! What is listed and described, on stdout: aligned tables for people, lines of JSON for machines.

use std::fmt;
use std::io::{self, Write};

use comfy_table::CellAlignment;
use comfy_table::presets::NOTHING;
use serde_json::Value;
use snafu::ResultExt;

use crate::failure::{Result, StdoutSnafu};

/// Rows under a header, in columns that two blanks separate.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// A table without rows. A column whose name begins with `>` is aligned to the right.
    pub(crate) fn new<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Self {
        let mut table = comfy_table::Table::new();
        let names = header.map(|name| name.trim_start_matches('>'));
        table.load_style(NOTHING).set_header(names);
        for (column, name) in table.column_iter_mut().zip(header) {
            column.set_padding((0, 2));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self(table)
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.0.add_row(cells.into_iter().map(Into::into));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A value as one line.
pub(crate) fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// Writes to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context(StdoutSnafu)
}
