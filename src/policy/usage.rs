//! How much of a month's quota is used.
//!
//! Reads and writes are counted apart, each in one atomic number that has the month beside the
//! count. So a count and the month that it is of change at once, and no lock is needed to be exact:
//! whoever comes first in a new month begins it at zero, and nobody is counted in two or in none.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::month::Month;

/// The quotas of a month; none is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Monthly {
    /// Reads.
    pub reads: Option<u64>,
    /// Writes.
    pub writes: Option<u64>,
}

/// What was counted in the month under way.
///
/// Each number is whole by itself and nothing else depends on it, so the order in which others see
/// it is of no matter.
#[derive(Debug, Default)]
pub struct Usage {
    reads: AtomicU64,
    writes: AtomicU64,
}

/// The quota of the month is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// When the month ends, and a new quota begins, in Unix seconds.
    pub ends: i64,
}

/// A count and its month, which are the low and the high bits of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    month: Month,
    count: u64,
}

const COUNT_BITS: u32 = 40;

/// A count goes no further: more than 10^12, the largest quota.
const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

impl Monthly {
    /// The quota of one kind.
    pub fn most(self, is_write: bool) -> Option<u64> {
        if is_write { self.writes } else { self.reads }
    }
}

impl Usage {
    /// Counts one request at a time in Unix seconds, if fewer than `most` were counted in its
    /// month; otherwise nothing is counted.
    ///
    /// A time before the month under way counts in that month, so that a clock which is set back
    /// gives nobody a quota anew.
    pub fn count(&self, now: i64, is_write: bool, most: Option<u64>) -> Result<(), Spent> {
        let cell = if is_write { &self.writes } else { &self.reads };
        let month = Month::of(now);
        let mut packed = cell.load(Relaxed);
        loop {
            let next = Tally::unpack(packed).one_more(month, most)?;
            match cell.compare_exchange_weak(packed, next.pack(), Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => packed = other,
            }
        }
    }

    /// Whether one more could be counted.
    pub fn check(&self, now: i64, is_write: bool, most: Option<u64>) -> Result<(), Spent> {
        let cell = if is_write { &self.writes } else { &self.reads };
        Tally::unpack(cell.load(Relaxed)).one_more(Month::of(now), most).map(drop)
    }

    /// Adds what others have counted in a month; of a month that is over nothing.
    pub fn add(&self, month: Month, reads: u64, writes: u64) {
        for (cell, more) in [(&self.reads, reads), (&self.writes, writes)] {
            let added = |packed| Some(Tally::unpack(packed).more(month, more).pack());
            // It is never refused.
            let _ = cell.fetch_update(Relaxed, Relaxed, added);
        }
    }

    /// The month under way, with its reads and writes, to be stored. As long as nothing was counted
    /// it is the first month of the year 0.
    ///
    /// Each count is exact at some moment of the call; the two moments may differ.
    pub fn snapshot(&self) -> (Month, u64, u64) {
        let reads = Tally::unpack(self.reads.load(Relaxed));
        let writes = Tally::unpack(self.writes.load(Relaxed));
        let month = reads.month.max(writes.month);
        (month, reads.of(month), writes.of(month))
    }
}

impl Tally {
    fn pack(self) -> u64 {
        u64::from(self.month.number()) << COUNT_BITS | self.count
    }

    fn unpack(packed: u64) -> Self {
        let number = u32::try_from(packed >> COUNT_BITS).unwrap_or(u32::MAX);
        Self { month: Month::numbered(number), count: packed & MAX_COUNT }
    }

    /// What was counted in a month that is not before its own.
    fn of(self, month: Month) -> u64 {
        if self.month == month { self.count } else { 0 }
    }

    fn more(self, month: Month, more: u64) -> Self {
        if month < self.month {
            return self;
        }
        Self { month, count: self.of(month).saturating_add(more).min(MAX_COUNT) }
    }

    fn one_more(self, month: Month, most: Option<u64>) -> Result<Self, Spent> {
        let month = self.month.max(month);
        let count = self.of(month);
        if most.is_some_and(|most| count >= most) {
            return Err(Spent { ends: month.end() });
        }
        Ok(Self { month, count: (count + 1).min(MAX_COUNT) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The first second of November 2026, and of the two months behind it.
    const NOVEMBER: i64 = 1_793_491_200;
    const DECEMBER: i64 = 1_796_083_200;
    const JANUARY: i64 = 1_798_761_600;

    fn month(text: &str) -> Month {
        text.parse().expect("a month")
    }

    fn how_often(counted: &[(Month, bool)], kind: (Month, bool)) -> u64 {
        counted.iter().filter(|one| **one == kind).count() as u64
    }

    #[test]
    fn a_quota_is_used_up_until_the_month_ends() {
        let usage = Usage::default();
        let read = |now| usage.count(now, false, Some(2));
        assert_eq!((read(NOVEMBER), read(NOVEMBER + 5)), (Ok(()), Ok(())));
        assert_eq!(read(DECEMBER - 1), Err(Spent { ends: DECEMBER }));
        assert_eq!(usage.snapshot(), (month("2026-11"), 2, 0));
        assert_eq!(read(DECEMBER), Ok(()));
        assert_eq!(usage.snapshot(), (month("2026-12"), 1, 0));
    }

    #[test]
    fn reads_and_writes_are_counted_apart() {
        let usage = Usage::default();
        assert_eq!(usage.count(NOVEMBER, true, Some(1)), Ok(()));
        assert!(usage.count(NOVEMBER, true, Some(1)).is_err());
        assert_eq!(usage.count(NOVEMBER, false, Some(1)), Ok(()));
        assert_eq!(usage.count(DECEMBER, true, Some(1)), Ok(()));
        // There were no reads in December yet.
        assert_eq!(usage.snapshot(), (month("2026-12"), 0, 1));
        let monthly = Monthly { reads: Some(1), writes: None };
        assert_eq!((monthly.most(false), monthly.most(true)), (Some(1), None));
    }

    #[test]
    fn a_clock_that_is_set_back_begins_no_month() {
        let usage = Usage::default();
        assert_eq!(usage.count(DECEMBER, false, Some(1)), Ok(()));
        assert_eq!(usage.count(NOVEMBER, false, Some(1)), Err(Spent { ends: JANUARY }));
        assert_eq!(usage.count(NOVEMBER, false, None), Ok(()));
        assert_eq!(usage.snapshot(), (month("2026-12"), 2, 0));
    }

    #[test]
    fn what_others_have_counted_is_added() {
        let usage = Usage::default();
        assert_eq!(usage.count(NOVEMBER, false, None), Ok(()));
        usage.add(month("2026-11"), 6, u64::MAX);
        usage.add(month("2026-10"), 5, 5);
        assert_eq!(usage.snapshot(), (month("2026-11"), 7, MAX_COUNT));
        assert!(usage.count(NOVEMBER, false, Some(7)).is_err());
        assert_eq!(usage.count(NOVEMBER, false, Some(8)), Ok(()));
        // Full as it is, it neither overflows into the month nor begins anew.
        assert_eq!(usage.count(NOVEMBER, true, None), Ok(()));
        assert_eq!(usage.snapshot(), (month("2026-11"), 8, MAX_COUNT));
    }

    #[test]
    fn nobody_gets_more_than_the_quota_however_many_come_at_once() {
        let usage = Usage::default();
        let count_many =
            || (0..1000).filter(|_| usage.count(NOVEMBER, true, Some(2500)).is_ok()).count();
        let counted: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(count_many)).collect();
            all.into_iter().map(|one| one.join().expect("it ends")).sum()
        });
        assert_eq!(counted, 2500);
        assert_eq!(usage.snapshot(), (month("2026-11"), 0, 2500));
    }

    proptest! {
        #[test]
        fn it_counts_like_whoever_remembers_every_request(
            requests in vec((0_i64..400, any::<bool>(), proptest::option::of(0_u64..40)), 1..300),
        ) {
            let usage = Usage::default();
            let mut counted: Vec<(Month, bool)> = Vec::new();
            for (hours, is_write, most) in requests {
                let now = NOVEMBER + hours * 6 * 3600;
                let same = counted.iter().filter(|(_, kind)| *kind == is_write);
                let under_way = same.map(|(month, _)| *month).max().unwrap_or_default();
                let own = Month::of(now).max(under_way);
                let before = how_often(&counted, (own, is_write));
                let fits = most.is_none_or(|most| before < most);
                let expected = if fits { Ok(()) } else { Err(Spent { ends: own.end() }) };
                prop_assert_eq!(usage.count(now, is_write, most), expected);
                if fits {
                    counted.push((own, is_write));
                }
                let latest = counted.iter().map(|(month, _)| *month).max().unwrap_or_default();
                let reads = how_often(&counted, (latest, false));
                let writes = how_often(&counted, (latest, true));
                prop_assert_eq!(usage.snapshot(), (latest, reads, writes));
            }
        }
    }
}
