//! Histories of readers, writers, transactions and looks over the core that runs in production.
//!
//! A history is a list of numbers, each of which moves one actor by one step; the clock is the number
//! of the step. So every order of steps can be drawn, a seed always gives the same history, and a
//! failing one is cut down to the shortest that still fails. `world` is what there is, `actors` and
//! `looks` are who moves, `panel` is what they ask, and `operator` is who changes the credentials and
//! has them reloaded meanwhile.
//!
//! `TOLLGATE_SEEDS=10000 cargo test --release watch::model` is the long form.

mod actors;
mod looks;
mod operator;
mod panel;
mod world;

use world::World;

/// A deliberate mistake in the protocol, to show that the checker sees it.
///
/// The bump before the first byte is not among them: it makes a read see a write sooner than it was
/// acknowledged, which is more than the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Nothing is bumped when the reply's head arrives.
    NoBumpOnHead,
    /// What was held ends without a bump.
    NoBumpAtTheEnd,
    /// Readers join any fetch of their key, whatever its stamp.
    NoStampInFlight,
    /// The stamp is taken after the fetch.
    LateStamp,
    /// A write that failed bumps nothing; the upstream moved `updated_at` all the same.
    NoBumpOnFailure,
    /// An outcome that nobody knows leaves no window.
    NoWindow,
    /// What waited for a transaction settles, and only then is touched what it has changed.
    SettleBeforeBump,
    /// A machine's other name is taken to be the same name.
    AliasNotLearned,
    /// A list is taken to show its first machine alone.
    ListTakenForAnItem,
    /// A write is felt by its own account alone.
    ReachForgotten,
    /// What is unsettled is kept as long as what is not.
    UnsettledForLong,
    /// Nothing is held after a 201.
    NoHold,
    /// Who wants what is newer joins a fetch that is under way.
    OlderFetchJoined,
    /// A credential that was changed goes on with its partition.
    PartitionKept,
    /// A credential that was changed has new epochs, but what was kept is found as before.
    EntriesWithoutEpochs,
    /// A new partition has epochs of its own, and none in common with others of its account.
    AccountForgotten,
    /// A reload with another secret touches nothing.
    NewSecretUnnoticed,
    /// A reload touches first what was not searched for another secret, and then puts it in force.
    TouchedTooSoon,
    /// A 401 touches nothing.
    RefusalUnnoticed,
    /// A 403 touches nothing.
    ForbiddenUnnoticed,
}

const MISTAKES: [Mistake; 20] = [
    Mistake::NoBumpOnHead,
    Mistake::NoBumpAtTheEnd,
    Mistake::NoStampInFlight,
    Mistake::LateStamp,
    Mistake::NoBumpOnFailure,
    Mistake::NoWindow,
    Mistake::SettleBeforeBump,
    Mistake::AliasNotLearned,
    Mistake::ListTakenForAnItem,
    Mistake::ReachForgotten,
    Mistake::UnsettledForLong,
    Mistake::NoHold,
    Mistake::OlderFetchJoined,
    Mistake::PartitionKept,
    Mistake::EntriesWithoutEpochs,
    Mistake::AccountForgotten,
    Mistake::NewSecretUnnoticed,
    Mistake::TouchedTooSoon,
    Mistake::RefusalUnnoticed,
    Mistake::ForbiddenUnnoticed,
];

/// Enough for several writes, their transactions, and reads before, between and after.
const STEPS: usize = 400;

/// In `./test`.
const SEEDS: u64 = 2000;

/// Numbers that look random and are the same each time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn history(seed: u64) -> Vec<u64> {
    let mut numbers = Numbers(seed);
    (0..STEPS).map(|_| numbers.next()).collect()
}

/// Every second world has an administrator that looks for all.
fn run(mistake: Mistake, seed: u64, history: &[u64]) -> Result<(), String> {
    let mut world = World::new(mistake, seed.is_multiple_of(2));
    history.iter().try_for_each(|choice| world.step(*choice))?;
    world.finish()
}

/// The shortest history that still fails: pieces are left out as long as it does, ever smaller ones,
/// and all over again until there is nothing that can be left out.
fn shortest(mistake: Mistake, seed: u64, mut history: Vec<u64>) -> Vec<u64> {
    loop {
        let before = history.len();
        let mut piece = before / 2;
        while piece > 0 {
            history = without_pieces(mistake, seed, history, piece);
            piece /= 2;
        }
        if history.len() == before {
            return history;
        }
    }
}

/// A history that still fails, without the pieces of a length that this does not need.
fn without_pieces(mistake: Mistake, seed: u64, mut history: Vec<u64>, piece: usize) -> Vec<u64> {
    let mut at = 0;
    while at < history.len() {
        let mut shorter = history.clone();
        shorter.drain(at..(at + piece).min(history.len()));
        if run(mistake, seed, &shorter).is_err() {
            history = shorter;
        } else {
            at += piece;
        }
    }
    history
}

/// What went wrong in a history, and what happened before.
fn tale(mistake: Mistake, seed: u64, history: &[u64]) -> String {
    let mut world = World::new(mistake, seed.is_multiple_of(2)).telling();
    let failed = history.iter().try_for_each(|choice| world.step(*choice));
    let failed = failed.and_then(|()| world.finish());
    format!("seed {seed}: {failed:?} after {} steps:\n{}", history.len(), world.story())
}

fn check(seeds: u64) {
    for seed in 0..seeds {
        if run(Mistake::None, seed, &history(seed)).is_err() {
            let history = shortest(Mistake::None, seed, history(seed));
            panic!("{}", tale(Mistake::None, seed, &history));
        }
    }
}

#[test]
fn no_history_breaks_a_promise() {
    let wished = std::env::var("TOLLGATE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    check(wished.unwrap_or(SEEDS));
}

#[test]
fn every_mistake_is_seen() {
    let is_seen = |mistake: &Mistake| (0..SEEDS).any(|s| run(*mistake, s, &history(s)).is_err());
    let missed: Vec<_> = MISTAKES.into_iter().filter(|mistake| !is_seen(mistake)).collect();
    assert_eq!(missed, []);
}

#[test]
fn a_failing_history_is_cut_down() {
    let mistake = Mistake::NoBumpOnHead;
    let fails = |seed: &u64| run(mistake, *seed, &history(*seed)).is_err();
    // Of several, as one of them may need the very time that a step takes up.
    let failing = (0..SEEDS).filter(fails).take(5);
    let cut = failing.map(|seed| (seed, shortest(mistake, seed, history(seed))));
    let (seed, short) = cut.min_by_key(|(_, short)| short.len()).expect("it is seen");
    assert!(short.len() < 40, "{}", tale(mistake, seed, &short));
    assert!(run(mistake, seed, &short).is_err());
}
