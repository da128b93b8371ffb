//! A watch's rounds: when it looks, how it looks, and what it does with what it saw.

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, DATE},
};
use http_body_util::{BodyExt as _, Limited};
use httpdate::parse_http_date;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Watch, Watches};
use crate::{
    cache::{
        cause::Cause,
        coherence::Change,
        partition::{Breadth, Felt, Hold},
        touch::Named,
    },
    clock::unix,
    metrics::unsettled::Settled,
    net::server::ClientBody,
    site::Site,
    tenants::snapshot::Credential,
    transcode::{
        forced::to_json,
        transactions::{Subject, Transaction, transactions},
        tree::Bounds,
        xml::{self, Mixed},
    },
    vocabulary::{Closed as _, Format, InvalidationCause, UpstreamCause},
};

/// What a look has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Something has happened.
    News,
    /// Nothing has, or the panel did not answer.
    Quiet,
    /// This credential may not look.
    Refused,
    /// The budget is spent.
    NotNow,
}

/// What was read of the transactions.
enum Looked {
    /// Transactions, newest first, and whether they go as far down as was asked for.
    Rows(Vec<Transaction>, bool),
    /// Not this time.
    Failed,
    /// This credential may not look, says the panel by this status.
    Refused(StatusCode),
}

/// What the panel has shown.
pub(super) struct Shown {
    pub(super) status: StatusCode,
    /// When, by its own clock, in Unix seconds; none where it does not say.
    pub(super) date: Option<i64>,
    /// In JSON, if it is what was asked for.
    pub(super) body: Bytes,
}

/// A page of transactions that is larger than this is not read.
const MAX_PAGE: usize = 8 << 20;

/// Looks until nothing is held any more.
pub(super) async fn go(watches: Arc<Watches>, id: u64, watch: Arc<Watch>) {
    let config = &watches.config;
    // Nobody can look at all, and nobody may look for now.
    let never = !config.enabled || watch.credential.is_none();
    let mut refused = false;
    let mut pace = config.interval;
    let mut next = Instant::now() + pace;
    loop {
        let blind = never || refused;
        let due = watch.ledger().next_due(blind).map(|at| moment(&watches, at));
        let wake = match due {
            Some(due) if never => due,
            Some(due) => due.min(next),
            None => next,
        };
        tokio::select! {
            () = watches.stop.cancelled() => return,
            () = watch.wake.notified() => {
                pace = config.interval;
                next = next.min(Instant::now() + pace);
                continue;
            }
            () = sleep_until(wake) => {}
        }
        let overdue = watch.ledger().due(watches.clock.now(), blind);
        let outcome = if blind { Settled::Window } else { Settled::Overdue };
        release(&watches, overdue, outcome);
        if Instant::now() >= next {
            let look = async { if never { Look::Quiet } else { look(&watches, &watch).await } };
            let Some(looked) = watches.stop.run_until_cancelled(look).await else { return };
            refused = looked == Look::Refused || refused && looked == Look::NotNow;
            pace = match looked {
                Look::News | Look::NotNow => config.interval,
                Look::Quiet => (pace * 2).min(config.max_interval),
                Look::Refused => config.max_interval,
            };
            next = Instant::now() + pace;
        }
        if retire(&watches, id, &watch, refused) {
            return;
        }
    }
}

/// Whether the watch is over. Under the lock under which others begin one.
fn retire(watches: &Watches, id: u64, watch: &Watch, refused: bool) -> bool {
    let mut each = watches.each();
    let forever = watches.config.enabled && watches.config.always && !refused && watches.rules(id);
    let over = watch.ledger().is_idle() && !forever;
    if over {
        each.remove(&id);
    }
    over
}

/// Looks once: touches what has changed, and then releases what has settled.
async fn look(watches: &Watches, watch: &Watch) -> Look {
    let Some(credential) = &watch.credential else { return Look::Refused };
    let Some(site) = watches.sites.get(&*credential.upstream) else { return Look::Refused };
    let Some(sender) = sender(watches, credential) else { return Look::NotNow };
    let budget = watches.budgets.get(&*credential.upstream);
    if budget.is_some_and(|budget| budget.check().is_err()) {
        return Look::NotNow;
    }
    let begun = watches.clock.now();
    let from = watch.ledger().from();
    let looked = timeout(watches.config.timeout, read(watches, site, &sender, from)).await;
    let (rows, whole) = match looked {
        Ok(Looked::Rows(rows, whole)) => (rows, whole),
        Ok(Looked::Failed) | Err(_) => return Look::Quiet,
        Ok(Looked::Refused(status)) => {
            if status == StatusCode::UNAUTHORIZED {
                let now = self::sender(watches, &sender);
                if now.is_none_or(|now| now.generation > sender.generation) {
                    return Look::NotNow;
                }
                forget(watches, credential);
            }
            let credential = &credential.name;
            tracing::warn!(credential, "transactions may not be seen; windows are waited for");
            return Look::Refused;
        }
    };
    let name = |hold: &mut Hold, transaction| hold.ended_by(Cause::Transaction(transaction));
    let seen = watch.ledger().look_and_name(watches.clock.now(), begun, &rows, whole, name);
    let news = !seen.changed.is_empty() || seen.gap;
    // In this order: who finds it settled finds what the transaction changed already touched.
    for row in &seen.changed {
        felt(watches, credential, row).touch();
        watches.metrics.cache.invalidations.of(InvalidationCause::Transaction).inc();
    }
    if seen.gap {
        let all = Change::whole(watches.routes.families().all());
        Felt::new(Arc::clone(&credential.partition), all, Breadth::Reach)
            .because(Cause::Other(InvalidationCause::TransactionGap))
            .touch();
        watches.metrics.cache.invalidations.of(InvalidationCause::TransactionGap).inc();
    }
    release(watches, seen.settled, Settled::Seen);
    if news { Look::News } else { Look::Quiet }
}

/// The credential to look with, which is another generation of the same one where its key was rotated
/// meanwhile; none while its key is being replaced.
pub(super) fn sender(watches: &Watches, credential: &Arc<Credential>) -> Option<Arc<Credential>> {
    let snapshot = watches.directory.snapshot();
    let held = snapshot.rotating().holds(&credential.name);
    (!held).then(|| Arc::clone(snapshot.successor(credential).unwrap_or(credential)))
}

/// What a credential was shown is no longer its to see when the panel does not know it any more.
fn forget(watches: &Watches, credential: &Credential) {
    let all = Change::whole(watches.routes.families().all());
    let cause = InvalidationCause::CredentialRefused;
    Felt::new(Arc::clone(&credential.partition), all, Breadth::Account)
        .because(Cause::Other(cause))
        .touch();
    watches.metrics.cache.invalidations.of(cause).inc();
    watches.metrics.credentials.rejected(&credential.name, unix(SystemTime::now()));
}

/// Ends holds, each with its bump.
fn release(watches: &Watches, holds: Vec<Hold>, outcome: Settled) {
    let count = holds.len();
    drop(holds);
    watches.metrics.unsettled.ends.of(outcome).inc_by(count as u64);
    watches.metrics.unsettled.waiting.sub(i64::try_from(count).unwrap_or(i64::MAX));
}

/// Reads page after page, down to a number.
async fn read(
    watches: &Watches,
    site: &Site,
    credential: &Credential,
    from: Option<u64>,
) -> Looked {
    let size = watches.config.page_size;
    let mut rows: Vec<Transaction> = Vec::new();
    // The first look takes what there is: nothing that it knows of is further down.
    let first = from.is_none();
    let enough_time = Instant::now() + watches.config.timeout / 2;
    for page in 1..=watches.config.max_pages {
        let shown = match ask(site, credential, "/transactions", &self::page(page, size)).await {
            Some(Shown { status: StatusCode::OK, body, .. }) => transactions(&body),
            Some(Shown { status, .. }) if REFUSALS.contains(&status) => {
                return Looked::Refused(status);
            }
            Some(_) | None => None,
        };
        let Some(shown) = shown else {
            let some = first && !rows.is_empty();
            return if some { Looked::Rows(in_order(rows), true) } else { Looked::Failed };
        };
        let last = shown.len() < size;
        let down_to = shown.iter().map(|row| row.id).min();
        rows.extend(shown);
        let enough = match from {
            Some(from) => down_to.is_some_and(|id| id <= from),
            None => Instant::now() >= enough_time,
        };
        if last || enough {
            return Looked::Rows(in_order(rows), true);
        }
    }
    Looked::Rows(in_order(rows), first)
}

/// By these the panel says that this credential may not see transactions.
const REFUSALS: [StatusCode; 3] =
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];

/// Newest first, each once: what comes while pages are turned moves rows to the next page.
fn in_order(mut rows: Vec<Transaction>) -> Vec<Transaction> {
    rows.sort_unstable_by_key(|row| Reverse(row.id));
    rows.dedup_by_key(|row| row.id);
    rows
}

/// The query for a page of so many.
pub(super) fn page(page: usize, size: usize) -> String {
    format!("?page={page}&per_page={size}")
}

/// What the panel shows a credential at a path, which has no suffix; none if it does not answer.
pub(super) async fn ask(
    site: &Site,
    credential: &Credential,
    path: &str,
    query: &str,
) -> Option<Shown> {
    let format = site.only_format().unwrap_or(Format::Json);
    let name = format.as_str();
    let uri: Uri = format!("{path}.{name}{query}").parse().ok()?;
    let accept = HeaderValue::try_from(format!("application/{name}")).ok()?;
    let make = || {
        let mut request = Request::new(ClientBody::empty());
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, accept.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(AUTHORIZATION, credential.authorization.clone());
        request
    };
    let cause = UpstreamCause::Watch;
    let reply = site.pool().exchange(cause, make(), || (), || Some(make())).await.ok()?;
    let (head, body) = reply.into_parts();
    let status = head.status;
    let date = head.headers.get(DATE).and_then(|date| parse_http_date(date.to_str().ok()?).ok());
    let date = date.map(unix);
    let mut body = Limited::new(body, MAX_PAGE).collect().await.ok()?.to_bytes();
    if format != Format::Json && status == StatusCode::OK {
        body = to_json(&xml::read(&body, Mixed::Refused, Bounds::REPLY).ok()?).into();
    }
    Some(Shown { status, date, body })
}

/// What a transaction changes: what a write to its machine does, or all if it names anything that
/// such a write would not change.
fn felt(watches: &Watches, credential: &Credential, row: &Transaction) -> Felt {
    let partition = &credential.partition;
    let named = [&row.parent, &row.associated].into_iter().flatten();
    let kinds = watches.routes.item_kinds().iter();
    let change = kinds.filter_map(|kind| {
        let covered = |subject: &&Subject| kind.covers(&subject.kind);
        let mut items = named.clone().filter(|subject| subject.kind == kind.kind).map(|s| s.id);
        let id = items.next()?;
        let one = named.clone().all(|s| covered(&s)) && items.all(|other| other == id);
        one.then(|| {
            let names = partition.upstream().names();
            // It may have been a removal, and others may name what is gone.
            if names.refer() && !row.open {
                return Change::whole(kind.touches);
            }
            Named::numbered(kind, id).changed(kind.touches, names)
        })
    });
    let all = || Change::whole(watches.routes.families().all());
    let change = { change }.next().unwrap_or_else(all);
    Felt::new(Arc::clone(partition), change, Breadth::Reach).because(Cause::Transaction(row.id))
}

/// A time of the process as a moment of the runtime.
fn moment(watches: &Watches, at: u64) -> Instant {
    Instant::now() + Duration::from_millis(at.saturating_sub(watches.clock.now()))
}
