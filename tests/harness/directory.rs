//! Who may call in a world: tenants, credentials and tokens, put into the store as the command
//! line does it.

use std::{collections::HashMap, sync::Mutex, time::SystemTime};

use tollgate::{
    auth::{
        keyring::{Keyring, random},
        scopes::{Access, ScopeNames},
        token::{Environment, Token},
    },
    limit::{Quota, Quotas},
    tenants::{
        self,
        record::{LimitStatus, Reach, SecretKind, Standing, TenantSettings, TokenTerms},
        secret::{UpstreamSecret, Vault},
        store::{NewToken, Store, StoreError},
    },
};

mod keys;

/// Somebody with a token.
#[derive(Clone, Debug)]
pub struct Person {
    /// The token, in the clear.
    pub token: String,
    /// Its public id.
    pub id: String,
}

/// The store of a world, and every token that it gave out.
pub(super) struct Registry {
    store: Mutex<Store>,
    keyring: Keyring,
    origin: String,
    people: Mutex<HashMap<String, Person>>,
}

/// The upstream password of a credential: unlike anything else, so that it can be searched for.
pub fn secret_of(credential: &str) -> String {
    format!("upstream-secret-of-{credential}-5d41402abc4b")
}

impl Registry {
    pub(super) fn open(config: &tenants::Config, keyring: Keyring, origin: &str) -> Self {
        let store = Mutex::new(Store::open(config).expect("a new store"));
        Self { store, keyring, origin: origin.to_owned(), people: Mutex::default() }
    }

    /// The people of every world: `a` and `b` with credentials of their own, `c` who shares the
    /// credential of `a`, `reader` who may only read, `vms` and `not-vms` within scopes, and
    /// `tight`, `forbidden` and `leader` with small quotas.
    pub(super) fn populate(&self) {
        for credential in ["a", "b", "tight"] {
            self.credential(credential);
        }
        let unlimited = TenantSettings::default();
        for (tenant, credential) in [("a", "a"), ("b", "b"), ("c", "a")] {
            self.tenant(tenant, &unlimited);
            self.token(tenant, tenant, credential, &TokenTerms::default());
        }
        let scoped = |access, allow: &[&str], deny: &[&str]| {
            let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
            let scopes = ScopeNames { access, allow: names(allow), deny: names(deny) };
            TokenTerms { scopes, ..TokenTerms::default() }
        };
        self.token("reader", "a", "a", &scoped(Access::ReadOnly, &[], &[]));
        self.token("vms", "a", "a", &scoped(Access::ReadWrite, &["vms"], &[]));
        self.token("not-vms", "a", "a", &scoped(Access::ReadWrite, &[], &["vms"]));
        let few = Some(Quota { per_second: 1, burst: 2 });
        let tight = Quotas { reads: few, writes: few, upstream_reads: None };
        let settings = TenantSettings { quotas: tight, ..TenantSettings::default() };
        self.tenant("tight", &settings);
        self.token("tight", "tight", "tight", &TokenTerms::default());
        let settings = TenantSettings { limit_status: LimitStatus::Forbidden, ..settings };
        self.tenant("forbidden", &settings);
        self.token("forbidden", "forbidden", "tight", &TokenTerms::default());
        let quotas = Quotas { upstream_reads: few, ..Quotas::default() };
        self.tenant("leader", &TenantSettings { quotas, ..TenantSettings::default() });
        self.token("leader", "leader", "tight", &TokenTerms::default());
    }

    pub(super) fn person(&self, name: &str) -> Person {
        let people = self.people.lock().expect("no panic before");
        people.get(name).unwrap_or_else(|| panic!("nobody is called {name}")).clone()
    }

    pub(super) fn people(&self) -> Vec<Person> {
        self.people.lock().expect("no panic before").values().cloned().collect()
    }

    pub(super) fn credential(&self, name: &str) {
        let origin = |_: &str| Some(self.origin.clone());
        let vault = Vault { keyring: &self.keyring, origin: &origin };
        let secret = UpstreamSecret::new(SecretKind::Password, name, &secret_of(name));
        let secret = secret.expect("a good secret");
        let standing = Standing::default();
        self.edit(|edit| edit.add_credential(&vault, name, "main", &secret, &standing).map(drop));
    }

    pub(super) fn declare(&self, credential: &str, reach: Reach, account: &str) {
        let standing = Standing { reach: Some(reach), account: Some(account.to_owned()) };
        self.edit(|edit| edit.set_standing(credential, &standing));
    }

    pub(super) fn rotate(&self, name: &str, login: &str, secret: &str) {
        let origin = |_: &str| Some(self.origin.clone());
        let vault = Vault { keyring: &self.keyring, origin: &origin };
        let secret = UpstreamSecret::new(SecretKind::Password, login, secret);
        let secret = secret.expect("a good secret");
        self.edit(|edit| edit.rotate_credential(&vault, name, &secret).map(drop));
    }

    pub(super) fn tenant(&self, name: &str, settings: &TenantSettings) {
        self.edit(|edit| edit.add_tenant(name, settings).map(drop));
    }

    pub(super) fn set_tenant(&self, name: &str, settings: &TenantSettings) {
        self.edit(|edit| edit.set_tenant(name, settings));
    }

    pub(super) fn token(&self, name: &str, tenant: &str, credential: &str, terms: &TokenTerms) {
        let random = random().expect("random numbers");
        let token = Token::mint(&Environment::default(), &random);
        self.edit(|edit| {
            edit.add_token(&NewToken {
                id: token.id(),
                tenant,
                credential,
                mac: self.keyring.mac(token.expose().as_bytes()),
                key_id: self.keyring.id(),
                terms,
                adopted: false,
            })
        });
        let person = Person { token: token.expose().to_owned(), id: token.id().to_owned() };
        self.people.lock().expect("no panic before").insert(name.to_owned(), person);
    }

    pub(super) fn revoke(&self, name: &str) {
        let id = self.person(name).id;
        self.edit(|edit| edit.revoke_token(&id).map(drop));
    }

    fn edit(&self, change: impl FnOnce(&tenants::store::Edit<'_>) -> Result<(), StoreError>) {
        let mut store = self.store.lock().expect("no panic before");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after it");
        let now = i64::try_from(now.as_secs()).expect("before its end");
        store.edit(now, change).expect("the store takes it");
    }
}
