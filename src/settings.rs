//! The vocabulary of the configuration: typed values, sections, and every problem at once.
//!
//! Each part of the program declares its own section with [`section!`](crate::section); the
//! root in `config.rs` only composes them. A section reads itself out of a [`Table`] key by key,
//! so that one wrong value does not hide the next one. This file does no I/O and imports nothing
//! of ours.

use std::collections::BTreeMap;

use serde::Deserialize;

use self::{lines::Lines, path::Path};

pub use self::{
    json::{Room, to_json},
    problems::{Problem, Problems},
    values::parse_duration,
};

mod json;
mod lines;
mod path;
mod problems;
mod values;

/// Declares a configuration section: a struct whose every field has a default, a key and a
/// documented unit.
///
/// ```
/// tollgate::section! {
///     /// An example.
///     pub struct Example {
///         /// How long to wait.
///         pub patience: std::time::Duration = std::time::Duration::from_secs(5),
///     }
/// }
/// assert_eq!(Example::default().patience.as_secs(), 5);
/// ```
#[macro_export]
macro_rules! section {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident : $ty:ty = $default:expr,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::settings::Section for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field),)*];

            fn read(
                mut table: $crate::settings::Table,
                problems: &mut $crate::settings::Problems,
            ) -> Self {
                let defaults = Self::default();
                let section = Self {
                    $($field: table.take(stringify!($field), problems).unwrap_or(defaults.$field),)*
                };
                table.finish(Self::KEYS, problems);
                section
            }
        }
    };
}

/// A group of keys that reads itself and names every key it knows.
pub trait Section: Default {
    /// The keys, in the order of their declaration.
    const KEYS: &'static [&'static str];

    /// Reads the section; what is missing keeps its default, what is wrong becomes a problem.
    fn read(table: Table, problems: &mut Problems) -> Self;
}

/// A value that can stand behind a key.
pub trait Setting: Sized {
    /// Reads the value, or says in a few words what was expected.
    fn from_toml(value: &toml::Value) -> Result<Self, String>;

    /// Reads what was written as a table; few values are.
    fn from_table(_: toml::Table) -> Result<Self, String> {
        Err("expected a value, found a table".to_owned())
    }
}

/// A number of bytes; written as an integer or as `"64KiB"`, `"4MiB"`, `"1GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file, counted from one.
    Line(usize),
    /// An environment variable.
    Environment(String),
    /// A place in a JSON document, as a JSON Pointer (RFC 6901).
    Pointer(String),
}

/// One table of the document, with the place of every entry.
#[derive(Clone, Debug)]
pub struct Table {
    path: Path,
    /// None where the path says it, which is so in JSON.
    origin: Option<Origin>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// None where the path of the table says it, with the key.
    origin: Option<Origin>,
    item: Item,
}

#[derive(Clone, Debug)]
enum Item {
    Value(toml::Value),
    Table(Table),
    Tables(Vec<Table>),
}

impl ByteSize {
    /// As a `usize`, for lengths of what is held in memory.
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// So many KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

impl Table {
    /// Parses a whole document; what does not parse is one problem and an empty table.
    pub fn parse(text: &str, problems: &mut Problems) -> Self {
        let lines = Lines::new(text);
        let (document, errors) = toml::de::DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map(|s| lines.of(s.start));
            problems.add(at, "", error.message());
        }
        Self::from_document(Path::default(), document.into_inner(), Origin::Line(1), &lines)
    }

    /// Lays environment variables `PREFIX__SECTION__KEY` over the document.
    pub fn override_from(
        &mut self,
        prefix: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) {
        let start = format!("{prefix}__");
        for (name, text) in variables {
            if let Some(rest) = name.strip_prefix(&start) {
                let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
                self.put(&path, &name, &text);
            }
        }
    }

    /// Takes a value; none when it is absent or wrong, and the latter is a problem.
    pub fn take<T: Setting>(&mut self, key: &str, problems: &mut Problems) -> Option<T> {
        let Entry { origin, item } = self.entries.remove(key)?;
        let found = match &item {
            Item::Value(value) => T::from_toml(value),
            Item::Table(table) => T::from_table(table.to_toml()),
            Item::Tables(_) => Err("expected a value, found tables".to_owned()),
        };
        let complain = |message: String| {
            problems.add(Some(self.resolve(origin, key)), &self.key(key), &message);
        };
        found.map_err(complain).ok()
    }

    /// Takes a whole section by its name; absent, it is all defaults.
    pub fn take_section<S: Section>(&mut self, key: &str, problems: &mut Problems) -> S {
        self.take_table(key, problems).map_or_else(S::default, |table| S::read(table, problems))
    }

    /// Takes a nested table.
    pub fn take_table(&mut self, key: &str, problems: &mut Problems) -> Option<Table> {
        let Entry { origin, item } = self.entries.remove(key)?;
        match item {
            Item::Table(table) => Some(table),
            Item::Value(_) | Item::Tables(_) => {
                let message = format!("expected a table, written [{}]", self.key(key));
                problems.add(Some(self.resolve(origin, key)), &self.key(key), &message);
                None
            }
        }
    }

    /// Takes an array of tables, written `[[key]]`.
    pub fn take_tables(&mut self, key: &str, problems: &mut Problems) -> Vec<Table> {
        let Some(Entry { origin, item }) = self.entries.remove(key) else { return Vec::new() };
        match item {
            Item::Tables(tables) => tables,
            Item::Value(toml::Value::Array(list)) if list.is_empty() => Vec::new(),
            Item::Value(_) | Item::Table(_) => {
                let message = format!("expected tables, written [[{}]]", self.key(key));
                problems.add(Some(self.resolve(origin, key)), &self.key(key), &message);
                Vec::new()
            }
        }
    }

    /// The names that are still there, for tables whose keys are names that an operator chose.
    pub fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Where the table, or one of its entries that is still there, stands.
    pub fn origin(&self, key: Option<&str>) -> Origin {
        let entry = key.and_then(|k| self.entries.get(k));
        let origin = entry.map_or(&self.origin, |entry| &entry.origin);
        self.resolve(origin.clone(), key.unwrap_or_default())
    }

    /// The full name of a key of this table.
    pub fn key(&self, key: &str) -> String {
        let table = self.path.name();
        if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
    }

    /// Whatever is left was not asked for: each is a problem, with the nearest known key.
    pub fn finish(self, known: &[&str], problems: &mut Problems) {
        for name in self.entries.keys() {
            // Of millions of keys few are told, and those that are not are not compared either.
            if problems.are_full() {
                return;
            }
            let near = known
                .iter()
                .map(|k| (edit_distance(name, k), k))
                .filter(|(d, _)| *d <= 3)
                .min_by_key(|(d, _)| *d);
            let message = match near {
                Some((_, key)) => format!("unknown key; did you mean \"{key}\"?"),
                None if known.is_empty() => "unknown key".to_owned(),
                None => format!("unknown key; known here: {}", known.join(", ")),
            };
            problems.add(Some(self.origin(Some(name))), &self.key(name), &message);
        }
    }

    fn to_toml(&self) -> toml::Table {
        let value = |entry: &Entry| match &entry.item {
            Item::Value(value) => value.clone(),
            Item::Table(table) => toml::Value::Table(table.to_toml()),
            Item::Tables(tables) => {
                toml::Value::Array(tables.iter().map(|t| t.to_toml().into()).collect())
            }
        };
        self.entries.iter().map(|(name, entry)| (name.clone(), value(entry))).collect()
    }

    /// Where a key stands, or would stand; the table itself where the key is empty.
    fn resolve(&self, origin: Option<Origin>, key: &str) -> Origin {
        origin.unwrap_or_else(|| {
            let path = if key.is_empty() { self.path.clone() } else { self.path.key(key) };
            Origin::Pointer(path.pointer())
        })
    }

    fn from_document(
        path: Path,
        table: toml::de::DeTable<'_>,
        origin: Origin,
        lines: &Lines,
    ) -> Self {
        let mut entries = BTreeMap::new();
        for (name, value) in table {
            let at = lines.of(name.span().start);
            let name = name.into_inner().into_owned();
            let item = item(path.key(&name), value.into_inner(), &at, lines);
            entries.insert(name, Entry { origin: Some(at), item });
        }
        Self { path, origin: Some(origin), entries }
    }

    fn put(&mut self, path: &[String], variable: &str, text: &str) {
        let origin = Some(Origin::Environment(variable.to_owned()));
        let [key, rest @ ..] = path else { return };
        if rest.is_empty() {
            // What does not parse as a TOML value is meant as a string: nobody quotes in a shell.
            let value = format!("v = {text}")
                .parse::<toml::Table>()
                .ok()
                .and_then(|mut t| t.remove("v"))
                .unwrap_or_else(|| toml::Value::String(text.to_owned()));
            self.entries.insert(key.clone(), Entry { origin, item: Item::Value(value) });
            return;
        }
        let path = self.path.key(key);
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry {
            origin: origin.clone(),
            item: Item::Table(Table { path, origin, entries: BTreeMap::new() }),
        });
        if let Item::Table(table) = &mut entry.item {
            table.put(rest, variable, text);
        }
    }
}

fn item(path: Path, value: toml::de::DeValue<'_>, origin: &Origin, lines: &Lines) -> Item {
    use toml::de::DeValue;
    match value {
        DeValue::Table(table) => {
            Item::Table(Table::from_document(path, table, origin.clone(), lines))
        }
        DeValue::Array(list) if !list.is_empty() && list.iter().all(|v| v.get_ref().is_table()) => {
            let tables = list.into_iter().map(|v| {
                let at = lines.of(v.span().start);
                match v.into_inner() {
                    DeValue::Table(table) => Table::from_document(path.clone(), table, at, lines),
                    _ => Table { path: path.clone(), origin: Some(at), entries: BTreeMap::new() },
                }
            });
            Item::Tables(tables.collect())
        }
        other => {
            let spanned = serde_spanned(other);
            Item::Value(spanned.unwrap_or_else(toml::Value::String))
        }
    }
}

fn serde_spanned(value: toml::de::DeValue<'_>) -> Result<toml::Value, String> {
    let spanned = toml::Spanned::new(0..0, value);
    toml::Value::deserialize(toml::de::ValueDeserializer::from(spanned)).map_err(|e| e.to_string())
}

/// How many single-character edits lie between two keys; enough to guess a typing error.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares what is public")]
mod tests {
    use std::time::Duration;

    use super::*;

    section! {
        /// A section to read.
        pub struct Sample {
            /// A duration.
            pub wait: Duration = Duration::from_secs(5),
            /// A size.
            pub room: ByteSize = ByteSize::kib(4),
            /// A list.
            pub names: Vec<String> = Vec::new(),
        }
    }

    fn read(text: &str, variables: &[(&str, &str)]) -> (Sample, Vec<String>) {
        let mut problems = Problems::default();
        let mut root = Table::parse(text, &mut problems);
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        root.override_from("T", variables);
        let sample = root.take_section("sample", &mut problems);
        root.finish(&["sample"], &mut problems);
        (sample, problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn what_is_absent_keeps_its_default() {
        assert_eq!(read("", &[]), (Sample::default(), vec![]));
    }

    #[test]
    fn every_problem_is_reported_with_its_line_and_key() {
        let (_, problems) = read("[sample]\nwait = 5\nroom = \"x\"\nwiat = 1\n[other]\n", &[]);
        let text = problems.join("\n");
        assert_eq!(problems.len(), 4, "{text}");
        assert!(text.contains("line 2: sample.wait: expected a duration"), "{text}");
        assert!(text.contains("line 3: sample.room: expected a size"), "{text}");
        assert!(
            text.contains("line 4: sample.wiat: unknown key; did you mean \"wait\"?"),
            "{text}"
        );
        assert!(text.contains("line 5: other: unknown key"), "{text}");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let (sample, problems) = read(
            "[sample]\nwait = \"1s\"\n",
            &[("T__SAMPLE__WAIT", "2m"), ("T__SAMPLE__NAMES", "[\"a\"]"), ("U__SAMPLE__ROOM", "1")],
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(sample.wait, Duration::from_secs(120));
        assert_eq!(sample.names, ["a"]);
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let (_, problems) = read("", &[("T__SAMPLE__WAIT", "soon")]);
        assert!(problems[0].starts_with("environment variable T__SAMPLE__WAIT: sample.wait"));
    }

    #[test]
    fn the_lines_of_a_long_file_are_found_in_no_time() {
        let text: String = (0..50_000).map(|n| format!("[[t]]\nname = \"n{n}\"\n")).collect();
        let begun = std::time::Instant::now();
        let table = Table::parse(&text, &mut Problems::default());
        assert_eq!(table.locate("/t/49999/name").0, Origin::Line(100_000));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
