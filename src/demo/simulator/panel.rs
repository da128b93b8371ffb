//! The panel's state: tables of records, accounts, and a clock that never repeats itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::jobs::Jobs;
use super::rails::{Dialect, Object, Value};
use super::secrets::Secrets;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Machine,
    Disk,
    Address,
    Interface,
    Backup,
    FirewallRule,
    Transaction,
    Template,
    Network,
    Hypervisor,
    HypervisorZone,
    DataStore,
    Role,
    SshKey,
    ApiKey,
}

/// A row: what it shows, whose it is, and which machine it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) fields: Object,
    pub(crate) owner: Option<u64>,
    pub(crate) machine: Option<u64>,
}

/// How a user gets in.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) admin: bool,
    pub(crate) password: String,
    /// The key that `/profile` shows.
    pub(crate) api_key: String,
    pub(crate) session: String,
    pub(crate) suspended: bool,
    pub(crate) zone_minutes: i32,
}

/// Everything, under one lock of the server's.
pub(crate) struct Panel {
    pub(crate) jobs: Jobs,
    pub(crate) secrets: Secrets,
    pub(crate) dialect: Dialect,
    tables: [Table; Kind::COUNT],
    accounts: BTreeMap<u64, Account>,
    identifiers: HashMap<String, u64>,
    clock: Clock,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<u64, Record>,
    by_owner: BTreeSet<(u64, u64)>,
    by_machine: BTreeSet<(u64, u64)>,
    last_id: u64,
}

struct Clock {
    started: Instant,
    started_unix: Duration,
    now: i64,
}

/// How many ended transactions the panel keeps.
const KEPT_TRANSACTIONS: usize = 20_000;

impl Kind {
    const COUNT: usize = 16;

    /// Its name in JSON, and as the root of a document.
    pub(crate) const fn model(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Machine => "virtual_machine",
            Self::Disk => "disk",
            Self::Address => "ip_address",
            Self::Interface => "network_interface",
            Self::Backup => "backup",
            Self::FirewallRule => "firewall_rule",
            Self::Transaction => "transaction",
            Self::Template => "image_template",
            Self::Network => "network",
            Self::Hypervisor => "hypervisor",
            Self::HypervisorZone => "hypervisor_group",
            Self::DataStore => "data_store",
            Self::Role => "role",
            Self::SshKey => "ssh_key",
            Self::ApiKey => "user_api_key",
        }
    }

    /// The root of a list of it in XML.
    pub(crate) const fn root(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Machine => "virtual_machines",
            Self::Disk => "disks",
            Self::Address => "ip_addresses",
            Self::Interface => "network_interfaces",
            Self::Backup => "backups",
            Self::FirewallRule => "firewall_rules",
            Self::Transaction => "transactions",
            Self::Template => "image_templates",
            Self::Network => "networks",
            Self::Hypervisor => "hypervisors",
            Self::HypervisorZone => "hypervisor_groups",
            Self::DataStore => "data_stores",
            Self::Role => "roles",
            Self::SshKey => "ssh_keys",
            Self::ApiKey => "user_api_keys",
        }
    }
}

impl Record {
    /// A record that every user may see.
    pub(crate) fn shared(fields: Object) -> Self {
        Self { fields, owner: None, machine: None }
    }

    pub(crate) fn owned(fields: Object, owner: u64) -> Self {
        Self { fields, owner: Some(owner), machine: None }
    }

    /// A part of a machine, which belongs to the machine's owner.
    pub(crate) fn part(fields: Object, owner: u64, machine: u64) -> Self {
        Self { fields, owner: Some(owner), machine: Some(machine) }
    }
}

impl Panel {
    /// An empty one, at this moment on both clocks.
    pub(crate) fn new(started: Instant, started_unix: Duration, secrets: Secrets) -> Self {
        Self {
            jobs: Jobs::default(),
            secrets,
            dialect: Dialect::default(),
            tables: Default::default(),
            accounts: BTreeMap::new(),
            identifiers: HashMap::new(),
            clock: Clock { started, started_unix, now: seconds(started_unix) },
        }
    }

    /// Sets the clock of what is done next.
    pub(crate) fn set_now(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.clock.started);
        self.clock.now = seconds(self.clock.started_unix + passed);
    }

    /// Sets the clock back for what is done next.
    pub(crate) fn rewind(&mut self, seconds: i64) {
        self.clock.now -= seconds;
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now
    }

    pub(crate) fn next_id(&mut self, kind: Kind) -> u64 {
        let table = self.table_mut(kind);
        table.last_id += 1;
        table.last_id
    }

    /// Adds a record under the id that its fields have.
    pub(crate) fn insert(&mut self, kind: Kind, record: Record) -> u64 {
        let id = u64::try_from(record.fields.integer("id")).unwrap_or(0);
        if kind == Kind::Machine {
            self.identifiers.insert(record.fields.str("identifier").to_owned(), id);
        }
        let table = self.table_mut(kind);
        table.by_owner.extend(record.owner.map(|owner| (owner, id)));
        table.by_machine.extend(record.machine.map(|machine| (machine, id)));
        table.rows.insert(id, record);
        if kind == Kind::Transaction && table.rows.len() > KEPT_TRANSACTIONS {
            self.forget_oldest_transaction();
        }
        id
    }

    pub(crate) fn remove(&mut self, kind: Kind, id: u64) -> Option<Record> {
        let table = self.table_mut(kind);
        let record = table.rows.remove(&id)?;
        if let Some(owner) = record.owner {
            table.by_owner.remove(&(owner, id));
        }
        if let Some(machine) = record.machine {
            table.by_machine.remove(&(machine, id));
        }
        if kind == Kind::Machine {
            self.identifiers.remove(record.fields.str("identifier"));
        }
        Some(record)
    }

    pub(crate) fn get(&self, kind: Kind, id: u64) -> Option<&Record> {
        self.table(kind).rows.get(&id)
    }

    /// A record to change; afterwards it wants [`Panel::touch`].
    pub(crate) fn get_mut(&mut self, kind: Kind, id: u64) -> Option<&mut Record> {
        self.table_mut(kind).rows.get_mut(&id)
    }

    /// Moves `updated_at` to now, and past what it was, so that no two states show the same.
    pub(crate) fn touch(&mut self, kind: Kind, id: u64) {
        let now = self.now();
        if let Some(record) = self.get_mut(kind, id) {
            let moved = now.max(record.fields.integer("updated_at") + 1);
            record.fields.set("updated_at", Value::Time(moved));
        }
    }

    /// Gives a machine and all its parts to another user.
    pub(crate) fn give(&mut self, machine: u64, owner: u64) {
        self.change_owner(Kind::Machine, machine, owner);
        for kind in [Kind::Disk, Kind::Address, Kind::Interface, Kind::Backup, Kind::FirewallRule] {
            for id in self.of_machine(kind, machine) {
                self.change_owner(kind, id, owner);
            }
        }
    }

    pub(crate) fn all(&self, kind: Kind) -> impl DoubleEndedIterator<Item = (u64, &Record)> {
        self.table(kind).rows.iter().map(|(id, record)| (*id, record))
    }

    pub(crate) fn of_owner(&self, kind: Kind, owner: u64) -> Vec<u64> {
        range(&self.table(kind).by_owner, owner)
    }

    pub(crate) fn of_machine(&self, kind: Kind, machine: u64) -> Vec<u64> {
        range(&self.table(kind).by_machine, machine)
    }

    pub(crate) fn machine_of_identifier(&self, identifier: &str) -> Option<u64> {
        self.identifiers.get(identifier).copied()
    }

    pub(crate) fn add_account(&mut self, user: u64, account: Account) {
        self.accounts.insert(user, account);
    }

    pub(crate) fn remove_account(&mut self, user: u64) {
        self.accounts.remove(&user);
    }

    pub(crate) fn account(&self, user: u64) -> Option<&Account> {
        self.accounts.get(&user)
    }

    pub(crate) fn account_mut(&mut self, user: u64) -> Option<&mut Account> {
        self.accounts.get_mut(&user)
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = (u64, &Account)> {
        self.accounts.iter().map(|(id, account)| (*id, account))
    }

    pub(crate) fn user_of_login(&self, login: &str) -> Option<u64> {
        let mut users = self.all(Kind::User);
        users.find(|(_, user)| user.fields.str("login") == login).map(|(id, _)| id)
    }

    pub(crate) fn user_of_session(&self, session: &str) -> Option<u64> {
        let found = self.accounts().find(|(_, a)| a.session == session && !a.suspended);
        found.map(|(id, _)| id)
    }

    /// Login with password or key, or e-mail with key.
    pub(crate) fn user_of_pair(&self, login: &str, password: &str) -> Option<u64> {
        let (id, user) = self.all(Kind::User).find(|(_, user)| {
            user.fields.str("login") == login || user.fields.str("email") == login
        })?;
        let account = self.account(id).filter(|account| !account.suspended)?;
        let by_password = user.fields.str("login") == login && account.password == password;
        let by_key = || account.api_key == password || self.has_further_key(id, password);
        (by_password || by_key()).then_some(id)
    }

    fn has_further_key(&self, user: u64, key: &str) -> bool {
        let mut keys = self.of_owner(Kind::ApiKey, user).into_iter();
        keys.any(|id| self.get(Kind::ApiKey, id).is_some_and(|k| k.fields.str("api_key") == key))
    }

    fn change_owner(&mut self, kind: Kind, id: u64, owner: u64) {
        let table = self.table_mut(kind);
        if let Some(record) = table.rows.get_mut(&id) {
            let before = record.owner.replace(owner);
            before.map(|before| table.by_owner.remove(&(before, id)));
            table.by_owner.insert((owner, id));
        }
    }

    fn forget_oldest_transaction(&mut self) {
        let oldest = self.all(Kind::Transaction).next().map(|(id, _)| id);
        oldest.and_then(|id| self.remove(Kind::Transaction, id));
    }

    fn table(&self, kind: Kind) -> &Table {
        &self.tables[kind as usize]
    }

    fn table_mut(&mut self, kind: Kind) -> &mut Table {
        &mut self.tables[kind as usize]
    }
}

fn range(index: &BTreeSet<(u64, u64)>, key: u64) -> Vec<u64> {
    index.range((key, 0)..=(key, u64::MAX)).map(|(_, id)| *id).collect()
}

fn seconds(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}
