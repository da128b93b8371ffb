//! Tokens: created, rotated, revoked, given policies, listed and described.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Listed, Means, OperationError, Page,
    words::{AddressRange, moment, not_null},
};
use crate::{
    auth::{
        keyring::random,
        scopes::{Access, Permission, PermissionSet, ScopeNames},
        token::Token as Minted,
    },
    policy::{document::PolicyDocument, policies::Policies},
    tenants::{
        record::{LimitStatus, TokenRecord, TokenTerms},
        store::{self, Edit, NewToken as Row, Succession, Successor, View},
    },
};

/// A token to create. What is left out is as wide as it can be; permissions are none.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The tenant whose it is.
    pub tenant: String,
    /// The credential that it stands for.
    pub credential: String,
    /// Whether it may change anything; it may if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The route classes and families that it may ask for; none stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Those that it may not ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// What few tokens may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    /// The addresses that may present it; none stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// The Unix time from which it is good.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "moment")]
    #[schema(minimum = 0, maximum = 253402300799_i64)]
    pub not_before: Option<i64>,
    /// The Unix time from which it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "moment")]
    #[schema(minimum = 0, maximum = 253402300799_i64)]
    pub expires: Option<i64>,
    /// With which status a limited request is answered, where that is not the tenant's way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_status: Option<LimitStatus>,
    /// What you call it, such as the program that has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 100)]
    pub label: String,
    /// What it may not.
    #[serde(default, skip_serializing_if = "PolicyDocument::is_empty")]
    pub policies: PolicyDocument,
}

/// What of a token is to be another one; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenChange {
    /// What few tokens may.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "not_null")]
    #[schema(value_type = Vec<Permission>, required = false)]
    pub permissions: Option<Vec<Permission>>,
    /// What it may not, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "not_null")]
    #[schema(value_type = PolicyDocument, required = false)]
    pub policies: Option<PolicyDocument>,
}

/// How a token is to be rotated.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// For how many seconds the old one stays good; a day if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 253402300799_i64)]
    pub overlap_seconds: Option<u64>,
    /// The Unix time from which the new one is no longer good; the end that the old one had before if
    /// this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "moment")]
    #[schema(minimum = 0, maximum = 253402300799_i64)]
    pub expires: Option<i64>,
}

/// A new token: the secret is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The public id.
    pub id: String,
    /// The token itself.
    pub token: String,
    /// The tenant whose it is.
    pub tenant: String,
    /// The credential that it stands for.
    pub credential: String,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
}

/// A token that has taken another's place: the secret is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedToken {
    /// The public id of the new one.
    pub id: String,
    /// The new one itself.
    pub token: String,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
    /// The public id of the old one.
    pub replaces: String,
    /// The Unix time from which the old one is no longer good.
    pub replaced_until: Option<i64>,
}

/// A token that is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevokedToken {
    /// The public id.
    pub id: String,
    /// That it is revoked.
    pub revoked: bool,
    /// Whether it was so before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before: bool,
}

/// A token, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The public id.
    pub id: String,
    /// What the operator calls it.
    pub label: String,
    /// The tenant whose it is.
    pub tenant: String,
    /// The credential that it stands for.
    pub credential: String,
    /// `good`, `not yet`, `expired` or `revoked`.
    pub state: String,
    /// Whether it is a key of its client's, and not made here.
    pub adopted: bool,
    /// Whether it may change anything.
    pub access: Access,
    /// The route classes and families that it may ask for; none stands for all.
    pub allow: Vec<String>,
    /// Those that it may not ask for.
    pub deny: Vec<String>,
    /// What few tokens may.
    pub permissions: Vec<String>,
    /// The addresses that may present it; none stands for all.
    pub addresses: Vec<String>,
    /// The Unix time from which it is good.
    pub not_before: Option<i64>,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
    /// With which status a limited request is answered, where that is not the tenant's way.
    pub limit_status: Option<LimitStatus>,
    /// What it may not.
    pub policies: PolicyDocument,
    /// When it was added, as a Unix time.
    pub created: i64,
    /// When it was revoked, as a Unix time.
    pub revoked: Option<i64>,
    /// The public id of the token that has taken its place.
    pub replaced_by: Option<String>,
}

/// A token, and what is known of its use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DescribedToken {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The public id of the token whose place it has taken.
    pub replaces: Option<String>,
    /// What is known of its use.
    pub used: Option<store::Used>,
}

/// The most characters of a label.
pub const LABEL_MAX: usize = 100;

/// How long the old one stays good if nobody says.
pub const OVERLAP: Duration = Duration::from_secs(86_400);

/// The permissions of a token.
pub fn permissions(view: &View<'_>, id: &str) -> Result<PermissionSet, OperationError> {
    Ok(view.require_token(id)?.terms.permissions)
}

/// Creates a token.
pub fn create(
    edit: &Edit<'_>,
    means: &Means<'_>,
    new: &NewToken,
) -> Result<CreatedToken, OperationError> {
    let terms = new.terms()?;
    terms.scopes.resolve(means.scope)?;
    let keyring = means.vault.keyring;
    let token = Minted::mint(means.environment, &*random()?);
    edit.add_token(&Row {
        id: token.id(),
        tenant: &new.tenant,
        credential: &new.credential,
        mac: keyring.mac(token.expose().as_bytes()),
        key_id: keyring.id(),
        terms: &terms,
        adopted: false,
    })?;
    Ok(CreatedToken {
        id: token.id().to_owned(),
        token: token.expose().to_owned(),
        tenant: new.tenant.clone(),
        credential: new.credential.clone(),
        expires: terms.expires,
    })
}

/// Creates a token that takes another's place, with the same terms; the other one ends by itself.
pub fn rotate(
    edit: &Edit<'_>,
    means: &Means<'_>,
    id: &str,
    rotation: &Rotation,
) -> Result<RotatedToken, OperationError> {
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP.as_secs());
    let overlap = i64::try_from(overlap).ok().and_then(|wait| wait.checked_add(edit.now()));
    let overlap_ends = overlap.ok_or(OperationError::TooLate)?;
    let keyring = means.vault.keyring;
    let token = Minted::mint(means.environment, &*random()?);
    let successor = Successor {
        id: token.id(),
        mac: keyring.mac(token.expose().as_bytes()),
        key_id: keyring.id(),
        expires: rotation.expires,
    };
    let Succession { replaced, successor } = edit.rotate_token(id, &successor, overlap_ends)?;
    Ok(RotatedToken {
        id: successor.id,
        token: token.expose().to_owned(),
        expires: successor.terms.expires,
        replaces: replaced.id,
        replaced_until: replaced.terms.expires,
    })
}

/// Revokes a token for good.
pub fn revoke(edit: &Edit<'_>, id: &str) -> Result<RevokedToken, OperationError> {
    let now = edit.revoke_token(id)?;
    Ok(RevokedToken { id: id.to_owned(), revoked: true, before: !now })
}

/// Replaces the permissions or the policies of a token.
pub fn set(edit: &Edit<'_>, id: &str, change: &TokenChange) -> Result<Token, OperationError> {
    if let Some(permissions) = &change.permissions {
        edit.set_permissions(id, permissions.iter().copied().collect())?;
    }
    if let Some(policies) = &change.policies {
        set_policies(edit, id, policies)?;
    }
    Ok(Token::of(edit.named_token(id)?, edit.now()))
}

/// Refuses policies that make no sense, whatever token they are for.
pub fn require_policies(policies: &PolicyDocument) -> Result<(), OperationError> {
    Policies::compile(policies)?;
    Ok(())
}

/// Replaces the policies of a token.
pub fn set_policies(
    edit: &Edit<'_>,
    id: &str,
    policies: &PolicyDocument,
) -> Result<(), OperationError> {
    require_policies(policies)?;
    Ok(edit.set_policies(id, policies)?)
}

/// The policies of a token.
pub fn policies(view: &View<'_>, id: &str) -> Result<PolicyDocument, OperationError> {
    Ok(view.require_token(id)?.terms.policies)
}

/// A token, and what is known of its use.
pub fn describe(view: &View<'_>, id: &str) -> Result<DescribedToken, OperationError> {
    let token = Token::of(view.named_token(id)?, view.now());
    Ok(DescribedToken { token, replaces: view.replaced_by(id)?, used: view.used(id)? })
}

/// The tokens in the order of their creation, revoked ones included; of one tenant, if it is named.
pub fn list(
    view: &View<'_>,
    tenant: Option<&str>,
    page: &Page,
) -> Result<Listed<Token>, OperationError> {
    let found = view.tokens(tenant, page.after_number()?, page.probe())?;
    let part = page.of(found, |listed| listed.place.to_string());
    Ok(part.map(|listed| Token::of(listed, view.now())))
}

/// Whether a text can be a label.
pub fn is_label(text: &str) -> bool {
    text.chars().count() <= LABEL_MAX && !text.contains(char::is_control)
}

impl NewToken {
    fn terms(&self) -> Result<TokenTerms, OperationError> {
        if !is_label(&self.label) {
            return Err(OperationError::BadLabel);
        }
        Policies::compile(&self.policies)?;
        let access = self.access.unwrap_or(Access::ReadWrite);
        Ok(TokenTerms {
            label: self.label.clone(),
            policies: self.policies.clone(),
            scopes: ScopeNames { access, allow: self.allow.clone(), deny: self.deny.clone() },
            permissions: self.permissions.iter().copied().collect(),
            addresses: self.addresses.iter().map(|AddressRange(range)| *range).collect(),
            not_before: self.not_before,
            expires: self.expires,
            limit_status: self.limit_status,
        })
    }
}

impl Token {
    fn of(store::Listed { token, tenant, credential, .. }: store::Listed, now: i64) -> Self {
        let state = state_of(&token, now);
        let TokenTerms {
            label,
            scopes,
            permissions,
            addresses,
            not_before,
            expires,
            limit_status,
            policies,
        } = token.terms;
        Self {
            id: token.id,
            label,
            tenant,
            credential,
            state: state.to_owned(),
            adopted: token.adopted,
            access: scopes.access,
            allow: scopes.allow,
            deny: scopes.deny,
            permissions: permissions.words().map(str::to_owned).collect(),
            addresses: addresses.iter().map(IpNet::to_string).collect(),
            not_before,
            expires,
            limit_status,
            policies,
            created: token.created,
            revoked: token.revoked,
            replaced_by: token.replaced_by,
        }
    }
}

fn state_of(token: &TokenRecord, now: i64) -> &'static str {
    match token {
        TokenRecord { revoked: Some(_), .. } => "revoked",
        TokenRecord { terms, .. } if terms.expires.is_some_and(|end| now >= end) => "expired",
        TokenRecord { terms, .. } if terms.not_before.is_some_and(|start| now < start) => "not yet",
        TokenRecord { .. } => "good",
    }
}
