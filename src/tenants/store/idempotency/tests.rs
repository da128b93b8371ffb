//! Servers that die at any step, on a real store: nothing is sent twice, nobody is given the answer of
//! another request, and no answer that was written is lost.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{idempotency::Verdict, tenants::fixture::Fixture};

const RETENTION: i64 = 1000;
const LEASE: i64 = 100;

fn mac(number: u64) -> Mac {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Mac::from_bytes(&bytes).expect("a MAC")
}

fn slot(number: u64) -> Slot {
    Slot { tenant: 1, credential: 1, mac: mac(number) }
}

fn wish(print: u64, now: i64) -> Wish {
    Wish {
        print: mac(print),
        first: 9,
        now,
        lease: now + LEASE,
        expires: now + RETENTION,
        most: 1000,
        key_id: "k".to_owned(),
    }
}

fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key that is long enough");
    fixture
}

/// What can happen; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    /// A request with a key and a body comes to a server.
    Ask { key: u64, body: u64 },
    /// A server whose request has its key sends it.
    Send(usize),
    /// It turns out that the request cannot be sent.
    Refuse(usize),
    /// The answer comes, and is written.
    Answer(usize),
    /// The answer comes, and the server dies before it is written.
    AnswerAndDie(usize),
    /// No answer comes.
    Lose(usize),
    /// The server dies, whatever it is at.
    Die(usize),
    /// The store is closed and opened.
    Reopen,
    /// Time passes.
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any_one = 0..8_usize;
    let step = prop_oneof![
        6 => (0..2_u64, 0..2_u64).prop_map(|(key, body)| Step::Ask { key, body }),
        4 => any_one.clone().prop_map(Step::Send),
        2 => any_one.clone().prop_map(Step::Refuse),
        3 => any_one.clone().prop_map(Step::Answer),
        1 => any_one.clone().prop_map(Step::AnswerAndDie),
        1 => any_one.clone().prop_map(Step::Lose),
        2 => any_one.prop_map(Step::Die),
        1 => Just(Step::Reopen),
        2 => prop_oneof![2 => Just(LEASE / 2), 3 => Just(LEASE), 1 => Just(RETENTION)].prop_map(Step::Pass),
    ];
    vec(step, 1..160)
}

/// A request that has its key.
struct Attempt {
    slot: Slot,
    body: u64,
    row: i64,
    claimed: i64,
    sent: bool,
}

/// What the world knows, and no server needs to.
struct World {
    attempts: Vec<Attempt>,
    /// When a key was claimed under which something was sent.
    sent: HashMap<Slot, i64>,
    /// What was answered and written: from when on, to what, and the answer.
    answers: HashMap<Slot, (i64, u64, Bytes)>,
    now: i64,
}

impl World {
    fn take(&mut self, number: usize, sent: bool) -> Option<Attempt> {
        let fitting: Vec<usize> =
            (0..self.attempts.len()).filter(|at| self.attempts[*at].sent == sent).collect();
        let at = *fitting.get(number % fitting.len().max(1))?;
        Some(self.attempts.remove(at))
    }

    fn ask(&mut self, store: &mut Store, slot: Slot, body: u64) -> Result<(), TestCaseError> {
        let known = self.answers.get(&slot).filter(|(since, ..)| self.now < since + RETENTION);
        match store.claim_key(&slot, &wish(body, self.now)).expect("the store is there") {
            Claimed::New(row) => {
                prop_assert!(known.is_none(), "an answer was lost");
                let claimed = self.now;
                self.attempts.push(Attempt { slot, body, row, claimed, sent: false });
            }
            Claimed::Known(entry) => {
                let verdict = entry.judge(&mac(body), self.now);
                if let Some((_, answered, reply)) = known {
                    let same = *answered == body;
                    let expected = if same { Verdict::Replay } else { Verdict::Mismatch };
                    prop_assert_eq!(verdict, expected);
                    if same {
                        prop_assert_eq!(entry.reply.as_deref(), Some(&reply[..]));
                    }
                } else {
                    prop_assert_ne!(verdict, Verdict::Replay, "nothing was answered");
                }
            }
            Claimed::Full => prop_assert!(false, "there is room"),
        }
        Ok(())
    }

    fn send(&mut self, mut attempt: Attempt) -> Result<(), TestCaseError> {
        let before = self.sent.insert(attempt.slot, attempt.claimed);
        if let Some(before) = before {
            prop_assert!(attempt.claimed >= before + RETENTION, "sent twice");
        }
        attempt.sent = true;
        self.attempts.push(attempt);
        Ok(())
    }

    fn answer(&mut self, store: &mut Store, attempt: &Attempt) {
        let reply = Bytes::from(format!("reply {} to {}", attempt.row, attempt.body));
        let end = End::Answered { reply: reply.clone(), generation: 1 };
        if store.end_key(attempt.row, &end).expect("the store is there") {
            self.answers.insert(attempt.slot, (attempt.claimed, attempt.body, reply));
        }
    }
}

fn run(fixture: &mut Fixture, case: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World {
        attempts: Vec::new(),
        sent: HashMap::new(),
        answers: HashMap::new(),
        now: 1_000_000,
    };
    for step in steps {
        let store = &mut fixture.store;
        match step {
            Step::Ask { key, body } => world.ask(store, slot(case * 2 + key), body)?,
            Step::Send(number) => {
                // A server sends at once what it has the key for: long before its lease is over.
                let attempt = world.take(number, false);
                if let Some(attempt) = attempt.filter(|a| world.now < a.claimed + LEASE) {
                    world.send(attempt)?;
                }
            }
            Step::Refuse(number) => {
                if let Some(attempt) = world.take(number, false) {
                    store.end_key(attempt.row, &End::Released).expect("the store is there");
                }
            }
            Step::Answer(number) => {
                if let Some(attempt) = world.take(number, true) {
                    world.answer(store, &attempt);
                }
            }
            Step::Lose(number) => {
                if let Some(attempt) = world.take(number, true) {
                    store.end_key(attempt.row, &End::Unknown).expect("the store is there");
                }
            }
            Step::AnswerAndDie(number) => drop(world.take(number, true)),
            Step::Die(number) => drop(world.take(number, number % 2 == 0)),
            Step::Reopen => {
                fixture.store = Store::open(&fixture.config()).expect("the store is there");
            }
            Step::Pass(time) => world.now += time,
        }
    }
    Ok(())
}

#[test]
fn servers_may_die_at_any_step() {
    static CASE: AtomicU64 = AtomicU64::new(0);
    let fixture = std::cell::RefCell::new(fixture());
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(sequence in steps())| {
        let case = CASE.fetch_add(1, Ordering::Relaxed);
        run(&mut fixture.borrow_mut(), case, sequence)?;
    });
}

#[test]
fn of_all_that_take_a_key_at_once_one_has_it() {
    let fixture = fixture();
    let config = &fixture.config();
    for round in 0..10 {
        let claimed: Vec<Claimed> = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(move || {
                        let mut store = Store::open(config).expect("the store is there");
                        store.claim_key(&slot(round), &wish(1, 0)).expect("the store is there")
                    })
                })
                .collect();
            claims.into_iter().map(|claim| claim.join().expect("no panic")).collect()
        });
        let new = claimed.iter().filter(|claimed| matches!(claimed, Claimed::New(_))).count();
        assert_eq!(new, 1, "{claimed:?}");
    }
}

#[test]
fn what_was_sent_is_not_free_when_its_lease_is_over() {
    let mut fixture = fixture();
    let store = &mut fixture.store;
    assert!(matches!(store.claim_key(&slot(1), &wish(1, 0)), Ok(Claimed::New(_))));
    for now in [LEASE - 1, LEASE, RETENTION - 1] {
        let claimed = store.claim_key(&slot(1), &wish(1, now));
        let Ok(Claimed::Known(entry)) = claimed else { panic!("free at {now}") };
        let verdict = if now < LEASE { Verdict::Wait } else { Verdict::Unknown };
        assert_eq!(entry.judge(&mac(1), now), verdict, "at {now}");
    }
    assert!(matches!(store.claim_key(&slot(1), &wish(1, RETENTION)), Ok(Claimed::New(_))));
}

#[test]
fn a_line_ends_once() {
    let mut fixture = fixture();
    let store = &mut fixture.store;
    let Ok(Claimed::New(row)) = store.claim_key(&slot(1), &wish(1, 0)) else { panic!("free") };
    assert!(store.end_key(row, &End::Unknown).expect("ended"));
    let late = End::Answered { reply: "late".into(), generation: 1 };
    for end in [End::Released, End::Unkept, late] {
        assert!(!store.end_key(row, &end).expect("asked"), "{end:?}");
    }
    let Ok(Claimed::Known(entry)) = store.claim_key(&slot(1), &wish(1, 1)) else { panic!("taken") };
    assert_eq!((entry.state, entry.first, entry.reply), (State::Unknown, 9, None));
}

#[test]
fn what_a_lost_request_may_have_begun_is_written_to_its_line_alone() {
    let mut fixture = fixture();
    let store = &mut fixture.store;
    let mut named = |key, end: Option<End>| {
        let Ok(Claimed::New(row)) = store.claim_key(&slot(key), &wish(1, 0)) else {
            panic!("free")
        };
        if let Some(end) = end {
            assert!(store.end_key(row, &end).expect("the store is there"));
        }
        store.name_transactions(row, &[7, u64::MAX]).expect("the store is there");
        match store.claim_key(&slot(key), &wish(1, 1)).expect("the store is there") {
            Claimed::Known(entry) => (entry.sent, entry.transactions),
            Claimed::New(_) | Claimed::Full => panic!("the key is known"),
        }
    };
    let both: Box<[u64]> = [7, u64::MAX].into();
    assert_eq!(named(1, Some(End::Unknown)), (0, both.clone()));
    // As a server leaves it that died.
    assert_eq!(named(2, None), (0, both));
    assert_eq!(
        named(3, Some(End::Answered { reply: Bytes::new(), generation: 1 })),
        (0, Box::default())
    );
}

#[test]
fn a_tenant_has_so_many_keys_and_what_has_expired_does_not_count() {
    let mut fixture = fixture();
    let store = &mut fixture.store;
    let mut claim = |number, now| {
        let wish = Wish { most: 2, ..wish(1, now) };
        store.claim_key(&slot(number), &wish).expect("asked")
    };
    assert!(matches!(claim(1, 0), Claimed::New(_)));
    assert!(matches!(claim(2, 1), Claimed::New(_)));
    assert_eq!(claim(3, 2), Claimed::Full);
    assert!(matches!(claim(1, 2), Claimed::Known(_)), "what is known stays so");
    assert!(matches!(claim(3, RETENTION), Claimed::New(_)));
    assert_eq!(claim(1, RETENTION), Claimed::Full);
    assert_eq!(lines(store), 2);
    assert!(!store.prune_keys(RETENTION + 1).expect("pruned"));
    assert_eq!(lines(store), 1);
}

fn lines(store: &mut Store) -> i64 {
    let count = "SELECT count(*) AS lines FROM idempotency";
    let found = store.look(|session| session.first(query(count), |row| get(row, "lines")));
    found.expect("a number")
}

#[test]
fn the_keys_of_a_tenant_go_with_it() {
    let mut fixture = fixture();
    let store = &mut fixture.store;
    store.claim_key(&slot(1), &wish(1, 0)).expect("claimed");
    store.script("DELETE FROM tokens; DELETE FROM tenants");
    assert_eq!(lines(store), 0);
}
