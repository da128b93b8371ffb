//! `Cache-Status` (RFC 9211): what the cache did, in the one header made for it.

use http::{HeaderName, HeaderValue};

use crate::{
    record::Noted,
    vocabulary::{Bypass, CacheOutcome, Closed as _, NotStored, Staleness},
};

/// What the cache did for one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from memory.
    Hit,
    /// Answered from memory, so many seconds after its lifetime.
    Stale(Staleness, u64),
    /// Fetched by this request, or together with others that asked at the same time.
    Miss {
        /// It joined a fetch that was under way.
        collapsed: bool,
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
            Self::Hit => CacheOutcome::Hit,
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
            Self::Stale(why, seconds) => {
                value(&format!("tollgate; hit; ttl=-{seconds}; detail={}", why.as_str()))
            }
            Self::Write => HeaderValue::from_static("tollgate; fwd=method"),
            Self::Miss { collapsed: false, not_stored: None } => {
                HeaderValue::from_static("tollgate; fwd=miss; stored")
            }
            Self::Miss { collapsed, not_stored } => {
                let collapsed = if collapsed { "; collapsed" } else { "" };
                let stored = not_stored
                    .map_or("; stored".to_owned(), |why| format!("; detail={}", why.as_str()));
                value(&format!("tollgate; fwd=miss{collapsed}{stored}"))
            }
            Self::Bypass(why) => value(&format!("tollgate; fwd=bypass; detail={}", why.as_str())),
        }
    }
}

/// Bytes from the lowest: which of them, why, and from the fifth on how many seconds. The word for
/// why is there or not, as [`Noted`] packs it.
impl Noted for CacheStatus {
    fn pack(self) -> u64 {
        let (kind, why, seconds) = match self {
            Self::Hit => (1, 0, 0),
            Self::Stale(why, seconds) => (2, why.pack(), seconds.min(u64::from(u32::MAX))),
            Self::Miss { collapsed: false, not_stored } => {
                (3, not_stored.map_or(0, Noted::pack), 0)
            }
            Self::Miss { collapsed: true, not_stored } => (4, not_stored.map_or(0, Noted::pack), 0),
            Self::Bypass(why) => (5, why.pack(), 0),
            Self::Write => (6, 0, 0),
        };
        seconds << 32 | why << 8 | kind
    }

    fn unpack(packed: u64) -> Option<Self> {
        let why = packed >> 8 & 0xff;
        let not_stored = NotStored::unpack(why);
        Some(match packed & 0xff {
            1 => Self::Hit,
            2 => Self::Stale(Staleness::unpack(why)?, packed >> 32),
            3 => Self::Miss { collapsed: false, not_stored },
            4 => Self::Miss { collapsed: true, not_stored },
            5 => Self::Bypass(Bypass::unpack(why)?),
            6 => Self::Write,
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
            [false, true].map(|collapsed| CacheStatus::Miss { collapsed, not_stored })
        });
        let bypasses = Bypass::ALL.iter().map(|why| CacheStatus::Bypass(*why));
        let stale = Staleness::ALL.iter().map(|why| CacheStatus::Stale(*why, 86_400));
        for status in
            misses.chain(bypasses).chain(stale).chain([CacheStatus::Hit, CacheStatus::Write])
        {
            assert_eq!(CacheStatus::unpack(status.pack()), Some(status));
        }
        assert_eq!(CacheStatus::unpack(0), None);
    }

    #[test]
    fn the_header_says_what_happened() {
        let check = |status: CacheStatus, expected: &str| assert_eq!(status.header(), expected);
        check(CacheStatus::Hit, "tollgate; hit");
        check(
            CacheStatus::Miss { collapsed: false, not_stored: None },
            "tollgate; fwd=miss; stored",
        );
        check(
            CacheStatus::Miss { collapsed: true, not_stored: Some(NotStored::Unsettled) },
            "tollgate; fwd=miss; collapsed; detail=unsettled",
        );
        let stale = CacheStatus::Stale(Staleness::Error, 42);
        check(stale, "tollgate; hit; ttl=-42; detail=stale-if-error");
        check(CacheStatus::Bypass(Bypass::Body), "tollgate; fwd=bypass; detail=request-body");
    }
}
