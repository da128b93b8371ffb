//! Reads JSON into a tree.
//!
//! Strict: what RFC 8259 does not allow is refused. Names that are repeated are kept, and numbers are
//! kept as they are spelled: no client is shown another `1.0e+20` than the upstream wrote.

use std::borrow::Cow;

use crate::transcode::tree::{Bounds, Flaw, NotRead, Tree, Value};

/// Reads a document.
pub fn read(bytes: &[u8], bounds: Bounds) -> Result<Tree<'_>, NotRead> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| NotRead::at(error.valid_up_to(), Flaw::Encoding))?;
    let tree = Tree::for_bytes(bytes.len());
    Reader { text, at: 0, tree, open: Vec::new(), bounds }.read()
}

/// Whether a text is a number of JSON.
pub fn is_number(text: &str) -> bool {
    number(text.as_bytes(), 0) == Some(text.len())
}

/// Whether a number has neither a fraction nor an exponent.
pub fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    tree: Tree<'a>,
    /// The containers that are open.
    open: Vec<usize>,
    bounds: Bounds,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<Tree<'a>, NotRead> {
        let mut name = Cow::Borrowed("");
        loop {
            // A container that is not empty is followed by the first value in it.
            if let Some(next) = self.value(name)? {
                name = next;
                continue;
            }
            match self.next_value()? {
                Some(next) => name = next,
                None => break,
            }
        }
        self.skip_white_space();
        if self.at < self.text.len() {
            return Err(self.flaw(Flaw::Trailing));
        }
        Ok(self.tree)
    }

    /// Reads a value, or the beginning of a container; then gives the name of its first value.
    fn value(&mut self, name: Cow<'a, str>) -> Result<Option<Cow<'a, str>>, NotRead> {
        self.skip_white_space();
        if self.tree.nodes.len() >= self.bounds.nodes {
            return Err(self.flaw(Flaw::Size));
        }
        let value = match self.peek()? {
            b'{' => return self.begin(name, Value::Object, b'}'),
            b'[' => return self.begin(name, Value::Array, b']'),
            b'"' => Value::Text(self.string()?),
            b't' => self.word("true", Value::Boolean(true))?,
            b'f' => self.word("false", Value::Boolean(false))?,
            b'n' => self.word("null", Value::Null)?,
            _ => {
                let end = number(self.text.as_bytes(), self.at);
                let end = end.ok_or_else(|| self.flaw(Flaw::Syntax))?;
                let number = &self.text[self.at..end];
                self.at = end;
                Value::Number(number)
            }
        };
        self.tree.push(name, None, value);
        Ok(None)
    }

    fn begin(
        &mut self,
        name: Cow<'a, str>,
        value: Value<'a>,
        end: u8,
    ) -> Result<Option<Cow<'a, str>>, NotRead> {
        if self.open.len() >= self.bounds.depth {
            return Err(self.flaw(Flaw::Depth));
        }
        let is_object = value == Value::Object;
        let at = self.tree.push(name, None, value);
        self.at += 1;
        self.skip_white_space();
        if self.peek()? == end {
            self.at += 1;
            return Ok(None);
        }
        self.open.push(at);
        Ok(Some(if is_object { self.member()? } else { Cow::Borrowed("") }))
    }

    /// After a value: closes what ends here, and gives the name of the next value; none at the end.
    fn next_value(&mut self) -> Result<Option<Cow<'a, str>>, NotRead> {
        loop {
            let Some(&container) = self.open.last() else { return Ok(None) };
            self.skip_white_space();
            let is_object = self.tree.nodes[container].value == Value::Object;
            match (self.peek()?, is_object) {
                (b',', true) => {
                    self.at += 1;
                    self.skip_white_space();
                    return self.member().map(Some);
                }
                (b',', false) => {
                    self.at += 1;
                    return Ok(Some(Cow::Borrowed("")));
                }
                (b'}', true) | (b']', false) => {
                    self.at += 1;
                    self.open.pop();
                    self.tree.nodes[container].end = self.tree.nodes.len();
                }
                _ => return Err(self.flaw(Flaw::Syntax)),
            }
        }
    }

    /// The name of a member, and its colon.
    fn member(&mut self) -> Result<Cow<'a, str>, NotRead> {
        if self.peek()? != b'"' {
            return Err(self.flaw(Flaw::Syntax));
        }
        let name = self.string()?;
        if name.len() > self.bounds.name {
            return Err(self.flaw(Flaw::Attributes));
        }
        self.skip_white_space();
        if self.peek()? != b':' {
            return Err(self.flaw(Flaw::Syntax));
        }
        self.at += 1;
        Ok(name)
    }

    /// A string, from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<Cow<'a, str>, NotRead> {
        self.at += 1;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut owned = String::new();
        let mut from = start;
        loop {
            while self.at < bytes.len() && !ENDS_A_RUN[bytes[self.at] as usize] {
                self.at += 1;
            }
            match self.peek()? {
                b'"' => {
                    let run = &self.text[from..self.at];
                    self.at += 1;
                    if from == start {
                        return Ok(Cow::Borrowed(run));
                    }
                    owned.push_str(run);
                    return Ok(Cow::Owned(owned));
                }
                b'\\' => {
                    owned.push_str(&self.text[from..self.at]);
                    owned.push(self.escape()?);
                    from = self.at;
                }
                _ => return Err(self.flaw(Flaw::Character)),
            }
        }
    }

    /// The character of an escape, which begins here.
    fn escape(&mut self) -> Result<char, NotRead> {
        self.at += 1;
        let letter = self.peek()?;
        let character = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.flaw(Flaw::Escape)),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, NotRead> {
        let high = self.four_digits()?;
        if !(0xd800..0xe000).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.flaw(Flaw::Escape));
        }
        // Half a character is none.
        if high >= 0xdc00 || !self.text[self.at..].starts_with("\\u") {
            return Err(self.flaw(Flaw::Escape));
        }
        self.at += 1;
        let low = self.four_digits()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.flaw(Flaw::Escape));
        }
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code).ok_or_else(|| self.flaw(Flaw::Escape))
    }

    /// The digits behind a `u`, which stands here.
    fn four_digits(&mut self) -> Result<u32, NotRead> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let digits = digits.ok_or_else(|| self.flaw(Flaw::End))?;
        let mut code = 0;
        for digit in digits {
            let digit = char::from(*digit).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.flaw(Flaw::Escape))?;
        }
        self.at += 5;
        Ok(code)
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, NotRead> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.flaw(Flaw::Syntax));
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_white_space(&mut self) {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() && matches!(bytes[self.at], b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, NotRead> {
        self.text.as_bytes().get(self.at).copied().ok_or_else(|| self.flaw(Flaw::End))
    }

    #[cold]
    fn flaw(&self, why: Flaw) -> NotRead {
        NotRead::at(self.at, why)
    }
}

/// Bytes at which a run of plain characters in a string ends.
const ENDS_A_RUN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// The place behind a number that begins here; none if none does.
fn number(bytes: &[u8], mut at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(at)?;
    }
    Some(at)
}
