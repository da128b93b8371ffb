//! Credentials: added, rotated, declared, listed and removed. No answer has a secret in it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Listed, Means, OperationError, Page, plain::Plain, words::not_null};
use crate::tenants::{
    record::{CredentialRecord, Reach, SecretKind, Standing},
    secret::{BadSecret, UpstreamSecret},
    store::{Edit, View},
};

/// A credential to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// The name: letters, digits and `._@-`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._@][A-Za-z0-9._@-]*$")]
    pub name: String,
    /// The upstream that it is for, by the name that the configuration has for it.
    pub upstream: String,
    /// Whether it is a login and its password, or an e-mail address and its API key.
    pub kind: SecretKind,
    /// The login, or the e-mail address.
    #[schema(min_length = 1)]
    pub login: String,
    /// The password, or the API key.
    pub secret: Plain,
    /// What it sees and changes: what its account owns, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// The upstream user behind it: the same for all credentials of one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub account: Option<String>,
    /// Whether the upstream is asked first whether it takes it; it is if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<bool>,
}

/// Another secret for a credential.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// Whether it is a login and its password, or an e-mail address and its API key.
    pub kind: SecretKind,
    /// The login, or the e-mail address.
    #[schema(min_length = 1)]
    pub login: String,
    /// The password, or the API key.
    pub secret: Plain,
    /// Whether the upstream is asked first whether it takes it; it is if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<bool>,
}

/// What is to be declared otherwise of a credential; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialChange {
    /// What it sees and changes: what its account owns, or all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "not_null")]
    #[schema(value_type = Reach, required = false)]
    pub reach: Option<Reach>,
    /// The upstream user behind it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 255)]
    pub account: Option<String>,
}

/// A credential, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// The name.
    pub name: String,
    /// The upstream that it is for.
    pub upstream: String,
    /// What it is made of.
    pub kind: SecretKind,
    /// What it sees and changes, if that was declared.
    pub reach: Option<Reach>,
    /// The upstream user behind it, if that was declared.
    pub account: Option<String>,
    /// How often its secret was changed, from one.
    pub generation: i64,
    /// The id of the keys that sealed its secret.
    pub key_id: String,
    /// When it was added, as a Unix time.
    pub created: i64,
}

/// What became of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedCredential {
    /// The name.
    pub credential: String,
    /// How often its secret was changed, from one.
    pub generation: i64,
}

/// Adds a credential.
pub fn add(
    edit: &Edit<'_>,
    means: &Means<'_>,
    new: &NewCredential,
) -> Result<Credential, OperationError> {
    let secret = new.secret()?;
    let standing = Standing { reach: new.reach, account: new.account.clone() };
    edit.add_credential(&means.vault, &new.name, &new.upstream, &secret, &standing)?;
    show(edit, &new.name)
}

impl NewCredential {
    /// What the upstream would be shown.
    pub fn secret(&self) -> Result<UpstreamSecret, BadSecret> {
        UpstreamSecret::new(self.kind, &self.login, self.secret.expose())
    }
}

impl NewSecret {
    /// What the upstream would be shown.
    pub fn secret(&self) -> Result<UpstreamSecret, BadSecret> {
        UpstreamSecret::new(self.kind, &self.login, self.secret.expose())
    }
}

/// Gives a credential another secret.
pub fn rotate(
    edit: &Edit<'_>,
    means: &Means<'_>,
    name: &str,
    new: &NewSecret,
) -> Result<RotatedCredential, OperationError> {
    let secret = new.secret()?;
    let generation = edit.rotate_credential(&means.vault, name, &secret)?;
    Ok(RotatedCredential { credential: name.to_owned(), generation })
}

/// Declares something else of a credential.
pub fn set(
    edit: &Edit<'_>,
    name: &str,
    change: &CredentialChange,
) -> Result<Credential, OperationError> {
    let Standing { reach, account } = edit.require_credential(name)?.standing;
    let account = change.account.clone().or(account);
    edit.set_standing(name, &Standing { reach: change.reach.or(reach), account })?;
    show(edit, name)
}

/// Removes a credential that no token in use stands for.
pub fn remove(edit: &Edit<'_>, name: &str) -> Result<(), OperationError> {
    Ok(edit.remove_credential(name)?)
}

/// A credential.
pub fn show(view: &View<'_>, name: &str) -> Result<Credential, OperationError> {
    Ok(view.require_credential(name)?.into())
}

/// The credentials by name.
pub fn list(view: &View<'_>, page: &Page) -> Result<Listed<Credential>, OperationError> {
    let found = view.credentials(page.after(), page.probe())?;
    Ok(page.of(found, |credential| credential.name.clone()).map(Credential::from))
}

impl From<CredentialRecord> for Credential {
    fn from(record: CredentialRecord) -> Self {
        let Standing { reach, account } = record.standing;
        Self {
            name: record.name,
            upstream: record.upstream,
            kind: record.kind,
            reach,
            account,
            generation: record.generation,
            key_id: record.key_id,
            created: record.created,
        }
    }
}
