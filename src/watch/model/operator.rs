//! What an operator does: another key for a credential, another user, another name; and how the
//! process puts it in force.
//!
//! The snapshot is built by the code that runs in production from sealed records, and so are the
//! accounts and the partitions that it asks for. What `tenants/directory` does with it is done here
//! in the same order, in two steps that others may come between.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use super::{
    Mistake,
    panel::{Login, Panel, ROOT, Refusal},
    world::World,
};
use crate::{
    accounts::Accounts,
    api::routes::RouteTable,
    auth::{
        data_key::{DataKey, Purpose},
        keyring::Keyring,
    },
    cache::{
        cause::Cause,
        coherence::Epochs,
        names::Names,
        partition::{Commons, Partition},
    },
    metrics::Metrics,
    net::{server::ClientBody, upstream},
    site::Site,
    tenants::{
        fixture::{keyring, origin},
        record::{CredentialRecord, Reach, Records, SecretKind, Standing},
        secret::{UpstreamSecret, Vault},
        snapshot::{Credential, Snapshot, Surroundings},
    },
    vocabulary::InvalidationCause,
};

pub(super) const CREDENTIALS: usize = 4;

/// The users whose credentials there are in the beginning.
const USERS: [usize; CREDENTIALS] = [0, 0, 1, ROOT];

const ACCOUNTS: [&str; 3] = ["alice", "bob", "root"];

pub(super) static ROUTES: LazyLock<RouteTable> =
    LazyLock::new(|| RouteTable::new(&[]).expect("the table itself"));

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| keyring("ab"));

static DATA_KEY: LazyLock<DataKey> =
    LazyLock::new(|| DataKey::random(Purpose::Vault).expect("randomness"));

/// What was sealed before: the same keys are given in every history.
static SEALED: LazyLock<Mutex<Sealed>> = LazyLock::new(Mutex::default);

/// Never asked for anything; a site must have one.
static POOL: LazyLock<Arc<upstream::Upstream<ClientBody>>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let url = "http://127.0.0.1:1".to_owned();
    let config = upstream::Config { url, ..upstream::Config::default() };
    let origin = config.validate().expect("valid settings");
    upstream::Upstream::new(origin, config, Arc::new(Metrics::new())).expect("no TLS")
});

/// By credential and key.
type Sealed = HashMap<(usize, Login), Vec<u8>>;

/// Who asks the panel: a credential in one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) credential: usize,
    pub(super) login: Login,
    generation: i64,
}

/// What is in the store, and what is made of it.
pub(super) struct Office {
    records: Records,
    /// The keys of each credential by its generations.
    logins: [Vec<Login>; CREDENTIALS],
    surroundings: Surroundings,
    commons: Arc<Commons>,
    /// Who sees all is declared to, and so looks for all.
    central: bool,
    keys: u64,
}

/// A reload that is not over: what is left to be done.
pub(super) enum Half {
    /// In force, and to be touched if there is a new secret.
    InForce(bool),
    /// Touched, and to be put in force; only by mistake.
    Touched(Arc<Snapshot>),
}

impl Office {
    pub(super) fn new(mistake: Mistake, central: bool) -> Self {
        let families = ROUTES.families();
        let names = Names::new(100);
        let commons =
            Arc::new(Commons::new(families.len(), ROUTES.precise(), ROUTES.shared(), names));
        let mut office = Self {
            records: Records::default(),
            logins: std::array::from_fn(|_| Vec::new()),
            surroundings: surroundings(mistake, &commons),
            commons,
            central,
            keys: 0,
        };
        for (index, user) in USERS.into_iter().enumerate() {
            office.records.credentials.push(CredentialRecord {
                row: index as i64,
                name: index.to_string(),
                upstream: "main".to_owned(),
                kind: SecretKind::Key,
                standing: Standing::default(),
                sealed: Vec::new(),
                key_id: DATA_KEY.id().as_str().to_owned(),
                key: Some(KEYRING.wrap(&DATA_KEY).expect("wrapped")),
                generation: 0,
                created: 0,
            });
            let key = office.new_key();
            office.give(index, Login { user, key });
        }
        office
    }

    /// What the records are in force as.
    pub(super) fn build(&self, previous: &Snapshot) -> Arc<Snapshot> {
        let snapshot = Snapshot::build(&self.records, &KEYRING, &self.surroundings, previous);
        assert_eq!(snapshot.left_out(), [], "every record can be used");
        Arc::new(snapshot)
    }

    /// A partition of nobody's, which sees whatever anybody changes.
    pub(super) fn observer(&self) -> Arc<Partition> {
        Arc::new(Partition::numbered(0, stranger(), Arc::clone(&self.commons), true))
    }

    /// Who a credential of a snapshot is.
    pub(super) fn identity(&self, credential: &Credential) -> Identity {
        let digits = credential.name.trim_end_matches('~');
        let index: usize = digits.parse().expect("a number");
        let login = self.logins[index][credential.generation as usize - 1];
        Identity { credential: index, login, generation: credential.generation }
    }

    /// Gives a credential a key, and its user's standing, in a new generation.
    fn give(&mut self, index: usize, login: Login) {
        let reach = match login.user {
            ROOT => self.central.then_some(Reach::All),
            _ => Some(Reach::Own),
        };
        let account = Some(ACCOUNTS[login.user].to_owned());
        let record = &mut self.records.credentials[index];
        record.standing = Standing { reach, account };
        record.generation += 1;
        self.logins[index].push(login);
        self.seal(index);
    }

    fn seal(&mut self, index: usize) {
        let login = self.latest(index);
        let record = &mut self.records.credentials[index];
        let mut sealed = SEALED.lock().expect("no panic");
        let sealed = sealed.entry((index, login)).or_insert_with(|| {
            let text = format!("secret-of-{}-{}", login.user, login.key);
            let secret = UpstreamSecret::new(SecretKind::Key, ACCOUNTS[login.user], &text);
            let vault = Vault { keyring: &KEYRING, origin: &origin };
            let secret = secret.expect("a good secret");
            vault.seal(&DATA_KEY, record.row, "main", &secret).expect("sealed")
        });
        record.sealed.clone_from(sealed);
    }

    /// The key that a credential has once the records are in force.
    fn latest(&self, index: usize) -> Login {
        *self.logins[index].last().expect("each has one")
    }

    fn new_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }
}

/// What the snapshot is told of the rest of the process, as `serve` does it.
fn surroundings(mistake: Mistake, commons: &Arc<Commons>) -> Surroundings {
    let site = Arc::new(Site::new("main", Arc::clone(&POOL), Arc::clone(commons)));
    let accounts = Accounts::new(HashMap::from([("main".to_owned(), site)]), &ROUTES);
    let commons = Arc::clone(commons);
    Surroundings {
        origin: Box::new(origin),
        partition: Box::new(move |upstream, standing| match mistake {
            Mistake::AccountForgotten => {
                let sees_all = standing.reach != Some(Reach::Own);
                Some(Arc::new(Partition::new(stranger(), Arc::clone(&commons), sees_all)))
            }
            _ => accounts.partition(upstream, standing),
        }),
        scope: Box::new(|name| ROUTES.scope_bit(name)),
        vault: Box::new(|_| {}),
    }
}

/// What was kept, or is being fetched, was not searched for a new secret.
fn touch_all(snapshot: &Snapshot) {
    for partition in snapshot.partitions() {
        partition.account().touch_all(Cause::Other(InvalidationCause::Vault));
    }
}

/// Epochs that nothing has raised.
fn stranger() -> Arc<Epochs> {
    Arc::new(Epochs::new(ROUTES.families().len(), ROUTES.precise()))
}

impl World {
    /// Changes what a credential is, or nothing, and begins to put it in force.
    pub(super) fn reload(&mut self, coin: u64) {
        self.finish_reload();
        let index = coin as usize % CREDENTIALS;
        let old = self.whose[index].login;
        match coin >> 2 & 7 {
            0..=2 => {
                let key = self.office.new_key();
                self.office.give(index, Login { user: old.user, key });
            }
            3 | 4 => {
                let key = self.office.new_key();
                self.office.give(index, Login { user: (coin >> 5) as usize % 3, key });
            }
            // The same key once more.
            5 => self.office.give(index, old),
            6 => {
                // Another name.
                self.office.records.credentials[index].name.push('~');
            }
            _ => {}
        }
        if coin >> 7 & 1 == 1 && self.whose[index].login != self.office.latest(index) {
            self.panel.refuse(old, Refusal::Unknown);
        }
        let latest = self.office.latest(index);
        self.tell(|| format!("credential {index} becomes {latest:?}"));
        let next = self.office.build(&self.snapshot);
        if self.mistake == Mistake::TouchedTooSoon {
            touch_all(&next);
            self.half = Some(Half::Touched(next));
        } else {
            let changed = self.put_in_force(next);
            self.half = Some(Half::InForce(changed));
        }
    }

    /// What is left of a reload; from then on nothing is shown that was not searched for all secrets.
    pub(super) fn finish_reload(&mut self) {
        match self.half.take() {
            None => return,
            Some(Half::InForce(changed)) => {
                if changed && self.mistake != Mistake::NewSecretUnnoticed {
                    touch_all(&self.snapshot);
                }
            }
            Some(Half::Touched(next)) => {
                self.put_in_force(next);
            }
        }
        self.searched = self.snapshot.vault_version();
        let version = self.searched;
        self.tell(|| format!("version {version} of the vault is in force"));
    }

    /// Whether any credential has changed.
    fn put_in_force(&mut self, next: Arc<Snapshot>) -> bool {
        let changed = next.vault_version() != self.snapshot.vault_version();
        self.snapshot = next;
        let snapshot = Arc::clone(&self.snapshot);
        for credential in snapshot.credentials() {
            let identity = self.office.identity(credential);
            let index = identity.credential;
            self.whose[index] = identity;
            let before = &self.partitions[index];
            let sees_all = identity.login.user == ROOT;
            self.partitions[index] = match self.mistake {
                Mistake::PartitionKept => continue,
                Mistake::EntriesWithoutEpochs if before.id() != credential.partition.id() => {
                    let (id, commons) = (before.id(), Arc::clone(&self.office.commons));
                    Arc::new(Partition::numbered(id, stranger(), commons, sees_all))
                }
                Mistake::EntriesWithoutEpochs => continue,
                _ => Arc::clone(&credential.partition),
            };
        }
        changed
    }

    /// The panel refuses a key that is in use, or takes one again that it has refused.
    pub(super) fn turn(&mut self, coin: u64) {
        let login = self.whose[coin as usize % CREDENTIALS].login;
        if self.panel.refusal(login).is_some() {
            self.panel.restore(login);
            self.tell(|| format!("the panel takes {login:?} again"));
            return;
        }
        let how = if coin >> 2 & 1 == 1 { Refusal::Unknown } else { Refusal::Forbidden };
        self.panel.refuse(login, how);
        self.tell(|| format!("the panel says to {login:?}: {how:?}"));
    }

    /// A machine that a credential sees.
    pub(super) fn visible(&self, index: usize, coin: u64) -> usize {
        Panel::visible(self.whose[index].login.user, coin)
    }
}
