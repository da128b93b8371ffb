//! XML as Rails writes it: two spaces a level, types as attributes, underscores kept.

use super::names::singular;
use super::{Object, Style, Value, float};
use crate::demo::simulator::calendar::Civil;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// U+0080 to U+009F, which Rails takes for Windows-1252; five of them have no meaning there.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

struct Writer {
    out: String,
    style: Style,
    depth: usize,
}

/// The document whose root has this name.
pub(crate) fn write(root: &str, value: &Value, style: Style) -> String {
    let mut writer = Writer { out: String::with_capacity(1024), style, depth: 0 };
    writer.out.push_str(DECLARATION);
    writer.element(root, value);
    writer.out
}

/// A refused record's messages, which Rails writes without types.
pub(crate) fn messages<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut writer = Writer { out: DECLARATION.to_owned(), style: Style::default(), depth: 0 };
    writer.nested("errors", "", |w| {
        for text in texts {
            w.leaf("error", "", text);
        }
    });
    writer.out
}

impl Writer {
    fn element(&mut self, name: &str, value: &Value) {
        match value {
            Value::Null => {
                self.open(name, "");
                if let Some(kind) = self.style.dialect.type_of_null(name) {
                    self.out.extend([" type=\"", kind, "\""]);
                }
                self.out.push_str(" nil=\"true\"/>\n");
            }
            Value::Boolean(flag) => {
                let text = if *flag { "true" } else { "false" };
                self.leaf(name, "boolean", text);
            }
            Value::Integer(number) => self.leaf(name, "integer", &number.to_string()),
            Value::Float(number) => self.leaf(name, "float", &float(*number)),
            Value::Decimal(text) => self.leaf(name, "decimal", text),
            Value::Text(text) => self.leaf(name, "", text),
            Value::Time(unix) => {
                let time = Civil::new(*unix, self.style.zone_minutes).time("");
                self.leaf(name, self.style.dialect.type_of_times(), &time);
            }
            Value::Date(unix) => self.leaf(name, "date", &Civil::new(*unix, 0).date()),
            Value::Object(fields) | Value::Model(_, fields) => self.object(name, fields),
            Value::List(items) => self.list(name, items),
        }
    }

    fn object(&mut self, name: &str, fields: &Object) {
        self.nested(name, "", |w| {
            for (field, value) in fields.iter() {
                w.element(field, value);
            }
        });
    }

    fn list(&mut self, name: &str, items: &[Value]) {
        if items.is_empty() {
            return self.open(name, " type=\"array\"/>\n");
        }
        let item_name = singular(name);
        self.nested(name, "array", |w| {
            for item in items {
                w.element(&item_name, item);
            }
        });
    }

    fn nested(&mut self, name: &str, kind: &str, children: impl FnOnce(&mut Self)) {
        self.tag(name, kind);
        self.out.push('\n');
        self.depth += 1;
        children(self);
        self.depth -= 1;
        self.indent();
        self.close(name);
    }

    fn leaf(&mut self, name: &str, kind: &str, text: &str) {
        self.tag(name, kind);
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                other => self.out.push(shown(other)),
            }
        }
        self.close(name);
    }

    fn tag(&mut self, name: &str, kind: &str) {
        self.open(name, "");
        if !kind.is_empty() {
            self.out.extend([" type=\"", kind, "\""]);
        }
        self.out.push('>');
    }

    fn open(&mut self, name: &str, rest: &str) {
        self.indent();
        self.out.extend(["<", name, rest]);
    }

    fn close(&mut self, name: &str) {
        self.out.extend(["</", name, ">\n"]);
    }

    fn indent(&mut self) {
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }
}

/// The character that Rails writes for one that XML 1.0 has no place for.
fn shown(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => c,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        '\u{80}'..='\u{9f}' => WINDOWS_1252[(u32::from(c) - 0x80) as usize],
        _ => c,
    }
}
