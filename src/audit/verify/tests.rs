//! Chains that were tampered with, one way after another.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::*;
use crate::{
    audit::{
        chain::Hash,
        event::{Action, Actor, ActorKind, Decision, Event},
        head::Signer,
    },
    vocabulary::Closed as _,
};

/// What stands in a store.
#[derive(Clone, Debug)]
struct Log {
    links: Vec<Link>,
    heads: Vec<Head>,
    checkpoint: Option<Checkpoint>,
}

/// What is done to a log.
type Tampering = fn(&mut Log);

const CHAIN: &str = "main";
const OTHER: &str = "other";
const SEED: [u8; 32] = [7; 32];

/// To a log of six links with heads at the second and the fourth.
const LINKS: &[(&str, Tampering, Broken)] = &[
    ("an event", |log| log.links[2].event.push(' '), Broken::Altered(3)),
    ("a time", |log| log.links[2].time += 1, Broken::Altered(3)),
    ("a number", |log| log.links[2].sequence = 9, Broken::Altered(3)),
    ("a chain", |log| log.links[2].chain.push('s'), Broken::Altered(3)),
    ("a previous hash", |log| log.links[2].previous = log.links[0].hash, Broken::Altered(3)),
    ("a hash", |log| log.links[2].hash = log.links[0].hash, Broken::Altered(3)),
    ("the last link's time", |log| log.links[5].time += 1, Broken::Altered(6)),
    ("an event and its hash", |log| rewrite(&mut log.links[2]), Broken::Unchained(4)),
    ("a signed link", |log| rewrite(&mut log.links[1]), Broken::HeadMismatch(2)),
    (
        "a link and all hashes that follow",
        |log| {
            log.links[2].event.push(' ');
            chain_anew(&mut log.links);
        },
        Broken::HeadMismatch(4),
    ),
    ("one removed", |log| drop(log.links.remove(2)), Broken::Missing(3)),
    ("two removed", |log| drop(log.links.drain(2..4)), Broken::Missing(3)),
    (
        "the first removed",
        |log| drop(log.links.remove(0)),
        Broken::Detached { sequence: 1, found: 2 },
    ),
    (
        "one removed, and the others numbered anew",
        |log| {
            drop(log.links.remove(2));
            chain_anew(&mut log.links);
        },
        Broken::HeadMismatch(4),
    ),
    ("two swapped", |log| log.links.swap(2, 4), Broken::OutOfOrder(3)),
    ("two neighbors swapped", |log| log.links.swap(2, 3), Broken::OutOfOrder(3)),
    (
        "the first two swapped",
        |log| log.links.swap(0, 1),
        Broken::Detached { sequence: 1, found: 2 },
    ),
    ("one repeated", |log| log.links.insert(3, log.links[2].clone()), Broken::OutOfOrder(3)),
    ("an older one at the end", |log| log.links.push(log.links[2].clone()), Broken::OutOfOrder(3)),
    ("one of another chain", |log| log.links[2] = links(OTHER)[2].clone(), Broken::OtherChain(3)),
    ("one of another chain, renamed", |log| log.links[2] = renamed(2), Broken::Unchained(3)),
    (
        "the first of another chain, renamed",
        |log| log.links[0] = renamed(0),
        Broken::Detached { sequence: 1, found: 1 },
    ),
    ("a signed end cut off", |log| log.links.truncate(3), Broken::CutOff { sequence: 4, head: 4 }),
    ("all removed", |log| log.links.clear(), Broken::CutOff { sequence: 1, head: 2 }),
];

/// To the same log.
const HEADS: &[(&str, Tampering, Broken)] = &[
    ("a signature", |log| log.heads[0].signature[9] ^= 1, Broken::HeadForged(2)),
    ("a time", |log| log.heads[0].time += 1, Broken::HeadForged(2)),
    ("a hash", |log| log.heads[0].hash = log.links[0].hash, Broken::HeadForged(2)),
    ("a number", |log| log.heads[0].sequence = 1, Broken::HeadForged(1)),
    ("a number beyond the end", |log| log.heads[1].sequence = 9, Broken::HeadForged(9)),
    (
        "a head of another key",
        |log| log.heads[1] = Signer::from_seed(&[8; 32]).sign(&Tail::of(&log.links[3]), 5),
        Broken::HeadForged(4),
    ),
    (
        "a checkpoint's signature",
        |log| log.heads[1].signature = signer().checkpoint(&log.heads[1].tail(), 5).signature,
        Broken::HeadForged(4),
    ),
    (
        "a head of another chain",
        |log| log.heads[0] = signer().sign(&Tail::of(&links(OTHER)[1]), 5),
        Broken::HeadOfAnotherChain(2),
    ),
    (
        "a head of another past",
        |log| {
            let fork = Tail { hash: log.links[0].hash, ..tail(2) };
            log.heads.push(signer().sign(&fork, 5));
        },
        Broken::HeadMismatch(2),
    ),
    (
        "a head of a link that is gone",
        |log| {
            log.heads.push(signer().sign(&Tail::of(&log.links[5]), 5));
            log.links.truncate(5);
        },
        Broken::CutOff { sequence: 6, head: 6 },
    ),
];

/// To the same log after its first three links were deleted.
const CHECKPOINTS: &[(&str, Tampering, Broken)] = &[
    ("none", |log| log.checkpoint = None, Broken::Detached { sequence: 1, found: 4 }),
    (
        "an older one",
        |log| log.checkpoint = checkpoint(2),
        Broken::Detached { sequence: 3, found: 4 },
    ),
    (
        "a later one",
        |log| log.checkpoint = checkpoint(4),
        Broken::Detached { sequence: 5, found: 4 },
    ),
    ("one link less", |log| drop(log.links.remove(0)), Broken::Detached { sequence: 4, found: 5 }),
    (
        "another hash",
        |log| log.checkpoint = signed(&Tail { hash: log.links[1].hash, ..tail(3) }),
        Broken::Detached { sequence: 4, found: 4 },
    ),
    (
        "another hash, not signed",
        |log| {
            let hash = log.links[1].hash;
            log.checkpoint = checkpoint(3).map(|it| Checkpoint { hash, ..it });
        },
        Broken::Checkpoint(3),
    ),
    (
        "a head's signature",
        |log| {
            let signature = signer().sign(&tail(3), 5).signature;
            log.checkpoint = checkpoint(3).map(|it| Checkpoint { signature, ..it });
        },
        Broken::Checkpoint(3),
    ),
    (
        "one of another chain",
        |log| log.checkpoint = signed(&Tail::of(&links(OTHER)[2])),
        Broken::Checkpoint(3),
    ),
    ("all links gone", |log| log.links.clear(), Broken::CutOff { sequence: 4, head: 4 }),
];

fn signer() -> Signer {
    Signer::from_seed(&SEED)
}

/// Events in a chain.
fn chained(chain: &str, events: &[(i64, Event)]) -> Vec<Link> {
    let mut tail = Tail::start(chain);
    let append = |(time, event): &(i64, Event)| {
        let link = tail.append(*time, event);
        tail = Tail::of(&link);
        link
    };
    events.iter().map(append).collect()
}

/// Six links.
fn links(chain: &str) -> Vec<Link> {
    let event = Event::new(Actor::unnamed(ActorKind::Server), Action::Purge, Decision::Done);
    chained(chain, &[1, 2, 3, 4, 5, 6].map(|time| (time, event.clone())))
}

/// Where the log ends after so many links.
fn tail(sequence: usize) -> Tail {
    Tail::of(&links(CHAIN)[sequence - 1])
}

fn signed(tail: &Tail) -> Option<Checkpoint> {
    Some(signer().checkpoint(tail, 5))
}

fn checkpoint(sequence: usize) -> Option<Checkpoint> {
    signed(&tail(sequence))
}

/// Six links with heads at the second and the fourth.
fn whole() -> Log {
    let heads = [2, 4].map(|sequence| signer().sign(&tail(sequence), 5));
    Log { links: links(CHAIN), heads: heads.into(), checkpoint: None }
}

/// The same, after retention.
fn kept() -> Log {
    Log { links: links(CHAIN).split_off(3), checkpoint: checkpoint(3), ..whole() }
}

/// Changes a link as whoever knows the rules would.
fn rewrite(link: &mut Link) {
    link.event.push(' ');
    link.hash = link.digest();
}

/// Gives all links numbers and hashes that fit.
fn chain_anew(links: &mut [Link]) {
    let mut tail = Tail::start(CHAIN);
    for link in links {
        link.sequence = tail.sequence + 1;
        link.previous = tail.hash;
        link.hash = link.digest();
        tail = Tail::of(link);
    }
}

/// A link of the other chain that says it is one of this chain.
fn renamed(place: usize) -> Link {
    let link = Link { chain: CHAIN.to_owned(), ..links(OTHER)[place].clone() };
    Link { hash: link.digest(), ..link }
}

fn verdict(log: &Log) -> Result<Report, Broken> {
    let verifier = Verifier::from_public_key(signer().public_key().as_bytes()).expect("a key");
    let mut heads = log.heads.clone();
    heads.sort_by_key(|head| head.sequence);
    verify(CHAIN, log.links.clone(), heads, log.checkpoint.as_ref(), &verifier)
}

fn check(log: &Log, cases: &[(&str, Tampering, Broken)]) {
    for (name, tamper, expected) in cases {
        let mut log = log.clone();
        assert!(verdict(&log).is_ok(), "before {name}");
        tamper(&mut log);
        assert_eq!(verdict(&log), Err(*expected), "{name}");
    }
}

#[test]
fn a_whole_chain_is_reported() {
    let expected = Report { first: 1, last: 6, links: 6, heads_checked: 2, signed_up_to: Some(4) };
    assert_eq!(verdict(&whole()), Ok(expected));
    let unsigned = Log { heads: Vec::new(), ..whole() };
    let expected = Report { heads_checked: 0, signed_up_to: None, ..expected };
    assert_eq!(verdict(&unsigned), Ok(expected));
}

#[test]
fn an_empty_chain_is_whole() {
    let heads = vec![signer().sign(&Tail::start(CHAIN), 5)];
    let log = Log { links: Vec::new(), heads, checkpoint: None };
    let expected = Report { first: 1, last: 0, links: 0, heads_checked: 0, signed_up_to: None };
    assert_eq!(verdict(&log), Ok(expected));
}

#[test]
fn what_retention_leaves_is_whole() {
    let expected = Report { first: 4, last: 6, links: 3, heads_checked: 1, signed_up_to: Some(4) };
    assert_eq!(verdict(&kept()), Ok(expected));
    let mut old = kept();
    old.heads[0].signature[0] ^= 1;
    assert_eq!(verdict(&old), Ok(expected), "a head before the first link is passed over");
}

#[test]
fn a_chain_goes_on_after_all_of_it_was_deleted() {
    let mut log = Log { links: Vec::new(), checkpoint: checkpoint(6), ..whole() };
    let expected = Report { first: 7, last: 6, links: 0, heads_checked: 0, signed_up_to: Some(6) };
    assert_eq!(verdict(&log), Ok(expected));
    let event = Event::new(Actor::unnamed(ActorKind::Server), Action::Purge, Decision::Done);
    log.links.extend(log.checkpoint.as_ref().map(|it| it.tail().append(7, &event)));
    let expected = Report { last: 7, links: 1, ..expected };
    assert_eq!(verdict(&log), Ok(expected));
}

#[test]
fn every_change_of_links_is_named() {
    check(&whole(), LINKS);
}

#[test]
fn every_change_of_heads_is_named() {
    check(&whole(), HEADS);
}

#[test]
fn every_change_of_a_checkpoint_is_named() {
    check(&kept(), CHECKPOINTS);
}

/// What no chain can show; the module says so.
#[test]
fn what_no_head_covers_can_be_cut_off_or_replaced() {
    let mut cut = whole();
    cut.links.truncate(4);
    assert_eq!(verdict(&cut).map(|report| report.last), Ok(4));
    let mut replaced = whole();
    rewrite(&mut replaced.links[5]);
    assert_eq!(verdict(&replaced).map(|report| report.signed_up_to), Ok(Some(4)));
}

#[test]
fn what_is_broken_says_where() {
    for (name, _, broken) in LINKS.iter().chain(HEADS).chain(CHECKPOINTS) {
        let sequence = broken.sequence().to_string();
        assert!(broken.to_string().contains(&sequence), "{name}: {broken}");
    }
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let lists = (select(ActorKind::ALL), select(Action::ALL), select(Decision::ALL));
    let event = (lists, any::<String>(), any::<i64>());
    let event = event.prop_map(|((kind, action, decision), name, time)| {
        let actor = Actor::named(kind, &name);
        (time, Event { object: Some(name.into()), ..Event::new(actor, action, decision) })
    });
    vec(event, 1..10)
}

/// A random log, signed at one of its links.
fn logs() -> impl Strategy<Value = Log> {
    (events(), any::<Index>()).prop_map(|(events, at)| {
        let links = chained(CHAIN, &events);
        let heads = vec![signer().sign(&Tail::of(at.get(&links)), 5)];
        Log { links, heads, checkpoint: None }
    })
}

/// Changes one field of a link; `by` is not 0.
fn change(link: &mut Link, field: usize, by: u8) {
    let flipped = |hash: Hash| {
        let mut bytes = *hash.as_bytes();
        let at = usize::from(by) % bytes.len();
        bytes[at] ^= by;
        Hash::from_bytes(&bytes).expect("32 bytes")
    };
    match field {
        0 => link.chain.push(char::from(by)),
        1 => link.sequence = link.sequence.wrapping_add(u64::from(by)),
        2 => link.time = link.time.wrapping_add(i64::from(by)),
        3 => link.event.push(char::from(by)),
        4 => link.previous = flipped(link.previous),
        _ => link.hash = flipped(link.hash),
    }
}

proptest! {
    #[test]
    fn any_chain_verifies(log in logs()) {
        let report = verdict(&log);
        prop_assert_eq!(report.map(|report| report.links), Ok(log.links.len() as u64));
        prop_assert_eq!(report.map(|report| report.signed_up_to), Ok(Some(log.heads[0].sequence)));
    }

    #[test]
    fn any_change_is_found(
        mut log in logs(), at in any::<Index>(), field in 0..6_usize, by in 1..=u8::MAX,
    ) {
        let at = at.index(log.links.len());
        change(&mut log.links[at], field, by);
        prop_assert_eq!(verdict(&log), Err(Broken::Altered(at as u64 + 1)));
    }

    #[test]
    fn any_removal_is_found_except_of_an_end_without_a_head(
        mut log in logs(), at in any::<Index>(),
    ) {
        let gone = log.links.remove(at.index(log.links.len())).sequence;
        let unseen = gone > log.links.len() as u64 && gone > log.heads[0].sequence;
        prop_assert_eq!(verdict(&log).is_ok(), unseen, "link {}", gone);
    }

    #[test]
    fn any_swap_is_found(mut log in logs(), one in any::<Index>(), other in any::<Index>()) {
        let [one, other] = [one, other].map(|at| at.index(log.links.len()));
        prop_assume!(one != other);
        log.links.swap(one, other);
        let first = one.min(other) as u64 + 1;
        prop_assert_eq!(verdict(&log).map_err(Broken::sequence), Err(first));
    }
}
