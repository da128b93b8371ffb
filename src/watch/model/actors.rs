//! Who moves: readers as the cache and the fetches do it, and writers as the layers do.

use std::sync::Arc;

use super::{
    Mistake,
    operator::{CREDENTIALS, Identity},
    panel::{Job, Refusal},
    world::{
        Answer, Begun, Flight, Guard, Kept, LIFETIME, Query, Shown, TERMS, UNSETTLED, What, World,
        family, name,
    },
};
use crate::cache::{
    coherence::Stamp,
    flight::{self, Join},
    partition::{Felt, Hold, Partition},
};

#[derive(Clone, Debug)]
pub(super) enum Reader {
    Idle,
    /// Leads a fetch that has not asked the upstream yet.
    Leading {
        fetch: Fetch,
        begun: Begun,
    },
    /// Its upstream has answered; it has not been judged yet.
    Fetched {
        fetch: Fetch,
        answer: Answer,
        begun: Begun,
    },
    /// Waits for a fetch that another leads, or for its turn.
    Waiting {
        query: Query,
        partition: Arc<Partition>,
        flight: usize,
        leads_next: Option<u64>,
        begun: Begun,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Fetch {
    query: Query,
    /// Whose credential it is made with, which a reload does not change any more.
    partition: Arc<Partition>,
    who: Identity,
    id: u64,
    flight: usize,
    stamp: Stamp,
    asked_at: u64,
}

pub(super) enum Writer {
    Idle,
    Sent(Write),
    /// The upstream shows this version and has answered.
    Decided(Write, Outcome, u64),
    Answered(Write, Outcome),
}

/// A write on its way.
pub(super) struct Write {
    partition: Arc<Partition>,
    who: Identity,
    machine: usize,
    felt: Felt,
    hold: Option<Hold>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    /// A 201.
    Scheduled,
    /// The credential was, by this.
    Refused(Refusal),
}

impl World {
    pub(super) fn read(&mut self, index: usize, coin: u64) -> Result<(), String> {
        match self.readers[index].clone() {
            Reader::Idle => self.look_up(index, coin),
            Reader::Leading { fetch, begun } => {
                let answer = self.fetch(fetch.who, fetch.query.what);
                self.tell(|| format!("reader {index} has fetched {answer:?}"));
                self.readers[index] = Reader::Fetched { fetch, answer, begun };
                Ok(())
            }
            Reader::Fetched { fetch, answer, begun } => {
                self.land(&fetch, &answer);
                self.readers[index] = Reader::Idle;
                check("a fetch", begun, &answer)
            }
            Reader::Waiting { query, partition, flight, leads_next, begun } => {
                if let (Some(id), Some(stamp)) = (leads_next, self.flown[flight].started.clone()) {
                    self.is_alone(query, &stamp)?;
                    let (who, asked_at) = (begun.who, self.now);
                    let fetch = Fetch { query, partition, who, id, flight, stamp, asked_at };
                    self.readers[index] = Reader::Leading { fetch, begun };
                    return Ok(());
                }
                let Some(answer) = self.flown[flight].outcome.clone() else { return Ok(()) };
                self.readers[index] = Reader::Idle;
                check("a flight that was joined", begun, &answer)
            }
        }
    }

    fn look_up(&mut self, index: usize, coin: u64) -> Result<(), String> {
        let credential = coin as usize % CREDENTIALS;
        let what = match coin >> 2 & 3 {
            0 => What::List,
            kind => What::Machine(self.visible(credential, coin >> 4), kind == 1),
        };
        let partition = Arc::clone(&self.partitions[credential]);
        let query = Query { partition: partition.id(), what };
        // Who wants what is newer is shown what the panel shows from now on.
        let anew = coin >> 20 & 7 == 0;
        let begun = self.begin(credential, &partition);
        let begun = if anew { Begun { at_least: self.panel.versions, ..begun } } else { begun };
        let view = self.view(what);
        if !anew
            && let Some(kept) = self.kept.get(&query)
            && self.now < kept.fresh_until
            && partition.is_current(view, &kept.stamp)
        {
            let shown = kept.shown.clone();
            self.tell(|| format!("reader {index} hits {query:?}: {shown:?}"));
            let both = |m: usize| begun.at_least[m].max(self.aged[m]);
            let at_least = std::array::from_fn(both);
            return check("a hit", Begun { at_least, ..begun }, &Ok(shown));
        }
        let stamp = partition.stamp(view);
        let misses = if anew { "fetches anew" } else { "misses" };
        self.tell(|| format!("reader {index} {misses} {query:?}: {stamp:?}"));
        let joined = match self.mistake {
            Mistake::NoStampInFlight => Stamp::empty(),
            _ => stamp.clone(),
        };
        let max_age = (anew && self.mistake != Mistake::OlderFetchJoined).then_some(0);
        let reader = flight::Reader { stamp: &joined, now: self.now, max_age };
        let new = self.flown.len();
        let join = self.flights.join(&query, reader, || partition.stamp(view), || new);
        if matches!(join, Join::Lead(..) | Join::LeadNext(..)) {
            self.flown.push(Flight::default());
        }
        self.readers[index] = match join {
            Join::Lead(id, flight) => {
                self.is_alone(query, &stamp)?;
                let (who, asked_at) = (begun.who, self.now);
                let fetch = Fetch { query, partition, who, id, flight, stamp, asked_at };
                Reader::Leading { fetch, begun }
            }
            Join::LeadNext(id, flight) => {
                Reader::Waiting { query, partition, flight, leads_next: Some(id), begun }
            }
            Join::Share(flight) => {
                Reader::Waiting { query, partition, flight, leads_next: None, begun }
            }
            Join::ShareStarted(flight, stamp) => {
                self.flown[flight].started = Some(stamp);
                Reader::Waiting { query, partition, flight, leads_next: None, begun }
            }
        };
        Ok(())
    }

    /// What a read that begins now must show at least.
    fn begin(&self, credential: usize, partition: &Partition) -> Begun {
        Begun {
            who: self.whose[credential],
            at_least: self.promised,
            asked_after: self.refused_at.get(&partition.id()).copied().unwrap_or_default(),
            searched: self.searched,
        }
    }

    /// Equal misses under one stamp are one fetch.
    fn is_alone(&self, query: Query, stamp: &Stamp) -> Result<(), String> {
        let same = |reader: &Reader| match reader {
            Reader::Leading { fetch, .. } | Reader::Fetched { fetch, .. } => {
                fetch.query == query && fetch.stamp == *stamp
            }
            Reader::Idle | Reader::Waiting { .. } => false,
        };
        let another = self.readers.iter().any(same);
        if another { Err(format!("two fetches of {query:?} under one stamp")) } else { Ok(()) }
    }

    /// A fetch has come: names are learned, it is judged, and its flight ends.
    fn land(&mut self, fetch: &Fetch, answer: &Answer) {
        let partition = Arc::clone(&fetch.partition);
        let view = self.view(fetch.query.what);
        match answer {
            Ok(shown) => self.keep(fetch, shown),
            Err(how) => self.refused(&partition, *how),
        }
        if matches!(answer, Err(Refusal::Forbidden)) {
            // A newer answer is not followed by an older one.
            self.kept.remove(&fetch.query);
        }
        let restamp = || partition.stamp(view);
        if let Some((next, stamp)) = self.flights.finish(&fetch.query, fetch.id, self.now, restamp)
        {
            self.flown[next].started = Some(stamp);
        }
        self.flown[fetch.flight].outcome = Some(answer.clone());
    }

    fn keep(&mut self, fetch: &Fetch, shown: &Shown) {
        for (machine, _) in &shown.machines {
            self.names().learn(family(), &name(*machine, false), &name(*machine, true));
        }
        let (partition, view) = (&fetch.partition, self.view(fetch.query.what));
        let stamp = match self.mistake {
            Mistake::LateStamp => partition.stamp(view),
            _ => fetch.stamp.clone(),
        };
        if !partition.is_current(view, &stamp) {
            return;
        }
        let fresh_until = if stamp.is_settled() || self.mistake == Mistake::UnsettledForLong {
            self.now + LIFETIME
        } else {
            fetch.asked_at + UNSETTLED
        };
        self.kept.insert(fetch.query, Kept { stamp, shown: shown.clone(), fresh_until });
    }

    pub(super) fn write(&mut self, index: usize, coin: u64) {
        let writer = std::mem::replace(&mut self.writers[index], Writer::Idle);
        self.writers[index] = match writer {
            Writer::Idle => {
                let credential = coin as usize % CREDENTIALS;
                let (partition, who) = (&self.partitions[credential], self.whose[credential]);
                let partition = Arc::clone(partition);
                let machine = self.visible(credential, coin >> 3);
                let felt = self.felt(&partition, machine, coin >> 2 & 1 == 1);
                self.tell(|| format!("writer {index} begins: {credential} to machine {machine}"));
                let silent = self.mistake == Mistake::NoBumpOnFailure;
                let hold = (!silent).then(|| Hold::begin(felt.with(felt.key().1)));
                Writer::Sent(Write { partition, who, machine, felt, hold })
            }
            Writer::Sent(write) => self.decide(write, coin),
            Writer::Decided(write, Outcome::Refused(Refusal::Unknown), _) => {
                self.refused(&write.partition, Refusal::Unknown);
                Writer::Answered(write, Outcome::Failed)
            }
            Writer::Decided(write, outcome, version) => {
                let failed = outcome == Outcome::Failed;
                let silent = self.mistake == Mistake::NoBumpOnHead
                    || failed && self.mistake == Mistake::NoBumpOnFailure;
                if !silent {
                    write.felt.touch();
                }
                self.tell(|| format!("writer {index} is answered: {version}"));
                self.promise(write.machine, version);
                Writer::Answered(write, outcome)
            }
            Writer::Answered(write, outcome) => {
                self.end(write, outcome);
                Writer::Idle
            }
        };
    }

    /// The panel has the write: not for this credential; done; refused, which moves the version too; accepted for later; or
    /// never answered, and applied at once, later, or not at all.
    fn decide(&mut self, write: Write, coin: u64) -> Writer {
        let machine = write.machine;
        if let Some(how) = self.panel.refusal(write.who.login) {
            let version = self.panel.versions[machine];
            return Writer::Decided(write, Outcome::Refused(how), version);
        }
        match coin % 8 {
            0 | 1 => Writer::Decided(write, Outcome::Done, self.change(machine)),
            2 => Writer::Decided(write, Outcome::Failed, self.change(machine)),
            3..=5 => {
                let version = self.change(machine);
                // The row may come late, and the job may take long, or for ever.
                let appears = self.now + [0, 0, 0, 4][coin as usize >> 3 & 3];
                let lasts = [10, 25, 60, 0][coin as usize >> 5 & 3];
                let ends = (lasts > 0).then_some(appears + lasts);
                let prompt = appears == self.now;
                self.panel.jobs.push(Job { machine, appears, prompt, ends, made: None });
                Writer::Decided(write, Outcome::Scheduled, version)
            }
            kind => {
                let over = self.now + TERMS.window;
                match kind {
                    6 => self.late.push((self.now, over, machine)),
                    _ if coin >> 3 & 1 == 1 => {
                        self.late.push((self.now + TERMS.window / 2, over, machine));
                    }
                    _ => {}
                }
                self.tell(|| format!("nobody knows what became of a write to {machine}"));
                if self.mistake == Mistake::NoWindow {
                    drop(write.hold);
                } else if let Some(hold) = write.hold {
                    self.hand_over(&write.partition, Guard { hold, machine }, true);
                } else {
                    let hold = Hold::begin(write.felt);
                    self.hand_over(&write.partition, Guard { hold, machine }, true);
                }
                Writer::Idle
            }
        }
    }

    fn end(&mut self, write: Write, outcome: Outcome) {
        let Write { partition, machine, felt, hold, .. } = write;
        if outcome != Outcome::Scheduled || self.mistake == Mistake::NoHold {
            drop(hold);
            return;
        }
        let next = Hold::begin(felt);
        drop(hold);
        self.hand_over(&partition, Guard { hold: next, machine }, false);
    }
}

fn check(what: &str, begun: Begun, answer: &Answer) -> Result<(), String> {
    // A refusal shows nothing.
    let Ok(shown) = answer else { return Ok(()) };
    if shown.by != begun.who {
        return Err(format!("{what} showed to {:?} what was for {:?}", begun.who, shown.by));
    }
    if shown.asked_at <= begun.asked_after {
        let (at, after) = (shown.asked_at, begun.asked_after);
        return Err(format!("{what} showed what was said at {at}, refused at {after}"));
    }
    if shown.searched < begun.searched {
        return Err(format!("{what} was not searched for the secrets of {}", begun.searched));
    }
    for (machine, version) in &shown.machines {
        let at_least = begun.at_least[*machine];
        if *version < at_least {
            return Err(format!("{what} showed {version} of {machine}, not {at_least} or later"));
        }
    }
    Ok(())
}
