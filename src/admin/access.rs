//! Who may do more on this listener than read metrics: whoever presents an admin token, as far as
//! its role goes.
//!
//! The configured token is an owner's. Others are in the store, each with a name and a role. A handler
//! says in its arguments which role it takes, before anything else is read for a stranger.

use std::net::IpAddr;

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};

use super::{Admin, problem::Refusal};
use crate::{
    audit::event::{Actor, ActorKind},
    auth::role::Role,
    tenants::record::AdminTokenRecord,
    vocabulary::Closed as _,
};

/// Whoever asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of the token; the configured one has none.
    name: Option<String>,
    role: Role,
}

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

macro_rules! takes {
    ($($(#[$meta:meta])* $role:ident)*) => {$(
        $(#[$meta])*
        pub(super) struct $role(pub(super) Caller);

        impl FromRequestParts<Admin> for $role {
            type Rejection = Refusal;

            async fn from_request_parts(
                parts: &mut Parts,
                admin: &Admin,
            ) -> Result<Self, Refusal> {
                admit(admin, parts, Role::$role).await.map(Self)
            }
        }
    )*};
}

takes! {
    /// Who may see what is not secret.
    Viewer
    /// Who may change tenants and tokens.
    Operator
    /// Who may everything.
    Owner
}

impl Caller {
    /// Whoever has the configured token.
    pub(super) fn configured() -> Self {
        Self { name: None, role: Role::Owner }
    }

    /// Refuses what takes an owner, if it does.
    pub(super) fn require_owner(&self, takes: bool) -> Result<(), Refusal> {
        if takes && !self.role.covers(Role::Owner) {
            return Err(Refusal::Role { needed: Role::Owner, has: self.role });
        }
        Ok(())
    }

    /// As the audit log calls them.
    pub(super) fn actor(&self) -> Actor {
        let kind = ActorKind::AdminToken;
        self.name.as_ref().map_or_else(|| Actor::unnamed(kind), |name| Actor::named(kind, name))
    }
}

impl From<AdminTokenRecord> for Caller {
    fn from(record: AdminTokenRecord) -> Self {
        Self { name: Some(record.name), role: record.role }
    }
}

/// Lets in whoever presents a token that is good for it; writes down who is not let in.
async fn admit(admin: &Admin, parts: &Parts, needed: Role) -> Result<Caller, Refusal> {
    let (actor, refusal) = match authenticate(admin, &parts.headers).await {
        Ok(caller) if caller.role.covers(needed) => return Ok(caller),
        Ok(caller) => (caller.actor(), Refusal::Role { needed, has: caller.role }),
        Err(refusal @ Refusal::WrongToken) if parts.headers.contains_key(AUTHORIZATION) => {
            (Actor::unnamed(ActorKind::AdminToken), refusal)
        }
        // Who presents nothing, is asked for a token; and a server that has none refuses everybody.
        Err(refusal) => return Err(refusal),
    };
    let from = parts.extensions.get::<Peer>().map(|Peer(address)| *address);
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    admin.auditor.admin_refused(actor, from, &parts.method, route, refusal.kind().as_str());
    Err(refusal)
}

async fn authenticate(admin: &Admin, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let presented = bearer(headers);
    if let (Some(token), Some(presented)) = (&admin.token, presented)
        && token.lets_in(presented)
    {
        return Ok(Caller::configured());
    }
    if let Some(presented) = presented
        && let Some(caller) = admin.office.find(presented).await?
    {
        return Ok(caller);
    }
    Err(if admin.token.is_none() { Refusal::NoToken } else { Refusal::WrongToken })
}

/// What stands behind `Bearer` in the one `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
