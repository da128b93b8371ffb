//! A member of a closed list in JSON: its word. For `#[serde(with = "..")]`.

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

use crate::vocabulary::Closed;

pub(super) fn serialize<L: Closed, S: Serializer>(
    member: &L,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(member.as_str())
}

pub(super) fn deserialize<'de, L: Closed, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<L, D::Error> {
    let word = String::deserialize(deserializer)?;
    let member = L::ALL.iter().copied().find(|member| member.as_str() == word);
    member.ok_or_else(|| D::Error::custom(format_args!("{word:?} is not in the list")))
}
