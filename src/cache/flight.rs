//! Single flight: equal misses become one fetch, and no read joins a fetch from before a write.
//!
//! Flights are keyed by key **and** stamp: a read that begins after a write has another stamp, so
//! it never joins a fetch that the write overtook. A burst of writes could thus start one fetch
//! after the other for the same key; beyond a few at once later readers wait together for the
//! *next* flight, whose stamp is taken when it starts, after all of them had begun.
//!
//! A reader that will not be shown what is older than itself, or than so many seconds, joins no flight
//! that began before that; it waits for the next one, too. So of one key and stamp one flight follows
//! the other, and what a reader was shown is never replaced by what was asked for before.
//!
//! This is the bookkeeping only; who runs a fetch, and how its outcome is handed out, is the
//! caller's. Not moka's `get_with`: it keeps a fill that began before an invalidation, and a
//! leader that is not polled blocks its followers.

use std::{collections::HashMap, hash::Hash};

use super::{coherence::Stamp, directives::is_within};

/// Every flight under way, by key.
#[derive(Debug)]
pub struct Flights<K, H> {
    by_key: HashMap<K, OfKey<H>>,
    next_id: u64,
    most_per_key: usize,
}

/// Who wants to join a flight.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The epochs when it began.
    pub stamp: &'a Stamp,
    /// The time, in milliseconds.
    pub now: u64,
    /// For how many seconds at most a flight may be under way that it joins; zero is for none.
    pub max_age: Option<u64>,
}

/// The part that a reader has in a flight.
#[derive(Debug, PartialEq, Eq)]
pub enum Join<H> {
    /// The first: it starts the fetch and reports its end by the number.
    Lead(u64, H),
    /// The first of those who wait for the next flight: it starts the fetch when the flight's
    /// turn comes, and reports its end by the number.
    LeadNext(u64, H),
    /// One of those who share the outcome.
    Share(H),
    /// The same, of the next flight, whose turn has come: its leader has to be told, and the stamp.
    ShareStarted(H, Stamp),
}

#[derive(Debug)]
struct OfKey<H> {
    running: Vec<Flight<H>>,
    next: Option<(u64, H)>,
}

#[derive(Debug)]
struct Flight<H> {
    id: u64,
    stamp: Stamp,
    began: u64,
    handle: H,
}

impl<K: Hash + Eq + Clone, H: Clone> Flights<K, H> {
    /// At most so many flights of one key run at once (at least one).
    pub fn new(most_per_key: usize) -> Self {
        Self { by_key: HashMap::new(), next_id: 0, most_per_key: most_per_key.max(1) }
    }

    /// Joins the flight of a key and a stamp, or begins one. `restamp` takes the stamp for the next
    /// flight if it begins now.
    pub fn join(
        &mut self,
        key: &K,
        reader: Reader<'_>,
        restamp: impl FnOnce() -> Stamp,
        handle: impl FnOnce() -> H,
    ) -> Join<H> {
        let Reader { stamp, now, max_age } = reader;
        let id = self.next_id;
        self.next_id += 1;
        let of_key = self
            .by_key
            .entry(key.clone())
            .or_insert_with(|| OfKey { running: Vec::new(), next: None });
        let same = of_key.running.iter().find(|f| f.stamp == *stamp);
        let will_do = |f: &&Flight<H>| max_age.is_none_or(|most| is_within(f.began, most, now));
        if let Some(flight) = same.filter(will_do) {
            return Join::Share(flight.handle.clone());
        }
        let first = same.is_none();
        if let Some((handle, stamp)) = of_key.start_next(self.most_per_key, now, restamp) {
            return Join::ShareStarted(handle, stamp);
        }
        // Nobody overtakes those who wait, or they might wait for ever.
        if let Some((_, handle)) = &of_key.next {
            return Join::Share(handle.clone());
        }
        let handle = handle();
        if first && of_key.running.len() < self.most_per_key {
            of_key.running.push(Flight {
                id,
                stamp: stamp.clone(),
                began: now,
                handle: handle.clone(),
            });
            return Join::Lead(id, handle);
        }
        of_key.next = Some((id, handle.clone()));
        Join::LeadNext(id, handle)
    }

    /// A flight has ended. When others wait for the next one, it begins now: under the stamp that
    /// `restamp` takes, and its handle is returned so that its leader can be told.
    pub fn finish(
        &mut self,
        key: &K,
        id: u64,
        now: u64,
        restamp: impl FnOnce() -> Stamp,
    ) -> Option<(H, Stamp)> {
        let of_key = self.by_key.get_mut(key)?;
        of_key.running.retain(|f| f.id != id);
        if of_key.next.as_ref().is_some_and(|(next, _)| *next == id) {
            // Its leader went before its turn came.
            of_key.next = None;
        }
        let started = of_key.start_next(self.most_per_key, now, restamp);
        if of_key.running.is_empty() && of_key.next.is_none() {
            self.by_key.remove(key);
        }
        started
    }

    /// How many keys have a flight under way.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

impl<H: Clone> OfKey<H> {
    /// The next flight begins, if there is room for it, and none under way has its stamp.
    fn start_next(
        &mut self,
        most: usize,
        now: u64,
        restamp: impl FnOnce() -> Stamp,
    ) -> Option<(H, Stamp)> {
        if self.next.is_none() || self.running.len() >= most {
            return None;
        }
        let stamp = restamp();
        if self.running.iter().any(|f| f.stamp == stamp) {
            return None;
        }
        let (id, handle) = self.next.take()?;
        let flight = Flight { id, stamp: stamp.clone(), began: now, handle: handle.clone() };
        self.running.push(flight);
        Some((handle, stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::families::FamilySet,
        cache::coherence::{Change, Epochs, View},
    };

    fn stamps(count: usize) -> Vec<Stamp> {
        let epochs: Epochs = Epochs::new(1, FamilySet::EMPTY);
        let family = FamilySet::one(0);
        let stamp = |_| {
            epochs.touch(Change::whole(family));
            let mut stamp = Stamp::empty();
            epochs.stamp(View::of(family), &mut stamp);
            stamp
        };
        (0..count).map(stamp).collect()
    }

    /// A reader that takes whatever flight there is.
    fn join(
        flights: &mut Flights<&'static str, char>,
        key: &'static str,
        stamp: &Stamp,
        handle: char,
    ) -> Join<char> {
        let reader = Reader { stamp, now: 0, max_age: None };
        flights.join(&key, reader, || stamp.clone(), || handle)
    }

    #[test]
    fn equal_readers_share_and_others_do_not() {
        let stamps = stamps(2);
        let mut flights = Flights::new(4);
        assert_eq!(join(&mut flights, "k", &stamps[0], 'a'), Join::Lead(0, 'a'));
        assert_eq!(join(&mut flights, "k", &stamps[0], 'b'), Join::Share('a'));
        assert_eq!(join(&mut flights, "k", &stamps[1], 'c'), Join::Lead(2, 'c'));
        assert_eq!(join(&mut flights, "other", &stamps[0], 'd'), Join::Lead(3, 'd'));
    }

    #[test]
    fn beyond_the_bound_readers_wait_for_the_next() {
        let stamps = stamps(4);
        let mut flights = Flights::new(1);
        assert_eq!(join(&mut flights, "k", &stamps[0], 'a'), Join::Lead(0, 'a'));
        assert_eq!(join(&mut flights, "k", &stamps[1], 'b'), Join::LeadNext(1, 'b'));
        assert_eq!(join(&mut flights, "k", &stamps[2], 'c'), Join::Share('b'));
        let started = flights.finish(&"k", 0, 0, || stamps[3].clone());
        assert_eq!(started, Some(('b', stamps[3].clone())));
        // The next runs under the stamp of its start, so who begins now may join it.
        assert_eq!(join(&mut flights, "k", &stamps[3], 'd'), Join::Share('b'));
        assert_eq!(flights.finish(&"k", 1, 0, Stamp::empty), None);
        assert!(flights.is_empty());
    }

    #[test]
    fn a_next_whose_leader_went_is_forgotten() {
        let stamps = stamps(2);
        let mut flights = Flights::new(1);
        join(&mut flights, "k", &stamps[0], 'a');
        assert_eq!(join(&mut flights, "k", &stamps[1], 'b'), Join::LeadNext(1, 'b'));
        assert_eq!(flights.finish(&"k", 1, 0, Stamp::empty), None);
        assert_eq!(join(&mut flights, "k", &stamps[1], 'c'), Join::LeadNext(2, 'c'));
    }

    #[test]
    fn who_wants_what_is_newer_waits_for_the_next_though_there_is_room() {
        let stamp = &stamps(1)[0];
        let mut flights = Flights::new(4);
        let mut join = |max_age, now, handle| {
            flights.join(&"k", Reader { stamp, now, max_age }, || stamp.clone(), || handle)
        };
        assert_eq!(join(Some(0), 1000, 'a'), Join::Lead(0, 'a'));
        assert_eq!(join(None, 9000, 'b'), Join::Share('a'));
        assert_eq!(join(Some(2), 3000, 'c'), Join::Share('a'));
        // Even within the same millisecond nobody knows which came first.
        assert_eq!(join(Some(0), 1000, 'd'), Join::LeadNext(3, 'd'));
        assert_eq!(join(Some(2), 3001, 'e'), Join::Share('d'));
        assert_eq!(join(Some(0), 3001, 'f'), Join::Share('d'));
        // Everybody else goes on with what is under way.
        assert_eq!(join(None, 3001, 'g'), Join::Share('a'));
        let started = flights.finish(&"k", 0, 4000, || stamp.clone());
        assert_eq!(started, Some(('d', stamp.clone())));
        let late = Reader { stamp, now: 4000, max_age: Some(0) };
        let joined = flights.join(&"k", late, || stamp.clone(), || 'h');
        assert_eq!(joined, Join::LeadNext(7, 'h'));
    }

    #[test]
    fn who_waits_is_not_overtaken_and_begins_once_nothing_has_its_stamp() {
        let stamps = stamps(3);
        let mut flights = Flights::new(4);
        join(&mut flights, "k", &stamps[0], 'a');
        let anew = Reader { stamp: &stamps[0], now: 0, max_age: Some(0) };
        let joined = flights.join(&"k", anew, || stamps[0].clone(), || 'b');
        assert_eq!(joined, Join::LeadNext(1, 'b'));
        // After a write it need not wait any longer, and whoever comes first sees to that.
        let later = join(&mut flights, "k", &stamps[1], 'c');
        assert_eq!(later, Join::ShareStarted('b', stamps[1].clone()));
        let anew = Reader { stamp: &stamps[1], ..anew };
        let joined = flights.join(&"k", anew, || stamps[1].clone(), || 'd');
        assert_eq!(joined, Join::LeadNext(3, 'd'));
        // The end of another flight changes nothing for it.
        assert_eq!(flights.finish(&"k", 0, 0, || stamps[1].clone()), None);
        let started = flights.finish(&"k", 1, 0, || stamps[1].clone());
        assert_eq!(started, Some(('d', stamps[1].clone())));
    }
}
