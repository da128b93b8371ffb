//! A tenant: its machines, its connections, and what is true of them.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    client::Pool,
    house::{Caller, House},
    shown::{self, Made, Shown},
    truth::Truth,
};

/// Somebody who reads and writes.
pub(crate) struct Tenant {
    /// Its name.
    pub(crate) name: String,
    /// Its connections to the gateway.
    pub(crate) gateway: Pool,
    /// Its own connection to the panel.
    pub(crate) panel: Pool,
    /// What is true of its machines.
    pub(crate) truth: Truth,
    roll: Mutex<Roll>,
    last_list: Mutex<Parsed>,
}

/// A machine, as one that writes to it sees it.
pub(crate) struct Machine {
    /// Its number.
    pub(crate) id: u64,
    /// Whoever holds it is the only one that writes to it.
    pub(crate) writer: AsyncMutex<()>,
    identifier: String,
    labels: AtomicU64,
    named: AtomicU64,
}

/// Which machines there are to draw from.
#[derive(Default)]
pub(crate) struct Roll {
    /// All that are there, the most wanted first.
    pub(crate) ranks: Vec<Arc<Machine>>,
    /// Those that this load has made.
    pub(crate) made: Vec<Arc<Machine>>,
    /// The last that was deleted.
    pub(crate) gone: Option<Arc<Machine>>,
}

/// A body, and what it shows.
#[derive(Clone, Default)]
struct Parsed {
    body: Bytes,
    shown: Arc<[Shown]>,
}

/// Connections that a tenant keeps.
const CONNECTIONS: usize = 4;

impl Tenant {
    /// A tenant that is connected.
    pub(crate) async fn new(house: &House, caller: &Caller) -> Self {
        let truth = Truth::default();
        let mut roll = Roll::default();
        for machine in &caller.machines {
            truth.found(machine.id);
            roll.ranks.push(Arc::new(Machine::new(machine.id, machine.identifier.clone())));
        }
        Self {
            name: caller.name.clone(),
            gateway: Pool::open(house.gateway(), &caller.token, CONNECTIONS).await,
            panel: Pool::open(house.panel(), &caller.key, 1).await,
            truth,
            roll: Mutex::new(roll),
            last_list: Mutex::default(),
        }
    }

    /// What there is to draw from.
    pub(crate) fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().expect("no panic before")
    }

    /// A creation was acknowledged.
    pub(crate) fn created(&self, made: Made) {
        self.truth.created(made.id);
        let machine = Arc::new(Machine::new(made.id, made.identifier));
        let mut roll = self.roll();
        // Anywhere among the others.
        let rank = machine.id % (roll.ranks.len() as u64 + 1);
        roll.ranks.insert(rank as usize, Arc::clone(&machine));
        roll.made.push(machine);
    }

    /// A deletion was acknowledged.
    pub(crate) fn deleted(&self, machine: Arc<Machine>) {
        self.truth.deleted(machine.id);
        self.roll().gone = Some(machine);
    }

    /// A deletion was never sent.
    pub(crate) fn spared(&self, machine: Arc<Machine>) {
        self.truth.spared(machine.id);
        let mut roll = self.roll();
        roll.ranks.push(Arc::clone(&machine));
        roll.made.push(machine);
    }

    /// Nobody knows what became of a write to the machine.
    pub(crate) fn lost(&self, machine: &Machine) {
        self.truth.lost(machine.id);
        self.roll().strike(machine);
    }

    /// What a list shows. Bodies from the cache are often the same: each is read once.
    pub(crate) fn parse_list(&self, body: &Bytes) -> serde_json::Result<Arc<[Shown]>> {
        let last = self.last_list.lock().expect("no panic before").clone();
        if last.body == body {
            return Ok(last.shown);
        }
        let shown: Arc<[Shown]> = shown::list(body)?.into();
        let parsed = Parsed { body: body.clone(), shown: Arc::clone(&shown) };
        *self.last_list.lock().expect("no panic before") = parsed;
        Ok(shown)
    }
}

impl Machine {
    fn new(id: u64, identifier: String) -> Self {
        let (writer, labels, named) = Default::default();
        Self { id, writer, identifier, labels, named }
    }

    /// What is below a machine, which is called by its number and by its identifier in turn.
    pub(crate) fn target(&self, below: &str) -> String {
        if self.named.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            format!("/virtual_machines/{}{below}.json", self.id)
        } else {
            format!("/virtual_machines/{}{below}.json", self.identifier)
        }
    }

    /// The counter of its next label.
    pub(crate) fn next_label(&self) -> u64 {
        self.labels.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Roll {
    /// Takes a machine out: nobody else begins anything with it.
    pub(crate) fn strike(&mut self, machine: &Machine) {
        for machines in [&mut self.ranks, &mut self.made] {
            machines.retain(|other| other.id != machine.id);
        }
    }
}
