//! The tokens of operators: created, revoked and listed, each with a role.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Listed, Means, OperationError, Page, words::moment};
use crate::{
    auth::{
        keyring::random,
        role::Role,
        token::{Environment, Token as Minted},
    },
    tenants::{
        record::AdminTokenRecord,
        store::{Edit, NewAdminToken as Row, View},
    },
};

/// A token of an operator to create.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdminToken {
    /// The name, which the audit log calls it by; it is never used again.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._@][A-Za-z0-9._@-]*$")]
    pub name: String,
    /// What it may.
    pub role: Role,
    /// The Unix time from which it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "moment")]
    #[schema(minimum = 0, maximum = 253402300799_i64)]
    pub expires: Option<i64>,
}

/// A new token of an operator: the secret is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedAdminToken {
    /// The name.
    pub name: String,
    /// The public id.
    pub id: String,
    /// The token itself.
    pub token: String,
    /// What it may.
    pub role: Role,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
}

/// A token of an operator, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdminToken {
    /// The name.
    pub name: String,
    /// The public id.
    pub id: String,
    /// What it may.
    pub role: Role,
    /// `good`, `expired` or `revoked`.
    pub state: String,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
    /// When it was added, as a Unix time.
    pub created: i64,
    /// When it was revoked, as a Unix time.
    pub revoked: Option<i64>,
}

/// A token of an operator that is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevokedAdminToken {
    /// The name.
    pub name: String,
    /// That it is revoked.
    pub revoked: bool,
    /// Whether it was so before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before: bool,
}

/// Creates a token of an operator.
pub fn create(
    edit: &Edit<'_>,
    means: &Means<'_>,
    new: &NewAdminToken,
) -> Result<CreatedAdminToken, OperationError> {
    let keyring = means.vault.keyring;
    let token = Minted::mint(&Environment::admin(), &*random()?);
    edit.add_admin_token(&Row {
        id: token.id(),
        name: &new.name,
        role: new.role,
        mac: keyring.mac(token.expose().as_bytes()),
        key_id: keyring.id(),
        expires: new.expires,
    })?;
    Ok(CreatedAdminToken {
        name: new.name.clone(),
        id: token.id().to_owned(),
        token: token.expose().to_owned(),
        role: new.role,
        expires: new.expires,
    })
}

/// Revokes a token of an operator for good.
pub fn revoke(edit: &Edit<'_>, name: &str) -> Result<RevokedAdminToken, OperationError> {
    let now = edit.revoke_admin_token(name)?;
    Ok(RevokedAdminToken { name: name.to_owned(), revoked: true, before: !now })
}

/// A token of an operator.
pub fn show(view: &View<'_>, name: &str) -> Result<AdminToken, OperationError> {
    Ok(AdminToken::of(view.require_admin_token(name)?, view.now()))
}

/// The tokens of operators by name, revoked ones included.
pub fn list(view: &View<'_>, page: &Page) -> Result<Listed<AdminToken>, OperationError> {
    let found = view.admin_tokens(page.after(), page.probe())?;
    let part = page.of(found, |token| token.name.clone());
    Ok(part.map(|token| AdminToken::of(token, view.now())))
}

impl AdminToken {
    fn of(record: AdminTokenRecord, now: i64) -> Self {
        let state = match &record {
            AdminTokenRecord { revoked: Some(_), .. } => "revoked",
            AdminTokenRecord { expires: Some(end), .. } if now >= *end => "expired",
            AdminTokenRecord { .. } => "good",
        };
        Self {
            name: record.name,
            id: record.id,
            role: record.role,
            state: state.to_owned(),
            expires: record.expires,
            created: record.created,
            revoked: record.revoked,
        }
    }
}
