//! What the columns of a token say.
//!
//! Of many tokens all columns but the MAC are read as one: a value costs more to hand on than it does
//! to read, and there may be 100,000 rows of twenty.

use std::borrow::Cow;

use serde::Deserialize;
use sqlx::any::AnyRow;

use super::super::{StoreError, backend::Backend, get, limit_status, meaningless};
use crate::{
    auth::{
        keyring::Mac,
        scopes::{PermissionSet, ScopeNames},
    },
    policy::document::PolicyDocument,
    tenants::record::{TokenRecord, TokenTerms, member},
};

/// All but the MAC, as the fields of [`Columns`] stand.
const BESIDE_MAC: &str = "id, tenant, credential, key_id, access, allow, deny, addresses, \
                          not_before, expires, limit_status, adopted, created, revoked, \
                          permissions, label, policies, replaced_by";

#[derive(Deserialize)]
struct Columns<'r> {
    #[serde(borrow)]
    id: Cow<'r, str>,
    tenant: i64,
    credential: i64,
    #[serde(borrow)]
    key_id: Cow<'r, str>,
    #[serde(borrow)]
    access: Cow<'r, str>,
    #[serde(borrow)]
    allow: Cow<'r, str>,
    #[serde(borrow)]
    deny: Cow<'r, str>,
    #[serde(borrow)]
    addresses: Cow<'r, str>,
    not_before: Option<i64>,
    expires: Option<i64>,
    limit_status: Option<i64>,
    adopted: i64,
    created: i64,
    revoked: Option<i64>,
    #[serde(borrow)]
    permissions: Cow<'r, str>,
    #[serde(borrow)]
    label: Cow<'r, str>,
    #[serde(borrow)]
    policies: Cow<'r, str>,
    replaced_by: Option<String>,
}

/// The token of a row that has each of its columns.
pub(super) fn record(row: &AnyRow) -> Result<TokenRecord, StoreError> {
    let text = |column| get::<&str>(row, column).map(Cow::Borrowed);
    let columns = Columns {
        id: text("id")?,
        tenant: get(row, "tenant")?,
        credential: get(row, "credential")?,
        key_id: text("key_id")?,
        access: text("access")?,
        allow: text("allow")?,
        deny: text("deny")?,
        addresses: text("addresses")?,
        not_before: get(row, "not_before")?,
        expires: get(row, "expires")?,
        limit_status: get(row, "limit_status")?,
        adopted: get(row, "adopted")?,
        created: get(row, "created")?,
        revoked: get(row, "revoked")?,
        permissions: text("permissions")?,
        label: text("label")?,
        policies: text("policies")?,
        replaced_by: get(row, "replaced_by")?,
    };
    columns.record(row)
}

/// Selects tokens for [`packed_record`].
pub(super) fn select_packed(backend: Backend) -> String {
    format!("SELECT mac, {} AS beside_mac FROM tokens", backend.json_array(BESIDE_MAC))
}

/// The token of a row that has two columns.
pub(super) fn packed_record(row: &AnyRow) -> Result<TokenRecord, StoreError> {
    const COLUMN: &str = "beside_mac";
    let text: &str = get(row, COLUMN)?;
    let columns: Columns<'_> = serde_json::from_str(text).map_err(|_| meaningless(COLUMN, text))?;
    columns.record(row)
}

impl Columns<'_> {
    fn record(self, row: &AnyRow) -> Result<TokenRecord, StoreError> {
        let mac: &[u8] = get(row, "mac")?;
        let address = |text: &str| text.parse().map_err(|_| meaningless("addresses", text));
        let terms = TokenTerms {
            scopes: ScopeNames {
                access: member(&self.access).ok_or_else(|| meaningless("access", &self.access))?,
                allow: words(&self.allow).map(str::to_owned).collect(),
                deny: words(&self.deny).map(str::to_owned).collect(),
            },
            addresses: words(&self.addresses).map(address).collect::<Result<_, _>>()?,
            not_before: self.not_before,
            expires: self.expires,
            limit_status: self.limit_status.map(limit_status).transpose()?,
            permissions: permissions(&self.permissions)?,
            policies: policies(&self.policies)?,
            label: self.label.into_owned(),
        };
        Ok(TokenRecord {
            id: self.id.into_owned(),
            tenant: self.tenant,
            credential: self.credential,
            mac: Mac::from_bytes(mac).ok_or_else(|| meaningless("mac", ""))?,
            key_id: self.key_id.into_owned(),
            terms,
            adopted: self.adopted != 0,
            created: self.created,
            revoked: self.revoked,
            replaced_by: self.replaced_by,
        })
    }
}

/// An unknown one is no less an error than an unknown access: nobody can say what it gives.
fn permissions(text: &str) -> Result<PermissionSet, StoreError> {
    words(text).map(|word| member(word).ok_or_else(|| meaningless("permissions", word))).collect()
}

/// What is not understood might have forbidden something.
fn policies(text: &str) -> Result<PolicyDocument, StoreError> {
    serde_json::from_str(text).map_err(|_| meaningless("policies", text))
}

fn words(text: &str) -> std::str::SplitAsciiWhitespace<'_> {
    text.split_ascii_whitespace()
}
