//! `Cache-Status` (RFC 9211): what the cache did, in the one header made for it.

use http::{HeaderName, HeaderValue};

use crate::vocabulary::{Bypass, CacheOutcome, Closed as _, NotStored, Staleness};

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
            Self::Miss { collapsed: false, not_modified: false, not_stored: None } => {
                HeaderValue::from_static("tollgate; fwd=miss; stored")
            }
            Self::Miss { collapsed, not_modified, not_stored } => {
                let collapsed = if collapsed { "; collapsed" } else { "" };
                let answered = if not_modified { "; fwd-status=304" } else { "" };
                let stored = not_stored
                    .map_or("; stored".to_owned(), |why| format!("; detail={}", why.as_str()));
                value(&format!("tollgate; fwd=miss{collapsed}{answered}{stored}"))
            }
            Self::Bypass(why) => value(&format!("tollgate; fwd=bypass; detail={}", why.as_str())),
        }
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("made of literals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_what_happened() {
        let check = |status: CacheStatus, expected: &str| assert_eq!(status.header(), expected);
        check(CacheStatus::Hit, "tollgate; hit");
        let miss = |collapsed, not_modified, not_stored| CacheStatus::Miss {
            collapsed,
            not_modified,
            not_stored,
        };
        check(miss(false, false, None), "tollgate; fwd=miss; stored");
        check(miss(false, true, None), "tollgate; fwd=miss; fwd-status=304; stored");
        let unsettled = Some(NotStored::Unsettled);
        check(miss(true, false, unsettled), "tollgate; fwd=miss; collapsed; detail=unsettled");
        let stale = CacheStatus::Stale(Staleness::Error, 42);
        check(stale, "tollgate; hit; ttl=-42; detail=stale-if-error");
        check(CacheStatus::Bypass(Bypass::Body), "tollgate; fwd=bypass; detail=request-body");
    }
}
