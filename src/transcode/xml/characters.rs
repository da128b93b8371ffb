//! Which characters XML has, and where (XML 1.0, fifth edition).

/// White space of XML.
pub(super) fn is_white_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// Whether a text is white space alone.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Bytes of text that may be part of what is not allowed there.
pub(super) const IS_SUSPICIOUS: [bool; 256] = {
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
pub fn is_character(character: char) -> bool {
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

/// A character that a name may have behind its first.
pub fn is_in_a_name(character: char) -> bool {
    begins_a_name(character)
        || matches!(character,
            '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
