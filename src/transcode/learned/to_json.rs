//! Derives the JSON of a document from its XML, by a map.

use super::{
    Unfit,
    map::{Form, Item, Map, Members, Place, Scalar, Text},
};
use crate::transcode::{
    json::{is_integer, is_number, push_string},
    time::with_fraction,
    tree::{Node, Tree, Value},
};

/// The JSON of a document of XML; `bytes` is about how long it will be.
pub fn to_json(map: &Map, xml: &Tree<'_>, bytes: usize) -> Result<String, Unfit> {
    let mut writer = Writer { map, out: String::with_capacity(bytes), open: Vec::new() };
    let Some(wrapped) = writer.root(&xml.nodes[0])? else { return Ok(writer.out) };
    writer.value(&xml.nodes[0], 0, 0)?;
    let mut at = 1;
    while let Some((place, wrapper)) = writer.name(&xml.nodes, at)? {
        let depth = writer.open.len();
        writer.value(&xml.nodes[at], at, place)?;
        if wrapper {
            // What was opened is closed together with it.
            match writer.open.get_mut(depth) {
                Some(level) => level.wrapped = true,
                None => writer.out.push('}'),
            }
        }
        at += 1;
    }
    if wrapped {
        writer.out.push('}');
    }
    Ok(writer.out)
}

/// A container that is open.
struct Level<'l> {
    end: usize,
    holds: Holds<'l>,
    /// It has something already.
    begun: bool,
    /// It is the one member of an object.
    wrapped: bool,
}

enum Holds<'l> {
    /// Members, and which of them is likely to be next.
    Members(&'l Members, usize),
    Items(&'l Item),
}

struct Writer<'l> {
    map: &'l Map,
    out: String,
    open: Vec<Level<'l>>,
}

impl<'l> Writer<'l> {
    /// Begins the document; says whether its root is wrapped, and nothing if that is all of it.
    fn root(&mut self, root: &Node<'_>) -> Result<Option<bool>, Unfit> {
        let is = |name: &Option<Box<str>>| name.as_deref() == Some(&*root.name);
        if root.value == Value::Array {
            let names = &self.map.root;
            if root.end == 1 && is(&names.empty_list) {
                self.out.push_str("[]");
                return Ok(None);
            }
            if root.end > 1 && is(&names.list) {
                return Ok(Some(false));
            }
        }
        let known = self.map.root.object.as_ref().filter(|known| *known.name == *root.name);
        let known = known.ok_or(Unfit::Name)?;
        if known.wrapped {
            self.wrap(&known.name);
        }
        Ok(Some(known.wrapped))
    }

    /// Closes what ends before a node, and writes what stands before its value. Gives its place, and
    /// whether it is wrapped; nothing at the end of the document.
    fn name(&mut self, nodes: &[Node<'_>], at: usize) -> Result<Option<(usize, bool)>, Unfit> {
        self.close(at);
        let Some(level) = self.open.last_mut() else { return Ok(None) };
        let node = &nodes[at];
        if std::mem::replace(&mut level.begun, true) {
            self.out.push(',');
        }
        match &mut level.holds {
            Holds::Members(members, hint) => {
                let place = members.find(&node.name, hint).ok_or(Unfit::Name)?;
                push_string(&mut self.out, &node.name);
                self.out.push(':');
                Ok(Some((place, false)))
            }
            Holds::Items(item) if *item.name == *node.name => {
                let item: &'l Item = item;
                if let Some(wrapper) = &item.wrapper {
                    self.wrap(wrapper);
                }
                Ok(Some((item.place, item.wrapper.is_some())))
            }
            Holds::Items(_) => Err(Unfit::Name),
        }
    }

    fn wrap(&mut self, name: &str) {
        self.out.push('{');
        push_string(&mut self.out, name);
        self.out.push(':');
    }

    /// Writes a value, or opens it.
    fn value(&mut self, node: &Node<'_>, at: usize, place: usize) -> Result<(), Unfit> {
        let map = self.map;
        let place: &'l Place = &map.places[place];
        match &node.value {
            Value::Null if is_of(&place.null, node.kind) => self.out.push_str("null"),
            Value::Array => {
                let list = place.list.as_ref().ok_or(Unfit::Kind)?;
                self.out.push('[');
                if node.end == at + 1 {
                    self.out.push(']');
                } else {
                    let item = list.item.as_ref().ok_or(Unfit::Name)?;
                    self.begin(node.end, Holds::Items(item));
                }
            }
            Value::Object => {
                let members = place.object.as_ref().filter(|_| node.kind.is_none());
                self.out.push('{');
                self.begin(node.end, Holds::Members(members.ok_or(Unfit::Kind)?, 0));
            }
            Value::Text(text) => return self.text(place, node.kind, text),
            Value::Null | Value::Boolean(_) | Value::Number(_) => return Err(Unfit::Kind),
        }
        Ok(())
    }

    /// Writes what a text stands for, if it can be one thing alone.
    fn text(&mut self, place: &Place, kind: Option<&str>, text: &str) -> Result<(), Unfit> {
        let known = place.text.as_ref().filter(|known| known.is_of(kind));
        let is_word = is_of(&place.boolean, kind) && matches!(text, "true" | "false");
        let numbers = if is_integer(text) { &place.integer } else { &place.fraction };
        let is_number = is_of(numbers, kind) && is_number(text);
        let is_empty_object = place.object.is_some()
            && kind.is_none()
            && text.starts_with('\n')
            && text[1..].bytes().all(|byte| byte == b' ');
        match (known, is_word || is_number, is_empty_object) {
            (Some(known), false, false) => self.characters(known, text),
            (None, true, false) => {
                self.out.push_str(text);
                Ok(())
            }
            (None, false, true) => {
                self.out.push_str("{}");
                Ok(())
            }
            (None, false, false) => Err(Unfit::Kind),
            _ => Err(Unfit::Ambiguous),
        }
    }

    fn characters(&mut self, known: &Text, text: &str) -> Result<(), Unfit> {
        match known.form {
            // It stands for every character that XML does not have.
            Form::Same if text.contains('\u{fffd}') => return Err(Unfit::Ambiguous),
            Form::Same => push_string(&mut self.out, text),
            Form::WholeSeconds { digits } => {
                push_string(&mut self.out, &with_fraction(text, digits).ok_or(Unfit::Time)?);
            }
            Form::Fractions => return Err(Unfit::Ambiguous),
        }
        Ok(())
    }

    fn begin(&mut self, end: usize, holds: Holds<'l>) {
        self.open.push(Level { end, holds, begun: false, wrapped: false });
    }

    /// Closes what ends before a node.
    fn close(&mut self, at: usize) {
        while self.open.last().is_some_and(|level| level.end == at) {
            let Some(level) = self.open.pop() else { return };
            self.out.push(if matches!(level.holds, Holds::Items(_)) { ']' } else { '}' });
            if level.wrapped {
                self.out.push('}');
            }
        }
    }
}

fn is_of(known: &Option<Scalar>, kind: Option<&str>) -> bool {
    known.as_ref().is_some_and(|known| known.is_of(kind))
}
