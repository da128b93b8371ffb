//! Writes text of XML as Rails does.

/// U+0080 to U+009F, which Rails takes for Windows-1252; five of them have no meaning there.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The text of an element. Quotes are left as they are; what XML cannot show is replaced.
pub fn push_text(out: &mut String, text: &str) {
    let mut from = 0;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if !MAY_BE_REPLACED[byte as usize] {
            continue;
        }
        let entity = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            _ => "",
        };
        if !entity.is_empty() {
            out.push_str(&text[from..at]);
            out.push_str(entity);
            from = at + 1;
        } else if let Some(character) = text[at..].chars().next()
            && shown(character) != character
        {
            out.push_str(&text[from..at]);
            out.push(shown(character));
            from = at + character.len_utf8();
        }
    }
    out.push_str(&text[from..]);
}

/// Whether a text, written and read again, is this one.
pub fn is_shown_as(text: &str, read: &str) -> bool {
    text == read || text.chars().map(shown).eq(read.chars())
}

/// What stands for a character.
fn shown(character: char) -> char {
    match character {
        '\u{80}'..='\u{9f}' => WINDOWS_1252[character as usize - 0x80],
        '\t' | '\n' | '\r' => character,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => character,
    }
}

/// Bytes that are escaped, or begin a character that may be replaced.
const MAY_BE_REPLACED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = !matches!(byte, 9 | 10 | 13);
        byte += 1;
    }
    let others = b"&<>\xc2\xef";
    let mut other = 0;
    while other < others.len() {
        table[others[other] as usize] = true;
        other += 1;
    }
    table
};
