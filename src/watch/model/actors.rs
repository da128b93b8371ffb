//! Who moves: readers as the cache and the fetches do it, writers as the layers do, and looks.

use std::sync::Arc;

use super::{
    Mistake,
    world::{
        Begun, FAMILY, Flight, Guard, Job, Kept, LIFETIME, PARTITIONS, Query, Shown, TERMS,
        UNSETTLED, What, World, name,
    },
};
use crate::{
    cache::{
        coherence::Stamp,
        flight::{self, Join},
        partition::{Felt, Hold},
    },
    transcode::transactions::Transaction,
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
        shown: Shown,
        begun: Begun,
    },
    /// Waits for a fetch that another leads, or for its turn.
    Waiting {
        query: Query,
        flight: usize,
        leads_next: Option<u64>,
        begun: Begun,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Fetch {
    query: Query,
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
    partition: usize,
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
}

pub(super) enum Looker {
    Idle,
    Looking {
        begun: u64,
        rows: Vec<Transaction>,
    },
    /// Only where settling comes first by mistake.
    Touching(Vec<Transaction>),
}

impl World {
    pub(super) fn read(&mut self, index: usize, coin: u64) -> Result<(), String> {
        match self.readers[index].clone() {
            Reader::Idle => self.look_up(index, coin),
            Reader::Leading { fetch, begun } => {
                let shown = self.fetch(fetch.query);
                self.tell(&format!("reader {index} has fetched {shown:?}"));
                self.readers[index] = Reader::Fetched { fetch, shown, begun };
                Ok(())
            }
            Reader::Fetched { fetch, shown, begun } => {
                self.land(&fetch, &shown);
                self.readers[index] = Reader::Idle;
                check("a fetch", begun, &shown)
            }
            Reader::Waiting { query, flight, leads_next, begun } => {
                if let (Some(id), Some(stamp)) = (leads_next, self.flown[flight].started.clone()) {
                    self.is_alone(query, &stamp)?;
                    let fetch = Fetch { query, id, flight, stamp, asked_at: self.now };
                    self.readers[index] = Reader::Leading { fetch, begun };
                    return Ok(());
                }
                let Some(shown) = self.flown[flight].outcome.clone() else { return Ok(()) };
                self.readers[index] = Reader::Idle;
                check("a flight that was joined", begun, &shown)
            }
        }
    }

    fn look_up(&mut self, index: usize, coin: u64) -> Result<(), String> {
        let partition = coin as usize % PARTITIONS;
        let what = match coin >> 2 & 3 {
            0 => What::List,
            kind => What::Machine(Self::visible(partition, coin >> 4), kind == 1),
        };
        let query = Query { partition, what };
        // Who wants what is newer is shown what the panel shows from now on.
        let anew = coin >> 20 & 7 == 0;
        let begun = Begun { at_least: if anew { self.versions } else { self.promised } };
        let view = self.view(what);
        if !anew
            && let Some(kept) = self.kept.get(&query)
            && self.now < kept.fresh_until
            && self.partitions[partition].is_current(view, &kept.stamp)
        {
            let shown = kept.shown.clone();
            self.tell(&format!("reader {index} hits {query:?}: {shown:?}"));
            let both = |m: usize| self.promised[m].max(self.aged[m]);
            let at_least = std::array::from_fn(both);
            return check("a hit", Begun { at_least }, &shown);
        }
        let partition = Arc::clone(&self.partitions[partition]);
        let stamp = partition.stamp(view);
        let misses = if anew { "fetches anew" } else { "misses" };
        self.tell(&format!("reader {index} {misses} {query:?}: {stamp:?}"));
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
        let waiting = |flight, leads_next| Reader::Waiting { query, flight, leads_next, begun };
        self.readers[index] = match join {
            Join::Lead(id, flight) => {
                self.is_alone(query, &stamp)?;
                let fetch = Fetch { query, id, flight, stamp, asked_at: self.now };
                Reader::Leading { fetch, begun }
            }
            Join::LeadNext(id, flight) => waiting(flight, Some(id)),
            Join::Share(flight) => waiting(flight, None),
            Join::ShareStarted(flight, stamp) => {
                self.flown[flight].started = Some(stamp);
                waiting(flight, None)
            }
        };
        Ok(())
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
    fn land(&mut self, fetch: &Fetch, shown: &Shown) {
        for (machine, _) in shown {
            self.names().learn(FAMILY, &name(*machine, false), &name(*machine, true));
        }
        let partition = Arc::clone(&self.partitions[fetch.query.partition]);
        let view = self.view(fetch.query.what);
        let stamp = match self.mistake {
            Mistake::LateStamp => partition.stamp(view),
            _ => fetch.stamp.clone(),
        };
        if partition.is_current(view, &stamp) {
            let fresh_until = if stamp.is_settled() || self.mistake == Mistake::UnsettledForLong {
                self.now + LIFETIME
            } else {
                fetch.asked_at + UNSETTLED
            };
            let shown = shown.clone();
            self.kept.insert(fetch.query, Kept { stamp, shown, fresh_until });
        }
        let restamp = || partition.stamp(view);
        if let Some((next, stamp)) = self.flights.finish(&fetch.query, fetch.id, self.now, restamp)
        {
            self.flown[next].started = Some(stamp);
        }
        self.flown[fetch.flight].outcome = Some(shown.clone());
    }

    pub(super) fn write(&mut self, index: usize, coin: u64) {
        let writer = std::mem::replace(&mut self.writers[index], Writer::Idle);
        self.writers[index] = match writer {
            Writer::Idle => {
                let partition = coin as usize % PARTITIONS;
                let machine = Self::visible(partition, coin >> 3);
                let felt = self.felt(partition, machine, coin >> 2 & 1 == 1);
                self.tell(&format!("writer {index} begins: {partition} to machine {machine}"));
                let silent = self.mistake == Mistake::NoBumpOnFailure;
                let hold = (!silent).then(|| Hold::begin(felt.with(felt.key().1)));
                Writer::Sent(Write { partition, machine, felt, hold })
            }
            Writer::Sent(write) => self.decide(write, coin),
            Writer::Decided(write, outcome, version) => {
                let failed = outcome == Outcome::Failed;
                let silent = self.mistake == Mistake::NoBumpOnHead
                    || failed && self.mistake == Mistake::NoBumpOnFailure;
                if !silent {
                    write.felt.touch();
                }
                self.tell(&format!("writer {index} is answered: {version}"));
                self.promise(write.machine, version);
                Writer::Answered(write, outcome)
            }
            Writer::Answered(write, outcome) => {
                self.end(write, outcome);
                Writer::Idle
            }
        };
    }

    /// The panel has the write: done; refused, which moves the version too; accepted for later; or
    /// never answered, and applied at once, later, or not at all.
    fn decide(&mut self, write: Write, coin: u64) -> Writer {
        let machine = write.machine;
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
                self.jobs.push(Job { machine, appears, prompt, ends, made: None });
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
                self.tell(&format!("nobody knows what became of a write to {machine}"));
                if self.mistake == Mistake::NoWindow {
                    drop(write.hold);
                } else if let Some(hold) = write.hold {
                    self.hand_over(write.partition, Guard { hold, machine }, true);
                } else {
                    let hold = Hold::begin(write.felt);
                    self.hand_over(write.partition, Guard { hold, machine }, true);
                }
                Writer::Idle
            }
        }
    }

    fn end(&mut self, write: Write, outcome: Outcome) {
        let Write { partition, machine, felt, hold } = write;
        if outcome != Outcome::Scheduled || self.mistake == Mistake::NoHold {
            drop(hold);
            return;
        }
        let next = Hold::begin(felt);
        drop(hold);
        self.hand_over(partition, Guard { hold: next, machine }, false);
    }

    pub(super) fn look(&mut self, partition: usize) {
        // Whoever has nothing to wait for does not look.
        let looker = self.looker(partition);
        let state = std::mem::replace(&mut self.lookers[looker], Looker::Idle);
        self.lookers[looker] = match state {
            Looker::Idle if self.ledgers[looker].is_idle() && !self.looks_always() => Looker::Idle,
            Looker::Idle => Looker::Looking { begun: self.now, rows: self.rows(looker) },
            Looker::Looking { begun, rows } => {
                let seen = self.ledgers[looker].look(self.now, begun, &rows, true);
                if self.mistake == Mistake::SettleBeforeBump {
                    self.release(seen.settled);
                    Looker::Touching(seen.changed)
                } else {
                    self.touch(looker, seen.changed);
                    self.release(seen.settled);
                    Looker::Idle
                }
            }
            Looker::Touching(changed) => {
                self.touch(looker, changed);
                Looker::Idle
            }
        };
    }

    /// Half of the worlds with an administrator look all the time.
    fn looks_always(&self) -> bool {
        self.looker(0) == super::world::ADMINISTRATOR
    }

    /// What transactions have changed; from now on every read shows it.
    fn touch(&mut self, looker: usize, changed: Vec<Transaction>) {
        for row in changed {
            let job = &self.jobs[row.id as usize - 1];
            let (machine, made) = (job.machine, job.made);
            self.felt(looker, machine, false).touch();
            if let (false, Some(version)) = (row.open, made) {
                self.tell(&format!("the end of transaction {} was seen", row.id));
                self.promise(machine, version);
            }
        }
    }
}

fn check(what: &str, begun: Begun, shown: &Shown) -> Result<(), String> {
    for (machine, version) in shown {
        let at_least = begun.at_least[*machine];
        if *version < at_least {
            return Err(format!("{what} showed {version} of {machine}, not {at_least} or later"));
        }
    }
    Ok(())
}
