//! When a route class is no longer trusted: the samples of a window, and the verdict on them.
//!
//! The window slides by slices, so that what is counted takes the same memory however many samples
//! there are. After a quarantine counts start anew: what was found before it says nothing of what
//! is kept after it.

/// By what a class is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The most samples that may be stale, in percent.
    pub(super) threshold: u32,
    /// With fewer samples there is no verdict.
    pub(super) min_samples: u32,
    /// How long a sample counts, in milliseconds.
    pub(super) window: u64,
    /// How long a quarantine lasts, in milliseconds.
    pub(super) quarantine: u64,
}

/// What is known of one class.
#[derive(Debug)]
pub(super) struct Judge {
    terms: Terms,
    slices: [Slice; SLICES],
    /// The end of the quarantine that the class is in.
    until: Option<u64>,
}

/// The samples of a part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Which part of the time it is.
    number: u64,
    samples: u64,
    stale: u64,
}

const SLICES: usize = 60;

impl Judge {
    /// Knows of nothing yet.
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, slices: [Slice::default(); SLICES], until: None }
    }

    /// Counts a sample; the end of the quarantine that begins with it, if one does.
    pub(super) fn take(&mut self, now: u64, stale: bool) -> Option<u64> {
        if self.until.is_some() {
            return None;
        }
        let number = now / self.terms.window.div_ceil(SLICES as u64).max(1);
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice.samples += 1;
        slice.stale += u64::from(stale);
        let within = self.slices.iter().filter(|slice| slice.number + SLICES as u64 > number);
        let (samples, found) =
            within.fold((0, 0), |(samples, found), s| (samples + s.samples, found + s.stale));
        let Terms { threshold, min_samples, quarantine, .. } = self.terms;
        let exceeds = found * 100 > samples * u64::from(threshold);
        if samples < u64::from(min_samples) || !exceeds {
            return None;
        }
        self.slices = [Slice::default(); SLICES];
        self.until = Some(now.saturating_add(quarantine));
        self.until
    }

    /// Whether a quarantine has come to its end.
    pub(super) fn release(&mut self, now: u64) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const TERMS: Terms = Terms { threshold: 10, min_samples: 5, window: 600, quarantine: 1000 };

    /// Takes samples at one time; the last verdict.
    fn take(judge: &mut Judge, now: u64, samples: &[bool]) -> Option<u64> {
        samples.iter().fold(None, |_, stale| judge.take(now, *stale))
    }

    #[test]
    fn a_few_samples_are_no_verdict() {
        let mut judge = Judge::new(TERMS);
        assert_eq!(take(&mut judge, 7, &[true; 4]), None);
        assert_eq!(judge.take(7, false), Some(1007));
    }

    #[test]
    fn the_threshold_itself_is_not_too_much() {
        let mut judge = Judge::new(TERMS);
        assert_eq!(take(&mut judge, 0, &[false; 18]), None);
        assert_eq!(take(&mut judge, 0, &[true; 2]), None);
        assert_eq!(judge.take(0, true), Some(1000));
        let mut never = Judge::new(Terms { threshold: 100, ..TERMS });
        assert_eq!(take(&mut never, 0, &[true; 50]), None);
    }

    #[test]
    fn what_has_left_the_window_does_not_count() {
        let mut judge = Judge::new(TERMS);
        assert_eq!(take(&mut judge, 0, &[true; 4]), None);
        assert_eq!(judge.take(600, true), None);
        assert_eq!(take(&mut judge, 1199, &[true; 3]), None);
        assert_eq!(judge.take(1199, true), Some(2199));
    }

    #[test]
    fn a_quarantine_ends_and_counts_start_anew() {
        let mut judge = Judge::new(TERMS);
        assert_eq!(take(&mut judge, 0, &[true; 5]), Some(1000));
        // What was under way when it began counts no more.
        assert_eq!(take(&mut judge, 10, &[true; 50]), None);
        assert!(!judge.release(999));
        assert!(judge.release(1000) && !judge.release(1001));
        assert_eq!(take(&mut judge, 1001, &[true; 4]), None);
        assert_eq!(judge.take(1001, true), Some(2001));
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_whoever_remembers_every_sample(
            samples in vec((0_u64..400, any::<bool>()), 1..200),
        ) {
            let mut judge = Judge::new(Terms { threshold: 50, ..TERMS });
            let (mut now, mut seen) = (0, Vec::new());
            for (wait, stale) in samples {
                now += wait;
                if judge.release(now) {
                    seen.clear();
                }
                let verdict = judge.take(now, stale);
                if judge.until.is_some() && verdict.is_none() {
                    continue;
                }
                seen.push((now / 10, stale));
                seen.retain(|(slice, _)| slice + 60 > now / 10);
                let found = seen.iter().filter(|(_, stale)| *stale).count();
                let expected = seen.len() >= 5 && found * 2 > seen.len();
                prop_assert_eq!(verdict, expected.then_some(now + 1000));
            }
        }
    }
}
