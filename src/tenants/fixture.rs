//! A store in a folder of its own, with keys and one upstream, for tests.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{
    Config,
    record::{SecretKind, Standing, TenantSettings, TokenTerms},
    secret::{UpstreamSecret, Vault},
    snapshot::Surroundings,
    store::{NewToken, Store, StoreError},
};
use crate::{
    api::families::FamilySet,
    auth::{
        keyring::{Keyring, MasterKey},
        token::public_id,
    },
    cache::{
        coherence::Epochs,
        names::Names,
        partition::{Commons, Partition},
    },
};

pub(crate) const ORIGIN: &str = "https://panel.example.com:443";
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const SECRET: &str = "planted-upstream-secret";

const FAMILIES: usize = 2;

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) keyring: Keyring,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(&folder.path().join("store.db"));
        let mut store = Store::open(&config).expect("a store");
        let keyring = store.unlock(keyring("ab"), NOW).expect("a new store");
        Self { folder, store, keyring }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    pub(crate) fn config(&self) -> Config {
        config(&self.path())
    }

    /// A tenant, a credential and a token of the given key.
    pub(crate) fn add(&mut self, name: &str, key: &str) -> String {
        self.try_add(name, key).expect("added")
    }

    pub(crate) fn try_add(&mut self, name: &str, key: &str) -> Result<String, StoreError> {
        let Self { store, keyring, .. } = self;
        let mac = keyring.mac(key.as_bytes());
        let id = public_id(&mac.as_bytes()[..8]);
        let vault = Vault { keyring, origin: &origin };
        store.edit(NOW, |edit| {
            edit.add_tenant(name, &TenantSettings::default())?;
            edit.add_credential(&vault, name, "main", &secret(SECRET), &Standing::default())?;
            let terms = &TokenTerms::default();
            let (tenant, credential, key_id) = (name, name, keyring.id());
            edit.add_token(&NewToken {
                id: &id,
                tenant,
                credential,
                mac,
                key_id,
                terms,
                adopted: false,
            })?;
            Ok(id)
        })
    }
}

pub(crate) fn config(path: &Path) -> Config {
    Config { store: path.into(), ..Config::default() }
}

pub(crate) fn keyring(digits: &str) -> Keyring {
    let text: String = (0..32).map(|n| format!("{n:x}{digits}")).collect();
    let text = &text[..text.len() / 2 * 2];
    Keyring::derive(&MasterKey::parse(text).expect("a master key"))
}

pub(crate) fn secret(text: &str) -> UpstreamSecret {
    UpstreamSecret::new(SecretKind::Password, "joe", text).expect("a good secret")
}

pub(crate) fn origin(upstream: &str) -> Option<String> {
    (upstream == "main").then(|| ORIGIN.to_owned())
}

pub(crate) fn scope(name: &str) -> Option<u64> {
    ["volatile", "vms"].iter().position(|known| *known == name).map(|bit| 1 << bit)
}

pub(crate) fn surroundings() -> Surroundings {
    let none = FamilySet::EMPTY;
    let upstream = Arc::new(Commons::new(FAMILIES, none, none, Names::new(10)));
    Surroundings {
        origin: Box::new(origin),
        partition: Box::new(move |_, _| {
            let account = Arc::new(Epochs::new(FAMILIES, none));
            Some(Arc::new(Partition::new(account, Arc::clone(&upstream), true)))
        }),
        scope: Box::new(scope),
        vault: Box::new(|_| {}),
    }
}
