//! The store, asked for operators: so many at once, and each within a deadline.
//!
//! Whoever asks waits in a task, and the store is asked in a thread that may block. The turn of an
//! operation ends when the operation does, and not when nobody waits for it any more: so there are
//! never more of them than the bound says, whatever clients do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{access::Caller, problem::Refusal};
use crate::{
    api::routes::RouteTable,
    audit::event::Author,
    auth::{
        keyring::Keyring,
        token::{Environment, is_of_an_operator},
    },
    clock::unix,
    operations::{Means, OperationError},
    tenants::{
        self,
        declared::NotCarriedOut,
        directory::Directory,
        import::ImportError,
        secret::Vault,
        store::{Edit, Store, StoreError, View},
    },
};

mod prune;

/// What it takes to ask the store.
pub struct Parts {
    /// Where the store is.
    pub tenants: tenants::Config,
    /// Has the keys.
    pub directory: Arc<Directory>,
    /// Knows the scopes.
    pub routes: Arc<RouteTable>,
    /// The scheme, host and port of each upstream.
    pub origins: BTreeMap<String, String>,
    /// The word in new tokens.
    pub environment: Environment,
    /// How many operations are under way at most.
    pub max_operations: usize,
    /// How long one may take, and wait for its turn.
    pub patience: Duration,
    /// For how long an answer is kept for whoever asks again.
    pub replay_window: Duration,
    /// How many answers are kept.
    pub max_replays: u32,
}

/// Asks the store.
pub struct Office {
    parts: Parts,
    turns: Arc<Semaphore>,
    /// Whoever presents a token waits here for its only turn: who has none must not take the turns of
    /// those who have been let in.
    door: Arc<Semaphore>,
    /// The turn of what takes all of the store into memory.
    alone: Arc<Semaphore>,
    /// Open stores that nobody works with.
    idle: Mutex<Vec<Store>>,
}

impl Office {
    /// Opens nothing yet.
    pub fn new(parts: Parts) -> Self {
        let turns = Arc::new(Semaphore::new(parts.max_operations));
        let [door, alone] = [1, 1].map(|turns| Arc::new(Semaphore::new(turns)));
        Self { parts, turns, door, alone, idle: Mutex::default() }
    }

    /// Changes the store in the name of somebody.
    pub(super) async fn edit<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        change: impl FnOnce(&Edit<'_>, &Means<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.work(caller, move |store, means, now| store.edit(now, |edit| change(edit, means)))
            .await
    }

    /// Reads the store.
    pub(super) async fn view<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&View<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let nobody = Caller::configured();
        self.work(&nobody, move |store, _, now| store.view(now, read)).await
    }

    /// Does to the store what is no one transaction.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        work: impl FnOnce(&mut Store, &Means<'_>, i64) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.work_in(&[&self.turns], caller.author(), work).await
    }

    /// Does what takes all of the store into memory, one at a time; who waits for it keeps nobody else
    /// waiting.
    pub(super) async fn work_alone<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        work: impl FnOnce(&mut Store, &Means<'_>, i64) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.work_in(&[&self.alone, &self.turns], caller.author(), work).await
    }

    /// Does something once a turn of each kind has come.
    async fn work_in<T: Send + 'static>(
        self: &Arc<Self>,
        kinds: &[&Arc<Semaphore>],
        author: Author,
        work: impl FnOnce(&mut Store, &Means<'_>, i64) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let office = Arc::clone(self);
        let asked = async {
            let mut turns = Vec::with_capacity(kinds.len());
            for kind in kinds {
                turns.push(Arc::clone(kind).acquire_owned().await.expect("nobody closes it"));
            }
            let done = spawn_blocking(move || {
                let done = office.do_work(author, work);
                drop(turns);
                done
            });
            done.await.expect("no operation panics")
        };
        timeout(self.parts.patience, asked).await.unwrap_or(Err(Refusal::Late))
    }

    /// Who presents a token, if it is one that the store has and that is good.
    pub(super) async fn find(
        self: &Arc<Self>,
        presented: &[u8],
    ) -> Result<Option<Caller>, Refusal> {
        // What cannot be a token is not looked up.
        if !is_of_an_operator(presented) {
            return Ok(None);
        }
        let mac = self.keyring().mac(presented);
        let look = move |store: &mut Store, _: &Means<'_>, now| {
            store.view(now, |view| Ok(view.good_admin_token(&mac)?))
        };
        let nobody = Caller::configured().author();
        let found = self.work_in(&[&self.door, &self.turns], nobody, look).await?;
        Ok(found.map(Caller::from))
    }

    /// The keys.
    pub(super) fn keyring(&self) -> &Keyring {
        self.parts.directory.keyring()
    }

    /// For how many seconds an answer is kept, and how many are.
    pub(super) fn replays(&self) -> (i64, i64) {
        let seconds = self.parts.replay_window.as_secs();
        (i64::try_from(seconds).unwrap_or(i64::MAX), i64::from(self.parts.max_replays))
    }

    /// How long an operation may take.
    pub(super) fn patience(&self) -> Duration {
        self.parts.patience
    }

    fn do_work<T>(
        &self,
        author: Author,
        work: impl FnOnce(&mut Store, &Means<'_>, i64) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Parts { directory, routes, origins, environment, .. } = &self.parts;
        let keyring = &*directory.sealing_keyring();
        let mut store = self.open()?.audited(author, keyring);
        let means = Means {
            vault: Vault { keyring, origin: &|name| origins.get(name).cloned() },
            scope: &|name| routes.scope_bit(name),
            environment,
        };
        let done = work(&mut store, &means, unix(SystemTime::now()));
        // A connection that failed once is not asked again, nor are those that were opened before it.
        if done.as_ref().is_err_and(is_of_the_connection) {
            self.idle().clear();
        } else {
            self.idle().push(store);
        }
        done
    }

    fn open(&self) -> Result<Store, StoreError> {
        let idle = self.idle().pop();
        idle.map_or_else(|| Store::open(&self.parts.tenants), Ok)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Store>> {
        // Whoever panicked left it whole: it is only pushed to and popped from.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the connection to the store may be at fault.
fn is_of_the_connection(refusal: &Refusal) -> bool {
    let (Refusal::Operation(
        OperationError::Store(error) | OperationError::NotCarriedOut(NotCarriedOut::Store(error)),
    )
    | Refusal::Import(ImportError::Store(error))) = refusal
    else {
        return false;
    };
    error.is_of_the_connection()
}

#[cfg(test)]
pub(super) mod tests;
