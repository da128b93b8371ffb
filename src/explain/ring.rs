//! The latest decisions, a bounded number of them, in memory that was taken once.
//!
//! Every request writes one, so the ring is in parts: a thread writes to its own and waits for none.
//! Who looks for one looks at all parts.
//!
//! The place of the oldest has left every cache of the processor, and a request that writes there waits
//! for the memory, at the latest when it lets go of the lock. So some are gathered first, where the last
//! ones stood a moment ago, and go to their places together.

use std::{
    cell::Cell,
    num::NonZeroUsize,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::Decision;
use crate::record::RequestId;

/// The latest decisions.
#[derive(Debug)]
pub struct Ring {
    parts: Box<[Mutex<Part>]>,
    /// How many a part holds.
    room: usize,
    /// How many of them it gathers.
    gathers: usize,
}

#[derive(Debug, Default)]
struct Part {
    /// The latest.
    gathered: Vec<Decision>,
    /// Those before.
    decisions: Vec<Decision>,
    /// Where the next one goes once there is no more room: the oldest stands there.
    next: usize,
}

/// So many are gathered.
const GATHERED: usize = 16;

thread_local! {
    static PART: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Ring {
    /// Remembers so many, or a few less; 0 none.
    pub fn new(most: usize) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::in_parts(most, threads.min(MOST_PARTS))
    }

    fn in_parts(most: usize, parts: usize) -> Self {
        let part = || Mutex::new(Part::default());
        let parts: Box<[_]> = (0..parts.clamp(1, most.max(1))).map(|_| part()).collect();
        let room = most / parts.len();
        // Where there are few in all, a few less would be too few.
        let gathers = if room < GATHERED * GATHERED { 1 } else { GATHERED };
        Self { parts, room, gathers }
    }

    /// Remembers one, in place of the oldest. It is made where it will stand.
    pub fn push(&self, decision: impl FnOnce() -> Decision) {
        if self.room == 0 {
            return;
        }
        let mut part = lock(&self.parts[own_part() % self.parts.len()]);
        if part.gathered.len() >= self.gathers {
            part.put_away(self.room - self.gathers);
        }
        part.gathered.push(decision());
    }

    /// The decision about a request, if it is still remembered.
    pub fn find(&self, id: RequestId) -> Option<Decision> {
        self.parts.iter().find_map(|part| {
            let part = lock(part);
            let mut all = part.gathered.iter().chain(&part.decisions);
            all.find(|decision| decision.id == id).copied()
        })
    }
}

impl Part {
    /// Puts what was gathered where the oldest stand, if so many have no more room.
    fn put_away(&mut self, room: usize) {
        // Without room there is nothing to do but forget.
        let mut rest = if room > 0 { &*self.gathered } else { &[] };
        while !rest.is_empty() {
            let free = room - self.decisions.len();
            if free > 0 {
                let (first, behind) = rest.split_at(rest.len().min(free));
                self.decisions.extend_from_slice(first);
                rest = behind;
            } else {
                let (first, behind) = rest.split_at(rest.len().min(room - self.next));
                self.decisions[self.next..][..first.len()].copy_from_slice(first);
                self.next = (self.next + first.len()) % room;
                rest = behind;
            }
        }
        self.gathered.clear();
    }
}

/// More parts than this are not needed for threads not to meet.
const MOST_PARTS: usize = 64;

/// The number of this thread among those that have asked.
fn own_part() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    PART.with(|part| {
        part.get().unwrap_or_else(|| {
            let own = THREADS.fetch_add(1, Ordering::Relaxed);
            part.set(Some(own));
            own
        })
    })
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use http::{Method, StatusCode};

    use super::*;
    use crate::{record::Record, vocabulary::Protocol};

    fn push(ring: &Ring) -> RequestId {
        let client = IpAddr::from([127, 0, 0, 1]);
        let id = RequestId::next(3);
        let record = Record::new(id, client, Protocol::Http1, Method::GET);
        ring.push(|| Decision::new(&record, StatusCode::OK, Duration::ZERO));
        id
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let ring = Ring::in_parts(3, 1);
        let ids: Vec<_> = (0..5).map(|_| push(&ring)).collect();
        let found: Vec<_> = ids.iter().map(|id| ring.find(*id).is_some()).collect();
        assert_eq!(found, [false, false, true, true, true]);
    }

    #[test]
    fn where_there_is_room_for_one_it_is_the_latest() {
        let ring = Ring::in_parts(1, 1);
        let [before, latest] = [push(&ring), push(&ring)];
        assert!(ring.find(latest).is_some() && ring.find(before).is_none());
    }

    #[test]
    fn of_many_the_latest_are_remembered_but_for_a_few() {
        // Of the second one the room is no multiple of what is gathered.
        for room in [GATHERED * GATHERED, GATHERED * GATHERED + 7] {
            let ring = Ring::in_parts(room, 1);
            let mut ids = Vec::new();
            for more in [room + 5, room, room] {
                ids.extend((0..more).map(|_| push(&ring)));
                let missing = ids.iter().rposition(|id| ring.find(*id).is_none());
                let missing = missing.expect("the oldest");
                let found = ids.len() - 1 - missing;
                assert!((room - GATHERED..=room).contains(&found), "{found} of {room}");
                let older = ids[..missing].iter().any(|id| ring.find(*id).is_some());
                assert!(!older, "one after the other, of {room}");
            }
        }
    }

    #[test]
    fn every_thread_is_looked_at() {
        let ring = Ring::in_parts(64, 4);
        let ids: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| push(&ring))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|id| ring.find(*id).is_some()));
    }

    #[test]
    fn none_is_remembered_where_none_should_be() {
        let ring = Ring::new(0);
        let id = push(&ring);
        assert!(ring.find(id).is_none());
    }
}
