//! What a test asks to go wrong, to take long or to wait: rules by method and path.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::watch;
use tokio::time::timeout;

/// A held request goes on by itself after this long, so that a forgotten gate stops no test run.
const LONGEST_HOLD: Duration = Duration::from_secs(120);

/// How long [`Gate::arrived`] waits.
const LONGEST_ARRIVAL: Duration = Duration::from_secs(30);

/// Something that goes wrong, once for each matching request.
///
/// `applied` says whether the request takes effect first; the others take effect unless they say
/// otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This status with an HTML page, as a web server in front of Rails answers.
    Status {
        /// The status code.
        status: u16,
        /// Whether Rails had done its work.
        applied: bool,
    },
    /// This status before the body was read; never applied.
    EarlyStatus(u16),
    /// A TCP reset instead of a reply.
    ResetBeforeHead {
        /// Whether Rails had done its work.
        applied: bool,
    },
    /// The connection is closed instead of a reply.
    CloseBeforeReply {
        /// Whether Rails had done its work.
        applied: bool,
    },
    /// No reply for [`Options::hang`](super::Options::hang), then the connection is closed.
    Hang {
        /// Whether Rails had done its work.
        applied: bool,
    },
    /// The head, half of the body, then a TCP reset.
    ResetInBody,
    /// A Content-Length, half of the body, then the end of the connection.
    TruncatedBody,
    /// Chunked, half of the body, then the end of the connection without the last chunk.
    TruncatedChunks,
    /// The body in pieces of this many bytes with a pause before each.
    SlowBody {
        /// Bytes in a piece.
        piece: usize,
        /// The pause before a piece.
        pause: Duration,
    },
    /// The body with chunked framing instead of a Content-Length.
    Chunked,
    /// A 200 whose body is one space; never applied.
    OneSpace,
    /// The reply with `Cache-Control: no-store`.
    NoStore,
    /// The reply with another Content-Type.
    ContentType(&'static str),
    /// A 200 in the right type with a body of this many bytes; never applied.
    LargeBody(usize),
    /// The reply with one more header.
    Header(&'static str, &'static str),
}

/// Where a gate holds a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has been read, and nothing has been done yet.
    BeforeAction,
    /// The work is done, and nothing has been sent yet: the reply shows the state of now.
    BeforeReply,
    /// The head and half of the body have been sent.
    InBody,
}

/// Which requests a rule is for: `PREFIX` or `METHOD PREFIX`, against the raw target.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    method: Option<Method>,
    prefix: String,
}

/// Holds matching requests until it is released or dropped.
#[derive(Debug)]
pub struct Gate {
    hold: Arc<Hold>,
    rules: Arc<Rules>,
}

/// Fewer requests than expected came to a gate in 30 seconds.
#[derive(Debug, thiserror::Error)]
#[error("{came} of {expected} requests came to the gate")]
pub struct NeverArrived {
    came: usize,
    expected: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Rules(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    faults: Vec<(Pattern, usize, Fault)>,
    delays: Vec<(Pattern, Duration)>,
    holds: Vec<Arc<Hold>>,
}

#[derive(Debug)]
pub(crate) struct Hold {
    pattern: Pattern,
    stage: Stage,
    /// How many more requests it takes in.
    room: Mutex<usize>,
    came: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once(' ') {
            Some((method, prefix)) => Self {
                method: Method::from_bytes(method.as_bytes()).ok(),
                prefix: prefix.to_owned(),
            },
            None => Self { method: None, prefix: text.to_owned() },
        }
    }

    pub(crate) fn matches(&self, method: &Method, target: &str) -> bool {
        self.method.as_ref().is_none_or(|m| m == method) && target.starts_with(&self.prefix)
    }
}

impl Gate {
    /// Waits until a request is held.
    pub async fn arrived(&self) -> Result<(), NeverArrived> {
        self.arrived_count(1).await
    }

    /// Waits until so many requests have come, for at most 30 seconds.
    pub async fn arrived_count(&self, expected: usize) -> Result<(), NeverArrived> {
        let mut came = self.hold.came.subscribe();
        let enough = timeout(LONGEST_ARRIVAL, came.wait_for(|n| *n >= expected)).await;
        match enough {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NeverArrived { came: self.held(), expected }),
        }
    }

    /// How many requests have come so far.
    pub fn held(&self) -> usize {
        *self.hold.came.borrow()
    }

    /// Lets all go on, and all that come later pass.
    pub fn release(&self) {
        self.rules.lock().holds.retain(|hold| !Arc::ptr_eq(hold, &self.hold));
        self.hold.released.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.release();
    }
}

impl Rules {
    pub(crate) fn add_fault(&self, pattern: &str, times: usize, fault: Fault) {
        self.lock().faults.push((Pattern::parse(pattern), times, fault));
    }

    pub(crate) fn add_delay(&self, pattern: &str, delay: Duration) {
        self.lock().delays.push((Pattern::parse(pattern), delay));
    }

    pub(crate) fn add_gate(self: &Arc<Self>, pattern: &str, stage: Stage, times: usize) -> Gate {
        let hold = Arc::new(Hold {
            pattern: Pattern::parse(pattern),
            stage,
            room: Mutex::new(times),
            came: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        self.lock().holds.push(Arc::clone(&hold));
        Gate { hold, rules: Arc::clone(self) }
    }

    /// Forgets all faults and delays; gates end with their handles.
    pub(crate) fn clear(&self) {
        let mut lists = self.lock();
        lists.faults.clear();
        lists.delays.clear();
    }

    /// The fault that is due before the body is read.
    pub(crate) fn take_early(&self, method: &Method, target: &str) -> Option<u16> {
        let early = |fault: &Fault| matches!(fault, Fault::EarlyStatus(_));
        match self.take(method, target, early)? {
            Fault::EarlyStatus(status) => Some(status),
            _ => None,
        }
    }

    /// The fault that is due once the body has been read.
    pub(crate) fn take_fault(&self, method: &Method, target: &str) -> Option<Fault> {
        self.take(method, target, |fault| !matches!(fault, Fault::EarlyStatus(_)))
    }

    /// The newest delay that matches.
    pub(crate) fn delay(&self, method: &Method, target: &str) -> Duration {
        let lists = self.lock();
        let delay = lists.delays.iter().rfind(|(pattern, _)| pattern.matches(method, target));
        delay.map_or(Duration::ZERO, |(_, delay)| *delay)
    }

    /// The first gate at this stage that still has room for the request.
    pub(crate) fn hold(&self, method: &Method, target: &str, stage: Stage) -> Option<Arc<Hold>> {
        let lists = self.lock();
        let found = lists.holds.iter().find(|hold| {
            hold.stage == stage && hold.pattern.matches(method, target) && hold.enter()
        });
        found.cloned()
    }

    fn take(
        &self,
        method: &Method,
        target: &str,
        wanted: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        let mut lists = self.lock();
        let due = lists.faults.iter_mut().find(|(pattern, times, fault)| {
            *times > 0 && wanted(fault) && pattern.matches(method, target)
        })?;
        due.1 -= 1;
        let fault = due.2.clone();
        lists.faults.retain(|(_, times, _)| *times > 0);
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Waits until the gate is released.
    pub(crate) async fn pass(&self) {
        self.came.send_modify(|n| *n += 1);
        let mut released = self.released.subscribe();
        // Both ways to fail mean that nobody holds the request any more.
        let _ = timeout(LONGEST_HOLD, released.wait_for(|released| *released)).await;
    }

    fn enter(&self) -> bool {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let free = *room > 0;
        *room = room.saturating_sub(1);
        free
    }
}
