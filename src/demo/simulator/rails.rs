//! A value tree with the types that Rails tells apart; its writers give Rails' exact bytes.
//!
//! A model and a plain object differ in one thing: in JSON a model in a list is wrapped in an
//! object with its name as the only key, and in XML it is not.

pub(crate) mod json;
mod names;
pub(crate) mod xml;

#[cfg(test)]
mod tests;

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// In JSON a string. Digits, a point and at least one digit; see [`Value::decimal`].
    Decimal(String),
    Text(String),
    /// Seconds since 1970.
    Time(i64),
    /// Seconds since 1970, of which the day is shown.
    Date(i64),
    Object(Object),
    Model(&'static str, Object),
    List(Vec<Value>),
}

/// What a test may put into a field.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// An exact number, which JSON shows as a text.
    Decimal(&'static str),
    /// A text.
    Text(&'static str),
}

impl From<Field> for Value {
    fn from(field: Field) -> Self {
        match field {
            Field::Null => Self::Null,
            Field::Integer(number) => Self::Integer(number),
            Field::Decimal(text) => Self::decimal(text),
            Field::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

/// Named fields in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Object(Vec<(&'static str, Value)>);

/// What a reader's preferences, and the age of the panel, change in the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Minutes by which the reader's clock is ahead of UTC.
    pub(crate) zone_minutes: i32,
    pub(crate) dialect: Dialect,
}

/// How a panel of some age writes times and nulls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As Rails 6.1 with whole seconds in its database.
    #[default]
    Usual,
    /// With milliseconds in its database, which XML does not show.
    Fractions,
    /// A null of XML says what type its column has.
    TypedNulls,
    /// As Rails 3: `datetime`, and no fraction in JSON.
    Rails3,
}

impl Dialect {
    /// What JSON has between the seconds of a time and its zone.
    fn fraction(self, unix: i64) -> String {
        match self {
            Self::Usual | Self::TypedNulls => ".000".to_owned(),
            Self::Fractions => format!(".{:03}", unix.wrapping_mul(7919).rem_euclid(999) + 1),
            Self::Rails3 => String::new(),
        }
    }

    fn type_of_times(self) -> &'static str {
        if self == Self::Rails3 { "datetime" } else { "dateTime" }
    }

    /// The type that a null of this name has, where it has one.
    fn type_of_null(self, name: &str) -> Option<&'static str> {
        if self != Self::TypedNulls {
            None
        } else if name.ends_with("_id") {
            Some("integer")
        } else if name.ends_with("_at") {
            Some("dateTime")
        } else {
            None
        }
    }
}

impl Value {
    /// An exact number as Ruby shows it: no trailing zeros, and at least one digit after the point.
    pub(crate) fn decimal(text: &str) -> Self {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        Self::Decimal(format!("{whole}.{fraction}"))
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) | Self::Time(number) = self { Some(*number) } else { None }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Self::List(value)
    }
}

impl<const N: usize> From<[(&'static str, Value); N]> for Object {
    fn from(fields: [(&'static str, Value); N]) -> Self {
        Self(fields.into())
    }
}

impl Object {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Sets a field where it stands, or adds it at the end.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| *n != name);
    }

    /// A copy with only these fields.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(n, _)| names.contains(n)).cloned().collect())
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        self.get(name).and_then(Value::as_integer).unwrap_or(0)
    }

    pub(crate) fn str(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Boolean(true))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.0.iter()
    }
}

/// A float as Ruby spells it: positional from 0.0001 up to 1e15, else with a two-digit exponent.
fn float(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-4..1e15).contains(&size) {
        return format!("{number:?}");
    }
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
    format!("{mantissa}{point}e{sign}{digits:0>2}")
}
