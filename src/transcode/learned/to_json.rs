//! Derives the JSON of a document from its XML, by a map.

use super::{
    Unfit,
    map::{Form, Item, Map, Members, Place, Scalar, Seen, Text},
};
use crate::transcode::{
    json::{is_integer, is_number, push_string},
    time::with_fraction,
    tree::{Node, Tree, Value},
};

/// The JSON of a document of XML; `bytes` is about how long it will be.
pub fn to_json(map: &Map, xml: &Tree<'_>, bytes: usize) -> Result<String, Unfit> {
    let mut writer = Writer { map, out: String::with_capacity(bytes), open: Vec::new() };
    let root = &xml.nodes[0];
    let names = &map.root;
    let known = match (&root.value, root.end) {
        (Value::Array, 1) if names.empty_list.as_deref() == Some(&*root.name) => {
            return Ok("[]".to_owned());
        }
        (Value::Array, 2..) if names.lists.iter().any(|list| *list.name == *root.name) => true,
        _ => names.object.as_deref() == Some(&*root.name),
    };
    if !known {
        return Err(Unfit::Name);
    }
    writer.value(root, 0, 0)?;
    let mut at = 1;
    while let Some(place) = writer.name(&xml.nodes, at)? {
        writer.value(&xml.nodes[at], at, place)?;
        at += 1;
    }
    Ok(writer.out)
}

/// A container that is open.
struct Level<'l> {
    end: usize,
    holds: Holds<'l>,
    /// It has something already.
    begun: bool,
    /// So many wrappers are closed with it.
    wrappers: usize,
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
    /// Closes what ends before a node, and writes what stands before its value. Gives its place;
    /// nothing at the end of the document.
    fn name(&mut self, nodes: &[Node<'_>], at: usize) -> Result<Option<usize>, Unfit> {
        self.close(at);
        let Some(level) = self.open.last_mut() else { return Ok(None) };
        let node = &nodes[at];
        if std::mem::replace(&mut level.begun, true) {
            self.out.push(',');
        }
        match &mut level.holds {
            Holds::Members(members, hint, seen) => {
                let place = members.find(&node.name, hint, seen).ok_or(Unfit::Name)?;
                push_string(&mut self.out, &node.name);
                self.out.push(':');
                Ok(Some(place))
            }
            Holds::Items(item) if *item.name == *node.name => Ok(Some(item.place)),
            Holds::Items(_) => Err(Unfit::Name),
        }
    }

    fn wrap(&mut self, name: &str) {
        self.out.push('{');
        push_string(&mut self.out, name);
        self.out.push(':');
    }

    /// Writes a value with what wraps it, or opens it.
    fn value(&mut self, node: &Node<'_>, at: usize, place: usize) -> Result<(), Unfit> {
        let map = self.map;
        let mut place: &'l Place = &map.places[place];
        let mut wrappers = 0;
        while let Some(wrapped) = &place.wrapped
            && is_container(node, place)
        {
            self.wrap(&wrapped.name);
            place = &map.places[wrapped.place];
            wrappers += 1;
        }
        let depth = self.open.len();
        self.plain(node, at, place)?;
        match self.open.get_mut(depth) {
            // What was opened is closed together with them.
            Some(level) => level.wrappers = wrappers,
            None => self.out.extend(std::iter::repeat_n('}', wrappers)),
        }
        Ok(())
    }

    fn plain(&mut self, node: &Node<'_>, at: usize, place: &'l Place) -> Result<(), Unfit> {
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
                self.begin(
                    node.end,
                    Holds::Members(members.ok_or(Unfit::Kind)?, 0, Seen::default()),
                );
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
        let is_empty_object = place.object.is_some() && kind.is_none() && is_blank(text);
        match (known, is_word || is_number, is_empty_object) {
            // Rails writes an object without members so, too, though none was seen yet.
            (Some(_), false, false) if kind.is_none() && is_blank(text) => Err(Unfit::Ambiguous),
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
        if known.form == Form::Same && !known.admits(text) {
            return Err(Unfit::Kind);
        }
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
        self.open.push(Level { end, holds, begun: false, wrappers: 0 });
    }

    /// Closes what ends before a node.
    fn close(&mut self, at: usize) {
        while self.open.last().is_some_and(|level| level.end == at) {
            let Some(level) = self.open.pop() else { return };
            self.out.push(if matches!(level.holds, Holds::Items(_)) { ']' } else { '}' });
            self.out.extend(std::iter::repeat_n('}', level.wrappers));
        }
    }
}

fn is_of(known: &Option<Scalar>, kind: Option<&str>) -> bool {
    known.as_ref().is_some_and(|known| known.is_of(kind))
}

/// Whether an element is one of those that have a wrapper: no scalar of its place.
fn is_container(node: &Node<'_>, place: &Place) -> bool {
    match &node.value {
        Value::Object | Value::Array => true,
        Value::Text(text) => {
            let scalar = place.text.as_ref().is_some_and(|known| known.is_of(node.kind));
            node.kind.is_none() && is_blank(text) && !scalar
        }
        Value::Null | Value::Boolean(_) | Value::Number(_) => false,
    }
}

/// Whether a text is what stands within an object without members.
fn is_blank(text: &str) -> bool {
    text.strip_prefix('\n').is_some_and(|rest| rest.bytes().all(|byte| byte == b' '))
}
