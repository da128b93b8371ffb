//! What is hashed or signed, as bytes; and such bytes as text.

use std::{fmt, iter};

/// A label and fields, each behind its length in eight bytes, most significant first.
///
/// Two lists of fields are never written alike, and the label keeps what was hashed or signed for
/// one purpose from being taken for another. Each label ends in the version of its list of fields.
pub(super) fn encoded(label: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in iter::once(label.as_bytes()).chain(fields.iter().copied()) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Writes bytes as lower-case hexadecimal digits.
pub(super) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads what [`write_hex`] wrote; upper-case digits are refused, so that bytes have one text.
pub(super) fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_field_ends_is_part_of_the_bytes() {
        let all: [&[&[u8]]; 6] =
            [&[], &[b""], &[b"", b""], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"]];
        for (place, fields) in all.iter().enumerate() {
            for other in &all[..place] {
                assert_ne!(encoded("label", fields), encoded("label", other));
            }
        }
        assert_ne!(encoded("label", &[b"a"]), encoded("labela", &[]));
        assert_eq!(encoded("l", &[b"ab"]), b"\0\0\0\0\0\0\0\x01l\0\0\0\0\0\0\0\x02ab");
    }

    #[test]
    fn bytes_have_one_text() {
        assert_eq!(read_hex("00ff1a"), Some([0, 255, 26]));
        for text in ["", "00ff", "00ff1", "00ff1a00", "00FF1A", "00ff1g", "00 f1a", "é0ff1"] {
            assert_eq!(read_hex::<3>(text), None, "{text}");
        }
    }
}
