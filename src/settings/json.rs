//! Tables that come as JSON, and go as such.
//!
//! What stands where is told by JSON Pointers, which lead to the lines of a file where that was sent as
//! JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use toml::Value;

use super::{Entry, Item, Origin, Path, Problems, Table};

/// How much of a document is read.
pub struct Room {
    /// How many values, tables and lists included.
    pub values: usize,
    /// What is said of a document that has more.
    pub beyond: String,
}

/// How many bytes the keys have that lead to a value, at most: each problem tells them several times.
const LONGEST: usize = 512;

/// How much of a key is shown that is longer.
const SHOWN: usize = 24;

impl Table {
    /// Takes an object, to which a pointer leads, for a document. What cannot be written in TOML is a
    /// problem.
    pub fn from_json(
        object: Map<String, Json>,
        at: &str,
        room: &Room,
        problems: &mut Problems,
    ) -> Self {
        let path = Path::document(at);
        // Before anything is made of them: a value takes many times the bytes that it has in JSON.
        if object.values().map(count).sum::<usize>() > room.values {
            problems.add(Some(Origin::Pointer(path.pointer())), "", &room.beyond);
            return Self { path, origin: None, entries: BTreeMap::new() };
        }
        Self::from_object(path, object, problems)
    }

    fn from_object(path: Path, object: Map<String, Json>, problems: &mut Problems) -> Self {
        let mut table = Self { path, origin: None, entries: BTreeMap::new() };
        let longest = LONGEST.saturating_sub(table.path.length());
        for (name, value) in object {
            if name.len() > longest {
                let start: String = name.chars().take(SHOWN).collect();
                let why = format!(
                    "the key \"{}…\" is too long: the keys that lead to a value have {LONGEST} bytes \
                     at most",
                    start.escape_debug()
                );
                problems.add(Some(table.origin(None)), &table.path.name(), &why);
            } else if let Some(item) = table.item(&name, value, problems) {
                table.entries.insert(name, Entry { origin: None, item });
            }
        }
        table
    }

    fn item(&self, name: &str, value: Json, problems: &mut Problems) -> Option<Item> {
        match value {
            Json::Object(object) => {
                Some(Item::Table(Self::from_object(self.path.key(name), object, problems)))
            }
            Json::Array(list) if !list.is_empty() && list.iter().all(Json::is_object) => {
                let path = self.path.key(name);
                let tables = list.into_iter().enumerate().filter_map(|(place, value)| {
                    let Json::Object(object) = value else { return None };
                    Some(Self::from_object(path.place(place), object, problems))
                });
                Some(Item::Tables(tables.collect()))
            }
            other => {
                let value = to_toml(other);
                if value.is_none() {
                    let why = "expected a value, found null";
                    problems.add(Some(self.origin(Some(name))), &self.key(name), why);
                }
                value.map(Item::Value)
            }
        }
    }

    /// All that is still there as an object.
    pub fn to_object(&self) -> Map<String, Json> {
        self.to_toml().iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
    }

    /// Where a pointer leads, and the full name of that key; where nothing stands, the place of the table
    /// that lacks it.
    pub fn locate(&self, pointer: &str) -> (Origin, String) {
        let tokens = pointer.split('/').skip(1);
        let tokens: Vec<String> =
            tokens.map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
        self.find(&tokens)
    }

    fn find(&self, tokens: &[String]) -> (Origin, String) {
        let [name, below @ ..] = tokens else { return (self.origin(None), self.path.name()) };
        match (self.entries.get(name).map(|entry| &entry.item), below) {
            (Some(Item::Table(table)), _) => table.find(below),
            (Some(Item::Tables(tables)), [place, below @ ..]) => {
                let table = place.parse().ok().and_then(|place: usize| tables.get(place));
                table.map_or_else(|| self.here(name), |table| table.find(below))
            }
            (Some(Item::Tables(_) | Item::Value(_)) | None, _) => self.here(name),
        }
    }

    fn here(&self, key: &str) -> (Origin, String) {
        (self.origin(Some(key)), self.key(key))
    }
}

/// How many values one is.
fn count(value: &Json) -> usize {
    match value {
        Json::Array(list) => 1 + list.iter().map(count).sum::<usize>(),
        Json::Object(object) => 1 + object.values().map(count).sum::<usize>(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
    }
}

/// As JSON has it, where times are texts.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(list) => list.iter().map(to_json).collect(),
        Value::Table(table) => {
            table.iter().map(|(key, value)| (key.clone(), to_json(value))).collect()
        }
    }
}

/// None where there is a null in it.
fn to_toml(value: Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(truth) => truth.into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Json::String(text) => text.into(),
        Json::Array(list) => list.into_iter().map(to_toml).collect::<Option<Vec<_>>>()?.into(),
        Json::Object(object) => {
            let entries = object.into_iter().map(|(name, value)| Some((name, to_toml(value)?)));
            Value::Table(entries.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "[a.\"b/c~d\"]\nn = 1\nat = 2027-01-31T00:00:00Z\n[[t]]\nx = [1.5]\n[[t]]\n";

    fn read(value: Json) -> (Table, Vec<String>) {
        read_with(1000, value)
    }

    fn read_with(values: usize, value: Json) -> (Table, Vec<String>) {
        let Json::Object(object) = value else { panic!("{value}") };
        let mut problems = Problems::default();
        let room = Room { values, beyond: format!("more than {values}") };
        let table = Table::from_json(object, "/at", &room, &mut problems);
        (table, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_is_an_object_and_an_object_a_table() {
        let mut problems = Problems::default();
        let file = Table::parse(FILE, &mut problems);
        let object = Json::Object(file.to_object());
        let wanted = json!({
            "a": {"b/c~d": {"n": 1, "at": "2027-01-31T00:00:00Z"}}, "t": [{"x": [1.5]}, {}],
        });
        assert_eq!(object, wanted);
        let (table, problems) = read(object.clone());
        assert_eq!((Json::Object(table.to_object()), problems), (object, vec![]));
    }

    #[test]
    fn a_pointer_leads_to_the_line() {
        let mut problems = Problems::default();
        let mut file = Table::parse(FILE, &mut problems);
        for (pointer, line, key) in [
            ("/a/b~1c~0d/n", 2, "a.b/c~d.n"),
            ("/a/b~1c~0d/nothing", 1, "a.b/c~d.nothing"),
            ("/a/b~1c~0d", 1, "a.b/c~d"),
            ("/t/0/x/0", 5, "t.x"),
            ("/t/1", 6, "t"),
            ("/t/1/y", 6, "t.y"),
            ("/t/7", 4, "t"),
            ("", 1, ""),
        ] {
            assert_eq!(file.locate(pointer), (Origin::Line(line), key.to_owned()), "{pointer}");
        }
        // The same way back: what is complained of in JSON is found in the file.
        let (mut sent, _) = read(Json::Object(file.to_object()));
        let tables = [&mut sent, &mut file].map(|root| root.take_tables("t", &mut problems));
        let [sent, _] = tables.map(|tables| tables[1].origin(Some("y")));
        assert_eq!(sent, Origin::Pointer("/at/t/1/y".to_owned()));
    }

    #[test]
    fn what_toml_cannot_say_is_a_problem() {
        let (table, problems) = read(json!({"a": {"n": null, "l": [1, [null]]}, "big": u64::MAX}));
        let wanted =
            ["/at/a/l: expected a value, found null", "/at/a/n: expected a value, found null"];
        assert_eq!(problems, wanted);
        assert_eq!(Json::Object(table.to_object()), json!({"a": {}, "big": u64::MAX as f64}));
    }

    #[test]
    fn a_long_key_is_not_kept_for_each_of_what_it_has() {
        let below: Map<String, Json> = (0..1000).map(|n| (format!("a{n}"), json!(1))).collect();
        let named = Map::from_iter([("K".repeat(1 << 20), Json::Object(below))]);
        let (table, problems) = read_with(1 << 20, json!({"tenants": named}));
        assert_eq!(Json::Object(table.to_object()), json!({"tenants": {}}));
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        let wanted = "/at/tenants: the key \"KKKKKKKKKKKKKKKKKKKKKKKK…\" is too long: the keys that lead to \
                      a value have 512 bytes at most";
        assert_eq!(problem, wanted);
    }

    #[test]
    fn neither_are_many_keys_that_lead_there_together() {
        let deep = (0..100).fold(json!({"deepest": 1}), |below, _| json!({"k".repeat(100): below}));
        let (_, problems) = read(deep);
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert!(problem.len() < 1000 && problem.contains("is too long"), "{problem}");
    }

    #[test]
    fn a_document_has_so_many_values_and_no_more() {
        for (values, document) in [
            (4, json!({"t": [{}, {}], "u": 1})),
            (4, json!({"l": [1, [2]]})),
            (3, json!({"u": {"v": {"w": null}}})),
        ] {
            let (_, problems) = read_with(values, document.clone());
            assert!(problems.iter().all(|one| one.contains("null")), "{problems:?}");
            let (table, problems) = read_with(values - 1, document);
            assert_eq!(problems, [format!("/at: more than {}", values - 1)]);
            assert_eq!(Json::Object(table.to_object()), json!({}), "nothing more is said of it");
        }
        let begun = std::time::Instant::now();
        let many: Map<String, Json> = (0..2_000_000).map(|n| (format!("a{n}"), json!(1))).collect();
        let (_, problems) = read_with(1_000_000, json!({"tenants": many}));
        assert_eq!(problems, ["/at: more than 1000000"]);
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
