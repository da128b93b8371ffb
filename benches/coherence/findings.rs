//! What an outage has shown, a line each.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use crate::{
    client::Reply,
    report::percent,
    tally::{Answered, Read, TOLD},
};

/// The numbers of an outage.
#[derive(Clone, Default)]
pub(crate) struct Findings {
    lists: Reads,
    items: Reads,
    /// Items that were in memory shortly before by all that the load can know, and were answered.
    pub(crate) expected: Answered,
    /// For how many seconds what was shown had not been fresh.
    pub(crate) oldest: u64,
    /// Writes that were refused.
    pub(crate) writes: usize,
    /// Those among them that were let try.
    pub(crate) tried_writes: usize,
    /// Reads from memory after a write to the same was refused.
    pub(crate) after_refused: usize,
    /// Reads that were refused when the panel was about to go away or to come back.
    pub(crate) turning: usize,
    /// Writes then of which nobody knows what became.
    pub(crate) in_doubt: usize,
    /// From the return until the first read from the panel.
    pub(crate) first_fetch: Option<Duration>,
    /// From the return until the last read that was marked as stale.
    pub(crate) last_marked: Option<Duration>,
    /// From the return until the last read that was refused.
    pub(crate) last_refused: Option<Duration>,
    length: Duration,
    /// Connections in the first second, in all, and at most in any one second after the first.
    knocks: [usize; 3],
    faults: usize,
    told: Vec<String>,
}

/// Reads of one kind while the panel was away.
#[derive(Clone, Copy, Default)]
pub(crate) struct Reads {
    all: usize,
    fresh: usize,
    stale: usize,
}

/// So many in a hundred of those that are expected in memory must be there. Not all, because items
/// share the slots of epochs, and a write to one may cost another its place.
const EXPECTED_PERCENT: usize = 90;

const SECOND: Duration = Duration::from_secs(1);

/// Two that were sent a second apart may arrive this much nearer to each other.
const JITTER: Duration = Duration::from_millis(50);

impl Reads {
    /// One more.
    pub(crate) fn count(&mut self, reply: &Reply) {
        self.all += 1;
        let stale = reply.staleness().is_some();
        self.stale += usize::from(stale);
        self.fresh += usize::from(reply.is_hit() && !stale);
    }

    fn refused(self) -> usize {
        self.all - self.fresh - self.stale
    }

    fn and(self, other: Self) -> Self {
        let (all, fresh) = (self.all + other.all, self.fresh + other.fresh);
        Self { all, fresh, stale: self.stale + other.stale }
    }
}

impl Findings {
    /// The reads of a kind.
    pub(crate) fn of(&mut self, read: Read) -> &mut Reads {
        match read {
            Read::List => &mut self.lists,
            Read::Item => &mut self.items,
        }
    }

    /// Something that must not be.
    pub(crate) fn fault(&mut self, what: &str) {
        self.faults += 1;
        if self.faults <= TOLD {
            self.told.push(format!("outage: {what}"));
        }
    }

    /// How many there were.
    pub(crate) fn faults(&self) -> usize {
        self.faults
    }

    /// Judges the connections that were tried, by when they came after the cut; in order.
    pub(crate) fn knocked(&mut self, knocks: &[Duration], length: Duration) {
        self.length = length;
        let later = &knocks[knocks.partition_point(|knock| *knock < SECOND)..];
        let within = |(at, first): (usize, &Duration)| {
            later[at..].iter().take_while(|knock| **knock < *first + SECOND - JITTER).count()
        };
        let most = later.iter().enumerate().map(within).max().unwrap_or(0);
        self.knocks = [knocks.len() - later.len(), knocks.len(), most];
        if most > 1 {
            self.fault(&format!("the panel was asked {most} times in one second"));
        }
        if !self.expected.has(EXPECTED_PERCENT) {
            let Answered { all, hits } = self.expected;
            self.fault(&format!("of {all} items that were in memory only {hits} were answered"));
        }
        if self.lists.and(self.items).stale == 0 {
            self.fault("nothing was shown stale, so that was not tried");
        }
    }

    /// Prints them.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for told in &self.told {
            writeln!(out, "{told}")?;
        }
        writeln!(out, "{:<22} {:>9.1} s", "outage", self.length.as_secs_f64())?;
        let reads = self.lists.and(self.items);
        let shares = [
            ("away: fresh", reads.fresh, reads.all),
            ("away: stale", reads.stale, reads.all),
            ("away: refused", reads.refused(), reads.all),
            ("away: refused lists", self.lists.refused(), self.lists.all),
            ("away: refused items", self.items.refused(), self.items.all),
            ("away: known items", self.expected.hits, self.expected.all),
        ];
        for (name, part, whole) in shares {
            let share = percent(part, whole);
            writeln!(out, "{name:<22} {part:>9} {share:>7.2} % of {whole}")?;
        }
        let [first, all, most] = self.knocks;
        let numbers = [
            ("away: refused writes", self.writes),
            ("away: tried writes", self.tried_writes),
            ("away: hits after them", self.after_refused),
            ("turning: refused reads", self.turning),
            ("turning: writes", self.in_doubt),
            ("tries, first second", first),
            ("tries, most a second", most),
            ("tries, all", all),
        ];
        writeln!(out, "{:<22} {:>9} s", "away: most stale", self.oldest)?;
        for (name, number) in numbers {
            writeln!(out, "{name:<22} {number:>9}")?;
        }
        let rate = all as f64 / self.length.as_secs_f64();
        writeln!(out, "{:<22} {rate:>9.2}", "tries, a second")?;
        let times = [
            ("back: first fetch", self.first_fetch),
            ("back: last stale", self.last_marked),
            ("back: last refused", self.last_refused),
        ];
        for (name, time) in times {
            let time = time.map_or("-".to_owned(), |t| format!("{:.3} s", t.as_secs_f64()));
            writeln!(out, "{name:<22} {time:>11}")?;
        }
        writeln!(out, "{:<22} {:>9}", "outage faults", self.faults)
    }
}
