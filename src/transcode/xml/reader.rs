//! Reads XML into a tree.
//!
//! quick-xml finds where tags, text and references begin and end. It lets pass much that is not
//! well-formed; that is refused here, and so is what a stranger could blow up with: a document type
//! declaration, and with it every entity but the five that XML has by itself.

use std::borrow::Cow;

use quick_xml::{Reader as Events, events::Event};
use smallvec::SmallVec;

use super::characters::{IS_SUSPICIOUS, is_blank, is_character, is_name, is_white_space};
use crate::transcode::tree::{Bounds, Flaw, NotRead, Tree, Value};

/// What becomes of what Rails reads in bodies, but never writes: characters between elements, and
/// attributes that are neither `type` nor `nil`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixed {
    /// They are a flaw, and so is whatever else Rails does not write: an element without content in
    /// another form than its own, comments, CDATA.
    Never,
    /// They are a flaw.
    Refused,
    /// As `Hash.from_xml` has it: the characters count and not the elements, and an attribute is a
    /// member. The end of a line is a line feed.
    AsRails,
}

/// Reads a document.
pub fn read(bytes: &[u8], mixed: Mixed, bounds: Bounds) -> Result<Tree<'_>, NotRead> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| NotRead::at(error.valid_up_to(), Flaw::Encoding))?;
    // A byte order mark is no character of the document; a second one is.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.starts_with('\u{feff}') {
        return Err(NotRead::at(0, Flaw::Syntax));
    }
    let tree = Tree::for_bytes(bytes.len());
    Reader { text, tree, open: Vec::new(), mixed, bounds, at: 0 }.read()
}

struct Reader<'a> {
    text: &'a str,
    tree: Tree<'a>,
    open: Vec<Open<'a>>,
    mixed: Mixed,
    bounds: Bounds,
    /// Where the event began that is being read.
    at: usize,
}

/// An element that is open.
struct Open<'a> {
    node: usize,
    /// What has been read of its own text.
    text: Cow<'a, str>,
    is_nil: bool,
    is_array: bool,
    /// How many members its attributes are.
    attributes: usize,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<Tree<'a>, NotRead> {
        let mut events = Events::from_str(self.text);
        events.config_mut().check_comments = true;
        loop {
            let event = events.read_event().map_err(|error| self.flaw(flaw_of(&error)))?;
            let end = usize::try_from(events.buffer_position()).unwrap_or(self.text.len());
            let source = &self.text[self.at..end];
            match event {
                Event::Start(_) => self.start(&source[1..source.len() - 1])?,
                Event::Empty(_) => {
                    self.start(&source[1..source.len() - 2])?;
                    let of_its_own = self.open.last().is_some_and(|o| o.is_nil || o.is_array);
                    self.must(of_its_own)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(_) => {
                    let suspicious = |byte: &u8| IS_SUSPICIOUS[usize::from(*byte)];
                    if source.as_bytes().iter().any(suspicious) {
                        self.check_text(source)?;
                    }
                    self.add(source)?;
                }
                Event::CData(_) => {
                    self.check_characters(source)?;
                    self.must(false)?;
                    if self.open.is_empty() {
                        return Err(self.flaw(Flaw::Syntax));
                    }
                    self.add(&source["<![CDATA[".len()..source.len() - "]]>".len()])?;
                }
                Event::GeneralRef(_) => self.reference(&source[1..source.len() - 1])?,
                Event::Decl(_) if self.at == 0 => self.declaration(source)?,
                Event::Comment(_) => {
                    self.must(false)?;
                    self.check_characters(source)?;
                }
                Event::PI(instruction) => {
                    self.must(false)?;
                    self.check_characters(source)?;
                    let target = instruction.target();
                    if !is_name(target) || target.eq_ignore_ascii_case("xml") {
                        return Err(self.flaw(Flaw::Name));
                    }
                }
                Event::Decl(_) => return Err(self.flaw(Flaw::Syntax)),
                Event::DocType(_) => return Err(self.flaw(Flaw::DocumentType)),
                Event::Eof => break,
            }
            self.at = end;
        }
        if !self.open.is_empty() || self.tree.nodes.is_empty() {
            return Err(self.flaw(Flaw::End));
        }
        Ok(self.tree)
    }

    /// A tag that opens an element, without its brackets.
    fn start(&mut self, tag: &'a str) -> Result<(), NotRead> {
        if self.open.is_empty() && !self.tree.nodes.is_empty() {
            return Err(self.flaw(Flaw::Trailing));
        }
        if self.open.len() >= self.bounds.depth {
            return Err(self.flaw(Flaw::Depth));
        }
        if self.tree.nodes.len() >= self.bounds.nodes {
            return Err(self.flaw(Flaw::Size));
        }
        let length = tag.find(is_white_space).unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(length);
        self.check_name(name)?;
        let node = self.tree.push(Cow::Borrowed(name), None, Value::Null);
        let text = Cow::Borrowed("");
        self.open.push(Open { node, text, is_nil: false, is_array: false, attributes: 0 });
        if attributes.is_empty() { Ok(()) } else { self.attributes(node, attributes) }
    }

    /// What stands behind the name in a tag that opens an element.
    fn attributes(&mut self, node: usize, attributes: &'a str) -> Result<(), NotRead> {
        let mut seen: SmallVec<[&str; 4]> = SmallVec::new();
        let mut rest = attributes;
        loop {
            let trimmed = rest.trim_start_matches(is_white_space);
            if trimmed.is_empty() {
                return Ok(());
            }
            if trimmed.len() == rest.len() {
                return Err(self.flaw(Flaw::Syntax));
            }
            let (name, value, behind) =
                attribute(trimmed).ok_or_else(|| self.flaw(Flaw::Syntax))?;
            rest = behind;
            self.check_name(name)?;
            self.check_characters(value)?;
            if seen.contains(&name) {
                return Err(self.flaw(Flaw::Repeated));
            }
            seen.push(name);
            if seen.len() > self.bounds.attributes || value.contains('<') {
                return Err(self.flaw(Flaw::Attributes));
            }
            if value.contains('&') && matches!(name, "type" | "nil") {
                return Err(self.flaw(Flaw::Escape));
            }
            let Some(open) = self.open.last_mut() else { return Ok(()) };
            match (name, value) {
                ("type", "array") => open.is_array = true,
                ("type", kind) => self.tree.nodes[node].kind = Some(kind),
                ("nil", "true") => open.is_nil = true,
                _ if self.mixed != Mixed::AsRails => return Err(self.flaw(Flaw::Attribute)),
                ("nil", _) => {}
                _ => {
                    open.attributes += 1;
                    if self.tree.nodes.len() >= self.bounds.nodes {
                        return Err(self.flaw(Flaw::Size));
                    }
                    let value = Value::Text(self.unescaped(value)?.into());
                    self.tree.push(Cow::Borrowed(name), Some("string"), value);
                }
            }
        }
    }

    /// Closes the innermost element.
    fn end(&mut self) -> Result<(), NotRead> {
        let Some(open) = self.open.pop() else { return Err(self.flaw(Flaw::Mismatch)) };
        let at = open.node;
        let value = match self.mixed {
            Mixed::Never | Mixed::Refused => self.strictly(open)?,
            Mixed::AsRails => self.as_rails(open),
        };
        let end = self.tree.nodes.len();
        let node = &mut self.tree.nodes[at];
        (node.value, node.end) = (value, end);
        Ok(())
    }

    /// What an element is that Rails has written.
    fn strictly(&mut self, open: Open<'a>) -> Result<Value<'a>, NotRead> {
        let Open { node, text, is_nil, is_array, .. } = open;
        let has_children = self.tree.nodes.len() > node + 1;
        if is_nil && !has_children && text.is_empty() {
            if is_array {
                self.tree.nodes[node].kind = Some("array");
            }
            return Ok(Value::Null);
        }
        self.must(!is_nil)?;
        match (is_blank(&text), is_array, has_children) {
            (true, true, _) => Ok(Value::Array),
            (true, false, true) => Ok(Value::Object),
            (_, false, false) => Ok(Value::Text(text)),
            (false, _, _) => Err(self.flaw(Flaw::Mixed)),
        }
    }

    /// What `Hash.from_xml` makes of an element, in its order.
    fn as_rails(&mut self, open: Open<'a>) -> Value<'a> {
        let Open { node, text, is_nil, is_array, attributes } = open;
        let children = self.tree.nodes.len() - node - 1;
        let kind = self.tree.nodes[node].kind;
        if is_array {
            // Items are elements.
            self.tree.nodes.drain(node + 1..node + 1 + attributes);
            self.tree.nodes[node + 1..].iter_mut().for_each(|item| item.end -= attributes);
            return Value::Array;
        }
        let alone = children == 0 && kind.is_none() && !is_nil;
        if !text.chars().all(char::is_whitespace) || (alone && !text.is_empty()) {
            self.tree.nodes.truncate(node + 1);
            return Value::Text(text);
        }
        if is_nil {
            self.tree.nodes.truncate(node + 1);
            return Value::Null;
        }
        if children > 0 && kind != Some("string") {
            return Value::Object;
        }
        self.tree.nodes.truncate(node + 1);
        Value::Text(Cow::Borrowed(""))
    }

    /// Text of the innermost element, or white space around the root.
    fn add(&mut self, piece: &'a str) -> Result<(), NotRead> {
        let nodes = self.tree.nodes.len();
        let as_rails = self.mixed == Mixed::AsRails;
        match self.open.last_mut() {
            Some(open) if as_rails && piece.contains('\r') => {
                open.text.to_mut().push_str(&piece.replace("\r\n", "\n").replace('\r', "\n"));
            }
            // The space between the elements that a container holds says nothing.
            Some(open) if !as_rails && nodes > open.node + 1 && is_blank(piece) => {}
            Some(open) if open.text.is_empty() => open.text = Cow::Borrowed(piece),
            Some(open) => open.text.to_mut().push_str(piece),
            None if is_blank(piece) => {}
            None => return Err(self.flaw(Flaw::Syntax)),
        }
        Ok(())
    }

    fn reference(&mut self, name: &str) -> Result<(), NotRead> {
        let character = self.referred(name)?;
        let Some(open) = self.open.last_mut() else { return Err(self.flaw(Flaw::Syntax)) };
        open.text.to_mut().push(character);
        Ok(())
    }

    /// What a reference stands for.
    fn referred(&self, name: &str) -> Result<char, NotRead> {
        let number = |digits: &str, radix| {
            let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            let code = u32::from_str_radix(digits, radix).ok().filter(|_| all);
            code.and_then(char::from_u32).filter(|character| is_character(*character))
        };
        let character = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match name.strip_prefix('#') {
                Some(digits) => match digits.strip_prefix('x') {
                    Some(digits) => number(digits, 16),
                    None => number(digits, 10),
                },
                None => None,
            },
        };
        character.ok_or_else(|| self.flaw(Flaw::Escape))
    }

    fn unescaped(&self, value: &str) -> Result<String, NotRead> {
        let mut text = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(at) = rest.find('&') {
            text.push_str(&rest[..at]);
            let end = rest[at..].find(';').ok_or_else(|| self.flaw(Flaw::Escape))?;
            text.push(self.referred(&rest[at + 1..at + end])?);
            rest = &rest[at + end + 1..];
        }
        text.push_str(rest);
        Ok(text)
    }

    /// Refuses what Rails does not write, where only that is read.
    fn must(&self, be: bool) -> Result<(), NotRead> {
        if be || self.mixed != Mixed::Never { Ok(()) } else { Err(self.flaw(Flaw::Unusual)) }
    }

    /// The declaration at the beginning: of version 1, in UTF-8.
    fn declaration(&self, source: &'a str) -> Result<(), NotRead> {
        let mut rest = &source["<?xml".len()..source.len() - "?>".len()];
        let mut expected = ["version", "encoding", "standalone"].into_iter();
        let mut count = 0;
        while !rest.trim_start_matches(is_white_space).is_empty() {
            let found = attribute(rest.trim_start_matches(is_white_space));
            let (name, value, behind) = found.ok_or_else(|| self.flaw(Flaw::Syntax))?;
            let spaced = rest.starts_with(is_white_space);
            if !spaced || !expected.any(|expected| expected == name) {
                return Err(self.flaw(Flaw::Syntax));
            }
            let good = match name {
                "version" => value.starts_with("1."),
                "encoding" => ["utf-8", "us-ascii"].iter().any(|e| value.eq_ignore_ascii_case(e)),
                _ => matches!(value, "yes" | "no"),
            };
            if !good {
                return Err(self.flaw(if name == "encoding" {
                    Flaw::Encoding
                } else {
                    Flaw::Syntax
                }));
            }
            (rest, count) = (behind, count + usize::from(name == "version"));
        }
        if count == 1 { Ok(()) } else { Err(self.flaw(Flaw::Syntax)) }
    }

    fn check_name(&self, name: &str) -> Result<(), NotRead> {
        if name.len() > self.bounds.name {
            return Err(self.flaw(Flaw::Attributes));
        }
        // What stands before a colon is no part of the name that Rails reads.
        let good = is_name(name) && !(self.mixed == Mixed::AsRails && name.contains(':'));
        if good { Ok(()) } else { Err(self.flaw(Flaw::Name)) }
    }

    fn check_characters(&self, text: &str) -> Result<(), NotRead> {
        let suspicious = |byte: &u8| *byte == 0xef || (*byte < 0x20 && !b"\t\n\r".contains(byte));
        if text.as_bytes().iter().any(suspicious) && !text.chars().all(is_character) {
            return Err(self.flaw(Flaw::Character));
        }
        Ok(())
    }

    #[cold]
    fn check_text(&self, text: &str) -> Result<(), NotRead> {
        if text.contains("]]>") {
            return Err(self.flaw(Flaw::Character));
        }
        self.check_characters(text)
    }

    #[cold]
    fn flaw(&self, why: Flaw) -> NotRead {
        NotRead::at(self.at, why)
    }
}

/// An attribute that begins here: its name, its value without quotes, and what stands behind it.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_at(text.find(|c| c == '=' || is_white_space(c))?);
    let rest = rest.trim_start_matches(is_white_space).strip_prefix('=')?;
    let rest = rest.trim_start_matches(is_white_space);
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (value, behind) = rest[1..].split_once(quote)?;
    Some((name, value, behind))
}

fn flaw_of(error: &quick_xml::Error) -> Flaw {
    use quick_xml::errors::{IllFormedError, SyntaxError};
    match error {
        quick_xml::Error::IllFormed(
            IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_),
        ) => Flaw::Mismatch,
        quick_xml::Error::IllFormed(IllFormedError::UnclosedReference) => Flaw::Escape,
        quick_xml::Error::Syntax(
            SyntaxError::UnclosedTag
            | SyntaxError::UnclosedComment
            | SyntaxError::UnclosedCData
            | SyntaxError::UnclosedDoctype,
        ) => Flaw::End,
        _ => Flaw::Syntax,
    }
}
