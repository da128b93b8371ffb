//! Tables that come as JSON, and go as such.
//!
//! What stands where is told by JSON Pointers, which lead to the lines of a file where that was sent as
//! JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use toml::Value;

use super::{Entry, Item, Origin, Problems, Table};

impl Table {
    /// Takes an object, to which a pointer leads, for a document. What cannot be written in TOML is a
    /// problem.
    pub fn from_json(object: Map<String, Json>, at: &str, problems: &mut Problems) -> Self {
        Self::from_object(String::new(), Origin::Pointer(at.to_owned()), object, problems)
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

    fn from_object(
        path: String,
        origin: Origin,
        object: Map<String, Json>,
        problems: &mut Problems,
    ) -> Self {
        let mut table = Self { path, origin, entries: BTreeMap::new() };
        for (name, value) in object {
            let (full, origin) = (table.key(&name), table.origin.lacking(Some(&name)));
            if let Some(item) = item(full, &origin, value, problems) {
                table.entries.insert(name, Entry { origin, item });
            }
        }
        table
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

fn item(full: String, origin: &Origin, value: Json, problems: &mut Problems) -> Option<Item> {
    match value {
        Json::Object(object) => {
            Some(Item::Table(Table::from_object(full, origin.clone(), object, problems)))
        }
        Json::Array(list) if !list.is_empty() && list.iter().all(Json::is_object) => {
            let mut tables = Vec::new();
            for (place, value) in list.into_iter().enumerate() {
                let Json::Object(object) = value else { continue };
                let origin = origin.lacking(Some(&place.to_string()));
                tables.push(Table::from_object(full.clone(), origin, object, problems));
            }
            Some(Item::Tables(tables))
        }
        other => {
            let value = to_toml(other);
            if value.is_none() {
                problems.add(Some(origin.clone()), &full, "expected a value, found null");
            }
            value.map(Item::Value)
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
}
