//! Looks for what a request may have begun of which nobody knows what became.
//!
//! In the name of its own credential: what that is not shown, its tenant is not told. `candidates`
//! decides which transactions may be the request's. As long as it may be under way, the panel may begin
//! with it yet, so it is looked again, more and more rarely; after that one look says it all.

use std::sync::{Arc, MutexGuard, PoisonError};

use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Settler, Watches,
    candidates::{Glance, Sought, Window, candidates},
    rounds::{ask, page, sender},
    turns::Turns,
};
use crate::{
    keeper::{
        lost::{About, Lost, Search, Tell},
        now,
    },
    site::Site,
    tenants::snapshot::Credential,
    transcode::{
        resources::resources,
        transactions::{Transaction, transactions},
    },
    vocabulary::Format,
};

/// Whose turn it is; given back when it is dropped.
struct Turn {
    watches: Arc<Watches>,
    row: i64,
}

/// What one look has come to.
enum Sight {
    /// These may be it; none is an answer, too.
    Seen(Box<[u64]>),
    /// Nothing can be said this time.
    Failed,
    /// Nothing will be said: this credential may not look.
    Refused,
}

impl Search for Settler {
    fn search(&self, lost: Lost, tell: Tell) {
        let Some(turn) = Turn::of(&self.0, lost.row) else { return };
        let stop = self.0.stop.clone();
        self.0.tasks.spawn(async move {
            let found = stop.run_until_cancelled(seek(&turn.watches, &lost)).await;
            match found {
                Some(found) if !found.is_empty() => tell(found),
                // Whoever repeats it has it looked for again, but not each time.
                Some(_) => turn.rest(),
                None => {}
            }
        });
    }
}

impl Turn {
    /// None where nothing is looked at, where the same is looked for, or so much else.
    fn of(watches: &Arc<Watches>, row: i64) -> Option<Self> {
        let config = &watches.config;
        let turn = config.enabled && watches.turns().take(row, config.max_searches, Instant::now());
        turn.then(|| Self { watches: Arc::clone(watches), row })
    }

    /// The same is not looked for again for a while; others are.
    fn rest(&self) {
        let config = &self.watches.config;
        let (most, pause) = (config.max_searches, config.max_interval);
        self.watches.turns().rest(self.row, most, Instant::now(), pause);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.watches.turns().end(self.row);
    }
}

impl Watches {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.searching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn seek(watches: &Watches, lost: &Lost) -> Box<[u64]> {
    let nothing = Box::default();
    let credential = &lost.trace.credential;
    let Some(site) = watches.sites.get(&*credential.upstream) else { return nothing };
    let mut pace = watches.config.interval;
    let mut user = None;
    loop {
        let last = now() > lost.span.lease;
        let look = timeout(watches.config.timeout, look(watches, site, lost, &mut user));
        match look.await.unwrap_or(Sight::Failed) {
            Sight::Refused => return nothing,
            Sight::Seen(found) if last || !found.is_empty() => return found,
            Sight::Seen(_) => {}
            Sight::Failed if last => return nothing,
            Sight::Failed => {}
        }
        sleep(pace).await;
        pace = (pace * 2).min(watches.config.max_interval);
    }
}

/// Looks once; `user` is whose credential it is, once that is known.
async fn look(watches: &Watches, site: &Site, lost: &Lost, user: &mut Option<u64>) -> Sight {
    let Some(credential) = &sender(watches, &lost.trace.credential) else { return Sight::Failed };
    let may_ask = || {
        let budget = watches.budgets.get(&*credential.upstream);
        budget.is_none_or(|budget| budget.check().is_ok())
    };
    if !may_ask() {
        return Sight::Failed;
    }
    if user.is_none() && matches!(lost.trace.about, About::New(_)) {
        *user = match whose(site, credential).await {
            Ok(user) => Some(user),
            Err(sight) => return sight,
        };
    }
    let Some(sought) = sought(watches, lost, *user) else { return Sight::Refused };
    let mut rows: Vec<Transaction> = Vec::new();
    let mut window = None;
    for number in 1..=watches.config.max_pages {
        if number > 1 && !may_ask() {
            return Sight::Failed;
        }
        let asked = now();
        let page = page(number, watches.config.page_size);
        let Some(shown) = ask(site, credential, "/transactions", &page).await else {
            return Sight::Failed;
        };
        let listed = match shown.status {
            StatusCode::OK => transactions(&shown.body),
            status if status.is_client_error() => return Sight::Refused,
            _ => None,
        };
        let Some(listed) = listed else { return Sight::Failed };
        let glance = Glance { asked, answered: now(), shown: shown.date };
        let window =
            *window.get_or_insert_with(|| Window::on(glance, lost.span.sent, lost.span.lease));
        let last = listed.len() < watches.config.page_size;
        rows.extend(listed);
        if last || window.is_covered_by(&rows) || number == watches.config.max_pages {
            return Sight::Seen(candidates(&rows, &sought, window));
        }
    }
    Sight::Failed
}

/// What is looked for; none where that has no name that transactions know.
fn sought(watches: &Watches, lost: &Lost, user: Option<u64>) -> Option<Sought> {
    match &lost.trace.about {
        About::Item(item) => {
            let partition = &lost.trace.credential.partition;
            watches.subject(Some(item), partition).map(Sought::Item)
        }
        About::New(family) => {
            let kinds = watches.routes.item_kinds();
            let kind = kinds.iter().find(|kind| kind.family == *family)?;
            let action = format!("build_{}", kind.root).into();
            Some(Sought::New { kind: kind.kind.clone(), action, user: user? })
        }
    }
}

/// The number of the panel's user whose credential it is, as the panel says.
async fn whose(site: &Site, credential: &Credential) -> Result<u64, Sight> {
    let shown = ask(site, credential, "/profile", "").await.ok_or(Sight::Failed)?;
    match shown.status {
        StatusCode::OK => {
            let users = resources(Format::Json, "user", &shown.body, 1).unwrap_or_default();
            let number = users.first().and_then(|user| user.id.parse().ok());
            number.ok_or(Sight::Refused)
        }
        status if status.is_client_error() => Err(Sight::Refused),
        _ => Err(Sight::Failed),
    }
}
