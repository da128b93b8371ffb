//! A decision in words: for programs as JSON, for people as lines, for a caller as one header.

use std::fmt::Write as _;

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Decision, Ring};
use crate::{
    api::routes::{Route, RouteTable},
    cache::{cause::Cause, entry::Entry, status::CacheStatus},
    record::RequestId,
    telemetry::timestamp,
    tenants::snapshot::{Grant, Snapshot},
    vocabulary::Closed as _,
};

/// Why a request was answered as it was, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Explanation {
    /// Its name; none of one that was not made.
    pub request_id: Option<String>,
    /// When it came: RFC 3339.
    pub time: Option<String>,
    /// The address that it came from.
    pub client: Option<String>,
    /// The protocol that it came by.
    pub protocol: Option<String>,
    /// Its method.
    pub method: String,
    /// The beginning of its canonical path, without its query.
    pub path: String,
    /// The status of its reply.
    pub status: Option<u16>,
    /// Until its reply began, in microseconds.
    pub duration_us: Option<u64>,
    /// Why it was refused: the code that stands in the reply.
    pub rejection: Option<String>,
    /// What came of its `Idempotency-Key`.
    pub idempotency: Option<String>,
    /// Whose it was; none before it is known.
    pub caller: Option<CallerShown>,
    /// The route that it reads, if it is listed.
    pub route: Option<RouteShown>,
    /// The format of the reply.
    pub format: Option<String>,
    /// The policy of its token that refused it, or would have in shadow.
    pub policy: Option<String>,
    /// The quota that it was charged to.
    pub quota: Option<QuotaShown>,
    /// A digest of its key in the cache, which is equal for what one entry answers.
    pub key: Option<String>,
    /// What the cache did, as `Cache-Status` says it.
    pub cache: Option<String>,
    /// What there is in the cache.
    pub entry: Option<EntryShown>,
    /// What made the entry outdated, or keeps it from staying.
    pub cause: Option<CauseShown>,
    /// What had last changed what it shows, when there was no entry.
    pub changed: Option<CauseShown>,
}

/// Whose a request was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CallerShown {
    /// The public id of the token.
    pub token: String,
    /// The tenant; none if the token is no longer good.
    pub tenant: Option<String>,
    /// The credential that it stands for.
    pub credential: Option<String>,
    /// The upstream.
    pub upstream: Option<String>,
    /// Whether it is shown the passwords of machines: `hidden` or `shown`.
    pub secrets: Option<String>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RouteShown {
    /// Its pattern.
    pub template: String,
    /// Its class, which says how long it may be kept.
    pub class: String,
}

/// A quota.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct QuotaShown {
    /// Which limiter.
    pub limiter: String,
    /// How many more requests may come at once.
    pub remaining: u32,
}

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EntryShown {
    /// Seconds since the upstream was asked for it.
    pub age_s: u64,
    /// For how many milliseconds it is still fresh.
    pub fresh_ms: u64,
    /// Nothing that it shows was touched since.
    pub current: bool,
    /// The length of its body in bytes.
    pub bytes: usize,
}

/// What raised an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CauseShown {
    /// `request`, `transaction`, or another cause of invalidations as the metrics call it.
    pub kind: String,
    /// The id of the request, or the number of the transaction.
    pub id: Option<String>,
    /// The request, if it is still remembered.
    #[schema(no_recursion)]
    pub request: Option<Box<Explanation>>,
}

impl Explanation {
    /// Of a decision, with what is known of its caller now and of what caused it.
    pub fn of(decision: &Decision, ring: &Ring, snapshot: &Snapshot, routes: &RouteTable) -> Self {
        let mut explanation = Self::brief(decision, snapshot, routes);
        let shown = |cause| CauseShown::of(cause, ring, snapshot, routes);
        explanation.cause = decision.cause.map(shown);
        explanation.changed = decision.changed.map(shown);
        explanation
    }

    fn brief(decision: &Decision, snapshot: &Snapshot, routes: &RouteTable) -> Self {
        let caller = Some(decision.token.as_str()).filter(|token| !token.is_empty());
        Self {
            request_id: Some(decision.id.as_str().to_owned()),
            time: Some(String::from_utf8_lossy(&timestamp(decision.received)).into_owned()),
            client: Some(decision.client.to_string()),
            protocol: Some(decision.protocol.as_str().to_owned()),
            method: decision.method.as_str().to_owned(),
            path: decision.path.as_str().to_owned(),
            status: Some(decision.status.as_u16()),
            duration_us: u64::try_from(decision.duration.as_micros()).ok(),
            rejection: decision.rejection.map(str::to_owned),
            idempotency: decision.idempotency.map(|outcome| outcome.as_str().to_owned()),
            caller: caller
                .map(|token| CallerShown::of(token, snapshot.grant(token).map(|grant| &**grant))),
            route: decision.route.map(|id| RouteShown::of(routes.route(id))),
            format: decision.format.map(|format| format.as_str().to_owned()),
            policy: decision.policy.map(|policy| policy.as_str().to_owned()),
            quota: decision.quota.map(|charged| QuotaShown {
                limiter: charged.limiter.as_str().to_owned(),
                remaining: charged.remaining,
            }),
            key: decision.key.map(|digest| format!("{:08x}", digest.0)),
            cache: decision.cache.map(shown),
            entry: None,
            cause: None,
            changed: None,
        }
    }

    /// For people: a line for each thing that was decided.
    pub fn text(&self) -> String {
        let mut text = self.sentence();
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(text, "\n  {name:<8} {value}");
            }
        };
        line("request", self.request_id.clone().map(|id| self.origin(&id)));
        line("caller", self.caller.as_ref().map(CallerShown::text));
        let unlisted = || self.caller.as_ref().map(|_| "not a listed read".to_owned());
        let route = self.route.as_ref().map(|r| format!("{} ({})", r.template, r.class));
        line("route", route.or_else(unlisted));
        line("refused", self.rejection.clone());
        line("repeat", self.idempotency.clone());
        let shadow = if self.rejection.is_some() { "" } else { " (in shadow)" };
        line("policy", self.policy.as_ref().map(|policy| format!("{policy}{shadow}")));
        let quota =
            |q: &QuotaShown| format!("{}: {} more may come at once", q.limiter, q.remaining);
        line("quota", self.quota.as_ref().map(quota));
        let format = self.format.as_deref().unwrap_or("as it is");
        line("key", self.key.as_ref().map(|key| format!("{key} ({format})")));
        line("cache", self.cache.clone());
        line("entry", self.entry.as_ref().map(EntryShown::text));
        line("because", self.cause.as_ref().map(CauseShown::text));
        line("changed", self.changed.as_ref().map(|cause| format!("last by {}", cause.text())));
        text
    }

    fn sentence(&self) -> String {
        let Self { method, path, status, duration_us, .. } = self;
        match (status, duration_us) {
            (Some(status), Some(us)) => {
                format!(
                    "{method} {path} was answered {status} within {}.{:03} ms",
                    us / 1000,
                    us % 1000
                )
            }
            _ => format!("{method} {path} would be {}", self.verdict()),
        }
    }

    fn verdict(&self) -> &'static str {
        if self.rejection.is_some() { "refused" } else { "let through" }
    }

    fn origin(&self, id: &str) -> String {
        let of = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{id} at {} from {} by {}", of(&self.time), of(&self.client), of(&self.protocol))
    }
}

impl CallerShown {
    /// By the public id of a token, and what that gives now.
    pub fn of(token: &str, grant: Option<&Grant>) -> Self {
        Self {
            token: token.to_owned(),
            tenant: grant.map(|grant| grant.tenant.name.to_string()),
            credential: grant.map(|grant| grant.credential.name.clone()),
            upstream: grant.map(|grant| grant.credential.upstream.to_string()),
            secrets: grant.map(|grant| grant.permissions.secrecy().as_str().to_owned()),
        }
    }

    fn text(&self) -> String {
        let Self { token, tenant, credential, upstream, secrets } = self;
        match (tenant, credential, upstream, secrets) {
            (Some(tenant), Some(credential), Some(upstream), Some(secrets)) => {
                format!(
                    "token {token} of tenant {tenant}, for credential {credential} of {upstream}, \
                     secrets {secrets}"
                )
            }
            _ => format!("token {token}, which is no longer good"),
        }
    }
}

impl RouteShown {
    /// What there is to say of a route.
    pub fn of(route: &Route) -> Self {
        Self { template: route.template.to_string(), class: route.class.as_str().to_owned() }
    }
}

impl EntryShown {
    /// What there is to say of an entry now.
    pub fn of(entry: &Entry, current: bool, now: u64) -> Self {
        Self {
            age_s: entry.age(now),
            fresh_ms: entry.fresh_until().saturating_sub(now),
            current,
            bytes: entry.representation.body.len(),
        }
    }

    fn text(&self) -> String {
        let Self { age_s, fresh_ms, current, bytes } = self;
        let state = match (current, fresh_ms) {
            (false, _) => "outdated".to_owned(),
            (true, 0) => "stale".to_owned(),
            (true, ms) => format!("fresh for {}.{:03} s more", ms / 1000, ms % 1000),
        };
        format!("{bytes} bytes, {age_s} s old, {state}")
    }
}

impl CauseShown {
    /// Of a cause, with the request that it names if that is still remembered.
    pub fn of(cause: Cause, ring: &Ring, snapshot: &Snapshot, routes: &RouteTable) -> Self {
        let (kind, id) = named(cause);
        let request = match cause {
            Cause::Request(number) => ring.find(RequestId::numbered(number)),
            Cause::Transaction(_) | Cause::Other(_) => None,
        };
        let brief = |decision| Box::new(Explanation::brief(&decision, snapshot, routes));
        Self { kind: kind.to_owned(), id, request: request.map(brief) }
    }

    fn text(&self) -> String {
        let Self { kind, id, request } = self;
        match (id, request) {
            (Some(id), Some(request)) => format!("{kind} {id}: {}", request.sentence()),
            (Some(id), None) => format!("{kind} {id}"),
            (None, _) => kind.clone(),
        }
    }
}

/// The header for a caller who may see why.
pub fn header(decision: &Decision, routes: &RouteTable) -> HeaderValue {
    // A dictionary of structured fields (RFC 9651); what stands in quotes has none of its own.
    let mut parts: Vec<String> = Vec::new();
    if let Some(id) = decision.route {
        let route = routes.route(id);
        parts.push(format!("route=\"{}\";class={}", route.template, route.class.as_str()));
    }
    if let Some(format) = decision.format {
        parts.push(format!("format={}", format.as_str()));
    }
    if let Some(policy) = decision.policy {
        parts.push(format!("policy={}", policy.as_str()));
    }
    if let Some(charged) = decision.quota {
        parts.push(format!("quota={};r={}", charged.limiter.as_str(), charged.remaining));
    }
    if let Some(rejection) = decision.rejection {
        parts.push(format!("refused={rejection}"));
    }
    if let Some(outcome) = decision.idempotency {
        parts.push(format!("idempotency={}", outcome.as_str()));
    }
    if let Some(digest) = decision.key {
        parts.push(format!("key=\"{:08x}\"", digest.0));
    }
    for (name, cause) in [("cause", decision.cause), ("changed", decision.changed)] {
        let Some((kind, id)) = cause.map(named) else { continue };
        let id = id.map(|id| format!(";id=\"{id}\"")).unwrap_or_default();
        parts.push(format!("{name}={kind}{id}"));
    }
    HeaderValue::try_from(parts.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A cause's kind, and the id or the number in it.
fn named(cause: Cause) -> (&'static str, Option<String>) {
    match cause {
        Cause::Request(number) => {
            ("request", Some(RequestId::numbered(number).as_str().to_owned()))
        }
        Cause::Transaction(number) => ("transaction", Some(number.to_string())),
        Cause::Other(cause) => (cause.as_str(), None),
    }
}

/// What the cache did, as its header says it, which is ASCII.
fn shown(status: CacheStatus) -> String {
    status.header().to_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_a_line_for_each_decision() {
        let cause = CauseShown {
            kind: "transaction".to_owned(),
            id: Some("4711".to_owned()),
            request: None,
        };
        let explanation = Explanation {
            request_id: Some("0123456789abcdef".to_owned()),
            time: Some("2026-11-26T00:00:00.000Z".to_owned()),
            client: Some("192.0.2.1".to_owned()),
            protocol: Some("h2".to_owned()),
            method: "GET".to_owned(),
            path: "/virtual_machines/5.json".to_owned(),
            status: Some(200),
            duration_us: Some(1234),
            caller: Some(CallerShown { token: "abc".to_owned(), ..CallerShown::default() }),
            cache: Some("tollgate; fwd=miss; stored".to_owned()),
            cause: Some(cause),
            ..Explanation::default()
        };
        let expected = [
            "GET /virtual_machines/5.json was answered 200 within 1.234 ms",
            "  request  0123456789abcdef at 2026-11-26T00:00:00.000Z from 192.0.2.1 by h2",
            "  caller   token abc, which is no longer good",
            "  route    not a listed read",
            "  cache    tollgate; fwd=miss; stored",
            "  because  transaction 4711",
        ];
        assert_eq!(explanation.text(), expected.join("\n"));
    }

    #[test]
    fn an_entry_is_fresh_stale_or_outdated() {
        let check = |fresh_ms, current, expected: &str| {
            let entry = EntryShown { age_s: 3, fresh_ms, current, bytes: 10 };
            assert_eq!(entry.text(), format!("10 bytes, 3 s old, {expected}"));
        };
        check(2500, true, "fresh for 2.500 s more");
        check(0, true, "stale");
        check(2500, false, "outdated");
    }
}
