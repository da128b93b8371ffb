//! What can stand behind a key: how each type is written, and what is said of what is not one.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{ByteSize, Setting};
use crate::vocabulary::{Closed as _, Format};

impl Setting for bool {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| expected("true or false", value))
    }
}

impl Setting for String {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| expected("a string", value))
    }
}

impl Setting for Format {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let found = Format::ALL.iter().copied().find(|f| value.as_str() == Some(f.as_str()));
        found.ok_or_else(|| expected("\"json\" or \"xml\"", value))
    }
}

impl Setting for PathBuf {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        value.as_str().map(PathBuf::from).ok_or_else(|| expected("a path", value))
    }
}

impl Setting for SocketAddr {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| expected("ADDRESS:PORT", value))?;
        text.parse().map_err(|_| format!("expected ADDRESS:PORT, found \"{text}\""))
    }
}

impl Setting for Duration {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        const WANT: &str = "a duration such as \"250ms\", \"30s\", \"5m\" or \"1h\"";
        let text = value.as_str().ok_or_else(|| expected(WANT, value))?;
        parse_duration(text).ok_or_else(|| format!("expected {WANT}, found \"{text}\""))
    }
}

impl Setting for ByteSize {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        const WANT: &str = "a size such as 4096, \"64KiB\", \"4MiB\" or \"1GiB\"";
        match value {
            toml::Value::Integer(n) => {
                u64::try_from(*n).map(ByteSize).map_err(|_| expected(WANT, value))
            }
            toml::Value::String(text) => {
                parse_size(text).ok_or_else(|| format!("expected {WANT}, found \"{text}\""))
            }
            _ => Err(expected(WANT, value)),
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        T::from_toml(value).map(Some)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        value
            .as_array()
            .ok_or_else(|| expected("a list", value))?
            .iter()
            .map(T::from_toml)
            .collect()
    }
}

macro_rules! integer_setting {
    ($($ty:ty),*) => {$(
        impl Setting for $ty {
            fn from_toml(value: &toml::Value) -> Result<Self, String> {
                let want = || format!("a whole number from 0 to {}", <$ty>::MAX);
                let number = value.as_integer().ok_or_else(|| expected(&want(), value))?;
                <$ty>::try_from(number).map_err(|_| format!("expected {}, found {number}", want()))
            }
        }
    )*};
}

integer_setting!(u8, u16, u32, u64, usize);

/// A whole number and a unit: `ms`, `s`, `m`, `h`, `d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let seconds = |per: u64| number.checked_mul(per).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    }
}

fn parse_size(text: &str) -> Option<ByteSize> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).map(ByteSize)
}

fn expected(want: &str, found: &toml::Value) -> String {
    format!("expected {want}, found {found}")
}
