//! The map: for each place of a route's documents, how what stands there looks in both formats.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Unlearned;
use crate::transcode::{
    json::{is_integer, is_number},
    time::{is_date, is_whole_time},
    tree::{Tree, Value},
};

/// A map. It holds names and kinds, and no value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// What the roots are called.
    pub(super) root: Root,
    /// The places; the first is that of the root.
    pub(super) places: Vec<Place>,
}

/// What the root is called in XML, which depends on what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Root {
    /// An object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<Box<str>>,
    /// A list with items, which Rails names by what they are: for each set of kinds a name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lists: Vec<RootList>,
    /// A list without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) empty_list: Option<Box<str>>,
}

/// What a root is called that is a list with items of these kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RootList {
    pub(super) kinds: Kinds,
    pub(super) name: Box<str>,
}

/// A set of kinds of values of JSON, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kinds(u8);

/// Which members of an object there were, by where they are among those that are known.
#[derive(Debug, Default)]
pub(super) struct Seen(SmallVec<[u64; 2]>);

/// How what stands at a place looks in XML, by what it is in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) null: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) boolean: Option<Scalar>,
    /// A number of digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) integer: Option<Scalar>,
    /// A number with a point or an exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fraction: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<Members>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<List>,
    /// An object that is there only to name what XML shows without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wrapped: Option<Wrapped>,
}

/// What has a wrapper in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wrapped {
    /// The name of the one member of the wrapper.
    pub(super) name: Box<str>,
    pub(super) place: usize,
}

/// What the attribute `type` says; nothing if it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scalar {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Box<str>>,
}

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Box<str>>,
    pub(super) form: Form,
}

/// How the text of JSON and that of XML hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// They are the same.
    Same,
    /// Times, of which XML lacks the fraction; as far as was seen it is this many zeros.
    WholeSeconds {
        /// How many.
        digits: usize,
    },
    /// Times, of which XML lacks the fraction.
    Fractions,
}

/// The members of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Box<str>, usize)>", into = "Vec<(Box<str>, usize)>")]
pub(super) struct Members {
    /// Each with its place, in the order in which they were first seen.
    all: Vec<(Box<str>, usize)>,
    by_name: HashMap<Box<str>, usize>,
}

/// The items of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct List {
    /// None until there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<Item>,
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    /// What it is called in XML.
    pub(super) name: Box<str>,
    pub(super) place: usize,
}

/// A map that was handed in is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMap {
    /// It refers to a place that it does not have, or that leads back to itself.
    #[error("a place refers to one that is not behind it")]
    Reference,
    /// A type that is none, or a fraction of a second that has not from 1 to 9 digits.
    #[error("it has a type that no column has, or a fraction that no time has")]
    Kind,
    /// It is empty or too large.
    #[error("it has no place, or more than {} places", Map::MOST_PLACES)]
    Size,
}

impl Map {
    /// The most places of a map: far more than any route was seen to have.
    pub const MOST_PLACES: usize = 4096;

    /// The longest name of a type.
    pub(super) const LONGEST_KIND: usize = 32;

    /// A map of nothing.
    pub fn new() -> Self {
        Self { root: Root::default(), places: vec![Place::default()] }
    }

    /// How many places it has.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it has learned nothing.
    pub fn is_empty(&self) -> bool {
        self.root == Root::default()
    }

    /// Whether all of JSON can be told from XML, as far as was seen.
    pub fn tells_json(&self) -> bool {
        let loses =
            |place: &Place| place.text.as_ref().is_some_and(|text| text.form == Form::Fractions);
        !self.places.iter().any(loses)
    }

    /// Checks a map that comes from elsewhere.
    pub fn check(&self) -> Result<(), NoMap> {
        if self.places.is_empty() || self.places.len() > Self::MOST_PLACES {
            return Err(NoMap::Size);
        }
        let kind = |kind: &Option<Box<str>>| {
            kind.as_deref().is_none_or(|kind| {
                kind.len() <= Self::LONGEST_KIND && kind.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        };
        for (at, place) in self.places.iter().enumerate() {
            let scalars = [&place.null, &place.boolean, &place.integer, &place.fraction];
            let mut kinds = scalars.into_iter().flatten().map(|scalar| &scalar.kind);
            let text = place.text.as_ref();
            if !kinds.all(kind) || !text.is_none_or(|text| kind(&text.kind) && text.form.is_good())
            {
                return Err(NoMap::Kind);
            }
            let members = place.object.iter().flat_map(|members| members.all.iter());
            let items = place.list.iter().filter_map(|list| list.item.as_ref());
            let wrapped = place.wrapped.iter().map(|wrapped| wrapped.place);
            let led = members.map(|(_, to)| *to).chain(items.map(|item| item.place));
            let mut led = led.chain(wrapped);
            // Only forwards: so a document is never followed in circles.
            if led.any(|to| to <= at || to >= self.places.len()) {
                return Err(NoMap::Reference);
            }
        }
        Ok(())
    }

    pub(super) fn add(&mut self) -> Result<usize, Unlearned> {
        if self.places.len() >= Self::MOST_PLACES {
            return Err(Unlearned::Size);
        }
        self.places.push(Place::default());
        Ok(self.places.len() - 1)
    }
}

impl Members {
    /// The place of a member; `hint` is where it most likely is among them, and moves on. None if it is
    /// not known, or was there before.
    pub(super) fn find(&self, name: &str, hint: &mut usize, seen: &mut Seen) -> Option<usize> {
        let at = match self.all.get(*hint) {
            Some((known, _)) if **known == *name => *hint,
            _ => *self.by_name.get(name)?,
        };
        *hint = at + 1;
        seen.note(at).then(|| self.all[at].1)
    }

    /// Whether a member is known.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn add(&mut self, name: &str, place: usize) {
        self.by_name.insert(name.into(), self.all.len());
        self.all.push((name.into(), place));
    }
}

impl From<Vec<(Box<str>, usize)>> for Members {
    fn from(all: Vec<(Box<str>, usize)>) -> Self {
        let by_name = all.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        Self { all, by_name }
    }
}

impl From<Members> for Vec<(Box<str>, usize)> {
    fn from(members: Members) -> Self {
        members.all
    }
}

impl Kinds {
    /// Those of the items of a list.
    pub(super) fn of_items(json: &Tree<'_>, list: usize) -> Self {
        let bit = |value: &Value<'_>| match value {
            Value::Null => 1,
            Value::Boolean(_) => 2,
            Value::Number(text) if is_integer(text) => 4,
            Value::Number(_) => 8,
            Value::Text(_) => 16,
            Value::Object => 32,
            Value::Array => 64,
        };
        Self(json.children(list).fold(0, |kinds, (_, node)| kinds | bit(&node.value)))
    }
}

impl Seen {
    /// Notes a member; false if it was there before.
    fn note(&mut self, at: usize) -> bool {
        let (word, bit) = (at / 64, 1 << (at % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}

impl Root {
    /// What a list with items of these kinds is called.
    pub(super) fn list(&self, kinds: Kinds) -> Option<&str> {
        self.lists.iter().find(|list| list.kinds == kinds).map(|list| &*list.name)
    }
}

impl Text {
    /// Whether a text is one of its type: what JSON shows as a text, and XML as something else, may
    /// have become something else.
    pub(super) fn admits(&self, text: &str) -> bool {
        match self.kind.as_deref() {
            Some("decimal") => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
                [whole, fraction]
                    .iter()
                    .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
            }
            Some("integer") => is_number(text) && is_integer(text),
            Some("float") => is_number(text),
            Some("boolean") => matches!(text, "true" | "false"),
            Some("date") => is_date(text),
            Some("datetime" | "dateTime") => self.form != Form::Same || is_whole_time(text),
            _ => true,
        }
    }

    /// Whether a text of XML, of this type, may be one.
    pub(super) fn is_of(&self, kind: Option<&str>) -> bool {
        self.kind.as_deref() == kind
    }
}

impl Form {
    fn is_good(self) -> bool {
        match self {
            Self::WholeSeconds { digits } => (1..=9).contains(&digits),
            Self::Same | Self::Fractions => true,
        }
    }
}

impl Scalar {
    pub(super) fn of(kind: Option<&str>) -> Self {
        Self { kind: kind.map(Into::into) }
    }

    pub(super) fn is_of(&self, kind: Option<&str>) -> bool {
        self.kind.as_deref() == kind
    }
}
