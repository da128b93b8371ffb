//! Tokens as they are listed and described.

use std::collections::HashMap;

use ipnet::IpNet;
use serde::Serialize;

use super::ListTokens;
use crate::{
    cli::{
        Desk,
        failure::Failure,
        output::{Column, joined, time},
    },
    policy::document::PolicyDocument,
    tenants::{
        record::{LimitStatus, Noun, Records, TokenRecord, TokenTerms},
        store::{StoreError, Used},
    },
    vocabulary::Closed,
};

#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    token: Shown,
    used: Option<Used>,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    label: String,
    tenant: String,
    credential: String,
    state: &'static str,
    adopted: bool,
    access: &'static str,
    allow: Vec<String>,
    deny: Vec<String>,
    permissions: Vec<String>,
    addresses: Vec<String>,
    not_before: Option<i64>,
    expires: Option<i64>,
    limit_status: Option<u16>,
    policies: PolicyDocument,
    created: i64,
    revoked: Option<i64>,
}

const COLUMNS: [Column<Shown>; 12] = [
    ("ID", |t| t.id.clone()),
    ("TENANT", |t| t.tenant.clone()),
    ("CREDENTIAL", |t| t.credential.clone()),
    ("STATE", |t| t.state.to_owned()),
    ("ORIGIN", |t| if t.adopted { "adopted" } else { "minted" }.to_owned()),
    ("ACCESS", |t| t.access.to_owned()),
    ("ALLOW", |t| joined(&t.allow)),
    ("DENY", |t| joined(&t.deny)),
    ("PERMIT", |t| joined(&t.permissions)),
    ("ADDRESSES", |t| joined(&t.addresses)),
    ("EXPIRES", |t| time(t.expires)),
    ("LABEL", |t| if t.label.is_empty() { "-".to_owned() } else { t.label.clone() }),
];

/// Shows one token.
pub(super) fn describe(id: &str, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let missing = || StoreError::Missing { noun: Noun::Token, name: id.to_owned() };
    let token = all(desk)?.into_iter().find(|token| token.id == id).ok_or_else(missing)?;
    let used = desk.store.view(desk.now, |view| view.used(id))?;
    let mut lines: Vec<String> =
        COLUMNS.iter().map(|(name, cell)| format!("{name:<12}{}", cell(&token))).collect();
    let policies = serde_json::to_string(&token.policies);
    lines.push(format!("{:<12}{}", "POLICIES", policies.unwrap_or_default()));
    lines.push(format!(
        "{:<12}{}",
        "LAST USED",
        time(used.as_ref().map(|used| used.last_used).filter(|at| *at > 0))
    ));
    if let Some(Used { month, reads, writes, .. }) = &used {
        lines.push(format!("{:<12}{month}: {reads} reads, {writes} writes", "COUNTED"));
    }
    desk.output.one(&Described { token, used }, &lines.join("\n"))
}

/// Lists tokens.
pub(super) fn list(args: &ListTokens, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let mut shown = all(desk)?;
    shown.retain(|token| args.tenant.as_ref().is_none_or(|tenant| *tenant == token.tenant));
    desk.output.list(&shown, &COLUMNS)
}

fn all(desk: &mut Desk<'_>) -> Result<Vec<Shown>, Failure> {
    let Records { tenants, credentials, tokens } = desk.store.records()?;
    let tenants: HashMap<i64, String> = tenants.into_iter().map(|t| (t.row, t.name)).collect();
    let credentials: HashMap<i64, String> =
        credentials.into_iter().map(|c| (c.row, c.name)).collect();
    let shown = tokens.into_iter().map(|token| {
        let tenant = tenants.get(&token.tenant).cloned().unwrap_or_default();
        let credential = credentials.get(&token.credential).cloned().unwrap_or_default();
        shown(token, tenant, credential, desk.now)
    });
    Ok(shown.collect())
}

fn shown(token: TokenRecord, tenant: String, credential: String, now: i64) -> Shown {
    let state = match &token {
        TokenRecord { revoked: Some(_), .. } => "revoked",
        TokenRecord { terms, .. } if terms.expires.is_some_and(|end| now >= end) => "expired",
        TokenRecord { terms, .. } if terms.not_before.is_some_and(|start| now < start) => "not yet",
        TokenRecord { .. } => "good",
    };
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
    Shown {
        id: token.id,
        label,
        policies,
        tenant,
        credential,
        state,
        adopted: token.adopted,
        access: scopes.access.as_str(),
        allow: scopes.allow,
        deny: scopes.deny,
        permissions: permissions.words().map(str::to_owned).collect(),
        addresses: addresses.iter().map(IpNet::to_string).collect(),
        not_before,
        expires,
        limit_status: limit_status.map(LimitStatus::code),
        created: token.created,
        revoked: token.revoked,
    }
}
