//! What a declaration looks like as JSON, for the OpenAPI document.
//!
//! No declaration is read as these types: it is read key by key, as a file is, so that every problem is
//! found at once. A test holds them to the keys that are read and to what is exported.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type},
    },
};

use crate::{
    auth::scopes::{Access, Permission},
    operations::words::AddressRange,
    policy::document::PolicyDocument,
    tenants::record::{LimitStatus, Reach},
    vocabulary::Format,
};

/// What is declared of the whole store. A key that is left out has its default, but a credential keeps
/// the login and the secret that are stored, and a token its end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// The tenants by name.
    #[serde(default)]
    #[schema(required = false)]
    pub tenants: BTreeMap<String, DeclaredTenant>,
    /// The credentials by name.
    #[serde(default)]
    #[schema(required = false)]
    pub credentials: BTreeMap<String, DeclaredCredential>,
    /// The tokens, each known by its tenant and label, or by its id.
    #[serde(default)]
    #[schema(required = false)]
    pub tokens: Vec<DeclaredToken>,
}

/// A tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTenant {
    /// The format of what the upstream would refuse for want of a clear one.
    #[schema(value_type = Format, required = false)]
    pub default_format: Option<Format>,
    /// Reads a second, and at once, such as `20/40`; unlimited if it is left out.
    #[schema(value_type = String, required = false)]
    pub reads: Option<String>,
    /// Writes, likewise.
    #[schema(value_type = String, required = false)]
    pub writes: Option<String>,
    /// Reads that the cache does not answer, likewise.
    #[schema(value_type = String, required = false)]
    pub upstream_reads: Option<String>,
    /// With which status a limited request is answered.
    #[schema(value_type = LimitStatus, required = false)]
    pub limit_status: Option<LimitStatus>,
}

/// A credential.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredCredential {
    /// The upstream, by the name that the configuration has for it.
    pub upstream: String,
    /// The login, whose secret is a password.
    #[schema(value_type = String, required = false)]
    pub login: Option<String>,
    /// The e-mail address, whose secret is an API key; in the place of a login.
    #[schema(value_type = String, required = false)]
    pub email: Option<String>,
    /// Which of `secrets.files` is its secret.
    #[schema(value_type = String, required = false)]
    pub secret_file: Option<String>,
    /// Which of `secrets.variables` is its secret; in the place of a file.
    #[schema(value_type = String, required = false)]
    pub secret_variable: Option<String>,
    /// What it sees and changes: what its account owns, or all.
    #[schema(value_type = Reach, required = false)]
    pub reach: Option<Reach>,
    /// The upstream user behind it: the same for all credentials of one user.
    #[schema(value_type = String, required = false)]
    pub account: Option<String>,
}

/// A token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredToken {
    /// The public id of a token that is there.
    #[schema(value_type = String, required = false)]
    pub id: Option<String>,
    /// What the operator calls it.
    #[serde(default)]
    #[schema(required = false)]
    pub label: String,
    /// The tenant whose it is.
    pub tenant: String,
    /// The credential that it stands for.
    pub credential: String,
    /// Which of `secrets.files` is the key of a client that is adopted.
    #[schema(value_type = String, required = false)]
    pub secret_file: Option<String>,
    /// Which of `secrets.variables` is such a key; in the place of a file.
    #[schema(value_type = String, required = false)]
    pub secret_variable: Option<String>,
    /// Whether it may change anything; it may if this is left out.
    #[schema(value_type = Access, required = false)]
    pub access: Option<Access>,
    /// The route classes and families that it may ask for; none stands for all.
    #[serde(default)]
    #[schema(required = false)]
    pub allow: Vec<String>,
    /// Those that it may not ask for.
    #[serde(default)]
    #[schema(required = false)]
    pub deny: Vec<String>,
    /// What few tokens may.
    #[serde(default)]
    #[schema(required = false)]
    pub permissions: Vec<Permission>,
    /// The addresses that may present it; none stands for all.
    #[serde(default)]
    #[schema(required = false)]
    pub addresses: Vec<AddressRange>,
    /// Good from then.
    #[schema(value_type = Moment, required = false)]
    pub not_before: Option<Moment>,
    /// Good until then.
    #[schema(value_type = Moment, required = false)]
    pub expires: Option<Moment>,
    /// With which status a limited request is answered, where that is not the tenant's way.
    #[schema(value_type = LimitStatus, required = false)]
    pub limit_status: Option<LimitStatus>,
    /// What it may not.
    #[serde(default)]
    #[schema(required = false)]
    pub policies: PolicyDocument,
}

/// A date and time with its distance from UTC, or a Unix time in seconds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// Such as `2027-01-31T00:00:00Z`.
    Written(String),
    /// Unix seconds.
    Seconds(i64),
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let date_time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let written = ObjectBuilder::new().schema_type(Type::String).format(Some(date_time));
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        OneOfBuilder::new().item(written).item(seconds).into()
    }
}

impl ToSchema for Moment {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        settings::Section as _,
        tenants::declared::{CredentialKeys, TenantKeys, TokenKeys},
    };

    fn check<S: PartialSchema>(keys: &[&str]) {
        let schema = serde_json::to_value(S::schema()).expect("JSON");
        let properties = schema["properties"].as_object().expect("an object");
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        assert_eq!(properties.keys().map(String::as_str).collect::<Vec<_>>(), keys);
        assert_eq!(schema["additionalProperties"], false, "{schema}");
    }

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        check::<DeclaredTenant>(TenantKeys::KEYS);
        check::<DeclaredCredential>(CredentialKeys::KEYS);
        check::<DeclaredToken>(TokenKeys::KEYS);
    }
}
