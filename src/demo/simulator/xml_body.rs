//! A request body in XML as Rails reads it: elements become names, `type` says of what kind.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use super::params::Malformed;
use super::target::to_i;

/// How deep elements may nest, as in Rails.
const DEPTH: usize = 100;

/// An element that is still open.
struct Open {
    name: String,
    kind: Option<String>,
    text: String,
    children: Vec<(String, Value)>,
}

/// The document as an object with one key, its root.
pub(crate) fn read(body: &[u8]) -> Result<Value, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().map_err(|_| Malformed)? {
            Event::Start(tag) if open.len() < DEPTH && root.is_none() => {
                open.push(Open::new(&tag)?);
            }
            Event::Empty(tag) if root.is_none() => {
                close(Open::new(&tag)?, &mut open, &mut root)?;
            }
            Event::End(_) => {
                let element = open.pop().ok_or(Malformed)?;
                close(element, &mut open, &mut root)?;
            }
            Event::Text(piece) => add_text(&mut open, &piece.xml10_content())?,
            Event::CData(piece) => add_text(&mut open, &piece.xml10_content())?,
            Event::GeneralRef(name) => {
                let character = match name.resolve_char_ref().map_err(|_| Malformed)? {
                    Some(character) => character.to_string(),
                    None => entity(&name.into_inner())?.to_owned(),
                };
                add_text(&mut open, &character)?;
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Start(_) | Event::Empty(_) | Event::DocType(_) => return Err(Malformed),
            Event::Eof => break,
        }
    }
    let (name, value) = root.filter(|_| open.is_empty()).ok_or(Malformed)?;
    Ok(Value::Object(Map::from_iter([(name, value)])))
}

impl Open {
    fn new(tag: &BytesStart<'_>) -> Result<Self, Malformed> {
        let kind = tag.try_get_attribute("type").map_err(|_| Malformed)?;
        let kind = kind.map(|k| k.value.into_owned());
        if matches!(kind.as_deref(), Some("symbol" | "yaml")) {
            return Err(Malformed);
        }
        let name = tag.name().as_ref().replace('-', "_");
        Ok(Self { name, kind, text: String::new(), children: Vec::new() })
    }

    fn value(self) -> Value {
        if self.kind.as_deref() == Some("array") {
            return Value::Array(self.items());
        }
        if self.children.is_empty() {
            return self.scalar();
        }
        let mut fields = Map::new();
        for (name, value) in self.children {
            match fields.get_mut(&name) {
                None => {
                    fields.insert(name, value);
                }
                Some(Value::Array(items)) => items.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        Value::Object(fields)
    }

    /// The children that are named as the first one is.
    fn items(self) -> Vec<Value> {
        let first = self.children.first().map(|(name, _)| name.clone()).unwrap_or_default();
        self.children.into_iter().filter(|(name, _)| *name == first).map(|(_, v)| v).collect()
    }

    fn scalar(self) -> Value {
        let text = self.text;
        match self.kind.as_deref() {
            Some("string") => Value::String(text),
            _ if text.is_empty() => Value::Null,
            Some("integer") => Value::from(to_i(&text)),
            Some("float" | "decimal") => Value::from(text.trim().parse::<f64>().unwrap_or(0.0)),
            Some("boolean") => Value::Bool(matches!(text.trim(), "1" | "true")),
            _ => Value::String(text),
        }
    }
}

fn close(
    element: Open,
    open: &mut [Open],
    root: &mut Option<(String, Value)>,
) -> Result<(), Malformed> {
    let closed = (element.name.clone(), element.value());
    match open.last_mut() {
        Some(parent) => parent.children.push(closed),
        None if root.is_none() => *root = Some(closed),
        None => return Err(Malformed),
    }
    Ok(())
}

fn add_text(open: &mut [Open], text: &str) -> Result<(), Malformed> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(Malformed),
    }
    Ok(())
}

fn entity(name: &str) -> Result<&'static str, Malformed> {
    match name {
        "amp" => Ok("&"),
        "lt" => Ok("<"),
        "gt" => Ok(">"),
        "quot" => Ok("\""),
        "apos" => Ok("'"),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_typed_as_in_rails() {
        let body = b"<?xml version=\"1.0\"?><a><b-c type='integer'>12x</b-c><d/><e></e>\
            <f type='string'></f><g> </g><h type='boolean'>true</h>\
            <i type='array'><i>1</i><i>2</i></i><j><k>1</k></j><j><k>&lt;&#50;</k></j>\
            <l type='float'>1.5</l><m type='array'/></a>";
        let expected = r#"{"a":{"b_c":12,"d":null,"e":null,"f":"","g":" ","h":true,"i":["1","2"],"j":[{"k":"1"},{"k":"<2"}],"l":1.5,"m":[]}}"#;
        assert_eq!(read(body).expect("a document").to_string(), expected);
    }

    #[test]
    fn what_rails_refuses_is_refused() {
        let deep = "<a>".repeat(DEPTH + 1) + &"</a>".repeat(DEPTH + 1);
        for body in
            ["", "<a>", "<a></b>", "<a/><b/>", "<a type='yaml'>x</a>", "<a>&x;</a>", "x", &deep]
        {
            assert_eq!(read(body.as_bytes()).err(), Some(Malformed), "{body:.40}");
        }
    }
}
