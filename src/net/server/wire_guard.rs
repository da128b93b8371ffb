//! The strict reading of HTTP/1.1 framing: where each message ends, or where it breaks the rules.
//!
//! hyper accepts what two parsers may understand differently: bare LF as a line end, both
//! `Content-Length` and `Transfer-Encoding`, a repeated `Content-Length`, `gzip, chunked`. A
//! difference between two readers of one stream is how requests are smuggled, so the bytes are
//! judged here before hyper sees them. This file does no I/O; `transport.rs` applies the verdict.
//!
//! 1. The verdict depends on the bytes alone, never on how they were cut into reads.
//! 2. A violation is found at or before the byte that would complete the line it stands in, so
//!    that hyper has never seen enough to act on it.
//! 3. Only what decides where a message ends is judged here, strictly; the rest of the syntax is
//!    hyper's.

use memchr::{memchr, memchr3};

/// Follows one stream of requests.
#[derive(Debug)]
pub(super) struct WireGuard {
    state: State,
    head: Head,
    /// The beginning of a field name that was cut by the end of a read.
    name: [u8; LONGEST_NAME],
    /// Its length; one more than there is room for when it can no longer be a name of interest.
    name_len: usize,
    /// How much of the chunk extensions that one body may have is used up.
    extensions: usize,
    /// Messages of which at least one byte has come.
    begun: u64,
}

/// Which part of a message the stream stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Before the first byte of a request line.
    Between,
    /// In a head that is not complete.
    Head,
    /// In a body.
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    StartLf,
    RequestLine,
    RequestLf,
    FieldStart,
    FieldName,
    FieldValue,
    Length(Value),
    Coding(Value),
    FieldLf,
    FieldsLf,
    Body(u64),
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeLf { value: u64 },
    Data(u64),
    DataCr,
    DataLf,
}

/// Where a value of interest stands: optional white space, the value, optional white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Before,
    /// The number so far, or how many letters of the coding matched.
    Within(u64),
    After(u64),
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// The last byte of the request line so far: it ends in the minor version.
    last: u8,
    framing: Option<Framing>,
    /// The fields are a body's trailers.
    trailers: bool,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(u64),
    Chunked,
}

/// The offset of a byte that must not be believed.
struct Violation(usize);

const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
const CHUNKED: &[u8] = b"chunked";
const LONGEST_NAME: usize = TRANSFER_ENCODING.len();

/// Sixteen hexadecimal digits fill a `u64`; leading zeros count.
const MAX_SIZE_DIGITS: u8 = 16;

/// Nobody needs extensions; some signing clients send them.
const MAX_EXTENSIONS: usize = 4096;

/// The bytes that a field name consists of (RFC 9110, `token`).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};

impl WireGuard {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            head: Head::default(),
            name: [0; LONGEST_NAME],
            name_len: 0,
            extensions: 0,
            begun: 0,
        }
    }

    /// Judges the next bytes; an error is the place of the first one that must not be believed.
    /// After an error there is nothing more to judge.
    pub(super) fn inspect(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            match self.step(&bytes[at..]) {
                Ok(taken) => at += taken,
                Err(Violation(offset)) => return Err(at + offset),
            }
        }
        Ok(())
    }

    /// How many messages have come whole.
    pub(super) fn complete(&self) -> u64 {
        self.begun - u64::from(self.part() != Part::Between)
    }

    /// Where the stream stands.
    pub(super) fn part(&self) -> Part {
        match self.state {
            State::Start | State::StartLf => Part::Between,
            _ if self.head.trailers => Part::Body,
            State::RequestLine
            | State::RequestLf
            | State::FieldStart
            | State::FieldName
            | State::FieldValue
            | State::Length(_)
            | State::Coding(_)
            | State::FieldLf
            | State::FieldsLf => Part::Head,
            State::Body(_)
            | State::Size { .. }
            | State::Extension { .. }
            | State::SizeLf { .. }
            | State::Data(_)
            | State::DataCr
            | State::DataLf => Part::Body,
        }
    }

    /// Takes as many bytes as belong to the state, at least one unless the state changes.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let first = rest[0];
        match self.state {
            State::Start => self.start(first),
            State::StartLf => self.line_feed(first, State::Start),
            State::RequestLine => self.request_line(rest),
            State::RequestLf | State::FieldLf => self.line_feed(first, State::FieldStart),
            State::FieldStart => Ok(self.field_start(first)),
            State::FieldName => self.field_name(rest),
            State::FieldValue => self.field_value(rest),
            State::Length(value) => self.length(first, value),
            State::Coding(value) => self.coding(first, value),
            State::FieldsLf => self.line_feed(first, self.after_fields()),
            State::Body(left) => Ok(self.skip(rest, left, State::Body, State::Start)),
            State::Size { value, digits } => self.size(first, value, digits),
            State::Extension { value } => self.extension(rest, value),
            State::SizeLf { value } => {
                self.head.trailers = value == 0;
                let next = if value == 0 { State::FieldStart } else { State::Data(value) };
                self.line_feed(first, next)
            }
            State::Data(left) => Ok(self.skip(rest, left, State::Data, State::DataCr)),
            State::DataCr if first == b'\r' => Ok(self.go(State::DataLf)),
            State::DataCr => Err(Violation(0)),
            State::DataLf => self.line_feed(first, NEXT_SIZE),
        }
    }

    /// Takes one byte.
    fn go(&mut self, next: State) -> usize {
        self.state = next;
        1
    }

    fn line_feed(&mut self, byte: u8, next: State) -> Result<usize, Violation> {
        if byte == b'\n' { Ok(self.go(next)) } else { Err(Violation(0)) }
    }

    fn skip(
        &mut self,
        rest: &[u8],
        left: u64,
        more: impl FnOnce(u64) -> State,
        done: State,
    ) -> usize {
        let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let left = left - taken as u64;
        self.state = if left == 0 { done } else { more(left) };
        taken
    }

    /// Empty lines before a request line are tolerated, as some clients end a body with one.
    fn start(&mut self, byte: u8) -> Result<usize, Violation> {
        match byte {
            b'\r' => Ok(self.go(State::StartLf)),
            b'\n' | 0 => Err(Violation(0)),
            _ => {
                self.head = Head::default();
                self.extensions = 0;
                self.begun += 1;
                self.state = State::RequestLine;
                Ok(0)
            }
        }
    }

    /// hyper silently drops what follows `#`, so that the policy would see another target than
    /// the one that was sent. No method that exists has the character either.
    fn request_line(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let end = memchr3(b'\r', b'\n', 0, rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        if let Some(fragment) = memchr(b'#', line) {
            return Err(Violation(fragment));
        }
        self.head.last = line.last().copied().unwrap_or(self.head.last);
        self.carriage_return(rest, end, State::RequestLf)
    }

    fn field_value(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let end = memchr3(b'\r', b'\n', 0, rest);
        self.carriage_return(rest, end, State::FieldLf)
    }

    /// Of the bytes that may end a line, only CR does so rightly.
    fn carriage_return(
        &mut self,
        rest: &[u8],
        end: Option<usize>,
        next: State,
    ) -> Result<usize, Violation> {
        match end {
            None => Ok(rest.len()),
            Some(end) if rest[end] == b'\r' => {
                self.state = next;
                Ok(end + 1)
            }
            Some(end) => Err(Violation(end)),
        }
    }

    fn field_start(&mut self, byte: u8) -> usize {
        if byte == b'\r' {
            return self.go(State::FieldsLf);
        }
        self.name_len = 0;
        self.state = State::FieldName;
        0
    }

    /// A continued line (obs-fold) and white space before the colon fail here: neither is a token.
    fn field_name(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let Some(end) = rest.iter().position(|byte| !TOKEN[usize::from(*byte)]) else {
            self.keep_name(rest);
            return Ok(rest.len());
        };
        if rest[end] != b':' || (end == 0 && self.name_len == 0) {
            return Err(Violation(end));
        }
        let field = self.field(&rest[..end]);
        let framed = self.head.framing.is_some() || self.head.trailers;
        self.state = match field {
            None => State::FieldValue,
            Some(_) if framed => return Err(Violation(end)),
            Some(Framing::Chunked) if self.head.last == b'0' => return Err(Violation(end)),
            Some(Framing::Chunked) => State::Coding(Value::Before),
            Some(Framing::Length(_)) => State::Length(Value::Before),
        };
        self.head.framing = self.head.framing.or(field);
        Ok(end + 1)
    }

    /// The framing that the field of this name declares.
    fn field(&mut self, tail: &[u8]) -> Option<Framing> {
        let name = if self.name_len == 0 {
            tail
        } else {
            self.keep_name(tail);
            self.name.get(..self.name_len)?
        };
        if name.eq_ignore_ascii_case(CONTENT_LENGTH) {
            Some(Framing::Length(0))
        } else if name.eq_ignore_ascii_case(TRANSFER_ENCODING) {
            Some(Framing::Chunked)
        } else {
            None
        }
    }

    fn keep_name(&mut self, more: &[u8]) {
        let len = self.name_len + more.len();
        match self.name.get_mut(self.name_len..len) {
            Some(room) => {
                room.copy_from_slice(more);
                self.name_len = len;
            }
            None => self.name_len = LONGEST_NAME + 1,
        }
    }

    fn length(&mut self, byte: u8, value: Value) -> Result<usize, Violation> {
        let so_far = match value {
            Value::Before => 0,
            Value::Within(number) | Value::After(number) => number,
        };
        let next = match (byte, value) {
            (b' ' | b'\t', Value::Before) => Value::Before,
            (b' ' | b'\t', _) => Value::After(so_far),
            (b'0'..=b'9', Value::Before | Value::Within(_)) => so_far
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(byte - b'0')))
                .map(Value::Within)
                .ok_or(Violation(0))?,
            (b'\r', Value::Within(_) | Value::After(_)) => {
                self.head.framing = Some(Framing::Length(so_far));
                return Ok(self.go(State::FieldLf));
            }
            _ => return Err(Violation(0)),
        };
        Ok(self.go(State::Length(next)))
    }

    fn coding(&mut self, byte: u8, value: Value) -> Result<usize, Violation> {
        const WHOLE: u64 = CHUNKED.len() as u64;
        let matched = match value {
            Value::Before => 0,
            Value::Within(matched) | Value::After(matched) => matched,
        };
        let next = match (byte, value) {
            (b' ' | b'\t', Value::Before) => Value::Before,
            (b' ' | b'\t', _) if matched == WHOLE => Value::After(WHOLE),
            (b'\r', _) if matched == WHOLE => return Ok(self.go(State::FieldLf)),
            (_, Value::Before | Value::Within(_))
                if CHUNKED.get(matched as usize) == Some(&byte.to_ascii_lowercase()) =>
            {
                Value::Within(matched + 1)
            }
            _ => return Err(Violation(0)),
        };
        Ok(self.go(State::Coding(next)))
    }

    fn after_fields(&self) -> State {
        match self.head.framing {
            _ if self.head.trailers => State::Start,
            None | Some(Framing::Length(0)) => State::Start,
            Some(Framing::Length(length)) => State::Body(length),
            Some(Framing::Chunked) => NEXT_SIZE,
        }
    }

    fn size(&mut self, byte: u8, value: u64, digits: u8) -> Result<usize, Violation> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if digits > 0 => return Ok(self.go(State::Extension { value })),
            b'\r' if digits > 0 => return Ok(self.go(State::SizeLf { value })),
            _ => return Err(Violation(0)),
        };
        if digits == MAX_SIZE_DIGITS {
            return Err(Violation(0));
        }
        Ok(self.go(State::Size { value: (value << 4) | u64::from(digit), digits: digits + 1 }))
    }

    fn extension(&mut self, rest: &[u8], value: u64) -> Result<usize, Violation> {
        let end = memchr3(b'\r', b'\n', 0, rest);
        let room = MAX_EXTENSIONS - self.extensions;
        let length = end.unwrap_or(rest.len());
        if length > room {
            return Err(Violation(room));
        }
        self.extensions += length;
        self.carriage_return(rest, end, State::SizeLf { value })
    }
}

const NEXT_SIZE: State = State::Size { value: 0, digits: 0 };

#[cfg(test)]
mod tests;
