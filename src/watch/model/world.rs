//! What there is: a panel, credentials that see parts of it, a cache, and what must be shown.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::Arc,
};

use super::{
    Mistake,
    actors::{Reader, Writer},
    looks::Watch,
    operator::{CREDENTIALS, Half, Identity, Office, ROUTES},
    panel::{MACHINES, Panel, Refusal, VISIBLE},
};
use crate::{
    api::families::FamilySet,
    cache::{
        coherence::{Change, Item, Stamp, View},
        flight::Flights,
        names::Names,
        partition::{Breadth, Felt, Hold, Partition},
        touch::Named,
    },
    tenants::snapshot::Snapshot,
    watch::ledger::Terms,
};

const READERS: usize = 5;
const WRITERS: usize = 2;

/// How long unsettled reads are kept, in steps.
pub(super) const UNSETTLED: u64 = 12;

/// How long others are.
pub(super) const LIFETIME: u64 = 150;

pub(super) const TERMS: Terms = Terms { window: 60, cap: 300 };

/// What a read is told, and what is kept of it: machines and their versions.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) machines: Vec<(usize, u64)>,
    /// Who asked for it.
    pub(super) by: Identity,
    /// When the panel answered.
    pub(super) asked_at: u64,
    /// Which version of the vault has the secrets that it was searched for.
    pub(super) searched: u64,
}

/// What a fetch has come to.
pub(super) type Answer = Result<Shown, Refusal>;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Query {
    /// The number of a partition.
    pub(super) partition: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    List,
    /// A machine, by its identifier or by its number.
    Machine(usize, bool),
}

/// What a read that has begun must show at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) who: Identity,
    /// Of each machine.
    pub(super) at_least: [u64; MACHINES],
    /// It must be no older: then the panel refused what it had shown before.
    pub(super) asked_after: u64,
    /// It was searched for the secrets of this version at least.
    pub(super) searched: u64,
}

pub(super) struct Kept {
    pub(super) stamp: Stamp,
    pub(super) shown: Shown,
    pub(super) fresh_until: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    pub(super) outcome: Option<Answer>,
    pub(super) started: Option<Stamp>,
}

/// What the watch holds for a write.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) hold: Hold,
    pub(super) machine: usize,
}

pub(super) type Key = (u64, Change, Breadth);

pub(super) struct World {
    pub(super) mistake: Mistake,
    pub(super) now: u64,
    pub(super) panel: Panel,
    pub(super) office: Office,
    /// The snapshot in force.
    pub(super) snapshot: Arc<Snapshot>,
    /// Its credentials, and who they are.
    pub(super) partitions: [Arc<Partition>; CREDENTIALS],
    pub(super) whose: [Identity; CREDENTIALS],
    /// A reload that is not over.
    pub(super) half: Option<Half>,
    /// Of the last reload that is.
    pub(super) searched: u64,
    /// When the panel was last seen to refuse the credential of a partition.
    pub(super) refused_at: HashMap<u64, u64>,
    pub(super) flights: Flights<Query, usize>,
    pub(super) flown: Vec<Flight>,
    pub(super) kept: HashMap<Query, Kept>,
    pub(super) readers: Vec<Reader>,
    pub(super) writers: Vec<Writer>,
    /// By the partition of the credential that looks.
    pub(super) watches: BTreeMap<u64, Watch>,
    /// Writes that nobody answered: when the panel applies them, and when their window is over.
    pub(super) late: Vec<(u64, u64, usize)>,
    /// What every read that begins now must show at least.
    pub(super) promised: [u64; MACHINES],
    /// What a hit that begins from a time on must show, because nothing unsettled is kept longer.
    aging: Vec<(u64, usize, u64)>,
    pub(super) aged: [u64; MACHINES],
    /// Sees whatever anybody changes.
    observer: Arc<Partition>,
    /// Most histories are not told, as that takes longer than they do.
    story: Option<String>,
}

impl World {
    pub(super) fn new(mistake: Mistake, central: bool) -> Self {
        let office = Office::new(mistake, central);
        let snapshot = office.build(&Snapshot::default());
        let mut credentials: Vec<_> = snapshot.credentials().cloned().collect();
        credentials.sort_by(|one, other| one.name.cmp(&other.name));
        let partitions = std::array::from_fn(|index| Arc::clone(&credentials[index].partition));
        let whose = std::array::from_fn(|index| office.identity(&credentials[index]));
        Self {
            mistake,
            now: 0,
            panel: Panel::new(),
            searched: snapshot.vault_version(),
            snapshot,
            observer: office.observer(),
            office,
            partitions,
            whose,
            half: None,
            refused_at: HashMap::new(),
            flights: Flights::new(if central { 2 } else { 1 }),
            flown: Vec::new(),
            kept: HashMap::new(),
            readers: vec![Reader::Idle; READERS],
            writers: (0..WRITERS).map(|_| Writer::Idle).collect(),
            watches: BTreeMap::new(),
            late: Vec::new(),
            promised: [1; MACHINES],
            aging: Vec::new(),
            aged: [1; MACHINES],
            story: None,
        }
    }

    /// One step of whoever the number chooses.
    pub(super) fn step(&mut self, choice: u64) -> Result<(), String> {
        self.advance();
        let coin = choice >> 8;
        if coin >> 40 & 3 == 0 {
            self.finish_reload();
        }
        match choice % 16 {
            0..=8 => return self.read((choice >> 4) as usize % READERS, coin),
            9..=12 => self.write((choice >> 4) as usize % WRITERS, coin),
            13 | 14 => self.look(choice >> 4 & 15),
            _ => match choice >> 4 & 3 {
                0 => self.reload(coin),
                1 => self.turn(coin),
                _ => {
                    let partition = self.partitions[coin as usize % CREDENTIALS].id();
                    self.kept.retain(|query, _| query.partition != partition);
                }
            },
        }
        Ok(())
    }

    /// Every wait ends.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.now += TERMS.cap + TERMS.window;
        self.advance();
        let waiting: usize = self.watches.values().map(Watch::len).sum();
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} waits never end")) }
    }

    fn advance(&mut self) {
        self.now += 1;
        let now = self.now;
        for at in 0..self.panel.jobs.len() {
            let job = &self.panel.jobs[at];
            if job.made.is_none() && job.ends.is_some_and(|ends| ends <= now) {
                let (machine, prompt) = (job.machine, job.prompt);
                let version = self.change(machine);
                self.panel.jobs[at].made = Some(version);
                if prompt {
                    // It was seen to run, so nothing that it changes was kept for long.
                    self.aging.push((now + UNSETTLED, machine, version));
                }
            }
        }
        let due: Vec<_> = self.late.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, over, machine) in due {
            let version = self.change(machine);
            self.aging.push((over + UNSETTLED, machine, version));
        }
        for (_, machine, version) in self.aging.extract_if(.., |(at, ..)| *at <= now) {
            self.aged[machine] = self.aged[machine].max(version);
        }
        let due: Vec<_> = self.watches.values_mut().flat_map(|watch| watch.due(now)).collect();
        self.release(due);
    }

    /// The panel shows another version of a machine.
    pub(super) fn change(&mut self, machine: usize) -> u64 {
        self.panel.versions[machine] += 1;
        let version = self.panel.versions[machine];
        self.tell(|| format!("machine {machine} is now {version}"));
        if self.is_held(machine) {
            self.aging.push((self.now + UNSETTLED, machine, version));
        }
        version
    }

    fn is_held(&self, machine: usize) -> bool {
        let view = self.view(What::Machine(machine, false));
        !self.observer.stamp(view).is_settled()
    }

    /// What was held has settled, and from now on every read shows what came of it.
    pub(super) fn release(&mut self, guards: Vec<Guard>) {
        for Guard { hold, machine } in guards {
            self.tell(|| format!("machine {machine} settles"));
            if matches!(self.mistake, Mistake::NoBumpAtTheEnd | Mistake::SettleBeforeBump) {
                hold.end_without_bump();
            } else {
                drop(hold);
            }
            self.promise(machine, self.panel.versions[machine]);
        }
    }

    pub(super) fn promise(&mut self, machine: usize, version: u64) {
        self.promised[machine] = self.promised[machine].max(version);
    }

    /// The panel was seen to refuse what a credential asked for: nothing that was kept for it is
    /// shown any more.
    pub(super) fn refused(&mut self, partition: &Partition, how: Refusal) {
        match how {
            Refusal::Unknown if self.mistake == Mistake::RefusalUnnoticed => {}
            Refusal::Unknown => {
                partition.account().touch(Change::whole(ROUTES.families().all()));
            }
            Refusal::Forbidden if self.mistake == Mistake::ForbiddenUnnoticed => {}
            Refusal::Forbidden => {
                partition.account().touch(Change::whole(FamilySet::one(family())));
            }
        }
        self.refused_at.insert(partition.id(), self.now);
        self.tell(|| format!("partition {} was refused: {how:?}", partition.id()));
    }

    /// What the panel answers now.
    pub(super) fn fetch(&self, who: Identity, what: What) -> Answer {
        if let Some(how) = self.panel.refusal(who.login) {
            return Err(how);
        }
        let machines: &[usize] = match &what {
            What::List => VISIBLE[who.login.user],
            What::Machine(machine, _) => std::slice::from_ref(machine),
        };
        let version = |machine: &usize| (*machine, self.panel.versions[*machine]);
        Ok(Shown {
            machines: machines.iter().map(version).collect(),
            by: who,
            asked_at: self.now,
            searched: self.snapshot.vault_version(),
        })
    }

    /// What a read depends on.
    pub(super) fn view(&self, what: What) -> View {
        let mistaken = self.mistake == Mistake::ListTakenForAnItem;
        let item = match what {
            What::List => mistaken.then(|| Item::new(family(), &name(0, false))),
            What::Machine(machine, by_name) => Some(Item::new(family(), &name(machine, by_name))),
        };
        View { families: FamilySet::one(family()), item }
    }

    pub(super) fn names(&self) -> &Names {
        self.observer.upstream().names()
    }

    /// What changes when a machine does.
    pub(super) fn felt(&self, partition: &Arc<Partition>, machine: usize, by_name: bool) -> Felt {
        let item = Named { family: family(), name: name(machine, by_name).into() };
        let families = FamilySet::one(family());
        let known = item.changed(families, self.names());
        let change = match self.mistake {
            Mistake::AliasNotLearned => Change::whole(families).narrowed(item.slot(), item.slot()),
            _ => known,
        };
        let breadth = match self.mistake {
            Mistake::ReachForgotten => Breadth::Account,
            _ => Breadth::Reach,
        };
        Felt::new(Arc::clone(partition), change, breadth)
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{now:4} {}", what());
        }
    }

    /// The same, and remembers what happens.
    pub(super) fn telling(self) -> Self {
        Self { story: Some(String::new()), ..self }
    }

    /// What happened, for whoever has to understand it.
    pub(super) fn story(&self) -> &str {
        self.story.as_deref().unwrap_or_default()
    }
}

/// The family of machines.
pub(super) fn family() -> usize {
    ROUTES.item_kinds()[0].family
}

pub(super) fn name(machine: usize, by_name: bool) -> String {
    if by_name { format!("abcdefghijklm{machine}") } else { (machine + 1).to_string() }
}
