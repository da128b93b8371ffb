//! What becomes of a store of an earlier version.

use std::path::Path;

use super::*;
use crate::{
    auth::{
        keyring::Keyring,
        scopes::{Access, Permission, PermissionSet, ScopeNames},
    },
    tenants::{
        fixture::{NOW, SECRET, config, keyring, origin, secret},
        record::{Standing, TokenTerms},
        secret::Vault,
        store::Store,
    },
};

const VERSION_1: &str = "
CREATE TABLE tenants (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    default_format TEXT NOT NULL CHECK (default_format IN ('json', 'xml')),
    reads_per_second INTEGER CHECK (reads_per_second > 0),
    reads_burst INTEGER CHECK (reads_burst > 0),
    writes_per_second INTEGER CHECK (writes_per_second > 0),
    writes_burst INTEGER CHECK (writes_burst > 0),
    upstream_reads_per_second INTEGER CHECK (upstream_reads_per_second > 0),
    upstream_reads_burst INTEGER CHECK (upstream_reads_burst > 0),
    limit_status INTEGER NOT NULL CHECK (limit_status IN (429, 403)),
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE credentials (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    upstream TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('password', 'key')),
    sealed BLOB NOT NULL,
    key_id TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    tenant INTEGER NOT NULL REFERENCES tenants (row),
    credential INTEGER NOT NULL REFERENCES credentials (row),
    mac BLOB NOT NULL UNIQUE CHECK (length(mac) = 32),
    key_id TEXT NOT NULL,
    access TEXT NOT NULL CHECK (access IN ('read-only', 'read-write')),
    allow TEXT NOT NULL,
    deny TEXT NOT NULL,
    addresses TEXT NOT NULL,
    not_before INTEGER,
    expires INTEGER,
    limit_status INTEGER CHECK (limit_status IN (429, 403)),
    adopted INTEGER NOT NULL CHECK (adopted IN (0, 1)),
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT;
CREATE INDEX tokens_of_tenant ON tokens (tenant);
CREATE INDEX tokens_of_credential ON tokens (credential);
";

/// A store of an earlier version, with a credential and a token.
fn old(path: &Path, version: i64, keyring: &Keyring) -> Vec<u8> {
    let vault = Vault { keyring, origin: &origin };
    let first = keyring.first_vault();
    let sealed = vault.seal(first, 1, "main", &secret(SECRET)).expect("sealed");
    let mac = keyring.mac(b"a key");
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut store = Store::open(&config(path)).expect("a database");
    store.script("DROP TABLE pending_keys; DROP TABLE rotations; DROP TABLE answers; DROP TABLE admin_tokens; DROP TABLE data_keys; DROP TABLE idempotency; DROP TABLE acts; DROP TABLE audit; DROP TABLE audit_heads; DROP TABLE audit_tail; DROP TABLE uses; DROP TABLE tokens; DROP TABLE credentials; DROP TABLE tenants; DROP TABLE store");
    store.script(VERSION_1);
    for upgrade in &UPGRADES[..usize::try_from(version).expect("from one") - 1] {
        store.script(upgrade);
    }
    store.script(&format!(
        "PRAGMA user_version = {version};
         INSERT INTO tenants (name, default_format, limit_status, created)
         VALUES ('acme', 'json', 429, {NOW});
         INSERT INTO credentials (name, upstream, kind, sealed, key_id, generation, created)
         VALUES ('acme', 'main', 'password', x'{sealed}', '{key}', 3, {NOW});
         INSERT INTO tokens (id, tenant, credential, mac, key_id, access, allow, deny, addresses,
             expires, adopted, created)
         VALUES ('abc', 1, 1, x'{mac}', '{key}', 'read-only', 'vms', '', '', {NOW}, 1, {NOW})",
        sealed = hex(&sealed),
        key = keyring.id().as_str(),
        mac = hex(mac.as_bytes()),
    ));
    sealed
}

#[test]
fn a_store_of_an_earlier_version_keeps_what_it_holds_and_becomes_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("new.db");
    Store::open(&config(&new)).expect("a new store");
    let old_keys = keyring("ab");
    for version in 1..VERSION {
        let path = folder.path().join(format!("old-{version}.db"));
        let sealed = old(&path, version, &old_keys);
        for _ in 0..2 {
            let mut store = Store::open(&config(&path)).expect("a store");
            let keyring = store.unlock(keyring("ab"), NOW).expect("its master key");
            let vault = Vault { keyring: &keyring, origin: &origin };
            let records = store.records().expect("read");
            let [record] = &records.credentials[..] else { panic!("{records:?}") };
            assert_eq!((&*record.name, record.generation, record.created), ("acme", 3, NOW));
            assert_eq!((&record.standing, &record.sealed), (&Standing::default(), &sealed));
            assert_eq!(vault.open(record).expect("opened"), secret(SECRET));
            let [token] = &records.tokens[..] else { panic!("{records:?}") };
            let scopes = ScopeNames {
                access: Access::ReadOnly,
                allow: vec!["vms".to_owned()],
                deny: Vec::new(),
            };
            // A client whose key was adopted goes on seeing what it was shown; nothing else is given.
            let permissions = PermissionSet::from_iter([Permission::ReadSecrets]);
            let expires = Some(NOW);
            let terms = TokenTerms { scopes, permissions, expires, ..TokenTerms::default() };
            assert_eq!((&*token.id, &token.terms, token.adopted), ("abc", &terms, true));
            assert_eq!(token.mac, keyring.mac(b"a key"));
            assert_eq!((&*token.key_id, keyring.id()), (keyring.id().as_str(), old_keys.id()));
        }
        assert_eq!(described(&path), described(&new), "from version {version}");
    }
}

/// Version, tables and indexes as they describe themselves, but for the blanks.
fn described(path: &Path) -> (i64, Vec<String>) {
    let mut store = Store::open(&config(path)).expect("a store");
    store.look(|session| {
        let (_, version) = identity(session)?;
        let select = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
        let texts: Vec<String> = session.all(query(select), |row| get(row, "sql"))?;
        let described = texts.iter().map(|text| text.split_whitespace().collect()).collect();
        Ok((version, described))
    })
}
