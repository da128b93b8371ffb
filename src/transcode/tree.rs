//! One tree for the documents of both formats, flat and in the order of the text.
//!
//! It keeps what the writers need to give the same bytes again: the text of a number, the order of
//! names, a name that is there twice, null as something else than absence, and the type that XML
//! says. Nothing here or above it recurses on the depth of a document.

use std::borrow::Cow;

/// A document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree<'a> {
    /// The root, and each node's children behind it.
    pub nodes: Vec<Node<'a>>,
}

/// A value and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The name of a member or an element; empty for what has none: the root and the items of JSON.
    pub name: Cow<'a, str>,
    /// What the attribute `type` of an element says, but for `array`.
    pub kind: Option<&'a str>,
    /// What it is.
    pub value: Value<'a>,
    /// The place behind its last descendant.
    pub end: usize,
}

/// What a node is. The text of an XML element is [`Value::Text`], whatever its type says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`, `nil="true"`.
    Null,
    /// `true`, `false`.
    Boolean(bool),
    /// A number, as it was spelled.
    Number(&'a str),
    /// Characters.
    Text(Cow<'a, str>),
    /// Members, which are the nodes behind it.
    Object,
    /// Items, which are the nodes behind it.
    Array,
}

/// How large a document may be, besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The deepest nesting.
    pub depth: usize,
    /// The most values.
    pub nodes: usize,
    /// The most attributes of one element.
    pub attributes: usize,
    /// The longest name, in bytes.
    pub name: usize,
}

/// Why a document was not read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {why}")]
pub struct NotRead {
    /// The byte at which it was known.
    pub at: usize,
    /// What is wrong.
    pub why: Flaw,
}

/// What may be wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Bytes that are no UTF-8.
    #[error("it is not UTF-8, or says that it is not")]
    Encoding,
    /// It ends within something.
    #[error("it ends too early")]
    End,
    /// Something else was expected.
    #[error("it is not well-formed here")]
    Syntax,
    /// Something behind its end.
    #[error("there is something behind its end")]
    Trailing,
    /// A character that may not stand there.
    #[error("a character may not stand here")]
    Character,
    /// An escape, or a reference to an entity, that stands for nothing.
    #[error("an escape or a reference stands for nothing")]
    Escape,
    /// The name of an element or an attribute that is none.
    #[error("this is no name")]
    Name,
    /// An element that is closed by another name.
    #[error("an element ends under another name")]
    Mismatch,
    /// An attribute that is there twice.
    #[error("an attribute is repeated")]
    Repeated,
    /// A document type declaration.
    #[error("a document type declaration is not read")]
    DocumentType,
    /// What is well-formed, but not as Rails writes it.
    #[error("it is written as Rails does not")]
    Unusual,
    /// Characters between elements.
    #[error("there are characters between elements")]
    Mixed,
    /// An attribute that Rails does not write.
    #[error("an attribute is neither type nor nil")]
    Attribute,
    /// Deeper than the bound.
    #[error("it is nested too deeply")]
    Depth,
    /// More values than the bound.
    #[error("it has too many values")]
    Size,
    /// More attributes than the bound, or a longer name.
    #[error("an element has too many attributes, or a name is too long")]
    Attributes,
}

impl Bounds {
    /// What a reply of the upstream is read within: far beyond any that was seen.
    pub const REPLY: Self = Self { depth: 64, nodes: 1 << 20, attributes: 32, name: 255 };
}

impl<'a> Tree<'a> {
    /// A tree with room for the nodes that so many bytes may have.
    pub fn for_bytes(bytes: usize) -> Self {
        Self { nodes: Vec::with_capacity(bytes / 24 + 1) }
    }

    /// Adds a node without descendants; says where.
    pub fn push(&mut self, name: Cow<'a, str>, kind: Option<&'a str>, value: Value<'a>) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node { name, kind, value, end: at + 1 });
        at
    }

    /// The children of a node, each with its place.
    pub fn children(&self, of: usize) -> Children<'_, 'a> {
        Children { tree: self, at: of + 1, end: self.nodes[of].end }
    }
}

/// The children of a node.
#[derive(Clone, Debug)]
pub struct Children<'t, 'a> {
    tree: &'t Tree<'a>,
    at: usize,
    end: usize,
}

impl<'t, 'a> Iterator for Children<'t, 'a> {
    type Item = (usize, &'t Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let (at, node) = (self.at, &self.tree.nodes[self.at]);
        self.at = node.end;
        Some((at, node))
    }
}

impl NotRead {
    /// A flaw at a byte.
    pub fn at(at: usize, why: Flaw) -> Self {
        Self { at, why }
    }
}
