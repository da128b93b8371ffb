//! A secret in a request: written and read, never printed.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type},
    },
};
use zeroize::Zeroizing;

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain(Zeroizing<String>);

impl Plain {
    /// Takes it.
    pub fn new(secret: Zeroizing<String>) -> Self {
        Self(secret)
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(..)")
    }
}

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Plain {
    /// What is wrong with it is said without it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer);
        let text = text.map_err(|_| D::Error::custom("a secret is a string"))?;
        Ok(Self(Zeroizing::new(text.into_owned())))
    }
}

impl PartialSchema for Plain {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new().schema_type(Type::String).write_only(true);
        schema.format(Some(SchemaFormat::KnownFormat(KnownFormat::Password))).into()
    }
}

impl ToSchema for Plain {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_and_never_printed() {
        let secret: Plain = serde_json::from_str("\"hunter-2\"").expect("a string");
        assert_eq!(secret.expose(), "hunter-2");
        assert_eq!(serde_json::to_string(&secret).expect("JSON"), "\"hunter-2\"");
        assert_eq!(format!("{secret:?}"), "Plain(..)");
        let wrong = serde_json::from_str::<Plain>("1234").expect_err("no string").to_string();
        assert!(wrong.starts_with("a secret is a string") && !wrong.contains("1234"), "{wrong}");
    }
}
