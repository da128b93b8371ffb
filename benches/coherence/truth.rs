//! What is true of a tenant's machines, by what its writes were told and the panel says.
//!
//! 1. A label that was acknowledged is the least that a later read may show.
//! 2. A machine is there from the acknowledgement of its creation until its deletion begins, and is
//!    gone when that is acknowledged.
//! 3. What transactions bring about is known when the panel shows the machine unlocked; reads that
//!    begin [`GRACE`] later have to show it, unless another transaction was asked for.
//!    A read that says that it is stale, for want of the panel, need not show what the panel did on its
//!    own while it was away: nobody could tell.
//! 4. Of a machine of which a write's outcome is not known nothing is known any more.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::shown::Shown;

/// The truth of one tenant, by the machines' numbers.
#[derive(Default)]
pub(crate) struct Truth(Mutex<BTreeMap<u64, Known>>);

/// How a machine was switched before a switch that was refused.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    switches: u64,
    power: Power,
}

/// What was known when a read began.
pub(crate) struct Note {
    begun: Instant,
    machines: Vec<(u64, Known)>,
}

/// A machine whose transactions the panel has to be asked about, and how many there have been.
pub(crate) struct Open {
    /// Its number.
    pub(crate) id: u64,
    switches: u64,
}

#[derive(Clone, Copy)]
struct Known {
    life: Life,
    /// The counter of the last label that was acknowledged.
    label: u64,
    /// How often it was switched, its creation included.
    switches: u64,
    power: Power,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    There,
    /// Its deletion has begun.
    Doomed,
    Gone,
}

#[derive(Clone, Copy)]
enum Power {
    /// Nobody has switched it.
    Untouched,
    /// A switch was sent, and not answered yet.
    Asked,
    /// A transaction was acknowledged, and not seen to end.
    Open,
    /// All have ended, and the panel has shown so by then.
    Settled { booted: bool, seen: Instant },
}

/// How long after the end of a transaction a read may begin, and not show it yet.
pub(crate) const GRACE: Duration = Duration::from_millis(1500);

impl Truth {
    /// There is a machine, which has been left alone so far.
    pub(crate) fn found(&self, id: u64) {
        let known = Known { life: Life::There, label: 0, switches: 0, power: Power::Untouched };
        self.known().insert(id, known);
    }

    /// A creation was acknowledged; transactions build and start the machine.
    pub(crate) fn created(&self, id: u64) {
        let known = Known { life: Life::There, label: 0, switches: 1, power: Power::Open };
        self.known().insert(id, known);
    }

    /// A label was acknowledged.
    pub(crate) fn labelled(&self, id: u64, counter: u64) {
        self.change(id, |known| known.label = counter);
    }

    /// A switch begins.
    pub(crate) fn switching(&self, id: u64) -> Option<Before> {
        let mut all = self.known();
        let known = all.get_mut(&id)?;
        let before = Before { switches: known.switches, power: known.power };
        known.switches += 1;
        known.power = Power::Asked;
        Some(before)
    }

    /// The switch was never sent.
    pub(crate) fn unswitched(&self, id: u64, before: Option<Before>) {
        let Some(before) = before else { return };
        self.change(id, |known| {
            known.switches = before.switches;
            known.power = before.power;
        });
    }

    /// A switch was acknowledged.
    pub(crate) fn switched(&self, id: u64) {
        self.change(id, |known| known.power = Power::Open);
    }

    /// A deletion begins.
    pub(crate) fn deleting(&self, id: u64) {
        self.change(id, |known| known.life = Life::Doomed);
    }

    /// A deletion was acknowledged.
    pub(crate) fn deleted(&self, id: u64) {
        self.change(id, |known| known.life = Life::Gone);
    }

    /// The deletion was never sent.
    pub(crate) fn spared(&self, id: u64) {
        self.change(id, |known| known.life = Life::There);
    }

    /// Nobody knows what became of a write.
    pub(crate) fn lost(&self, id: u64) {
        self.known().remove(&id);
    }

    /// Whether the machine is there, and is going to be.
    pub(crate) fn is_there(&self, id: u64) -> bool {
        self.known().get(&id).is_some_and(|known| known.life == Life::There)
    }

    /// Whether nobody has ever written to the machine.
    pub(crate) fn is_untouched(&self, id: u64) -> bool {
        let known = self.known();
        known.get(&id).is_some_and(|k| k.label == 0 && matches!(k.power, Power::Untouched))
    }

    /// The machines whose transactions are under way.
    pub(crate) fn open(&self) -> Vec<Open> {
        let known = self.known();
        let open = known.iter().filter(|(_, known)| matches!(known.power, Power::Open));
        let there = open.filter(|(_, known)| known.life == Life::There);
        there.map(|(id, known)| Open { id: *id, switches: known.switches }).collect()
    }

    /// The panel, asked after that, has shown the machine unlocked.
    pub(crate) fn settled(&self, open: &Open, booted: bool) {
        self.change(open.id, |known| {
            if known.switches == open.switches {
                known.power = Power::Settled { booted, seen: Instant::now() };
            }
        });
    }

    /// What a list that is read now has to show.
    pub(crate) fn note(&self) -> Note {
        let known = self.known();
        let machines = known.iter().map(|(id, known)| (*id, *known)).collect();
        Note { begun: Instant::now(), machines }
    }

    /// What an item that is read now has to show.
    pub(crate) fn note_of(&self, id: u64) -> Note {
        let known = self.known();
        let machines = known.get(&id).map(|known| (id, *known)).into_iter().collect();
        Note { begun: Instant::now(), machines }
    }

    /// What is wrong with what was shown, in the order of the machines' numbers, to a read. Which
    /// transactions have ended `since` then it need not show.
    pub(crate) fn faults(
        &self,
        note: &Note,
        shown: &[Shown],
        since: Option<Instant>,
    ) -> Vec<String> {
        let known = self.known();
        let faults = note.machines.iter().filter_map(|(id, noted)| {
            let now = known.get(id)?;
            let found = shown.binary_search_by_key(id, |machine| machine.id);
            let fault = noted.fault(now, note.begun, since, found.ok().map(|at| &shown[at]))?;
            Some(format!("machine {id} {fault}"))
        });
        faults.collect()
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Known)) {
        self.known().get_mut(&id).map(change);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Known>> {
        self.0.lock().expect("no panic before")
    }
}

impl Known {
    /// What is wrong with what a read was shown that began when this was known.
    fn fault(
        &self,
        now: &Self,
        begun: Instant,
        unseen: Option<Instant>,
        shown: Option<&Shown>,
    ) -> Option<String> {
        let Some(shown) = shown else {
            let missing = self.life == Life::There && now.life == Life::There;
            return missing.then(|| "is there, and is not shown".to_owned());
        };
        let Shown { label, booted, locked, .. } = *shown;
        if self.life == Life::Gone {
            return Some("is shown after its deletion".to_owned());
        }
        if label < self.label {
            return Some(format!("shows label v{label} after v{}", self.label));
        }
        let Power::Settled { booted: settled, seen } = self.power else { return None };
        let since = begun.saturating_duration_since(seen);
        let due = since >= GRACE
            && now.switches == self.switches
            && unseen.is_none_or(|unseen| seen < unseen);
        (due && (locked || booted != settled)).then(|| {
            format!(
                "shows booted {booted} and locked {locked}; {since:?} before, it was unlocked with \
                 booted {settled}"
            )
        })
    }
}
