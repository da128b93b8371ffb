//! What the store keeps, refuses and survives.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::{
    auth::scopes::{Access, Permission, ScopeNames},
    limit::{Quota, Quotas},
    tenants::{
        fixture::{Fixture, NOW, config, keyring, origin, secret},
        record::{LimitStatus, Reach, Standing, TenantSettings, TokenTerms},
        secret::Vault,
    },
    vocabulary::{Closed as _, Format},
};

impl Store {
    /// Runs statements of no command's, for tests.
    pub(crate) fn script(&mut self, text: &str) {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        self.write_any(|session| session.script(text)).expect("done");
    }

    /// Looks at what no command does, for tests.
    pub(in crate::tenants) fn look<T>(
        &mut self,
        look: impl FnOnce(&Session<'_>) -> Result<T, StoreError>,
    ) -> T {
        self.write_any(look).expect("seen")
    }
}

#[test]
fn a_new_store_is_its_owners_alone() {
    let fixture = Fixture::new();
    for name in ["store.db", "store.db-wal"] {
        let mode = fs::metadata(fixture.folder.path().join(name)).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn records_come_back_as_they_were_written() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let quotas = Quotas {
        reads: Some(Quota { per_second: 10, burst: 20 }),
        writes: Some(Quota { per_second: 1, burst: 1 }),
        upstream_reads: None,
    };
    let limit_status = LimitStatus::Forbidden;
    let settings = TenantSettings { default_format: Format::Xml, quotas, limit_status };
    let policies = r#"{"protected":{"mode":"shadow","items":["/virtual_machines/7"]}}"#;
    let terms = TokenTerms {
        label: "\"billing\" \\ \u{1}\u{7f} \u{1f512}".to_owned(),
        policies: serde_json::from_str(policies).expect("policies"),
        scopes: ScopeNames {
            access: Access::ReadOnly,
            allow: vec!["vms".to_owned(), "disks".to_owned()],
            deny: vec!["volatile".to_owned()],
        },
        addresses: vec!["192.0.2.0/24".parse().expect("a range"), "::1/128".parse().expect("one")],
        not_before: Some(NOW),
        expires: Some(NOW + 60),
        limit_status: Some(LimitStatus::TooManyRequests),
        permissions: Permission::ALL.iter().copied().collect(),
    };
    let Fixture { store, keyring, .. } = &mut fixture;
    let (mac, key_id) = (keyring.mac(b"another"), keyring.id());
    let (tenant, credential) = ("acme", "acme");
    let token = NewToken { id: "2", tenant, credential, mac, key_id, terms: &terms, adopted: true };
    store
        .edit(NOW, |edit| {
            edit.set_tenant("acme", &settings)?;
            edit.add_token(&token)
        })
        .expect("written");
    let records = store.records().expect("read");
    assert_eq!(records.tenants[0].settings, settings);
    assert_eq!((&records.tokens[1].terms, records.tokens[1].mac), (&terms, mac));
    assert!(records.tokens[1].adopted && !records.tokens[0].adopted);
    let successor = Successor { id: "3", mac: keyring.mac(b"a third"), key_id, expires: None };
    store
        .edit(NOW, |edit| {
            edit.rotate_token("2", &successor, NOW + 30)?;
            edit.revoke_token(&records.tokens[0].id)
        })
        .expect("written");
    for token in store.records().expect("read").tokens {
        let alone = store.view(NOW, |view| view.require_token(&token.id)).expect("read");
        assert_eq!(token, alone, "read with many, or by itself");
    }
    assert_eq!(records.credentials[0].generation, 1);
    let sealed = &records.credentials[0].sealed;
    assert!(!sealed.windows(7).any(|part| part == b"planted"), "the secret is not in the clear");
}

#[test]
fn a_permission_that_nobody_knows_is_an_error() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let mut set = |words: &str| {
        fixture.store.script(&format!("UPDATE tokens SET permissions = '{words}'"));
        fixture.store.records()
    };
    let tokens = set("explain").expect("read").tokens;
    let given = tokens[0].terms.permissions;
    assert!(given.contains(Permission::Explain) && !given.contains(Permission::Refresh));
    let error = set("explain cache:fill").expect_err("unknown");
    let report = crate::error_chain::error_chain(&error).to_string();
    assert!(report.contains("\"cache:fill\" means nothing in the column permissions"), "{report}");
}

#[test]
fn what_is_in_use_is_not_removed() {
    let mut fixture = Fixture::new();
    let id = fixture.add("acme", "a key");
    let store = &mut fixture.store;
    let error = store.edit(NOW, |edit| edit.remove_tenant("acme")).expect_err("in use");
    let message = format!("the tenant \"acme\" is in use by the token {id}; revoke them first");
    assert_eq!(error.to_string(), message);
    let error = store.edit(NOW, |edit| edit.remove_credential("acme")).expect_err("in use");
    assert!(matches!(error, StoreError::InUse { noun: Noun::Credential, .. }));
    assert!(store.edit(NOW, |edit| edit.revoke_token(&id)).expect("revoked"));
    assert!(!store.edit(NOW, |edit| edit.revoke_token(&id)).expect("revoked before"));
    store
        .edit(NOW, |edit| {
            edit.remove_tenant("acme")?;
            edit.remove_credential("acme")
        })
        .expect("removed");
    let records = store.records().expect("read");
    assert!(records.tokens.is_empty() && records.tenants.is_empty());
}

#[test]
fn names_are_unique_known_and_plain() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let mut refused = |name: &str| fixture.try_add(name, "other").expect_err("refused").to_string();
    assert_eq!(refused("acme"), "there is already a tenant \"acme\"");
    for name in ["", "a b", "-x", "a\nb", &"x".repeat(65)] {
        assert!(refused(name).contains("is no name for a tenant"), "{name}");
    }
    let settings = TenantSettings::default();
    let error = fixture.store.edit(NOW, |edit| edit.set_tenant("nobody", &settings));
    assert_eq!(error.expect_err("unknown").to_string(), "there is no tenant \"nobody\"");
    let error = fixture.try_add("other", "a key").expect_err("the key is a token");
    assert!(matches!(error, StoreError::TokenTaken { .. }));
    assert_eq!(fixture.store.records().expect("read").tenants.len(), 1, "nothing half done");
}

#[test]
fn a_rotation_is_a_new_generation() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    let rotated = store.edit(NOW, |edit| edit.rotate_credential(&vault, "acme", &secret("new")));
    assert_eq!(rotated.expect("rotated"), 2);
    let record = &store.records().expect("read").credentials[0];
    assert_eq!(vault.open(record).expect("opened"), secret("new"));
}

#[test]
fn a_standing_comes_back_as_it_was_declared() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    let (secret, own) = (secret("new"), standing(Some(Reach::Own), Some("joe")));
    store
        .edit(NOW, |edit| edit.add_credential(&vault, "own", "main", &secret, &own))
        .expect("added");
    let credentials = store.records().expect("read").credentials;
    assert_eq!(credentials[0].standing, Standing::default());
    assert_eq!(credentials[1].standing, own);
    let long = "ß".repeat(255);
    for other in [(Some(Reach::All), None), (None, Some(&*long)), (None, None)] {
        let other = standing(other.0, other.1);
        store.edit(NOW, |edit| edit.set_standing("own", &other)).expect("declared");
        assert_eq!(store.records().expect("read").credentials[1].standing, other);
    }
}

#[test]
fn a_standing_that_says_too_little_is_refused() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let Fixture { store, keyring, .. } = &mut fixture;
    let mut refused = |name: &str, reach: Option<Reach>, account: Option<&str>| {
        let standing = standing(reach, account);
        let declared = store.edit(NOW, |edit| edit.set_standing(name, &standing));
        declared.expect_err("refused").to_string()
    };
    let message = "credential \"acme\" reaches what its account owns (\"own\"), and has no \
                   account; name its account, or let it reach \"all\"";
    assert_eq!(refused("acme", Some(Reach::Own), None), message);
    for account in ["", "a\nb", &"x".repeat(256)] {
        let message = refused("acme", None, Some(account));
        assert!(message.contains("1 to 255 characters"), "{message}");
    }
    assert_eq!(refused("nobody", None, None), "there is no credential \"nobody\"");
    let vault = Vault { keyring, origin: &origin };
    let (secret, own) = (secret("new"), standing(Some(Reach::Own), None));
    let added = store.edit(NOW, |edit| edit.add_credential(&vault, "own", "main", &secret, &own));
    assert!(matches!(added, Err(StoreError::NoAccount { .. })));
    assert_eq!(store.records().expect("read").credentials.len(), 1);
}

fn standing(reach: Option<Reach>, account: Option<&str>) -> Standing {
    Standing { reach, account: account.map(str::to_owned) }
}

#[test]
fn a_moved_secret_does_not_open() {
    let mut fixture = Fixture::new();
    fixture.add("a", "one");
    fixture.add("b", "two");
    let mut records = fixture.store.records().expect("read").credentials;
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    let stolen = records[0].sealed.clone();
    records[1].sealed = stolen;
    assert!(vault.open(&records[0]).is_ok() && vault.open(&records[1]).is_err());
    let elsewhere = |_: &str| Some("https://panel.example.com:8443".to_owned());
    let moved = Vault { origin: &elsewhere, ..vault };
    assert!(moved.open(&records[0]).is_err());
    let other = keyring("cd");
    assert!(Vault { keyring: &other, ..vault }.open(&records[0]).is_err());
}

#[test]
fn a_token_that_is_never_good_is_refused() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let terms = TokenTerms { not_before: Some(NOW), expires: Some(NOW), ..TokenTerms::default() };
    let Fixture { store, keyring, .. } = &mut fixture;
    let error = store.edit(NOW, |edit| {
        edit.add_token(&NewToken {
            id: "x",
            tenant: "acme",
            credential: "acme",
            mac: keyring.mac(b"x"),
            key_id: keyring.id(),
            terms: &terms,
            adopted: false,
        })
    });
    assert!(matches!(error, Err(StoreError::NeverGood)));
}

#[test]
fn other_files_are_refused_by_name() {
    let mut fixture = Fixture::new();
    let folder = fixture.folder.path().to_owned();
    let open = |name: &str| Store::open(&config(&folder.join(name)));
    let refused = |name: &str| open(name).expect_err("refused").to_string();
    fs::write(folder.join("text.db"), "no database".repeat(100)).expect("written");
    assert!(refused("text.db").contains("text.db cannot be opened"));
    assert!(refused("nowhere/store.db").contains("cannot be created"));
    let mut foreign = open("foreign.db").expect("a store");
    foreign.script("PRAGMA application_id = 0; PRAGMA user_version = 0");
    assert!(refused("foreign.db").contains("not a store of Tollgate"));
    let later = schema::VERSION + 1;
    fixture.store.script(&format!("PRAGMA user_version = {later}"));
    assert!(refused("store.db").contains(&format!("has version {later}, and this program knows")));
}

#[test]
fn a_later_program_that_takes_the_store_over_is_noticed() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.store.revision().expect("ours"), 0);
    fixture.store.script(&format!("UPDATE store SET version = {}", schema::VERSION + 1));
    for refused in [fixture.store.revision().map(drop), fixture.store.read().map(drop)] {
        assert!(matches!(refused, Err(StoreError::Newer { .. })), "{refused:?}");
    }
}

#[test]
fn a_store_that_a_later_program_has_taken_over_is_not_changed() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let settings = TenantSettings::default();
    let version = |version| format!("UPDATE store SET version = {version}");
    fixture.store.script(&version(schema::VERSION + 1));
    let edited = fixture.store.edit(NOW, |edit| edit.add_tenant("late", &settings)).map(drop);
    let pruned = fixture.store.prune_keys(i64::MAX).map(drop);
    let unlocked = fixture.store.unlock(keyring("ab"), NOW).map(drop);
    for refused in [edited, pruned, unlocked] {
        assert!(matches!(refused, Err(StoreError::Newer { .. })), "{refused:?}");
    }
    fixture.store.script(&version(schema::VERSION));
    assert_eq!(fixture.store.revision().expect("ours"), 1, "nothing was counted on");
    assert_eq!(fixture.store.records().expect("read").tenants.len(), 1);
    fixture.store.edit(NOW, |edit| edit.add_tenant("late", &settings)).expect("added");
}
