//! Closed lists in JSON: each member is its word, and the schema names them all.

use std::borrow::Cow;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use crate::{
    auth::{
        role::Role,
        scopes::{Access, Permission},
    },
    policy::Mode,
    tenants::record::{LimitStatus, Reach, SecretKind, address_range, member},
    vocabulary::{Closed, Format},
};

/// An address or a range of them, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange(pub IpNet);

macro_rules! written {
    ($($list:ident),*) => {$(
        impl Serialize for $list {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $list {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read(deserializer)
            }
        }
    )*};
}

macro_rules! described {
    ($($list:ident),*) => {$(
        impl PartialSchema for $list {
            fn schema() -> RefOr<Schema> {
                let words = Self::ALL.iter().map(|member| member.as_str());
                let schema = ObjectBuilder::new().schema_type(Type::String);
                schema.enum_values(Some(words)).into()
            }
        }

        impl ToSchema for $list {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($list))
            }
        }
    )*};
}

written!(Access, Format, Permission, Reach, Role, SecretKind);
described!(Access, Format, Mode, Permission, Reach, Role, SecretKind);

fn read<'de, L: Closed, D: Deserializer<'de>>(deserializer: D) -> Result<L, D::Error> {
    let word = Cow::<'de, str>::deserialize(deserializer)?;
    member(&word).ok_or_else(|| {
        let words: Vec<_> = L::ALL.iter().map(|member| member.as_str()).collect();
        D::Error::custom(format_args!("expected one of {}", words.join(", ")))
    })
}

impl Serialize for LimitStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.code())
    }
}

impl<'de> Deserialize<'de> for LimitStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = u16::deserialize(deserializer)?;
        Self::from_code(code).ok_or_else(|| D::Error::custom("expected 429 or 403"))
    }
}

impl PartialSchema for LimitStatus {
    fn schema() -> RefOr<Schema> {
        let codes = [Self::TooManyRequests, Self::Forbidden].map(Self::code);
        ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(codes)).into()
    }
}

impl ToSchema for LimitStatus {}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let range = address_range(&text);
        range
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected an address or a range such as 192.0.2.0/24"))
    }
}

impl PartialSchema for AddressRange {
    fn schema() -> RefOr<Schema> {
        let example = serde_json::Value::from("192.0.2.0/24");
        ObjectBuilder::new().schema_type(Type::String).examples([example]).into()
    }
}

impl ToSchema for AddressRange {}

/// A Unix time from 1970 to the end of the year 9999, or none.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let time = Option::<i64>::deserialize(deserializer)?;
    if time.is_none_or(|time| (0..=MOMENT_MAX).contains(&time)) {
        return Ok(time);
    }
    Err(D::Error::custom(format_args!("expected a Unix time in seconds, from 0 to {MOMENT_MAX}")))
}

/// What is there, which is not null: who gives nothing, leaves it out.
pub(super) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What is there, even if it is null: so that what is absent can be told from it.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The end of the year 9999.
pub(super) const MOMENT_MAX: i64 = 253_402_300_799;
