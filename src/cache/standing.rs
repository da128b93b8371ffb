//! What may be done with an entry now: the one decision that a hit is.

use super::{
    directives::Directives,
    entry::{Config, Entry},
};

/// What may be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: something has touched what it shows. It may still be asked about by its tag.
    Outdated,
    /// Nothing, and its tag is not to be believed either: it is from before the end of a quarantine.
    Distrusted,
    /// It is shown.
    Fresh,
    /// It is fetched anew: the request demands what is newer. Whether it is fresh all the same.
    TooOld {
        /// Its lifetime is not over.
        fresh: bool,
    },
    /// It is shown without asking: to fetch it anew has just failed.
    Resting,
    /// It is shown, and fetched anew for those who come later.
    Meanwhile,
    /// It is fetched anew, and shown if that fails.
    IfError,
    /// It is fetched anew, whatever becomes of that.
    Expired,
}

/// What the standing of an entry depends on besides the entry.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// In milliseconds of the process.
    pub now: u64,
    /// Nothing has touched what it shows.
    pub current: bool,
    /// What was asked for before is not to be believed; in milliseconds of the process.
    pub trusted_from: u64,
    /// What the request demands.
    pub demands: Directives,
}

impl Standing {
    /// What may be done with an entry.
    pub fn of(entry: &Entry, circumstances: Circumstances, config: &Config) -> Self {
        let Circumstances { now, current, trusted_from, demands } = circumstances;
        if !current {
            Self::Outdated
        } else if entry.asked_at < trusted_from {
            Self::Distrusted
        } else if entry.is_fresh(now) && demands.permit(entry, now) {
            Self::Fresh
        } else if demands.is_demanding() {
            // Who asks for what is newer would rather be told that there is nothing.
            Self::TooOld { fresh: entry.is_fresh(now) }
        } else if entry.rests(now) && entry.serves_if_error(now, config) {
            Self::Resting
        } else if entry.serves_meanwhile(now, config) {
            Self::Meanwhile
        } else if entry.serves_if_error(now, config) {
            Self::IfError
        } else {
            Self::Expired
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::cache::{
        coherence::{Stamp, View},
        entry::Representation,
    };

    const NOW: Circumstances = Circumstances {
        now: 10_000,
        current: true,
        trusted_from: 0,
        demands: Directives { max_age: None, min_fresh: None, only_if_cached: false },
    };

    /// One that was asked for at 5000 and is usable for a minute after its lifetime.
    fn entry(fresh_until: u64) -> Entry {
        let shown = Representation::new(StatusCode::OK, &HeaderMap::new(), Bytes::new());
        Entry::new(shown, View::default(), Stamp::empty(), 5000, fresh_until, 60_000)
    }

    fn of(entry: &Entry, circumstances: Circumstances, while_revalidate: u64) -> Standing {
        let config = Config {
            stale_if_error: Duration::from_secs(30),
            stale_while_revalidate: Duration::from_secs(while_revalidate),
            ..Config::default()
        };
        Standing::of(entry, circumstances, &config)
    }

    #[test]
    fn it_declines_in_this_order() {
        let fresh = entry(11_000);
        assert_eq!(of(&fresh, NOW, 5), Standing::Fresh);
        assert_eq!(of(&fresh, Circumstances { current: false, ..NOW }, 5), Standing::Outdated);
        let distrusted = Circumstances { trusted_from: 5001, ..NOW };
        assert_eq!(of(&fresh, distrusted, 5), Standing::Distrusted);
        assert_eq!(of(&entry(9000), NOW, 5), Standing::Meanwhile);
        assert_eq!(of(&entry(5000), NOW, 5), Standing::IfError);
        let later = Circumstances { now: 36_000, ..NOW };
        assert_eq!(of(&entry(6000), later, 5), Standing::Expired);
    }

    #[test]
    fn who_demands_what_is_newer_is_shown_nothing_stale() {
        let demands = Directives { max_age: Some(2), ..Directives::default() };
        let asked = Circumstances { demands, ..NOW };
        assert_eq!(of(&entry(11_000), asked, 5), Standing::TooOld { fresh: true });
        assert_eq!(of(&entry(9000), asked, 5), Standing::TooOld { fresh: false });
        let demands = Directives { max_age: Some(5), ..Directives::default() };
        assert_eq!(of(&entry(11_000), Circumstances { demands, ..NOW }, 5), Standing::Fresh);
    }

    #[test]
    fn what_rests_is_shown_only_for_errors() {
        let resting = entry(9000);
        resting.rest_until(10_001);
        assert_eq!(of(&resting, NOW, 5), Standing::Resting);
        let long_over = Circumstances { now: 39_000, ..NOW };
        resting.rest_until(50_000);
        assert_eq!(of(&resting, long_over, 5), Standing::Expired);
        assert_eq!(of(&resting, long_over, 45), Standing::Meanwhile);
    }

    #[test]
    fn what_is_unsettled_is_not_shown_while_something_better_is_fetched() {
        let mut unsettled = entry(9000);
        unsettled.settled = false;
        assert_eq!(of(&unsettled, NOW, 5), Standing::IfError);
    }
}
