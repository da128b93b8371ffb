//! `Cache-Status` (RFC 9211): what the cache did, in the one header made for it.

use http::{HeaderName, HeaderValue};

use crate::vocabulary::{Bypass, CacheOutcome, Closed as _, Forward, NotStored, Noted, Staleness};

/// What the cache did for one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from memory.
    Hit,
    /// Answered from memory, where it was kept in the other format.
    Derived,
    /// Answered from memory, so many seconds after its lifetime.
    Stale(Staleness, u64),
    /// Fetched by this request, or together with others that asked at the same time.
    Miss {
        /// Why what is kept would not do.
        forward: Forward,
        /// It joined a fetch that was under way.
        collapsed: bool,
        /// The upstream has said that it shows what was kept.
        not_modified: bool,
        /// Why it was not kept; none when it was.
        not_stored: Option<NotStored>,
    },
    /// Passed by.
    Bypass(Bypass),
    /// Not a read.
    Write,
}

/// Its name; a static, because a constant would be made anew for every reply.
pub static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

impl CacheStatus {
    /// The word for it in metrics and the log.
    pub fn outcome(self) -> CacheOutcome {
        match self {
            Self::Hit | Self::Derived => CacheOutcome::Hit,
            Self::Stale(..) => CacheOutcome::Stale,
            Self::Miss { collapsed: true, .. } => CacheOutcome::Collapsed,
            Self::Miss { collapsed: false, .. } => CacheOutcome::Miss,
            Self::Bypass(_) => CacheOutcome::Bypass,
            Self::Write => CacheOutcome::Write,
        }
    }

    /// The header's value.
    pub fn header(self) -> HeaderValue {
        match self {
            Self::Hit => HeaderValue::from_static("tollgate; hit"),
            Self::Derived => HeaderValue::from_static("tollgate; hit; detail=derived"),
            Self::Stale(why, seconds) => {
                value(&format!("tollgate; hit; ttl=-{seconds}; detail={}", why.as_str()))
            }
            Self::Write => HeaderValue::from_static("tollgate; fwd=method"),
            Self::Miss {
                forward: Forward::Miss,
                collapsed: false,
                not_modified: false,
                not_stored: None,
            } => HeaderValue::from_static("tollgate; fwd=miss; stored"),
            Self::Miss { forward, collapsed, not_modified, not_stored } => {
                let collapsed = if collapsed { "; collapsed" } else { "" };
                let answered = if not_modified { "; fwd-status=304" } else { "" };
                let stored = not_stored
                    .map_or("; stored".to_owned(), |why| format!("; detail={}", why.as_str()));
                let forward = forward.as_str();
                value(&format!("tollgate; fwd={forward}{collapsed}{answered}{stored}"))
            }
            Self::Bypass(why) => value(&format!("tollgate; fwd=bypass; detail={}", why.as_str())),
        }
    }
}

const COLLAPSED: u8 = 1;

const NOT_MODIFIED: u8 = 2;

/// Bytes from the lowest: which of them, why (as [`Noted`] packs a word or none), for what it was
/// forwarded, bits (`COLLAPSED`, `NOT_MODIFIED`), and how many seconds.
impl Noted for CacheStatus {
    fn pack(self) -> u64 {
        match self {
            Self::Hit => 1,
            Self::Stale(why, seconds) => {
                2 | why.pack() << 8 | seconds.min(u64::from(u32::MAX)) << 32
            }
            Self::Miss { forward, collapsed, not_modified, not_stored } => {
                let why = not_stored.map_or(0, Noted::pack);
                let bit = |is: bool, bit: u8| u64::from(if is { bit } else { 0 });
                let bits = bit(collapsed, COLLAPSED) | bit(not_modified, NOT_MODIFIED);
                3 | why << 8 | forward.pack() << 16 | bits << 24
            }
            Self::Bypass(why) => 4 | why.pack() << 8,
            Self::Write => 5,
            Self::Derived => 6,
        }
    }

    fn unpack(packed: u64) -> Option<Self> {
        let [kind, why, forward, bits, ..] = packed.to_le_bytes();
        let (why, forward) = (u64::from(why), u64::from(forward));
        Some(match kind {
            1 => Self::Hit,
            2 => Self::Stale(Staleness::unpack(why)?, packed >> 32),
            3 => Self::Miss {
                forward: Forward::unpack(forward)?,
                collapsed: bits & COLLAPSED != 0,
                not_modified: bits & NOT_MODIFIED != 0,
                not_stored: NotStored::unpack(why),
            },
            4 => Self::Bypass(Bypass::unpack(why)?),
            5 => Self::Write,
            6 => Self::Derived,
            _ => return None,
        })
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("made of literals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_number() {
        let why = NotStored::ALL.iter().copied().map(Some).chain([None]);
        let misses = why.flat_map(|not_stored| {
            let forwards = Forward::ALL.iter().flat_map(|forward| {
                [(false, false), (true, false), (false, true), (true, true)]
                    .map(|(collapsed, not_modified)| (*forward, collapsed, not_modified))
            });
            forwards.map(move |(forward, collapsed, not_modified)| CacheStatus::Miss {
                forward,
                collapsed,
                not_modified,
                not_stored,
            })
        });
        let bypasses = Bypass::ALL.iter().map(|why| CacheStatus::Bypass(*why));
        let stale = Staleness::ALL.iter().map(|why| CacheStatus::Stale(*why, 86_400));
        let others = [CacheStatus::Hit, CacheStatus::Derived, CacheStatus::Write];
        for status in misses.chain(bypasses).chain(stale).chain(others) {
            assert_eq!(CacheStatus::unpack(status.pack()), Some(status));
        }
        assert_eq!(CacheStatus::unpack(0), None);
    }

    #[test]
    fn the_header_says_what_happened() {
        let check = |status: CacheStatus, expected: &str| assert_eq!(status.header(), expected);
        check(CacheStatus::Hit, "tollgate; hit");
        check(CacheStatus::Derived, "tollgate; hit; detail=derived");
        let miss = |forward, collapsed, not_modified, not_stored| CacheStatus::Miss {
            forward,
            collapsed,
            not_modified,
            not_stored,
        };
        check(miss(Forward::Miss, false, false, None), "tollgate; fwd=miss; stored");
        check(miss(Forward::Stale, false, false, None), "tollgate; fwd=stale; stored");
        check(
            miss(Forward::Stale, false, true, None),
            "tollgate; fwd=stale; fwd-status=304; stored",
        );
        check(
            miss(Forward::Request, true, false, None),
            "tollgate; fwd=request; collapsed; stored",
        );
        check(
            miss(Forward::Miss, true, false, Some(NotStored::Unsettled)),
            "tollgate; fwd=miss; collapsed; detail=unsettled",
        );
        let stale = CacheStatus::Stale(Staleness::Error, 42);
        check(stale, "tollgate; hit; ttl=-42; detail=stale-if-error");
        check(CacheStatus::Bypass(Bypass::Body), "tollgate; fwd=bypass; detail=request-body");
    }
}
