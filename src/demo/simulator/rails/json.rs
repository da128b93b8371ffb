//! JSON as Rails writes it: compact, raw UTF-8, decimals as strings, HTML-safe escapes.

use std::fmt::Write;

use super::{Object, Style, Value, float};
use crate::demo::simulator::calendar::Civil;

/// The text of a value.
pub(crate) fn write(value: &Value, style: Style) -> String {
    let mut out = String::with_capacity(1024);
    append(&mut out, value, style);
    out
}

fn append(out: &mut String, value: &Value, style: Style) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Integer(number) => push(out, format_args!("{number}")),
        Value::Float(number) => out.push_str(&float(*number)),
        Value::Decimal(text) | Value::Text(text) => string(out, text),
        Value::Time(unix) => {
            string(
                out,
                &Civil::new(*unix, style.zone_minutes).time(&style.dialect.fraction(*unix)),
            );
        }
        Value::Date(unix) => string(out, &Civil::new(*unix, 0).date()),
        Value::Object(fields) => object(out, fields, style),
        Value::Model(name, fields) => {
            out.push('{');
            string(out, name);
            out.push(':');
            object(out, fields, style);
            out.push('}');
        }
        Value::List(items) => list(out, items, style),
    }
}

fn list(out: &mut String, items: &[Value], style: Style) {
    out.push('[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        append(out, item, style);
    }
    out.push(']');
}

fn object(out: &mut String, fields: &Object, style: Style) {
    out.push('{');
    for (n, (name, value)) in fields.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        append(out, value, style);
    }
    out.push('}');
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                push(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}
