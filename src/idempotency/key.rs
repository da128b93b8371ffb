//! The key that a client chose: a string of RFC 8941, or, as most send it, bare.

use std::fmt;

use super::Refused;

/// A key. It is a client's own, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

const LONGEST: usize = 255;

impl Key {
    /// Reads the one value of the header.
    pub fn parse<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Self, Refused> {
        let value = values.next().ok_or(Refused::Malformed)?.trim_ascii();
        if values.next().is_some() {
            // Two keys are none: whoever put the second one there may mean another request.
            return Err(Refused::Malformed);
        }
        let key = match value.strip_prefix(b"\"") {
            Some(rest) => unquoted(rest),
            None => value.iter().all(u8::is_ascii_graphic).then(|| value.to_vec()),
        };
        let key = key.filter(|key| (1..=LONGEST).contains(&key.len()));
        let text = key.and_then(|key| String::from_utf8(key).ok());
        text.map(Self).ok_or(Refused::Malformed)
    }

    /// Its bytes, for a MAC alone.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What stands between the quotes; none if it is no string that ends with the value.
fn unquoted(rest: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    loop {
        match *bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(key),
            b'\\' => key.push(*bytes.next().filter(|byte| matches!(byte, b'"' | b'\\'))?),
            byte @ b' '..=b'~' => key.push(byte),
            _ => return None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Refused> {
        Key::parse(values.iter().map(|value| value.as_bytes())).map(|key| key.0)
    }

    #[test]
    fn a_key_is_a_string_or_bare() {
        for value in ["\"8e03978e-40d5\"", "8e03978e-40d5", " 8e03978e-40d5 "] {
            assert_eq!(read(&[value]).as_deref(), Ok("8e03978e-40d5"), "{value}");
        }
        assert_eq!(read(&[r#""a \"b\" \\ c""#]).as_deref(), Ok(r#"a "b" \ c"#));
        assert_eq!(read(&[&"x".repeat(255)]), Ok("x".repeat(255)));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "x".repeat(256);
        let quoted = format!("\"{long}\"");
        let bad = ["", "\"\"", "\"", "\"a", "\"a\"b", "a b", "\"a\\n\"", "a\tb", "é", "\"é\""];
        for value in bad.into_iter().chain([&*long, &*quoted]) {
            assert_eq!(read(&[value]), Err(Refused::Malformed), "{value}");
        }
        assert_eq!(read(&["a", "a"]), Err(Refused::Malformed));
        assert_eq!(read(&[]), Err(Refused::Malformed));
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = Key::parse([&b"secret"[..]].into_iter()).expect("a key");
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
}
