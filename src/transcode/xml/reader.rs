//! Reads XML into a tree.
//!
//! quick-xml finds where tags, text and references begin and end. It lets pass much that is not
//! well-formed; that is refused here, and so is what a stranger could blow up with: a document type
//! declaration, and with it every entity but the five that XML has by itself.

use std::borrow::Cow;

use quick_xml::{Reader as Events, events::Event};
use smallvec::SmallVec;

use crate::transcode::tree::{Bounds, Flaw, NotRead, Tree, Value};

/// What becomes of what Rails reads in bodies, but never writes: characters between elements, and
/// attributes that are neither `type` nor `nil`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixed {
    /// They are a flaw.
    Refused,
    /// As `Hash.from_xml` has it: the characters count and not the elements, and an attribute is a
    /// member.
    AsRails,
}

/// Reads a document.
pub fn read(bytes: &[u8], mixed: Mixed, bounds: Bounds) -> Result<Tree<'_>, NotRead> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| NotRead::at(error.valid_up_to(), Flaw::Encoding))?;
    // A byte order mark is no character of the document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
                    if self.open.is_empty() {
                        return Err(self.flaw(Flaw::Syntax));
                    }
                    self.add(&source["<![CDATA[".len()..source.len() - "]]>".len()])?;
                }
                Event::GeneralRef(_) => self.reference(&source[1..source.len() - 1])?,
                Event::Decl(_) if self.at == 0 => {}
                Event::Comment(_) => self.check_characters(source)?,
                Event::PI(instruction) => {
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
        self.open.push(Open { node, text, is_nil: false, is_array: false });
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
            let value = match value.contains('&') {
                true => Cow::Owned(self.unescaped(value)?),
                false => Cow::Borrowed(value),
            };
            let Some(open) = self.open.last_mut() else { return Ok(()) };
            match (name, &value) {
                ("type", Cow::Borrowed("array")) => open.is_array = true,
                ("type", Cow::Borrowed(kind)) => self.tree.nodes[node].kind = Some(kind),
                ("nil", _) => open.is_nil = value == "true",
                _ if self.mixed == Mixed::AsRails => {
                    self.tree.push(Cow::Borrowed(name), None, Value::Text(value));
                }
                _ => return Err(self.flaw(Flaw::Attribute)),
            }
        }
    }

    /// Closes the innermost element.
    fn end(&mut self) -> Result<(), NotRead> {
        let Some(open) = self.open.pop() else { return Err(self.flaw(Flaw::Mismatch)) };
        let has_children = self.tree.nodes.len() > open.node + 1;
        let is_blank = is_blank(&open.text);
        let value = if open.is_nil && !has_children && open.text.is_empty() {
            if open.is_array {
                self.tree.nodes[open.node].kind = Some("array");
            }
            Value::Null
        } else if is_blank && open.is_array {
            Value::Array
        } else if is_blank && has_children {
            Value::Object
        } else {
            if has_children || open.is_array {
                if self.mixed == Mixed::Refused {
                    return Err(self.flaw(Flaw::Mixed));
                }
                self.tree.nodes.truncate(open.node + 1);
            }
            Value::Text(open.text)
        };
        let end = self.tree.nodes.len();
        let node = &mut self.tree.nodes[open.node];
        (node.value, node.end) = (value, end);
        Ok(())
    }

    /// Text of the innermost element, or white space around the root.
    fn add(&mut self, piece: &'a str) -> Result<(), NotRead> {
        let nodes = self.tree.nodes.len();
        match self.open.last_mut() {
            // The space between the elements that a container holds says nothing.
            Some(open) if nodes > open.node + 1 && is_blank(piece) => {}
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

    fn check_name(&self, name: &str) -> Result<(), NotRead> {
        if name.len() > self.bounds.name {
            return Err(self.flaw(Flaw::Attributes));
        }
        if is_name(name) { Ok(()) } else { Err(self.flaw(Flaw::Name)) }
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

fn is_white_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Bytes of text that may be part of what is not allowed there.
const IS_SUSPICIOUS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = !matches!(byte, 9 | 10 | 13);
        byte += 1;
    }
    table[b']' as usize] = true;
    table[0xef] = true;
    table
};

/// A character that a document may have (XML 1.0, 2.2).
fn is_character(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    }
}

/// Whether a text is a name (XML 1.0, 2.3).
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Most are of these letters alone.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if bytes.iter().all(plain) {
        return bytes.first().is_some_and(|first| !first.is_ascii_digit());
    }
    let mut characters = text.chars();
    characters.next().is_some_and(begins_a_name) && characters.all(is_in_a_name)
}

fn begins_a_name(character: char) -> bool {
    matches!(character,
        ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
        | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}'
        | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

fn is_in_a_name(character: char) -> bool {
    begins_a_name(character)
        || matches!(character,
            '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
