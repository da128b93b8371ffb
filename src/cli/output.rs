//! Answers: tables and sentences for people, one JSON document for programs.

use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use serde::Serialize;

use super::failure::Failure;

/// Where the answer goes, and for whom.
pub struct Output<'a> {
    writer: &'a mut dyn Write,
    json: bool,
}

/// A column of a table: its heading, and what stands in it.
pub type Column<T> = (&'static str, fn(&T) -> String);

impl<'a> Output<'a> {
    /// Writes to `writer`, JSON or text.
    pub fn new(writer: &'a mut dyn Write, json: bool) -> Self {
        Self { writer, json }
    }

    /// Whether programs read it.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// What has been done so far, for people alone.
    pub fn progress(&mut self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(text) }
    }

    /// What people should know besides the answer: on standard error, so that a script that takes the
    /// answer has nothing else. Programs have it in the document.
    pub fn aside(&self, text: &str) {
        if !self.json {
            // The answer has been given, and stands where nobody hears this.
            drop(writeln!(io::stderr(), "tollgate: {text}"));
        }
    }

    /// One result: a document, or lines for people.
    pub fn one<T: Serialize>(&mut self, value: &T, text: &str) -> Result<(), Failure> {
        if self.json { self.document(value) } else { self.line(text) }
    }

    /// A list: a document, or a table. An empty table is no table.
    pub fn list<T: Serialize>(
        &mut self,
        items: &[T],
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        if self.json {
            return self.document(&items);
        }
        if items.is_empty() {
            return Ok(());
        }
        let heading = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let rows = items.iter().map(|item| columns.iter().map(|(_, cell)| cell(item)).collect());
        let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
        self.table(&rows)
    }

    /// A document in a line of its own, for programs.
    pub fn document<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        serde_json::to_writer(&mut *self.writer, value)
            .map_err(io::Error::from)
            .map_err(Failure::Output)?;
        self.line("")
    }

    fn table(&mut self, rows: &[Vec<String>]) -> Result<(), Failure> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  "));
            self.line(cells.collect::<String>().trim_end())?;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.writer, "{text}").map_err(Failure::Output)
    }
}

/// A Unix time for people; a dash for none.
pub fn time(seconds: Option<i64>) -> String {
    let at = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    // The formatter ends with the year 9999.
    let at = at.filter(|seconds| *seconds < 253_402_300_800).map(Duration::from_secs);
    at.map_or_else(|| "-".to_owned(), |at| httpdate::fmt_http_date(UNIX_EPOCH + at))
}

/// A list for people; a dash for none.
pub fn joined(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}
