//! Derives the XML of a document from its JSON, by a map.

use super::{
    Unfit,
    map::{Form, Item, Kinds, Map, Members, Place, Seen},
};
use crate::transcode::{
    json::is_integer,
    time::without_fraction,
    tree::{Tree, Value},
    xml::{DECLARATION, push_text},
};

/// The XML of a document of JSON.
pub fn to_xml(map: &Map, json: &Tree<'_>, bytes: usize) -> Result<String, Unfit> {
    let mut out = String::with_capacity(bytes * 2 + 256);
    out.push_str(DECLARATION);
    let root = &json.nodes[0];
    let name = match root.value {
        Value::Array if root.end == 1 => {
            let name = map.root.empty_list.as_deref().ok_or(Unfit::Name)?;
            open_tag(&mut out, 0, name, " type=\"array\"/>\n");
            return Ok(out);
        }
        Value::Array => map.root.list(Kinds::of_items(json, 0)),
        Value::Object => map.root.object.as_deref(),
        _ => return Err(Unfit::Kind),
    };
    let name = name.ok_or(Unfit::Name)?;
    let mut writer = Writer { map, out, open: Vec::new() };
    let mut at = writer.value(name, json, 0, 0)?;
    loop {
        writer.close(at);
        let Some(level) = writer.open.last_mut() else { return Ok(writer.out) };
        let node = &json.nodes[at];
        let (name, place) = match &mut level.holds {
            Holds::Members(members, hint, seen) => {
                (&*node.name, members.find(&node.name, hint, seen).ok_or(Unfit::Name)?)
            }
            Holds::Items(item) => (&*item.name, item.place),
        };
        at = writer.value(name, json, at, place)?;
    }
}

/// The place of the one member of an object, which has this name.
fn only_member(json: &Tree<'_>, object: usize, name: &str) -> Result<usize, Unfit> {
    let member = object + 1;
    let is_alone =
        json.nodes[object].end > member && json.nodes[member].end == json.nodes[object].end;
    if is_alone && json.nodes[member].name == name { Ok(member) } else { Err(Unfit::Name) }
}

/// An element that is open.
struct Level<'l> {
    name: &'l str,
    end: usize,
    holds: Holds<'l>,
}

enum Holds<'l> {
    /// Members, which of them is likely to be next, and which there were.
    Members(&'l Members, usize, Seen),
    Items(&'l Item),
}

struct Writer<'l> {
    map: &'l Map,
    out: String,
    open: Vec<Level<'l>>,
}

impl<'l> Writer<'l> {
    /// Writes a value, or opens it, without what wraps it. Gives the place of the next.
    fn value(
        &mut self,
        name: &'l str,
        json: &Tree<'_>,
        mut at: usize,
        place: usize,
    ) -> Result<usize, Unfit> {
        let (map, depth, out) = (self.map, self.open.len(), &mut self.out);
        let mut place: &'l Place = &map.places[place];
        while let Some(wrapped) = &place.wrapped
            && json.nodes[at].value == Value::Object
        {
            at = only_member(json, at, &wrapped.name)?;
            place = &map.places[wrapped.place];
        }
        let node = &json.nodes[at];
        match &node.value {
            Value::Null => {
                let known = place.null.as_ref().ok_or(Unfit::Kind)?;
                begin(out, depth, name, known.kind.as_deref());
                out.push_str(" nil=\"true\"/>\n");
            }
            Value::Boolean(flag) => {
                let known = place.boolean.as_ref().ok_or(Unfit::Kind)?;
                let text = if *flag { "true" } else { "false" };
                scalar(out, depth, name, known.kind.as_deref(), |out| out.push_str(text));
            }
            Value::Number(text) => {
                let known = if is_integer(text) { &place.integer } else { &place.fraction };
                let kind = known.as_ref().ok_or(Unfit::Kind)?.kind.as_deref();
                scalar(out, depth, name, kind, |out| out.push_str(text));
            }
            Value::Text(text) => {
                let known = place.text.as_ref().ok_or(Unfit::Kind)?;
                let kind = known.kind.as_deref();
                if !known.admits(text) {
                    return Err(Unfit::Kind);
                }
                if known.form == Form::Same {
                    scalar(out, depth, name, kind, |out| push_text(out, text));
                } else {
                    let (whole, _) = without_fraction(text).ok_or(Unfit::Time)?;
                    scalar(out, depth, name, kind, |out| out.push_str(&whole));
                }
            }
            Value::Object => {
                let members = place.object.as_ref().ok_or(Unfit::Kind)?;
                open_tag(out, depth, name, ">\n");
                self.open.push(Level {
                    name,
                    end: node.end,
                    holds: Holds::Members(members, 0, Seen::default()),
                });
            }
            Value::Array => {
                let list = place.list.as_ref().ok_or(Unfit::Kind)?;
                if node.end == at + 1 {
                    open_tag(out, depth, name, " type=\"array\"/>\n");
                } else {
                    let item = list.item.as_ref().ok_or(Unfit::Name)?;
                    open_tag(out, depth, name, " type=\"array\">\n");
                    self.open.push(Level { name, end: node.end, holds: Holds::Items(item) });
                }
            }
        }
        Ok(at + 1)
    }

    /// Closes what ends here.
    fn close(&mut self, at: usize) {
        while self.open.last().is_some_and(|level| level.end == at) {
            let Some(level) = self.open.pop() else { return };
            indent(&mut self.out, self.open.len());
            self.out.push_str("</");
            self.out.push_str(level.name);
            self.out.push_str(">\n");
        }
    }
}

fn scalar(
    out: &mut String,
    depth: usize,
    name: &str,
    kind: Option<&str>,
    content: impl FnOnce(&mut String),
) {
    begin(out, depth, name, kind);
    out.push('>');
    content(out);
    out.push_str("</");
    out.push_str(name);
    out.push_str(">\n");
}

fn begin(out: &mut String, depth: usize, name: &str, kind: Option<&str>) {
    open_tag(out, depth, name, "");
    if let Some(kind) = kind {
        out.push_str(" type=\"");
        out.push_str(kind);
        out.push('"');
    }
}

fn open_tag(out: &mut String, depth: usize, name: &str, rest: &str) {
    indent(out, depth);
    out.push('<');
    out.push_str(name);
    out.push_str(rest);
}

fn indent(out: &mut String, depth: usize) {
    const SPACES: &str = "                                                                ";
    let mut left = depth * 2;
    while left > 0 {
        let now = left.min(SPACES.len());
        out.push_str(&SPACES[..now]);
        left -= now;
    }
}
