//! Rotations that break off anywhere, cross each other and meet other edits: every credential opens at
//! every moment, and a server that follows keeps what it has.

mod journal;

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    auth::data_key::{DataKey, Purpose},
    cache::partition::Partition,
    tenants::{
        fixture::{Fixture, NOW, keyring, origin, secret, surroundings},
        record::{CredentialRecord, Standing},
        snapshot::Snapshot,
    },
};

/// What happens next.
#[derive(Clone, Debug)]
enum Happening {
    /// One of two rotations does a step, or begins.
    Step(bool),
    /// The same, but the process ends before the step is committed.
    Crash(bool),
    /// A credential is added.
    Add,
    /// A credential gets another secret.
    Renew(usize),
    /// A credential goes.
    Remove(usize),
}

/// The process ends.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("it ended")]
    Crash,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store, what it should hold, and a server that follows it.
struct House {
    fixture: Fixture,
    secrets: BTreeMap<String, String>,
    serving: Snapshot,
    rotations: [Rotation; 2],
    added: usize,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => any::<bool>().prop_map(Happening::Step),
        2 => any::<bool>().prop_map(Happening::Crash),
        1 => Just(Happening::Add),
        1 => any::<usize>().prop_map(Happening::Renew),
        1 => any::<usize>().prop_map(Happening::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_credential_opens_at_every_moment(happenings in vec(happening(), 1..40)) {
        let mut house = House::new();
        for happening in happenings {
            house.happen(&happening);
            house.look();
        }
        // Whatever broke off before, one rotation leaves one key.
        let vault_keys = house.rotate();
        prop_assert_eq!(vault_keys.len(), 1);
        house.look();
    }
}

impl House {
    /// Three credentials, of which one was sealed before there were data keys.
    fn new() -> Self {
        let mut house = Self {
            fixture: Fixture::new(),
            secrets: BTreeMap::new(),
            serving: Snapshot::default(),
            rotations: Default::default(),
            added: 0,
        };
        for _ in 0..3 {
            house.happen(&Happening::Add);
        }
        first_sealed(&mut house.fixture, "c0", &house.secrets["c0"]);
        house.look();
        house
    }

    fn happen(&mut self, happening: &Happening) {
        let Fixture { store, keyring, .. } = &mut self.fixture;
        let vault = Vault { keyring, origin: &origin };
        match *happening {
            Happening::Step(which) => {
                let rotation = &mut self.rotations[usize::from(which)];
                if rotation.has_ended() {
                    *rotation = Rotation::default();
                }
                store.edit(NOW, |edit| rotation.step(edit, &vault, 2)).expect("a step");
            }
            Happening::Crash(which) => {
                let mut rotation = std::mem::take(&mut self.rotations[usize::from(which)]);
                let crashed = store.edit(NOW, |edit| {
                    rotation.step(edit, &vault, 2)?;
                    Err::<(), _>(Stop::Crash)
                });
                assert!(matches!(crashed, Err(Stop::Crash)), "{crashed:?}");
            }
            Happening::Add => {
                let (name, text) = (format!("c{}", self.added), format!("secret-{}", self.added));
                self.added += 1;
                let standing = Standing::default();
                store
                    .edit(NOW, |edit| {
                        edit.add_credential(&vault, &name, "main", &secret(&text), &standing)
                    })
                    .expect("added");
                self.secrets.insert(name, text);
            }
            Happening::Renew(index) => {
                let Some(name) = chosen(&self.secrets, index) else { return };
                let text = format!("{}-anew", self.secrets[&name]);
                store
                    .edit(NOW, |edit| edit.rotate_credential(&vault, &name, &secret(&text)))
                    .expect("renewed");
                self.secrets.insert(name, text);
            }
            Happening::Remove(index) => {
                let Some(name) = chosen(&self.secrets, index) else { return };
                store.edit(NOW, |edit| edit.remove_credential(&name)).expect("removed");
                self.secrets.remove(&name);
            }
        }
    }

    /// What a process that begins now finds, and what one finds that has served all the time.
    fn look(&mut self) {
        let records = self.fixture.store.records().expect("read");
        let opened: BTreeMap<String, String> =
            records.credentials.iter().map(|record| opened(&self.fixture, record)).collect();
        assert_eq!(opened, self.secrets);
        let next = Snapshot::build(&records, &self.fixture.keyring, &surroundings(), &self.serving);
        assert_eq!((next.left_out(), next.behind()), (&[][..], 0));
        for before in self.serving.credentials() {
            let now = next.credentials().find(|now| now.name == before.name);
            let Some(now) = now.filter(|now| now.generation == before.generation) else { continue };
            assert!(Arc::ptr_eq(&now.partition, &before.partition), "{} starts anew", now.name);
        }
        self.serving = next;
    }

    /// A whole rotation, and the keys for credentials that there are then.
    fn rotate(&mut self) -> Vec<String> {
        let Fixture { store, keyring, .. } = &mut self.fixture;
        let vault = Vault { keyring, origin: &origin };
        let rotated = Rotation::default().run(store, &vault, NOW).expect("rotated");
        assert_eq!(rotated.left, []);
        let uses = store.key_uses().expect("read").into_iter();
        uses.filter(|key| key.purpose == Purpose::Vault).map(|key| key.id).collect()
    }
}

fn chosen(secrets: &BTreeMap<String, String>, index: usize) -> Option<String> {
    secrets.keys().nth(index % secrets.len().max(1)).cloned()
}

fn opened(fixture: &Fixture, record: &CredentialRecord) -> (String, String) {
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    let secret = vault.open(record).unwrap_or_else(|why| panic!("{}: {why}", record.name));
    (record.name.clone(), secret.pair().1.to_owned())
}

/// Seals a credential as it was done before there were data keys, whose place is then taken.
fn first_sealed(fixture: &mut Fixture, name: &str, text: &str) {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let derived = keyring("ab");
    let first = derived.first_vault();
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    let records = fixture.store.records().expect("read").credentials;
    let record = records.iter().find(|record| record.name == name).expect("it is there");
    let sealed = vault.seal(first, record.row, "main", &secret(text)).expect("sealed");
    let wrapped = fixture.keyring.wrap(first).expect("wrapped");
    fixture.store.script(&format!(
        "INSERT INTO data_keys (purpose, id, wrapped, wrapped_by, created, retired)
         VALUES ('vault', '{id}', x'{wrapped}', '{by}', {NOW}, {NOW});
         UPDATE credentials SET sealed = x'{sealed}', key_id = '{id}' WHERE name = '{name}'",
        id = first.id().as_str(),
        wrapped = hex(&wrapped.wrapped),
        by = wrapped.wrapped_by,
        sealed = hex(&sealed),
    ));
}

#[test]
fn a_rotation_seals_everything_anew_and_leaves_one_key() {
    let mut house = House::new();
    let before: Vec<Arc<Partition>> = partitions(&house.serving);
    let Fixture { store, keyring, .. } = &mut house.fixture;
    let vault = Vault { keyring, origin: &origin };
    let rotated = Rotation::default().run(store, &vault, NOW).expect("rotated");
    assert_eq!((rotated.resealed, rotated.discarded), (3, 2));
    let records = store.records().expect("read");
    assert!(records.credentials.iter().all(|record| record.key_id == rotated.key), "{records:?}");
    let version = house.serving.vault_version();
    house.look();
    assert_eq!(house.serving.vault_version(), version, "nothing has to be searched anew");
    for (before, after) in before.iter().zip(partitions(&house.serving)) {
        assert!(Arc::ptr_eq(before, &after));
    }
}

fn partitions(snapshot: &Snapshot) -> Vec<Arc<Partition>> {
    let mut all: Vec<_> = snapshot.credentials().collect();
    all.sort_by_key(|credential| &credential.name);
    all.into_iter().map(|credential| Arc::clone(&credential.partition)).collect()
}

#[test]
fn what_does_not_open_keeps_its_key_and_is_named() {
    let mut house = House::new();
    house.fixture.store.script("UPDATE credentials SET upstream = 'gone' WHERE name = 'c1'");
    let Fixture { store, keyring, .. } = &mut house.fixture;
    let vault = Vault { keyring, origin: &origin };
    let rotated = Rotation::default().run(store, &vault, NOW).expect("rotated");
    assert_eq!((rotated.resealed, rotated.discarded), (2, 1));
    let left: Vec<String> = rotated.left.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["credential c1: there is no upstream \"gone\" in the configuration"]);
    store.script("UPDATE credentials SET upstream = 'main' WHERE name = 'c1'");
    house.look();
    assert_eq!(house.rotate().len(), 1);
}

#[test]
fn a_server_with_the_old_master_key_goes_on_with_what_it_knows() {
    let mut house = House::new();
    let other = keyring("cd");
    let Fixture { store, keyring, .. } = &mut house.fixture;
    store.edit::<_, StoreError>(NOW, |edit| edit.rewrap(keyring, &other)).expect("rewrapped");
    let records = store.records().expect("read");
    let build = |records, keyring: &_, previous: &_| {
        Snapshot::build(records, keyring, &surroundings(), previous)
    };
    // Wrapped anew, its keys are those that it has opened before.
    let known = build(&records, keyring, &house.serving);
    assert_eq!((known.left_out(), known.behind()), (&[][..], 0));
    // Sealed with a key that it cannot open, what it knows stays in force.
    let opened = store.unlock(crate::tenants::fixture::keyring("cd"), NOW).expect("unlocked");
    assert_eq!((opened.id(), opened.audit_seed()), (keyring.id(), keyring.audit_seed()));
    let vault = Vault { keyring: &opened, origin: &origin };
    Rotation::default().run(store, &vault, NOW).expect("rotated");
    let records = store.records().expect("read");
    let behind = build(&records, keyring, &known);
    assert_eq!((behind.left_out(), behind.behind()), (&[][..], 3));
    assert_eq!(behind.vault_version(), known.vault_version());
    for (before, after) in partitions(&known).iter().zip(partitions(&behind)) {
        assert!(Arc::ptr_eq(before, &after));
    }
    // A new process with it knows nothing.
    assert_eq!(build(&records, keyring, &Snapshot::default()).left_out().len(), 3);
    assert_eq!(build(&records, &opened, &Snapshot::default()).left_out(), []);
}

#[test]
fn a_credential_is_sealed_with_the_key_in_force_and_no_other() {
    let mut house = House::new();
    let Fixture { store, keyring, .. } = &mut house.fixture;
    let vault = Vault { keyring, origin: &origin };
    store.edit(NOW, |edit| Rotation::default().step(edit, &vault, 2)).expect("a new key");
    let new = |store: &mut Store| {
        let keys = store.key_uses().expect("read").into_iter();
        let mut in_force =
            keys.filter(|key| key.purpose == Purpose::Vault && key.retired.is_none());
        (in_force.next().expect("one").id, in_force.next())
    };
    let (id, others) = new(store);
    assert_eq!(others, None);
    store.edit(NOW, |edit| edit.rotate_credential(&vault, "c1", &secret("new"))).expect("renewed");
    let records = store.records().expect("read").credentials;
    let record = records.iter().find(|record| record.name == "c1").expect("it is there");
    assert_eq!(record.key_id, id);
    let stranger = DataKey::random(Purpose::Vault).expect("randomness");
    assert!(vault.open_with(&stranger, record).is_err());
}
