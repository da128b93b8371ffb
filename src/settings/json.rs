//! Tables that come as JSON, and go as such.
//!
//! What stands where is told by JSON Pointers, which lead to the lines of a file where that was sent as
//! JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use toml::Value;

use super::{Entry, Item, Origin, Problems, Table};

/// Reads objects as tables, while there is room for more.
struct Reader<'p> {
    room: usize,
    problems: &'p mut Problems,
}

/// Twice as many as a declaration of 100,000 tokens with policies. A table takes many times the two
/// bytes that an empty one has in JSON.
const MOST_TABLES: usize = 400_000;

impl Table {
    /// Takes an object, to which a pointer leads, for a document. What cannot be written in TOML is a
    /// problem.
    pub fn from_json(object: Map<String, Json>, at: &str, problems: &mut Problems) -> Self {
        let mut reader = Reader { room: MOST_TABLES, problems };
        reader.table(String::new(), Origin::Pointer(at.to_owned()), object)
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
        let [name, below @ ..] = tokens else { return (self.origin.clone(), self.path.clone()) };
        let Some(Entry { origin, item }) = self.entries.get(name) else {
            return (self.origin.clone(), self.key(name));
        };
        match (item, below) {
            (Item::Table(table), _) => table.find(below),
            (Item::Tables(tables), [place, below @ ..]) => {
                let table = place.parse().ok().and_then(|place: usize| tables.get(place));
                table.map_or_else(|| (origin.clone(), self.key(name)), |table| table.find(below))
            }
            (Item::Tables(_) | Item::Value(_), _) => (origin.clone(), self.key(name)),
        }
    }
}

impl Reader<'_> {
    fn table(&mut self, path: String, origin: Origin, object: Map<String, Json>) -> Table {
        let mut table = Table { path, origin, entries: BTreeMap::new() };
        for (name, value) in object {
            let (full, origin) = (table.key(&name), table.origin.lacking(Some(&name)));
            if let Some(item) = self.item(full, &origin, value) {
                table.entries.insert(name, Entry { origin, item });
            }
        }
        table
    }

    fn item(&mut self, full: String, origin: &Origin, value: Json) -> Option<Item> {
        match value {
            Json::Object(object) => {
                self.take_room(1, &full, origin)?;
                Some(Item::Table(self.table(full, origin.clone(), object)))
            }
            Json::Array(list) if !list.is_empty() && list.iter().all(Json::is_object) => {
                self.take_room(list.len(), &full, origin)?;
                let mut tables = Vec::new();
                for (place, value) in list.into_iter().enumerate() {
                    let Json::Object(object) = value else { continue };
                    let origin = origin.lacking(Some(&place.to_string()));
                    tables.push(self.table(full.clone(), origin, object));
                }
                Some(Item::Tables(tables))
            }
            other => {
                let value = to_toml(other);
                if value.is_none() {
                    let why = "expected a value, found null";
                    self.problems.add(Some(origin.clone()), &full, why);
                }
                value.map(Item::Value)
            }
        }
    }

    fn take_room(&mut self, tables: usize, full: &str, origin: &Origin) -> Option<()> {
        let left = self.room.checked_sub(tables);
        if left.is_none() {
            let why = format!("the document has more than {MOST_TABLES} tables");
            self.problems.add(Some(origin.clone()), full, &why);
        }
        self.room = left?;
        Some(())
    }
}

impl Origin {
    /// Where a key would stand that is not there.
    pub(super) fn lacking(&self, key: Option<&str>) -> Self {
        match (self, key) {
            (Self::Pointer(table), Some(key)) if !key.is_empty() => {
                let token = key.replace('~', "~0").replace('/', "~1");
                Self::Pointer(format!("{table}/{token}"))
            }
            (Self::Pointer(_) | Self::Line(_) | Self::Environment(_), _) => self.clone(),
        }
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
        let Json::Object(object) = value else { panic!("{value}") };
        let mut problems = Problems::default();
        let table = Table::from_json(object, "", &mut problems);
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
        assert_eq!(sent, Origin::Pointer("/t/1/y".to_owned()));
    }

    #[test]
    fn what_toml_cannot_say_is_a_problem() {
        let (table, problems) = read(json!({"a": {"n": null, "l": [1, [null]]}, "big": u64::MAX}));
        let wanted = ["/a/l: expected a value, found null", "/a/n: expected a value, found null"];
        assert_eq!(problems, wanted);
        assert_eq!(Json::Object(table.to_object()), json!({"a": {}, "big": u64::MAX as f64}));
    }

    #[test]
    fn a_document_has_so_many_tables_and_no_more() {
        let tables = |n: usize| json!({"t": vec![json!({}); n], "u": {"v": 1}});
        assert_eq!(read(tables(MOST_TABLES - 1)).1, Vec::<String>::new());
        let wanted = format!("/u: the document has more than {MOST_TABLES} tables");
        assert_eq!(read(tables(MOST_TABLES)).1, [wanted]);
    }
}
