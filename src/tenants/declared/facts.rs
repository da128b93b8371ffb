//! What is decided of a record as keys and values: for a declaration, and for what a plan changes.
//!
//! Every field of a record has to be named here, so that none is forgotten where it counts.

use ipnet::IpNet;
use toml::Value;

use super::moment::Moment;
use crate::{
    auth::scopes::ScopeNames,
    limit::{Quota, Quotas},
    policy::document::PolicyDocument,
    tenants::record::{LimitStatus, Reach, SecretKind, Standing, TenantSettings, TokenTerms},
    vocabulary::Closed,
};

/// A key and what stands behind it; none when it says nothing.
pub(super) type Fact = (&'static str, Option<Value>);

pub(super) fn of_tenant(settings: &TenantSettings) -> Vec<Fact> {
    let TenantSettings { default_format, quotas, limit_status } = settings;
    let Quotas { reads, writes, upstream_reads } = quotas;
    let quota = |quota: &Option<Quota>| quota.map(|quota| quota.to_string().into());
    vec![
        ("default_format", Some(default_format.as_str().into())),
        ("reads", quota(reads)),
        ("writes", quota(writes)),
        ("upstream_reads", quota(upstream_reads)),
        ("limit_status", Some(status(*limit_status))),
    ]
}

pub(super) fn of_standing(standing: &Standing) -> Vec<Fact> {
    let Standing { reach, account } = standing;
    vec![
        ("reach", reach.map(|reach: Reach| reach.as_str().into())),
        ("account", account.as_deref().map(Value::from)),
    ]
}

/// Who the upstream takes us for, and a word for the secret.
pub(super) fn of_pair(login: Option<(SecretKind, &str)>, secret: Option<&str>) -> Vec<Fact> {
    let as_kind = |kind| login.filter(|login| login.0 == kind).map(|login| login.1.into());
    vec![
        (login_key(SecretKind::Password), as_kind(SecretKind::Password)),
        (login_key(SecretKind::Key), as_kind(SecretKind::Key)),
        ("secret", secret.map(Value::from)),
    ]
}

/// Under which key a login stands.
pub(super) fn login_key(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Password => "login",
        SecretKind::Key => "email",
    }
}

pub(super) fn of_token(credential: &str, terms: &TokenTerms) -> Vec<Fact> {
    let TokenTerms {
        label,
        scopes: ScopeNames { access, allow, deny },
        permissions,
        addresses,
        not_before,
        expires,
        limit_status,
        policies,
    } = terms;
    let moment = |at: &Option<i64>| at.map(|at| Moment(at).to_toml());
    vec![
        ("label", Some(&**label).filter(|label| !label.is_empty()).map(Value::from)),
        ("credential", Some(credential.into())),
        ("access", Some(access.as_str().into())),
        ("allow", list(allow.iter().map(String::as_str))),
        ("deny", list(deny.iter().map(String::as_str))),
        ("permissions", list(permissions.words())),
        ("addresses", list(addresses.iter().map(IpNet::to_string))),
        ("not_before", moment(not_before)),
        ("expires", moment(expires)),
        ("limit_status", limit_status.map(status)),
        ("policies", of_policies(policies)),
    ]
}

fn of_policies(policies: &PolicyDocument) -> Option<Value> {
    let written = || Value::try_from(policies).expect("strings and small numbers are TOML");
    (!policies.is_empty()).then(written)
}

fn status(status: LimitStatus) -> Value {
    i64::from(status.code()).into()
}

fn list<T: Into<Value>>(items: impl Iterator<Item = T>) -> Option<Value> {
    let items: Vec<Value> = items.map(Into::into).collect();
    (!items.is_empty()).then(|| items.into())
}
