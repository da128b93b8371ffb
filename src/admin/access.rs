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

use super::{Admin, connections::Admitted, problem::Refusal};
use crate::{
    audit::event::{Actor, ActorKind, Author},
    auth::{failures::RetryAfter, role::Role},
    metrics::limits::Decision,
    record::RequestId,
    tenants::record::AdminTokenRecord,
    vocabulary::{Closed as _, Limiter},
};

/// Whoever asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of the token; the configured one has none.
    name: Option<String>,
    role: Role,
    /// The request that they ask in.
    origin: Option<Origin>,
}

/// Where a request came from, and what it is called.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) from: IpAddr,
    pub(super) id: RequestId,
    /// Whether the connection has brought a good token.
    pub(super) admitted: Admitted,
}

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
        Self { name: None, role: Role::Owner, origin: None }
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

    /// The same, with where they ask from.
    pub(super) fn author(&self) -> Author {
        author(self.actor(), self.origin.as_ref())
    }
}

impl From<AdminTokenRecord> for Caller {
    fn from(record: AdminTokenRecord) -> Self {
        Self { name: Some(record.name), role: record.role, origin: None }
    }
}

/// Lets in whoever presents a token that is good for it; writes down who is not let in.
async fn admit(admin: &Admin, parts: &Parts, needed: Role) -> Result<Caller, Refusal> {
    let origin = parts.extensions.get::<Origin>();
    let (actor, refusal) = match authenticate(admin, &parts.headers, origin).await {
        Ok(caller) if caller.role.covers(needed) => return Ok(caller),
        Ok(caller) => (caller.actor(), Refusal::Role { needed, has: caller.role }),
        Err(refusal @ (Refusal::WrongToken | Refusal::WrongTokens(_))) => {
            (Actor::unnamed(ActorKind::AdminToken), refusal)
        }
        // Who presents nothing, is asked for a token; and a store that is away refuses everybody.
        Err(refusal) => return Err(refusal),
    };
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let reason = refusal.kind().as_str();
    admin.auditor.admin_refused(author(actor, origin), &parts.method, route, reason);
    Err(refusal)
}

async fn authenticate(
    admin: &Admin,
    headers: &HeaderMap,
    origin: Option<&Origin>,
) -> Result<Caller, Refusal> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(Refusal::NoToken);
    }
    let Some(caller) = recognize(admin, headers).await? else {
        let from = origin.map(|origin| origin.from);
        return Err(from.map_or(Refusal::WrongToken, |from| failed(admin, from)));
    };
    if let Some(origin) = origin {
        origin.admitted.set();
    }
    Ok(Caller { origin: origin.cloned(), ..caller })
}

async fn recognize(admin: &Admin, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
    let Some(presented) = bearer(headers) else { return Ok(None) };
    if admin.token.as_ref().is_some_and(|token| token.lets_in(presented)) {
        return Ok(Some(Caller::configured()));
    }
    admin.office.find(presented).await
}

/// Counts a token that is none. The count refuses such tokens alone: who has a good one is never locked
/// out by what comes from the same address.
fn failed(admin: &Admin, from: IpAddr) -> Refusal {
    let counted = admin.failures.record(from);
    let decision = if counted.is_ok() { Decision::Allowed } else { Decision::Limited };
    admin.metrics.limits.decisions.of(Limiter::FailedTokens, decision).inc();
    counted.map_or_else(|RetryAfter(wait)| Refusal::WrongTokens(wait), |()| Refusal::WrongToken)
}

fn author(actor: Actor, origin: Option<&Origin>) -> Author {
    let request_id = origin.map(|origin| origin.id.as_str().into());
    Author { actor, from: origin.map(|origin| origin.from), request_id }
}

/// What stands behind `Bearer` in the one `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
