//! What would become of a request: the decisions of the request path, asked without making one.
//!
//! Nothing is sent, charged, counted or kept. What only the request itself can show is left out: how
//! much of a quota will be left, and what the upstream says.

use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri, Version,
    header::{ACCEPT, HOST},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    api::{
        format::Wishes,
        routes::{Listed, RouteTable},
        target::Target,
    },
    cache::{
        cause::Cause,
        dependence::Dependence,
        directives::Directives,
        entry::{Entry, Stored},
        key::Key,
        partition::Partition,
        shelf::Shelf,
        standing::{Circumstances, Standing},
    },
    call::Effect,
    explain::{CallerShown, CauseShown, EntryShown, Explanation, Ring, RouteShown},
    formats::Book,
    layers::{
        authorise::judge,
        negotiate::{self, Agreed},
        police::{self, Subject},
    },
    policy::policies::Verdict,
    rejection::Rejection,
    tenants::snapshot::{Credential, Grant, Snapshot},
    vocabulary::{Bypass, Closed as _, Format, RouteClass},
};

/// A request that is not made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRun {
    /// Its method.
    pub method: String,
    /// Its path, with its query.
    pub path: String,
    /// The public id of its token.
    pub token: String,
    /// Its `Accept`.
    #[serde(default)]
    pub accept: Option<String>,
    /// The address that it would come from; without one the token's addresses are not looked at.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub from: Option<IpAddr>,
}

/// Why nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DryRunError {
    /// No such token.
    #[error("no token that is good has the public id {0:?}; `tollgate token list` shows them")]
    NoToken(String),
    /// No method.
    #[error("{0:?} is no method")]
    Method(String),
    /// No path.
    #[error("{0:?} is no path such as /virtual_machines.json")]
    Path(String),
    /// No header value.
    #[error("{0:?} is no value of Accept")]
    Accept(String),
}

/// What decides.
pub struct Deciders<'a> {
    /// The longest target.
    pub max_target: usize,
    /// Whether reads of routes that are not listed change nothing.
    pub unlisted_reads_harmless: bool,
    /// What is known of the formats of routes.
    pub book: &'a Book,
    /// By what formats are negotiated.
    pub negotiation: &'a negotiate::Rules,
    /// The entries.
    pub shelf: &'a Shelf,
    /// The tokens.
    pub snapshot: &'a Snapshot,
    /// From when on what was asked for is trusted, by class: the end of its last quarantine, in
    /// milliseconds of the process.
    pub trusted_from: &'a dyn Fn(RouteClass) -> u64,
    /// The requests that may have caused what is found.
    pub decisions: &'a Ring,
    /// The Unix time.
    pub now: i64,
}

impl Deciders<'_> {
    /// Says what would become of a request.
    pub fn explain(&self, run: &DryRun) -> Result<Explanation, DryRunError> {
        let grant = self.snapshot.grant(&run.token);
        let grant = grant.ok_or_else(|| DryRunError::NoToken(run.token.clone()))?;
        let method = Method::from_bytes(run.method.as_bytes())
            .map_err(|_| DryRunError::Method(run.method.clone()))?;
        let uri: Uri = run.path.parse().map_err(|_| DryRunError::Path(run.path.clone()))?;
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("dry-run"));
        if let Some(accept) = &run.accept {
            let value = HeaderValue::from_str(accept);
            headers.insert(ACCEPT, value.map_err(|_| DryRunError::Accept(accept.clone()))?);
        }
        let mut explanation = Explanation {
            method: method.as_str().to_owned(),
            path: uri.path().to_owned(),
            caller: Some(CallerShown::of(&run.token, Some(&**grant))),
            ..Explanation::default()
        };
        if let Err(rejection) =
            self.decide(grant, &method, uri, &headers, run.from, &mut explanation)
        {
            explanation.rejection = Some(rejection.code().to_owned());
        }
        Ok(explanation)
    }

    /// In the order of the request path.
    fn decide(
        &self,
        grant: &Arc<Grant>,
        method: &Method,
        uri: Uri,
        headers: &HeaderMap,
        from: Option<IpAddr>,
        explanation: &mut Explanation,
    ) -> Result<(), Rejection> {
        let routes: &RouteTable = &self.shelf.routes;
        let target = Target::canonicalize(uri, headers, Version::HTTP_11, self.max_target)?;
        explanation.path = target.path().to_owned();
        let effect = Effect::of(routes, method, &target, self.unlisted_reads_harmless);
        if let Effect::Read(listed) = effect {
            explanation.route = Some(RouteShown::of(routes.route(listed.id)));
        }
        let known = from.or_else(|| grant.addresses.first().map(ipnet::IpNet::addr));
        let checked = grant.check(self.now, known.unwrap_or(IpAddr::from([127, 0, 0, 1])));
        checked.map_err(|why| Rejection::Token(why.into()))?;
        judge(routes, grant, method, &target, effect)?;
        let may_change = effect.may_change();
        let subject = Subject { method, target: &target, may_change };
        let Verdict { enforced, shadowed } = police::judge(routes, grant, &subject);
        let policy = enforced.or_else(|| shadowed.first().copied());
        explanation.policy = policy.map(|policy| policy.as_str().to_owned());
        if let Some(policy) = enforced {
            return Err(Rejection::Policy(policy));
        }
        let wishes = Wishes::of(&target, headers, false);
        let Agreed { ask, format, native } =
            self.negotiation.agree(grant, &target, effect, &wishes)?;
        explanation.format = format.map(|format| format.as_str().to_owned());
        match effect {
            Effect::Read(listed) => {
                let partition = &grant.credential.partition;
                let secrecy = grant.permissions.secrecy();
                let ask = ask.unwrap_or_else(|| target.path_and_query().clone());
                let key = Key::new(partition, secrecy, ask, format).converted_from(native);
                explanation.key = Some(format!("{:08x}", key.digest().0));
                self.look(listed, &target, partition, &key, explanation);
                let is_miss = explanation.cache.as_ref().is_some_and(|c| c.starts_with("miss"));
                if is_miss && self.derives(&grant.credential, listed, &key) {
                    explanation.cache =
                        Some("hit: derived from what is kept in the other format".to_owned());
                }
            }
            Effect::UnlistedRead { .. } => explanation.cache = Some(bypass(Bypass::Unlisted)),
            Effect::Write(_) => {
                explanation.cache = Some("would not be asked: it is a write".to_owned());
            }
        }
        Ok(())
    }

    /// What the cache would do.
    fn look(
        &self,
        listed: Listed,
        target: &Target,
        partition: &Partition,
        key: &Key,
        explanation: &mut Explanation,
    ) {
        let shelf = self.shelf;
        let route = shelf.routes.route(listed.id);
        if shelf.config.lifetime(route.class).is_none() {
            explanation.cache = Some(bypass(Bypass::Never));
            return;
        }
        let trusted_from = (self.trusted_from)(route.class);
        if shelf.clock.now() < trusted_from {
            explanation.cache = Some(bypass(Bypass::Quarantined));
            return;
        }
        let stored = shelf.store.get(key);
        let view = match stored.as_deref() {
            // That of a 404 is another one.
            Some(Stored::Entry(entry)) => entry.view,
            Some(Stored::Uncacheable { .. }) | None => Dependence::of(route, target).view,
        };
        let unsettled = partition.unsettled_by(view);
        explanation.cause = unsettled.map(|cause| self.cause(cause));
        explanation.cache = Some(match stored.as_deref() {
            None => {
                explanation.changed = partition.changed_by(view).map(|cause| self.cause(cause));
                "miss: there is no entry".to_owned()
            }
            Some(Stored::Uncacheable { .. }) => bypass(Bypass::Marked),
            Some(Stored::Entry(entry)) => {
                let (verdict, shown, outdated) = self.judge_entry(entry, partition, trusted_from);
                explanation.entry = Some(shown);
                if let Some(cause) = outdated {
                    explanation.cause = Some(self.cause(cause));
                }
                verdict.to_owned()
            }
        });
    }

    /// Whether a miss would be answered from what is kept in the other format.
    fn derives(&self, credential: &Credential, listed: Listed, key: &Key) -> bool {
        let derives = || {
            let proven = self.book.proven(&credential.upstream, listed.id, key.secrecy())?;
            let stored = self.shelf.store.get(&key.in_other_format()?)?;
            let Stored::Entry(source) = &*stored else { return None };
            let (now, view) = (self.shelf.clock.now(), source.view);
            let circumstances = Circumstances {
                now,
                current: credential.partition.is_current(view, &source.stamp),
                trusted_from: (self.trusted_from)(self.shelf.routes.route(listed.id).class),
                demands: Directives::default(),
            };
            let standing = Standing::of(source, circumstances, &self.shelf.config);
            let told = key.format() == Some(Format::Xml) || proven.tells_json;
            let whole = source.representation.status == StatusCode::OK && !source.derived;
            (told && whole && standing == Standing::Fresh).then_some(())
        };
        derives().is_some()
    }

    fn judge_entry(
        &self,
        entry: &Entry,
        partition: &Partition,
        trusted_from: u64,
    ) -> (&'static str, EntryShown, Option<Cause>) {
        let now = self.shelf.clock.now();
        let current = partition.is_current(entry.view, &entry.stamp);
        let demands = Directives::default();
        let circumstances = Circumstances { now, current, trusted_from, demands };
        let verdict = match Standing::of(entry, circumstances, &self.shelf.config) {
            Standing::Outdated => "miss: the entry is outdated",
            Standing::Distrusted => "miss: the entry is from before the end of a quarantine",
            Standing::Fresh => "hit",
            Standing::Resting => "stale: to fetch it anew has failed a moment ago",
            Standing::Meanwhile if entry.rests(now) => {
                "stale: shown, and not fetched anew, which has failed a moment ago"
            }
            Standing::Meanwhile => "stale: shown while it is fetched anew",
            Standing::IfError => "miss: the entry is stale, and shown only if the upstream fails",
            Standing::TooOld { .. } | Standing::Expired => "miss: the entry is over its lifetime",
        };
        let shown = EntryShown::of(entry, current, now);
        (verdict, shown, partition.outdated_by(entry.view, &entry.stamp))
    }

    fn cause(&self, cause: Cause) -> CauseShown {
        CauseShown::of(cause, self.decisions, self.snapshot, &self.shelf.routes)
    }
}

fn bypass(why: Bypass) -> String {
    format!("bypass: {}", why.as_str())
}
