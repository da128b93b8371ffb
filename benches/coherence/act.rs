//! What a tenant does: one read that is judged, or one write that is noted.

use std::{sync::Arc, time::Instant};

use http::Method;

use crate::{
    client::{Ask, Reply, Trouble},
    outage::{Asked, Outage},
    shown::{self, Shown},
    tally::{Read, Tally},
    tenant::{Machine, Tenant},
    truth::Note,
};

/// Something to do.
pub(crate) enum Act {
    /// Read all machines.
    List,
    /// Read one.
    Item(Arc<Machine>),
    /// Give one its next label.
    Label(Arc<Machine>),
    /// Start one, or stop it.
    Switch(Arc<Machine>, bool),
    /// Make one.
    Create,
    /// Delete one, which is struck off already.
    Delete(Arc<Machine>),
}

/// What became of a write.
enum Written {
    /// It was acknowledged.
    Done(Reply),
    /// It was never sent.
    Unsent,
    /// Nobody knows.
    Lost,
}

/// Who does it, and who counts.
pub(crate) struct Actor {
    /// Who does it.
    pub(crate) tenant: Arc<Tenant>,
    /// Who counts.
    pub(crate) tally: Arc<Tally>,
}

const LIST: &str = "/virtual_machines.json";

const NEW: &str = r#"{"virtual_machine":{"label":"new","hostname":"new.example","template_id":1,"memory":512,"cpus":1,"primary_disk_size":5}}"#;

impl Actor {
    /// Does it.
    pub(crate) async fn perform(self, act: Act) {
        match act {
            Act::List => self.list().await,
            Act::Item(machine) => self.item(&machine).await,
            Act::Label(machine) => self.label(&machine).await,
            Act::Switch(machine, on) => self.switch(&machine, on).await,
            Act::Create => self.create().await,
            Act::Delete(machine) => self.delete(machine).await,
        }
    }

    async fn list(&self) {
        let line = self.tenant.gateway.line().await;
        let (note, begun) = (self.tenant.truth.note(), Instant::now());
        let replied = line.ask(Ask::get(LIST.to_owned())).await;
        let Some(reply) = self.answered(LIST, replied) else { return };
        let asked = self.asked(Read::List, LIST, None, begun);
        if self.is_excused(&asked, &reply) {
            return;
        }
        if reply.status != 200 {
            return self.odd(LIST, &reply);
        }
        self.tally.read(Read::List, &reply);
        let shown = self.tenant.parse_list(&reply.body);
        self.judge(LIST, &note, shown.as_deref(), &reply);
    }

    async fn item(&self, machine: &Machine) {
        let target = machine.target("");
        let line = self.tenant.gateway.line().await;
        let (note, begun) = (self.tenant.truth.note_of(machine.id), Instant::now());
        let replied = line.ask(Ask::get(target.clone())).await;
        let Some(reply) = self.answered(&target, replied) else { return };
        let asked = self.asked(Read::Item, &target, Some(machine.id), begun);
        if self.is_excused(&asked, &reply) {
            return;
        }
        match reply.status {
            200 => {
                self.tally.read(Read::Item, &reply);
                let shown = shown::item(&reply.body).map(|shown| [shown]);
                self.judge(&target, &note, shown.as_ref().map(<[_; 1]>::as_slice), &reply);
            }
            404 => {
                self.tally.read(Read::Item, &reply);
                self.judge(&target, &note, Ok(&[]), &reply);
            }
            _ => self.odd(&target, &reply),
        }
    }

    fn asked<'a>(
        &'a self,
        read: Read,
        target: &'a str,
        machine: Option<u64>,
        begun: Instant,
    ) -> Asked<'a> {
        let untouched = machine.is_some_and(|id| self.tenant.truth.is_untouched(id));
        Asked { read, tenant: &self.tenant.name, target, machine, untouched, begun }
    }

    /// Whether the read was refused, and an outage excuses it.
    fn is_excused(&self, asked: &Asked<'_>, reply: &Reply) -> bool {
        let outage = self.tally.outage.as_ref();
        let excused = outage.is_some_and(|outage| outage.read(asked, reply));
        if excused {
            self.tally.refused();
        }
        excused
    }

    async fn label(&self, machine: &Machine) {
        let _only = machine.writer.lock().await;
        if !self.tenant.truth.is_there(machine.id) {
            return;
        }
        let counter = machine.next_label();
        let body = format!(r#"{{"virtual_machine":{{"label":"v{counter}"}}}}"#);
        match self.write(Method::PUT, machine.target(""), body, Some(machine.id)).await {
            Written::Done(_) => self.tenant.truth.labelled(machine.id, counter),
            Written::Unsent => {}
            Written::Lost => self.tenant.lost(machine),
        }
    }

    async fn switch(&self, machine: &Machine, on: bool) {
        let _only = machine.writer.lock().await;
        if !self.tenant.truth.is_there(machine.id) {
            return;
        }
        let before = self.tenant.truth.switching(machine.id);
        let target = machine.target(if on { "/startup" } else { "/shutdown" });
        match self.write(Method::POST, target, String::new(), Some(machine.id)).await {
            Written::Done(_) => self.tenant.truth.switched(machine.id),
            Written::Unsent => self.tenant.truth.unswitched(machine.id, before),
            Written::Lost => self.tenant.lost(machine),
        }
    }

    async fn create(&self) {
        let written = self.write(Method::POST, LIST.to_owned(), NEW.to_owned(), None).await;
        let Written::Done(reply) = written else { return };
        match shown::made(&reply.body) {
            Ok(made) => self.tenant.created(made),
            Err(error) => self.error(LIST, &error),
        }
    }

    async fn delete(&self, machine: Arc<Machine>) {
        let _only = machine.writer.lock().await;
        if !self.tenant.truth.is_there(machine.id) {
            return;
        }
        self.tenant.truth.deleting(machine.id);
        let target = machine.target("");
        match self.write(Method::DELETE, target, String::new(), Some(machine.id)).await {
            Written::Done(_) => self.tenant.deleted(Arc::clone(&machine)),
            Written::Unsent => self.tenant.spared(Arc::clone(&machine)),
            Written::Lost => self.tenant.lost(&machine),
        }
    }

    /// Writes, to a machine or something new.
    async fn write(
        &self,
        method: Method,
        target: String,
        body: String,
        machine: Option<u64>,
    ) -> Written {
        let line = self.tenant.gateway.line().await;
        let begun = Instant::now();
        let what = format!("{method} {target}");
        let replied = line.ask(Ask { method, target, body }).await;
        let Some(reply) = self.answered(&what, replied) else { return Written::Lost };
        let outage = self.tally.outage.as_ref();
        if outage.is_some_and(|o| o.write(&self.tenant.name, machine, begun, &reply)) {
            self.tally.refused();
            return if reply.is_unsent() { Written::Unsent } else { Written::Lost };
        }
        if !(200..300).contains(&reply.status) {
            self.odd(&what, &reply);
            return if reply.is_unsent() { Written::Unsent } else { Written::Lost };
        }
        self.tally.write();
        Written::Done(reply)
    }

    /// Counts the read as stale if it shows less than was known.
    fn judge(
        &self,
        target: &str,
        note: &Note,
        shown: Result<&[Shown], &serde_json::Error>,
        reply: &Reply,
    ) {
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) => return self.error(target, error),
        };
        let outage = self.tally.outage.as_ref().filter(|_| reply.staleness().is_some());
        let unseen = outage.and_then(Outage::unseen_since);
        let faults = self.tenant.truth.faults(note, shown, unseen);
        if !faults.is_empty() {
            let (name, cache, faults) = (&self.tenant.name, &reply.cache, faults.join(", "));
            self.tally.stale(&format!("{target} of {name}: {faults} ({cache})"));
        }
    }

    /// The reply, or an error that is counted.
    fn answered(&self, what: &str, replied: Result<Reply, Trouble>) -> Option<Reply> {
        replied.inspect_err(|trouble| self.error(what, trouble)).ok()
    }

    /// A reply that nobody can do anything with.
    fn odd(&self, what: &str, reply: &Reply) {
        let text = String::from_utf8_lossy(&reply.body);
        self.error(what, &format_args!("{} {text:.120}", reply.status));
    }

    fn error(&self, what: &str, why: &dyn std::fmt::Display) {
        self.tally.error(&format!("{what} of {}: {why}", self.tenant.name));
    }
}
