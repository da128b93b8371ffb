//! The load: so many requests a second, whether the earlier ones have been answered or not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::TaskTracker;

use crate::{
    act::{Act, Actor},
    tally::Tally,
    tenant::{Machine, Roll, Tenant},
};

/// Who asks, and what comes next.
pub(crate) struct Load {
    tenants: Vec<Arc<Tenant>>,
    tally: Arc<Tally>,
    tasks: TaskTracker,
    room: Arc<Semaphore>,
    popularity: Zipf,
    chance: Chance,
}

/// Sums of 1 + 1/2 + 1/3 + ..., by how many there are less one: the nth is drawn n times as rarely
/// as the first.
struct Zipf(Vec<f64>);

/// xorshift64*: a load needs no better chance. The same requests are drawn in every run.
struct Chance(u64);

/// Requests under way, those included that wait for a connection; one more is skipped.
const IN_FLIGHT: usize = 512;

/// More machines than a tenant ever has.
const RANKS: u32 = 4096;

const WRITES_PERCENT: u64 = 1;
const LISTS_PERCENT: u64 = 60;

/// Of the reads of items, those that ask for one that was deleted.
const GONE_PERCENT: u64 = 1;

impl Load {
    /// A load of these tenants.
    pub(crate) fn new(tenants: Vec<Arc<Tenant>>, tally: Arc<Tally>) -> Self {
        Self {
            tenants,
            tally,
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(IN_FLIGHT)),
            popularity: Zipf::new(),
            chance: Chance(0x9E37_79B9_7F4A_7C15),
        }
    }

    /// Asks for so long, and waits until everything has been answered.
    pub(crate) async fn run(mut self, length: Duration, rate: u64) {
        let begun = Instant::now();
        let mut issued = 0;
        let mut ticks = interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while begun.elapsed() < length {
            ticks.tick().await;
            let due = begun.elapsed().as_micros() as u64 * rate / 1_000_000;
            while issued < due {
                issued += 1;
                self.issue();
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn issue(&mut self) {
        let tenant = self.chance.index(self.tenants.len());
        let tenant = Arc::clone(&self.tenants[tenant]);
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            self.tally.skip();
            return;
        };
        let act = self.act(&mut tenant.roll());
        let actor = Actor { tenant, tally: Arc::clone(&self.tally) };
        self.tasks.spawn(async move {
            actor.perform(act).await;
            drop(room);
        });
    }

    fn act(&mut self, roll: &mut Roll) -> Act {
        if self.chance.is_within(WRITES_PERCENT) {
            return self.write(roll);
        }
        if self.chance.is_within(LISTS_PERCENT) {
            return Act::List;
        }
        match &roll.gone {
            Some(gone) if self.chance.is_within(GONE_PERCENT) => Act::Item(Arc::clone(gone)),
            _ => Act::Item(self.machine(roll)),
        }
    }

    /// Half of the writes are labels, a quarter switches; of the rest, creations come first.
    fn write(&mut self, roll: &mut Roll) -> Act {
        match self.chance.below(4) {
            0 | 1 => Act::Label(self.machine(roll)),
            2 => Act::Switch(self.machine(roll), self.chance.is_within(50)),
            _ if roll.made.is_empty() || self.chance.is_within(50) => Act::Create,
            _ => {
                let doomed = Arc::clone(&roll.made[self.chance.index(roll.made.len())]);
                roll.strike(&doomed);
                Act::Delete(doomed)
            }
        }
    }

    fn machine(&mut self, roll: &Roll) -> Arc<Machine> {
        let rank = self.popularity.rank(&mut self.chance, roll.ranks.len());
        Arc::clone(&roll.ranks[rank])
    }
}

impl Zipf {
    fn new() -> Self {
        let sums = (1..=RANKS).scan(0.0, |sum, rank| {
            *sum += 1.0 / f64::from(rank);
            Some(*sum)
        });
        Self(sums.collect())
    }

    /// One of the first so many.
    fn rank(&self, chance: &mut Chance, count: usize) -> usize {
        let sums = &self.0[..count.min(self.0.len())];
        let point = chance.unit() * sums[sums.len() - 1];
        sums.partition_point(|sum| *sum <= point).min(sums.len() - 1)
    }
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    fn is_within(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
