//! What there is: a panel, credentials that see parts of it, a cache, and what must be shown.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use super::{
    Mistake,
    actors::{Looker, Reader, Writer},
};
use crate::{
    api::families::FamilySet,
    cache::{
        coherence::{Change, Epochs, Item, Stamp, View},
        flight::Flights,
        names::Names,
        partition::{Breadth, Commons, Felt, Hold, Partition},
        touch::Named,
    },
    transcode::transactions::{Subject, Transaction},
    watch::ledger::{Entry, Ledger, Terms},
};

pub(super) const MACHINES: usize = 3;
pub(super) const PARTITIONS: usize = 4;
pub(super) const READERS: usize = 5;
pub(super) const WRITERS: usize = 2;
pub(super) const FAMILY: usize = 0;

/// The one who sees all.
pub(super) const ADMINISTRATOR: usize = 3;

/// How long unsettled reads are kept, in steps.
pub(super) const UNSETTLED: u64 = 12;

/// How long others are.
pub(super) const LIFETIME: u64 = 150;

pub(super) const TERMS: Terms = Terms { window: 60, cap: 300 };

/// The machines that each credential sees: two of one user, one of another, and all.
const VISIBLE: [&[usize]; PARTITIONS] = [&[0, 1], &[0, 1], &[2], &[0, 1, 2]];

/// What a read shows: machines and their versions.
pub(super) type Shown = Vec<(usize, u64)>;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Query {
    pub(super) partition: usize,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    List,
    /// A machine, by its identifier or by its number.
    Machine(usize, bool),
}

/// What a read that has begun must show at least, of each machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) at_least: [u64; MACHINES],
}

pub(super) struct Kept {
    pub(super) stamp: Stamp,
    pub(super) shown: Shown,
    pub(super) fresh_until: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    pub(super) outcome: Option<Shown>,
    pub(super) started: Option<Stamp>,
}

/// A transaction of the panel.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) machine: usize,
    pub(super) appears: u64,
    /// It is listed at once.
    pub(super) prompt: bool,
    /// None for one that never ends.
    pub(super) ends: Option<u64>,
    /// The machine's version once it has ended.
    pub(super) made: Option<u64>,
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
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) flights: Flights<Query, usize>,
    pub(super) flown: Vec<Flight>,
    pub(super) kept: HashMap<Query, Kept>,
    pub(super) readers: Vec<Reader>,
    pub(super) writers: Vec<Writer>,
    pub(super) lookers: Vec<Looker>,
    pub(super) ledgers: Vec<Ledger<Key, Guard>>,
    /// One looks for all.
    central: bool,
    /// The versions that the panel shows.
    pub(super) versions: [u64; MACHINES],
    pub(super) jobs: Vec<Job>,
    /// Writes that nobody answered: when the panel applies them, and when their window is over.
    pub(super) late: Vec<(u64, u64, usize)>,
    /// What every read that begins now must show at least.
    pub(super) promised: [u64; MACHINES],
    /// What a hit that begins from a time on must show, because nothing unsettled is kept longer.
    aging: Vec<(u64, usize, u64)>,
    pub(super) aged: [u64; MACHINES],
    story: String,
}

impl World {
    pub(super) fn new(mistake: Mistake, central: bool) -> Self {
        let precise = FamilySet::one(FAMILY);
        let commons = Arc::new(Commons::new(1, precise, FamilySet::EMPTY, Names::new(100)));
        let accounts: Vec<_> = (0..3).map(|_| Arc::new(Epochs::new(1, precise))).collect();
        let partition = |id: usize, account: usize| {
            let sees_all = id == ADMINISTRATOR;
            let account = Arc::clone(&accounts[account]);
            let commons = Arc::clone(&commons);
            Arc::new(Partition::numbered(id as u64, account, commons, sees_all))
        };
        Self {
            mistake,
            now: 0,
            partitions: [(0, 0), (1, 0), (2, 1), (3, 2)].map(|(id, a)| partition(id, a)).into(),
            flights: Flights::new(if central { 2 } else { 1 }),
            flown: Vec::new(),
            kept: HashMap::new(),
            readers: vec![Reader::Idle; READERS],
            writers: (0..WRITERS).map(|_| Writer::Idle).collect(),
            lookers: (0..PARTITIONS).map(|_| Looker::Idle).collect(),
            ledgers: (0..PARTITIONS).map(|_| Ledger::new(TERMS)).collect(),
            central,
            versions: [1; MACHINES],
            jobs: Vec::new(),
            late: Vec::new(),
            promised: [1; MACHINES],
            aging: Vec::new(),
            aged: [1; MACHINES],
            story: String::new(),
        }
    }

    /// One step of whoever the number chooses.
    pub(super) fn step(&mut self, choice: u64) -> Result<(), String> {
        self.advance();
        let coin = choice >> 8;
        match choice % 16 {
            0..=8 => self.read((choice >> 4) as usize % READERS, coin),
            9..=12 => {
                self.write((choice >> 4) as usize % WRITERS, coin);
                Ok(())
            }
            13 | 14 => {
                self.look((choice >> 4) as usize % PARTITIONS);
                Ok(())
            }
            _ => {
                self.kept.retain(|query, _| query.partition != coin as usize % PARTITIONS);
                Ok(())
            }
        }
    }

    /// Every wait ends.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.now += TERMS.cap + TERMS.window;
        self.advance();
        let waiting: usize = self.ledgers.iter().map(Ledger::len).sum();
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} waits never end")) }
    }

    fn advance(&mut self) {
        self.now += 1;
        let now = self.now;
        for at in 0..self.jobs.len() {
            let job = &self.jobs[at];
            if job.made.is_none() && job.ends.is_some_and(|ends| ends <= now) {
                let (machine, prompt) = (job.machine, job.prompt);
                let version = self.change(machine);
                self.jobs[at].made = Some(version);
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
        for index in 0..PARTITIONS {
            let due = self.ledgers[index].due(now, false);
            self.release(due);
        }
    }

    /// The panel shows another version of a machine.
    pub(super) fn change(&mut self, machine: usize) -> u64 {
        self.versions[machine] += 1;
        let version = self.versions[machine];
        self.tell(&format!("machine {machine} is now {version}"));
        if self.is_held(machine) {
            self.aging.push((self.now + UNSETTLED, machine, version));
        }
        version
    }

    fn is_held(&self, machine: usize) -> bool {
        let view = self.view(What::Machine(machine, false));
        !self.partitions[ADMINISTRATOR].stamp(view).is_settled()
    }

    /// What was held has settled, and from now on every read shows what came of it.
    pub(super) fn release(&mut self, guards: Vec<Guard>) {
        for Guard { hold, machine } in guards {
            self.tell(&format!("machine {machine} settles"));
            if matches!(self.mistake, Mistake::NoBumpAtTheEnd | Mistake::SettleBeforeBump) {
                hold.end_without_bump();
            } else {
                drop(hold);
            }
            self.promise(machine, self.versions[machine]);
        }
    }

    pub(super) fn promise(&mut self, machine: usize, version: u64) {
        self.promised[machine] = self.promised[machine].max(version);
    }

    /// Hands over what a write left open, as the layers do.
    pub(super) fn hand_over(&mut self, partition: usize, guard: Guard, unknown: bool) {
        let machine = guard.machine;
        let looker = self.looker(partition);
        let entry =
            Entry { key: guard.hold.felt().key(), subject: Some(subject(machine)), unknown, guard };
        let twice = self.ledgers[looker].add(self.now, entry);
        drop(twice.map(|guard| guard.hold));
    }

    pub(super) fn looker(&self, partition: usize) -> usize {
        if self.central { ADMINISTRATOR } else { partition }
    }

    /// What the panel shows a credential of its transactions, newest first.
    pub(super) fn rows(&self, partition: usize) -> Vec<Transaction> {
        let visible =
            |job: &Job| job.appears <= self.now && VISIBLE[partition].contains(&job.machine);
        let jobs = self.jobs.iter().enumerate().filter(|(_, job)| visible(job));
        let row = |(id, job): (usize, &Job)| Transaction {
            id: id as u64 + 1,
            open: job.made.is_none(),
            parent: Some(subject(job.machine)),
            associated: None,
            depends_on: None,
        };
        jobs.map(row).rev().collect()
    }

    /// What the panel shows now.
    pub(super) fn fetch(&self, query: Query) -> Shown {
        let machines: &[usize] = match &query.what {
            What::List => VISIBLE[query.partition],
            What::Machine(machine, _) => std::slice::from_ref(machine),
        };
        machines.iter().map(|machine| (*machine, self.versions[*machine])).collect()
    }

    /// What a read depends on.
    pub(super) fn view(&self, what: What) -> View {
        let mistaken = self.mistake == Mistake::ListTakenForAnItem;
        let item = match what {
            What::List => mistaken.then(|| Item::new(FAMILY, &name(0, false))),
            What::Machine(machine, by_name) => Some(Item::new(FAMILY, &name(machine, by_name))),
        };
        View { families: FamilySet::one(FAMILY), item }
    }

    pub(super) fn names(&self) -> &Names {
        self.partitions[0].upstream().names()
    }

    /// What changes when a machine does.
    pub(super) fn felt(&self, partition: usize, machine: usize, by_name: bool) -> Felt {
        let item = Named { family: FAMILY, name: name(machine, by_name).into() };
        let families = FamilySet::one(FAMILY);
        let known = item.changed(families, self.names());
        let change = match self.mistake {
            Mistake::AliasNotLearned => Change::whole(families).narrowed(item.slot(), item.slot()),
            _ => known,
        };
        let breadth = match self.mistake {
            Mistake::ReachForgotten => Breadth::Account,
            _ => Breadth::Reach,
        };
        Felt::new(Arc::clone(&self.partitions[partition]), change, breadth)
    }

    pub(super) fn visible(partition: usize, coin: u64) -> usize {
        let machines = VISIBLE[partition];
        machines[coin as usize % machines.len()]
    }

    pub(super) fn tell(&mut self, what: &str) {
        let now = self.now;
        let _ = writeln!(self.story, "{now:4} {what}");
    }

    /// What happened, for whoever has to understand it.
    pub(super) fn story(&self) -> &str {
        &self.story
    }
}

pub(super) fn name(machine: usize, by_name: bool) -> String {
    if by_name { format!("abcdefghijklm{machine}") } else { (machine + 1).to_string() }
}

fn subject(machine: usize) -> Subject {
    Subject { kind: "VirtualMachine".into(), id: machine as u64 + 1 }
}
