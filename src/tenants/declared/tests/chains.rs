//! Chains of tokens: created, rotated, revoked, and declared anew by exports of any age, while time
//! passes and processes end before they commit. A model says what each token should be; the store, and
//! a server that follows it, are held against it at every moment.

use std::{collections::BTreeSet, net::Ipv4Addr};

use proptest::{collection::vec, prelude::*};

use self::happening::{Happening, Which, happening};
use super::*;
use crate::tenants::{
    fixture::surroundings,
    record::{TenantSettings, TokenRecord},
    snapshot::Snapshot,
    store::{Edit, Store},
};

mod happening;

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("the process ended")]
    Crash,
    #[error(transparent)]
    Refused(#[from] NotCarriedOut),
}

/// A token as it should be.
#[derive(Clone, Debug)]
struct Modelled {
    id: String,
    chain: usize,
    label: String,
    /// What its own terms say.
    expires: Option<i64>,
    /// The end of its overlap.
    cut: Option<i64>,
    next: Option<usize>,
    revoked: bool,
}

/// An export, with the chains that it declares and their ends, in its order.
#[derive(Clone, Debug)]
struct Exported {
    text: String,
    declared: Vec<(usize, Option<i64>)>,
}

struct House {
    fixture: Fixture,
    now: i64,
    tokens: Vec<Modelled>,
    exports: Vec<Exported>,
    /// Those that a server has once refused.
    over: BTreeSet<String>,
    serving: Snapshot,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_chain_breaks_and_nothing_that_has_ended_comes_back(
        happenings in vec((happening(), prop::bool::weighted(0.2)), 1..40),
    ) {
        let mut house = House::new();
        for (happening, crash) in happenings {
            house.happen(happening, crash);
            house.look();
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl Modelled {
    fn end(&self) -> Option<i64> {
        self.expires.into_iter().chain(self.cut).min()
    }

    /// Whether its own terms still hold.
    fn lives(&self, now: i64) -> bool {
        !self.revoked && self.expires.is_none_or(|end| now < end)
    }

    fn is_good(&self, now: i64) -> bool {
        self.lives(now) && self.cut.is_none_or(|end| now < end)
    }
}

impl House {
    /// A tenant with a token and a labelled one.
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let id = fixture.add("acme", "a key");
        let label = String::new();
        let first =
            Modelled { id, chain: 0, label, expires: None, cut: None, next: None, revoked: false };
        let mut house = Self {
            fixture,
            now: NOW,
            tokens: vec![first],
            exports: Vec::new(),
            over: BTreeSet::new(),
            serving: Snapshot::default(),
        };
        house.happen(Happening::Create { labelled: true, life: None }, false);
        house.happen(Happening::Export, false);
        house
    }

    fn happen(&mut self, happening: Happening, crash: bool) {
        match happening {
            Happening::Create { labelled, life } => self.create(labelled, life, crash),
            Happening::Rotate { which, overlap, life } => {
                self.rotate(self.pick(which), overlap, life, crash);
            }
            Happening::Revoke(which) => {
                let at = self.pick(which);
                let id = self.tokens[at].id.clone();
                match self.edit(crash, |edit| edit.revoke_token(&id)) {
                    Some(revoked) => drop(revoked.expect("revoked")),
                    None => return,
                }
                self.tokens[at].revoked = true;
            }
            Happening::Pass(seconds) => self.now += seconds,
            Happening::Export => self.export(),
            Happening::Apply { which, prune, overtaken } => {
                let export = which.get(&self.exports).clone();
                self.apply(&export, prune, overtaken, crash);
            }
        }
    }

    fn pick(&self, Which { index, last }: Which) -> usize {
        let of = |at: &usize| !last || self.tokens[*at].next.is_none();
        let among: Vec<usize> = (0..self.tokens.len()).filter(of).collect();
        *index.get(&among)
    }

    /// One transaction; none when the process ends before it is committed, and begins anew.
    fn edit<T>(
        &mut self,
        crash: bool,
        change: impl FnOnce(&Edit<'_>) -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        let edited = self.fixture.store.edit(self.now, |edit| {
            let changed = change(edit)?;
            if crash { Err(Stop::Crash) } else { Ok(changed) }
        });
        match edited {
            Ok(done) => Some(Ok(done)),
            Err(Stop::Refused(NotCarriedOut::Store(why))) => Some(Err(why)),
            Err(Stop::Refused(why)) => panic!("{why}"),
            Err(Stop::Crash) => {
                self.begin_anew();
                None
            }
        }
    }

    fn begin_anew(&mut self) {
        self.fixture.store = Store::open(&self.fixture.config()).expect("a store");
    }

    fn create(&mut self, labelled: bool, life: Option<i64>, crash: bool) {
        let at = self.tokens.len();
        let (id, expires) = (format!("t{at}"), life.map(|life| self.now + life));
        let label = if labelled { format!("l{at}") } else { String::new() };
        let terms = TokenTerms { label: label.clone(), expires, ..TokenTerms::default() };
        let (mac, key_id) =
            (self.fixture.keyring.mac(id.as_bytes()), self.fixture.keyring.id().clone());
        let made = self.edit(crash, |edit| {
            let (tenant, credential, key_id) = ("acme", "acme", &key_id);
            let (id, terms) = (&id, &terms);
            edit.add_token(&NewToken { id, tenant, credential, mac, key_id, terms, adopted: false })
        });
        let dead = life.is_some_and(|life| life <= 0);
        match made {
            Some(Ok(())) => {
                assert!(!dead, "{life:?}");
                self.push(id, at, label, expires);
            }
            Some(Err(StoreError::NeverGood)) => assert!(dead, "{life:?}"),
            Some(Err(why)) => panic!("{why}"),
            None => {}
        }
    }

    fn push(&mut self, id: String, chain: usize, label: String, expires: Option<i64>) {
        let (cut, next, revoked) = (None, None, false);
        self.tokens.push(Modelled { id, chain, label, expires, cut, next, revoked });
    }

    fn rotate(&mut self, at: usize, overlap: i64, life: Option<i64>, crash: bool) {
        let (old, next) = (self.tokens[at].clone(), self.tokens.len());
        let id = format!("t{next}");
        let (mac, key_id) =
            (self.fixture.keyring.mac(id.as_bytes()), self.fixture.keyring.id().clone());
        let wanted = life.map(|life| self.now + life);
        let (cut, now) = (self.now + overlap, self.now);
        let Some(rotated) = self.edit(crash, |edit| {
            let successor = Successor { id: &id, mac, key_id: &key_id, expires: wanted };
            edit.rotate_token(&old.id, &successor, cut)
        }) else {
            return;
        };
        let expires = wanted.or(old.expires);
        let ended = !old.lives(now);
        let dead = expires.is_some_and(|end| end <= now);
        match rotated {
            Err(StoreError::Replaced { by, .. }) => {
                assert!(old.next.is_some(), "{old:?}");
                assert_eq!(by, self.tokens[self.last_of(old.chain)].id);
            }
            Err(StoreError::Ended { .. }) => assert!(old.next.is_none() && ended, "{old:?}"),
            Err(StoreError::NeverGood) => assert!(old.next.is_none() && !ended && dead, "{old:?}"),
            Err(why) => panic!("{why}"),
            Ok(_) => {
                assert!(old.next.is_none() && !ended && !dead, "{old:?}");
                (self.tokens[at].cut, self.tokens[at].next) = (Some(cut), Some(next));
                self.push(id, old.chain, old.label, expires);
            }
        }
    }

    fn last_of(&self, chain: usize) -> usize {
        let is_last = |token: &Modelled| token.chain == chain && token.next.is_none();
        self.tokens.iter().position(is_last).expect("a chain has one")
    }

    /// What is declared by an id or a label now, of what was exported once.
    fn meant(&self, chain: usize) -> usize {
        let label = &self.tokens[chain].label;
        let same = |token: &&Modelled| !label.is_empty() && token.label == *label;
        let newest = self.tokens.iter().rev().find(same).map_or(chain, |token| token.chain);
        self.last_of(newest)
    }

    fn export(&mut self) {
        let text = exported(&mut self.fixture, self.now);
        let last = |token: &&Modelled| token.next.is_none() && !token.revoked;
        let declared = self.tokens.iter().filter(last);
        let declared = declared.map(|token| (token.chain, token.expires)).collect();
        // Applied at once it changes nothing, but for what ends by itself and has lost what took its
        // place.
        let plan = plan_at(self.now, &mut self.fixture, &text, true).expect("a plan").1;
        for step in &plan.steps {
            let id = step.name.id.as_deref().expect("a token");
            let token = self.tokens.iter().find(|token| token.id == id).expect("it is there");
            let last = &self.tokens[self.last_of(token.chain)];
            assert!(token.next.is_some() && last.revoked, "{:?}\n{text}", steps(&plan));
        }
        self.exports.push(Exported { text, declared });
    }

    fn apply(&mut self, export: &Exported, prune: bool, overtaken: bool, crash: bool) {
        let Exported { text, declared } = export;
        let now = self.now;
        let meant: Vec<_> =
            declared.iter().map(|(chain, end)| (self.meant(*chain), *end)).collect();
        let wrong = meant.iter().any(|(at, end)| {
            let token = &self.tokens[*at];
            let is_over = |end: Option<i64>| end.is_some_and(|end| end <= now);
            let anew = token.revoked && !token.label.is_empty();
            match token.revoked {
                true => !anew || is_over(*end),
                false => is_over(token.expires) && end.is_some() && *end != token.expires,
            }
        });
        let (revision, plan) = match plan_at(now, &mut self.fixture, text, prune) {
            Ok(planned) => planned,
            Err(why) => return assert!(wrong, "{why}\n{text}"),
        };
        assert!(!wrong, "{:?}\n{text}", steps(&plan));
        if overtaken {
            let touch = |edit: &Edit<'_>| edit.set_tenant("acme", &TenantSettings::default());
            self.edit(false, touch).expect("no crash").expect("touched");
        }
        let mint = |_| Token::mint(&Environment::default(), &random().expect("randomness"));
        let minted: Vec<Token> = (0..plan.to_mint()).map(mint).collect();
        let Fixture { store, keyring, .. } = &mut self.fixture;
        let vault = Vault { keyring, origin: &origin };
        let done = store.edit_seen(revision, now, |edit| {
            carry_out(&plan, edit, &vault, &minted)?;
            if crash { Err(Stop::Crash) } else { Ok(()) }
        });
        match done {
            Ok(done) => assert_eq!(done.is_none(), overtaken),
            Err(Stop::Crash) => self.begin_anew(),
            Err(why) => panic!("{why}\n{text}"),
        }
        if !crash && !overtaken {
            self.applied(&meant, prune, &minted);
        }
    }

    /// What an apply has made of it.
    fn applied(&mut self, meant: &[(usize, Option<i64>)], prune: bool, minted: &[Token]) {
        let declared: BTreeSet<usize> = meant
            .iter()
            .map(|(at, _)| &self.tokens[*at])
            .filter(|token| !token.revoked)
            .map(|token| token.chain)
            .collect();
        for token in self.tokens.iter_mut().filter(|token| !declared.contains(&token.chain)) {
            token.revoked |= prune;
        }
        let mut minted = minted.iter();
        for (at, end) in meant {
            let (at, chain) = (*at, self.tokens.len());
            if declared.contains(&self.tokens[at].chain) {
                self.tokens[at].expires = end.or(self.tokens[at].expires);
            } else {
                let id = minted.next().expect("as many as are made").id().to_owned();
                self.push(id, chain, self.tokens[at].label.clone(), *end);
            }
        }
        assert!(minted.next().is_none());
    }

    /// What the store says, and whom a server lets in.
    fn look(&mut self) {
        let records = self.fixture.store.records().expect("read");
        assert_eq!(records.tokens.len(), self.tokens.len());
        self.serving =
            Snapshot::build(&records, &self.fixture.keyring, &surroundings(), &self.serving);
        let is_good = |record: &TokenRecord| {
            let grant = self.serving.find(&record.mac);
            grant.is_some_and(|grant| grant.check(self.now, Ipv4Addr::LOCALHOST.into()).is_ok())
        };
        let mut alive = BTreeSet::new();
        for (token, record) in self.tokens.iter().zip(&records.tokens) {
            let next = token.next.map(|next| &records.tokens[next]);
            assert_eq!(record.id, token.id);
            assert_eq!(record.terms.expires, token.end(), "{token:?}");
            assert_eq!(record.revoked.is_some(), token.revoked, "{token:?}");
            assert_eq!(record.replaced_by.as_ref(), next.map(|next| &next.id), "{token:?}");
            if let Some(next) = next {
                let expires = record.terms.expires;
                assert_eq!(TokenTerms { expires, ..next.terms.clone() }, record.terms, "{token:?}");
            }
            let good = is_good(record);
            assert_eq!(good, token.is_good(self.now), "{token:?}");
            assert!(!good || !self.over.contains(&token.id), "it has come back: {token:?}");
            if good {
                alive.insert(token.chain);
            } else {
                self.over.insert(token.id.clone());
            }
        }
        for token in self.tokens.iter().filter(|token| token.next.is_none()) {
            let kept = alive.contains(&token.chain) || !token.lives(self.now);
            assert!(kept, "nobody is let in: {token:?}");
        }
    }
}
