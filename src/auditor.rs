//! What a running server has to say in the audit log: refused requests, and what is done to it through
//! the admin listener.
//!
//! The request path only puts an event into a bounded queue; a task writes what has come. A flood of
//! refusals is counted, and of each second only so many are written, of strangers much fewer, so that
//! nobody can fill the store, or hide another, by being refused: strangers and those whose token is known
//! have a share of their own, and at each listener. What cannot be written waits, within the bound of the
//! queue. What an operator does has a place in it before it is done, or is not done.

use std::{
    hash::BuildHasher as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use foldhash::fast::RandomState;
use http::{Method, StatusCode};
use tokio::sync::mpsc::{self, Permit};
use tokio_util::sync::CancellationToken;

use crate::{
    api::routes::RouteTable,
    audit::event::{Action, Actor, ActorKind, Author, Decision, Event, Text},
    clock::unix,
    error_chain::error_chain,
    limit::{Limit, Quota},
    metrics::{Metrics, audit::Audited},
    policy::cap::{Acts, Window},
    record::Record,
    rejection::BY_POLICY,
    tenants::directory::Directory,
    vocabulary::Closed as _,
};

crate::section! {
    /// The audit log, which is in the store.
    pub struct Config {
        /// How many refused requests of known tokens are written in a second, a third of them of one
        /// tenant, and as many of those of operators, a third of one operator; further ones are counted in `tollgate_audit_events_total` alone.
        pub requests_per_second: u32 = 10,
        /// How many refused requests of strangers, who present no token of ours, are written in a
        /// minute, and as many of those at the admin listener; likewise. They must neither fill the store
        /// nor hide the others.
        pub strangers_per_minute: u32 = 6,
        /// How many events wait to be written; what comes when it is full is lost, and counted.
        pub queue: usize = 4096,
        /// How many more wait of what operators do to a running server. When it is full, that is refused.
        pub operators_queue: usize = 256,
        /// How long an event waits at most for others to be written with it.
        pub interval: Duration = Duration::from_secs(1),
        /// What is older is deleted, and a signature says up to where.
        pub retention: Duration = Duration::from_secs(400 * 86_400),
    }
}

/// Takes events.
pub struct Auditor {
    events: mpsc::Sender<(i64, Event)>,
    /// So many places of the queue are for what operators do.
    kept: usize,
    data: Shares,
    admin: Shares,
    begun: Instant,
    metrics: Arc<Metrics>,
}

/// How many refusals at a listener are written.
struct Shares {
    /// Of those whose token is known: all of them, and those of some names each.
    known: Limit,
    each: [Limit; NAMED],
    digests: RandomState,
    strangers: (Window, Acts),
}

/// A place in the queue, for what is about to be done.
pub struct Place<'a>(Permit<'a, (i64, Event)>);

/// Writes them.
pub struct Pen {
    events: mpsc::Receiver<(i64, Event)>,
    config: Config,
    metrics: Arc<Metrics>,
}

/// How often what is too old is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How long others may write between two parts of it.
const PRUNE_PAUSE: Duration = Duration::from_millis(100);

/// What one name can have of the share of all, so that it hides no other's refusals: a third. Names share
/// these shares by their digests.
const PART: u32 = 3;
const NAMED: usize = 64;

const MINUTE_MS: u64 = 60_000;

/// A challenge is no refusal: some clients wait for it.
const CHALLENGE: &str = "no_credentials";

/// Who takes events, and who writes them.
pub fn new(config: &Config, metrics: &Arc<Metrics>) -> (Auditor, Pen) {
    let kept = config.operators_queue.max(1);
    let (sender, receiver) = mpsc::channel(config.queue.max(1).saturating_add(kept));
    let auditor = Auditor {
        events: sender,
        kept,
        data: Shares::of(config),
        admin: Shares::of(config),
        begun: Instant::now(),
        metrics: Arc::clone(metrics),
    };
    let pen = Pen { events: receiver, config: config.clone(), metrics: Arc::clone(metrics) };
    (auditor, pen)
}

impl Shares {
    fn of(config: &Config) -> Self {
        let rate = config.requests_per_second.max(1);
        let own = rate.div_ceil(PART);
        let strangers = Window { at_most: config.strangers_per_minute, window_ms: MINUTE_MS };
        Self {
            known: Limit::new("audit", Quota { per_second: rate, burst: rate }),
            each: std::array::from_fn(|_| {
                Limit::new("audit", Quota { per_second: own, burst: own })
            }),
            digests: RandomState::default(),
            strangers: (strangers, Acts::default()),
        }
    }
}

impl Shares {
    fn of_name(&self, name: &str) -> &Limit {
        let digest = self.digests.hash_one(name);
        &self.each[usize::try_from(digest % NAMED as u64).unwrap_or_default()]
    }
}

impl Auditor {
    /// Notes a request that was refused for what its caller may, or would have been.
    pub fn request(&self, record: &Record, status: StatusCode, routes: &RouteTable) {
        let policy = record.policy.get();
        let (decision, reason) = match (record.rejection.get(), policy) {
            (Some(code), _) if denies(code, status) => (Decision::Refused, *code),
            // Whatever else became of it.
            (_, Some(policy)) => (Decision::Shadowed, policy.as_str()),
            (Some(_) | None, None) => return,
        };
        let grant = record.grant.get();
        if !self.is_written(&self.data, grant.map(|grant| &*grant.tenant.name)) {
            return;
        }
        // A policy in shadow has not refused what something else has.
        let is_its = decision == Decision::Shadowed || BY_POLICY.contains(&reason);
        self.put(Event {
            object: policy.filter(|_| is_its).map(|policy| policy.as_str().into()),
            reason: Some(reason.into()),
            ..of_request(record, routes, Action::Request, decision)
        });
    }

    /// Whether a refusal at a listener is within its share; it is counted if not.
    fn is_written(&self, shares: &Shares, name: Option<&str>) -> bool {
        let written = if let Some(name) = name {
            shares.of_name(name).check().is_ok() && shares.known.check().is_ok()
        } else {
            let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (window, strangers) = &shares.strangers;
            strangers.take(*window, now).is_ok()
        };
        if !written {
            self.metrics.audit.events.of(Audited::Counted).inc();
        }
        written
    }

    /// Notes a guarded request that is let through, before it is known what becomes of it.
    pub fn allowed(&self, record: &Record, routes: &RouteTable) {
        self.guarded(record, routes, Decision::Allowed, None);
    }

    /// Notes that a guarded request did not succeed, and with what code; it may have taken effect.
    pub fn failed(&self, record: &Record, routes: &RouteTable, code: &str) {
        self.guarded(record, routes, Decision::Failed, Some(code));
    }

    fn guarded(
        &self,
        record: &Record,
        routes: &RouteTable,
        decision: Decision,
        reason: Option<&str>,
    ) {
        let grant = record.grant.get();
        self.put(Event {
            object: grant.map(|grant| grant.credential.name.as_str().into()),
            reason: reason.map(Text::from),
            ..of_request(record, routes, Action::KeyCatch, decision)
        });
    }

    /// A place for what somebody is about to do through the admin listener; none where it could not be
    /// written down.
    pub fn place(&self) -> Option<Place<'_>> {
        self.events.try_reserve().ok().map(Place)
    }

    /// Notes that somebody may not do what was asked of the admin listener.
    pub fn admin_refused(
        &self,
        author: Author,
        method: &Method,
        route: Option<&str>,
        reason: &str,
    ) {
        if !self.is_written(&self.admin, author.actor.name.as_ref().map(Text::as_str)) {
            return;
        }
        self.put(Event {
            reason: Some(reason.into()),
            method: Some(method.as_str().into()),
            route: route.map(Text::from),
            ..Event::by(author, Action::AdminRequest, Decision::Refused)
        });
    }

    fn put(&self, event: Event) {
        let full = self.events.capacity() <= self.kept;
        let now = unix(SystemTime::now());
        if full || self.events.try_send((now, event)).is_err() {
            self.metrics.audit.events.of(Audited::Lost).inc();
        }
    }
}

impl Place<'_> {
    /// Notes that it was done.
    pub fn done(self, author: Author, action: Action, object: &str) {
        let done = Event::by(author, action, Decision::Done);
        self.0.send((unix(SystemTime::now()), Event { object: Some(object.into()), ..done }));
    }
}

impl Pen {
    /// Writes what comes until the shutdown, and then what is left. Old events go meanwhile.
    pub async fn write(self, directory: Arc<Directory>, shutdown: CancellationToken) {
        let retention = self.config.retention;
        let pruning = shutdown.run_until_cancelled(retain(retention, &directory));
        tokio::join!(self.append(&directory, &shutdown), pruning);
    }

    async fn append(mut self, directory: &Arc<Directory>, shutdown: &CancellationToken) {
        let mut waiting = Vec::new();
        self.metrics.audit.up.set(1);
        loop {
            let room = self.config.queue.max(1).saturating_sub(waiting.len());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // What came is looked at only while there is room for more of it.
                count = self.events.recv_many(&mut waiting, room), if room > 0 => {
                    if count == 0 {
                        break;
                    }
                    tokio::time::sleep(self.config.interval).await;
                    self.take(&mut waiting);
                    self.flush(directory, &mut waiting).await;
                }
                () = tokio::time::sleep(self.config.interval), if !waiting.is_empty() => {
                    self.flush(directory, &mut waiting).await;
                }
            }
        }
        self.take_last(&mut waiting).await;
        self.flush(directory, &mut waiting).await;
        if !waiting.is_empty() {
            tracing::warn!(events = waiting.len(), "events for the audit log are lost");
        }
        let lost = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        self.metrics.audit.events.of(Audited::Lost).inc_by(lost);
    }

    /// What else has come by now.
    fn take(&mut self, waiting: &mut Vec<(i64, Event)>) {
        while waiting.len() < self.config.queue
            && let Ok(event) = self.events.try_recv()
        {
            waiting.push(event);
        }
    }

    /// What comes until nothing can come any more.
    async fn take_last(&mut self, waiting: &mut Vec<(i64, Event)>) {
        self.events.close();
        // Whoever has a place still uses it, or gives it up.
        while let Some(event) = self.events.recv().await {
            waiting.push(event);
        }
    }

    /// Writes what waits; on an error it goes on waiting. Reports the first failure, and its end.
    async fn flush(&self, directory: &Arc<Directory>, waiting: &mut Vec<(i64, Event)>) {
        if waiting.is_empty() {
            return;
        }
        let (directory, events) = (Arc::clone(directory), std::mem::take(waiting));
        let written = tokio::task::spawn_blocking(move || {
            let written = directory.append_audit(&events);
            (written, events)
        });
        let Ok((written, events)) = written.await else { return };
        let failing = self.metrics.audit.up.get() == 0;
        self.metrics.audit.up.set(i64::from(written.is_ok()));
        match written {
            Ok(()) => {
                let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
                self.metrics.audit.events.of(Audited::Written).inc_by(count);
                if failing {
                    tracing::info!("the audit log is written again");
                }
            }
            Err(error) => {
                if !failing {
                    let reason = error_chain(&error);
                    tracing::error!(reason, "the audit log is not written; events wait");
                }
                *waiting = events;
            }
        }
    }
}

/// What is known of a client's request.
fn of_request(record: &Record, routes: &RouteTable, action: Action, decision: Decision) -> Event {
    let actor = match record.grant.get() {
        Some(grant) => Actor::named(ActorKind::Token, &grant.token_id),
        None => Actor::unnamed(ActorKind::Token),
    };
    let request_id = Some(record.id.as_str().into());
    let author = Author { actor, from: Some(record.client), request_id };
    Event {
        method: Some(record.method.as_str().into()),
        route: record.route.get().map(|id| routes.route(id).template.as_ref().into()),
        ..Event::by(author, action, decision)
    }
}

/// Deletes now and then what is too old.
async fn retain(retention: Duration, directory: &Arc<Directory>) {
    let mut ticks = tokio::time::interval(PRUNE_EVERY);
    loop {
        ticks.tick().await;
        let now = unix(SystemTime::now());
        let before = now.saturating_sub(i64::try_from(retention.as_secs()).unwrap_or(i64::MAX));
        while prune(directory, before, now).await {
            // Whoever has something to write comes first.
            tokio::time::sleep(PRUNE_PAUSE).await;
        }
    }
}

/// Deletes some of what is too old, and says whether there may be more.
async fn prune(directory: &Arc<Directory>, before: i64, now: i64) -> bool {
    let directory = Arc::clone(directory);
    let pruned = tokio::task::spawn_blocking(move || directory.prune_audit(before, now));
    match pruned.await {
        Ok(Ok(pruned)) => {
            if pruned.links > 0 {
                tracing::info!(links = pruned.links, "old links of the audit log were deleted");
            }
            pruned.more
        }
        Ok(Err(error)) => {
            tracing::error!(reason = error_chain(&error), "the audit log was not pruned");
            false
        }
        Err(_) => false,
    }
}

/// Whether a refusal says that somebody may not.
fn denies(code: &str, status: StatusCode) -> bool {
    let denials = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    BY_POLICY.contains(&code) || (denials.contains(&status) && code != CHALLENGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(auditor: &Auditor, name: Option<&str>) {
        let kind = ActorKind::AdminToken;
        let actor = name.map_or_else(|| Actor::unnamed(kind), |name| Actor::named(kind, name));
        auditor.admin_refused(actor.into(), &Method::GET, None, "refused");
    }

    #[test]
    fn nobody_takes_from_the_others_what_is_written_of_them() {
        let (auditor, _pen) = new(&Config::default(), &Arc::new(Metrics::new()));
        for shares in [&auditor.data, &auditor.admin] {
            let written = |name| (0..100).filter(|_| auditor.is_written(shares, name)).count();
            assert_eq!(written(None), 6);
            let (one, another) = ("one", ["two", "three", "four"]);
            let another = another
                .into_iter()
                .find(|name| !std::ptr::eq(shares.of_name(name), shares.of_name(one)));
            assert!((4..8).contains(&written(Some(one))), "a share, and a moment more");
            assert!(written(another) >= 4);
        }
    }

    #[test]
    fn what_a_policy_would_have_refused_is_told_whatever_refused_it() {
        let (auditor, mut pen) = new(&Config::default(), &Arc::new(Metrics::new()));
        let routes = RouteTable::new(&[]).expect("routes");
        let mut told = |code: Option<&'static str>, status: StatusCode| {
            let id = crate::record::RequestId::next(1);
            let client = std::net::Ipv4Addr::LOCALHOST.into();
            let record = Record::new(id, client, crate::vocabulary::Protocol::Http1, Method::GET);
            record.policy.set(crate::policy::PolicyName::Deletes);
            if let Some(code) = code {
                record.rejection.set(code).expect("none before");
            }
            auditor.request(&record, status, &routes);
            let (_, event) = pen.events.try_recv().expect("an event");
            (event.decision, event.object.is_some())
        };
        assert_eq!(told(None, StatusCode::OK), (Decision::Shadowed, true));
        let away = told(Some("upstream_unreachable"), StatusCode::BAD_GATEWAY);
        assert_eq!(away, (Decision::Shadowed, true));
        let used_up = told(Some("used_up"), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(used_up, (Decision::Refused, true));
        let locked = told(Some("refused_by_policy"), StatusCode::LOCKED);
        assert_eq!(locked, (Decision::Refused, true), "whatever its status");
        assert_eq!(told(Some("out_of_scope"), StatusCode::FORBIDDEN), (Decision::Refused, false));
    }

    #[test]
    fn a_limit_is_a_refusal_and_a_challenge_is_none() {
        assert!(denies("rate_limited", StatusCode::TOO_MANY_REQUESTS));
        let challenge = crate::rejection::Rejection::NoCredentials;
        assert!(!denies(challenge.code(), StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn strangers_at_the_admin_listener_are_written_as_strangers() {
        let (auditor, mut pen) = new(&Config::default(), &Arc::new(Metrics::new()));
        (0..100).for_each(|_| refuse(&auditor, None));
        refuse(&auditor, Some("eve"));
        let events: Vec<_> = std::iter::from_fn(|| pen.events.try_recv().ok()).collect();
        assert_eq!(events.len(), 7);
        assert_eq!(events[6].1.actor.name, Some("eve".into()));
    }

    #[test]
    fn what_operators_do_has_a_place_of_its_own() {
        let config =
            Config { queue: 2, operators_queue: 1, requests_per_second: 100, ..Config::default() };
        let metrics = Arc::new(Metrics::new());
        let (auditor, mut pen) = new(&config, &metrics);
        (0..10).for_each(|_| refuse(&auditor, Some("eve")));
        assert_eq!(metrics.audit.events.of(Audited::Lost).get(), 8);
        let place = auditor.place().expect("a place");
        assert!(auditor.place().is_none(), "what could not be written is not done");
        place.done(Actor::unnamed(ActorKind::AdminToken).into(), Action::Purge, "all");
        let events: Vec<_> = std::iter::from_fn(|| pen.events.try_recv().ok()).collect();
        assert_eq!((events.len(), events[2].1.action), (3, Action::Purge));
    }

    /// Who has a place is written down although the process ends meanwhile.
    #[tokio::test]
    async fn a_place_outlives_the_shutdown() {
        let (auditor, mut pen) = new(&Config::default(), &Arc::new(Metrics::new()));
        let place = auditor.place().expect("a place");
        let mut waiting = Vec::new();
        let purge = async {
            tokio::task::yield_now().await;
            assert!(auditor.place().is_none(), "nothing more is begun");
            place.done(Actor::unnamed(ActorKind::AdminToken).into(), Action::Purge, "all");
        };
        tokio::join!(pen.take_last(&mut waiting), purge);
        assert_eq!(waiting.len(), 1);
    }
}
