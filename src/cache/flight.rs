//! Single flight: equal misses become one fetch, and no read joins a fetch from before a write.
//!
//! Flights are keyed by key **and** stamp: a read that begins after a write has another stamp, so
//! it never joins a fetch that the write overtook. A burst of writes could thus start one fetch
//! after the other for the same key; beyond a few at once later readers wait together for the
//! *next* flight, whose stamp is taken when it starts, after all of them had begun.
//!
//! This is the bookkeeping only; who runs a fetch, and how its outcome is handed out, is the
//! caller's. Not moka's `get_with`: it keeps a fill that began before an invalidation, and a
//! leader that is not polled blocks its followers.

use std::{collections::HashMap, hash::Hash};

use super::coherence::Stamp;

/// Every flight under way, by key.
#[derive(Debug)]
pub struct Flights<K, H> {
    by_key: HashMap<K, OfKey<H>>,
    next_id: u64,
    most_per_key: usize,
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
    handle: H,
}

impl<K: Hash + Eq + Clone, H: Clone> Flights<K, H> {
    /// At most so many flights of one key run at once (at least one).
    pub fn new(most_per_key: usize) -> Self {
        Self { by_key: HashMap::new(), next_id: 0, most_per_key: most_per_key.max(1) }
    }

    /// Joins the flight of a key and a stamp, or begins one.
    pub fn join(&mut self, key: &K, stamp: &Stamp, handle: impl FnOnce() -> H) -> Join<H> {
        let id = self.next_id;
        self.next_id += 1;
        let of_key = self
            .by_key
            .entry(key.clone())
            .or_insert_with(|| OfKey { running: Vec::new(), next: None });
        if let Some(flight) = of_key.running.iter().find(|f| f.stamp == *stamp) {
            return Join::Share(flight.handle.clone());
        }
        if of_key.running.len() < self.most_per_key {
            let handle = handle();
            let flight = Flight { id, stamp: stamp.clone(), handle: handle.clone() };
            of_key.running.push(flight);
            return Join::Lead(id, handle);
        }
        match &of_key.next {
            Some((_, handle)) => Join::Share(handle.clone()),
            None => {
                let handle = handle();
                of_key.next = Some((id, handle.clone()));
                Join::LeadNext(id, handle)
            }
        }
    }

    /// A flight has ended. When others wait for the next one, it begins now: under the stamp that
    /// `restamp` takes, and its handle is returned so that its leader can be told.
    pub fn finish(
        &mut self,
        key: &K,
        id: u64,
        restamp: impl FnOnce() -> Stamp,
    ) -> Option<(H, Stamp)> {
        let of_key = self.by_key.get_mut(key)?;
        of_key.running.retain(|f| f.id != id);
        if of_key.next.as_ref().is_some_and(|(next, _)| *next == id) {
            // Its leader went before its turn came.
            of_key.next = None;
        }
        let next = of_key.next.take_if(|_| of_key.running.len() < self.most_per_key);
        let started = next.map(|(id, handle)| {
            let stamp = restamp();
            of_key.running.push(Flight { id, stamp: stamp.clone(), handle: handle.clone() });
            (handle, stamp)
        });
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

    #[test]
    fn equal_readers_share_and_others_do_not() {
        let stamps = stamps(2);
        let mut flights = Flights::new(4);
        assert_eq!(flights.join(&"k", &stamps[0], || 'a'), Join::Lead(0, 'a'));
        assert_eq!(flights.join(&"k", &stamps[0], || 'b'), Join::Share('a'));
        assert_eq!(flights.join(&"k", &stamps[1], || 'c'), Join::Lead(2, 'c'));
        assert_eq!(flights.join(&"other", &stamps[0], || 'd'), Join::Lead(3, 'd'));
    }

    #[test]
    fn beyond_the_bound_readers_wait_for_the_next() {
        let stamps = stamps(4);
        let mut flights = Flights::new(1);
        assert_eq!(flights.join(&"k", &stamps[0], || 'a'), Join::Lead(0, 'a'));
        assert_eq!(flights.join(&"k", &stamps[1], || 'b'), Join::LeadNext(1, 'b'));
        assert_eq!(flights.join(&"k", &stamps[2], || 'c'), Join::Share('b'));
        let started = flights.finish(&"k", 0, || stamps[3].clone());
        assert_eq!(started, Some(('b', stamps[3].clone())));
        // The next runs under the stamp of its start, so who begins now may join it.
        assert_eq!(flights.join(&"k", &stamps[3], || 'd'), Join::Share('b'));
        assert_eq!(flights.finish(&"k", 1, Stamp::empty), None);
        assert!(flights.is_empty());
    }

    #[test]
    fn a_next_whose_leader_went_is_forgotten() {
        let stamps = stamps(2);
        let mut flights = Flights::new(1);
        flights.join(&"k", &stamps[0], || 'a');
        assert_eq!(flights.join(&"k", &stamps[1], || 'b'), Join::LeadNext(1, 'b'));
        assert_eq!(flights.finish(&"k", 1, Stamp::empty), None);
        assert_eq!(flights.join(&"k", &stamps[1], || 'c'), Join::LeadNext(2, 'c'));
    }
}
