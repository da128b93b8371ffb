//! What the resources at the root of a reply say about themselves.
//!
//! What is nested in a resource has an `id` of its own, so only its direct members count. What is
//! not understood to the end gives none, never a part: unknown is not "no resource".

use std::{fmt, mem};

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::vocabulary::Format;

/// A resource at the root of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its number.
    pub id: Box<str>,
    /// Its other name in paths, if it has one.
    pub identifier: Option<Box<str>>,
    /// A transaction holds it.
    pub locked: bool,
}

/// The members of a resource that are read.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Id,
    Identifier,
    Locked,
    #[serde(other)]
    Other,
}

/// What has been read of a resource. Of members that are there twice the last one counts.
#[derive(Default)]
struct Members {
    id: Option<Box<str>>,
    identifier: Option<Box<str>>,
    locked: bool,
}

/// A JSON document: a resource, or a list of them.
struct Reply<'r> {
    root: &'r str,
    most: usize,
}

/// A JSON object with one member, a resource, under this name.
struct Wrapped<'r>(&'r str);

/// The JSON object that is a resource.
struct Inner;

/// How far an XML document has been read.
struct Document<'r> {
    root: &'r str,
    most: usize,
    /// How many elements are open.
    depth: usize,
    /// The depth within a resource: one when it is the root, two in a list; none before the root.
    inside: Option<usize>,
    resources: Vec<Resource>,
    members: Members,
    /// The member that is open, and its text, as long as it has nothing but text.
    open: Option<(Member, Option<String>)>,
}

/// The length of an identifier.
const IDENTIFIER: usize = 14;

/// The resources that a body shows under this name (`virtual_machine`), as its root or as the
/// members of the list that is its root; none when the body is neither, or has more than `most`.
///
/// A resource without a number makes the whole unknown.
pub fn resources(format: Format, root: &str, body: &[u8], most: usize) -> Option<Vec<Resource>> {
    let text = std::str::from_utf8(body).ok()?;
    match format {
        Format::Json => {
            let mut json = serde_json::Deserializer::from_str(text);
            let resources = Reply { root, most }.deserialize(&mut json).ok()?;
            json.end().ok().map(|()| resources)
        }
        Format::Xml => Document::new(root, most).read(text),
    }
}

impl Member {
    fn named(name: &str) -> Self {
        match name {
            "id" => Self::Id,
            "identifier" => Self::Identifier,
            "locked" => Self::Locked,
            _ => Self::Other,
        }
    }
}

impl Members {
    fn set(&mut self, member: Member, text: &str) {
        match member {
            Member::Id => self.id = is_id(text).then(|| text.into()),
            Member::Identifier => self.identifier = is_identifier(text).then(|| text.into()),
            Member::Locked => self.locked = text == "true",
            Member::Other => {}
        }
    }

    fn resource(self) -> Option<Resource> {
        let Self { id, identifier, locked } = self;
        Some(Resource { id: id?, identifier, locked })
    }
}

impl<'de> DeserializeSeed<'de> for Reply<'_> {
    type Value = Vec<Resource>;

    fn deserialize<D: Deserializer<'de>>(self, reply: D) -> Result<Self::Value, D::Error> {
        reply.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reply<'_> {
    type Value = Vec<Resource>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource, or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let resource = Wrapped(self.root).visit_map(object)?;
        if self.most == 0 { Err(Error::custom("too many")) } else { Ok(vec![resource]) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut resources = Vec::new();
        while let Some(resource) = list.next_element_seed(Wrapped(self.root))? {
            if resources.len() == self.most {
                return Err(Error::custom("too many"));
            }
            resources.push(resource);
        }
        Ok(resources)
    }
}

impl<'de> DeserializeSeed<'de> for Wrapped<'_> {
    type Value = Resource;

    fn deserialize<D: Deserializer<'de>>(self, object: D) -> Result<Resource, D::Error> {
        object.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wrapped<'_> {
    type Value = Resource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with one member, {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Resource, A::Error> {
        if object.next_key::<String>()?.is_none_or(|name| name != self.0) {
            return Err(Error::custom("another name"));
        }
        let resource = object.next_value_seed(Inner)?;
        match object.next_key::<IgnoredAny>()? {
            None => Ok(resource),
            Some(_) => Err(Error::custom("more than a resource")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Inner {
    type Value = Resource;

    fn deserialize<D: Deserializer<'de>>(self, object: D) -> Result<Resource, D::Error> {
        object.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Inner {
    type Value = Resource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Resource, A::Error> {
        let mut members = Members::default();
        while let Some(member) = object.next_key()? {
            match member {
                Member::Other => drop(object.next_value::<IgnoredAny>()?),
                Member::Locked => members.set(member, object.next_value::<&RawValue>()?.get()),
                Member::Id | Member::Identifier => {
                    members.set(member, unquoted(object.next_value::<&RawValue>()?.get()));
                }
            }
        }
        members.resource().ok_or_else(|| Error::custom("no number"))
    }
}

impl<'r> Document<'r> {
    fn new(root: &'r str, most: usize) -> Self {
        let members = Members::default();
        Self { root, most, depth: 0, inside: None, resources: Vec::new(), members, open: None }
    }

    fn read(mut self, text: &str) -> Option<Vec<Resource>> {
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => self.start(&tag)?,
                Event::Empty(tag) => {
                    self.start(&tag)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(piece) => self.text(&piece)?,
                Event::CData(piece) => self.text(&piece)?,
                Event::GeneralRef(_) if self.depth > 0 => self.more_than_text(),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::GeneralRef(_) | Event::DocType(_) => return None,
                Event::Eof => break,
            }
        }
        (self.depth == 0 && self.inside.is_some()).then_some(self.resources)
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Option<()> {
        let name = tag.name();
        let name = name.as_ref();
        match self.inside {
            None => {
                let kind = tag.try_get_attribute("type").ok()?;
                let is_list = kind.is_some_and(|kind| kind.value == "array");
                if !is_list && name != self.root {
                    return None;
                }
                self.inside = Some(if is_list { 2 } else { 1 });
            }
            // A second root.
            Some(_) if self.depth == 0 => return None,
            Some(inside) if self.depth < inside && name != self.root => return None,
            Some(inside) if self.depth < inside => {}
            Some(inside) if self.depth == inside => {
                self.open = Some((Member::named(name), Some(String::new())));
            }
            Some(_) => self.more_than_text(),
        }
        self.depth += 1;
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        let inside = self.inside?;
        if self.depth == inside {
            let (member, text) = self.open.take()?;
            self.members.set(member, &text.unwrap_or_default());
        } else if self.depth + 1 == inside {
            let resource = mem::take(&mut self.members).resource()?;
            if self.resources.len() == self.most {
                return None;
            }
            self.resources.push(resource);
        }
        Some(())
    }

    fn text(&mut self, piece: &str) -> Option<()> {
        if self.depth == 0 {
            return piece.trim_ascii().is_empty().then_some(());
        }
        match &mut self.open {
            Some((Member::Id | Member::Identifier | Member::Locked, Some(text))) => {
                text.push_str(piece);
            }
            Some((Member::Other, _) | (_, None)) | None => {}
        }
        Some(())
    }

    fn more_than_text(&mut self) {
        if let Some((_, text)) = &mut self.open {
            *text = None;
        }
    }
}

fn is_id(text: &str) -> bool {
    !text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_identifier(text: &str) -> bool {
    text.len() == IDENTIFIER && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What stands in the quotes of a JSON value, if it has any. Escapes stay, and make it no name.
fn unquoted(json: &str) -> &str {
    json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json)
}

#[cfg(test)]
mod tests;
