//! What becomes of a store of an earlier version.

use std::path::Path;

use super::*;
use crate::{
    auth::{
        keyring::Keyring,
        scopes::{Access, ScopeNames},
    },
    tenants::{
        fixture::{Fixture, NOW, SECRET, keyring, origin, secret},
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
    let sealed = vault.seal(1, "main", &secret(SECRET)).expect("sealed");
    let old = Connection::open(path).expect("a database");
    old.execute_batch(VERSION_1).expect("tables");
    for upgrade in &UPGRADES[..usize::try_from(version).expect("from one") - 1] {
        old.execute_batch(upgrade).expect("upgraded");
    }
    old.pragma_update(None, "application_id", APPLICATION).expect("marked");
    old.pragma_update(None, "user_version", version).expect("marked");
    let mac = keyring.mac(b"a key");
    old.execute(
        "INSERT INTO tenants (name, default_format, limit_status, created)
         VALUES ('acme', 'json', 429, ?1)",
        [NOW],
    )
    .expect("a tenant");
    old.execute(
        "INSERT INTO credentials (name, upstream, kind, sealed, key_id, generation, created)
         VALUES ('acme', 'main', 'password', ?1, ?2, 3, ?3)",
        (&sealed, keyring.id().as_str(), NOW),
    )
    .expect("a credential");
    old.execute(
        "INSERT INTO tokens (id, tenant, credential, mac, key_id, access, allow, deny, addresses,
             expires, adopted, created)
         VALUES ('abc', 1, 1, ?1, ?2, 'read-only', 'vms', '', '', ?3, 1, ?3)",
        (mac.as_bytes(), keyring.id().as_str(), NOW),
    )
    .expect("a token");
    sealed
}

#[test]
fn a_store_of_an_earlier_version_keeps_what_it_holds_and_becomes_this_one() {
    let fixture = Fixture::new();
    let keyring = keyring("ab");
    let vault = Vault { keyring: &keyring, origin: &origin };
    for version in 1..VERSION {
        let path = fixture.folder.path().join(format!("old-{version}.db"));
        let sealed = old(&path, version, &keyring);
        for _ in 0..2 {
            let records = Store::open(&path).expect("a store").records().expect("read");
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
            // Nobody has been given a permission by being upgraded.
            let terms = TokenTerms { scopes, expires: Some(NOW), ..TokenTerms::default() };
            assert_eq!((&*token.id, &token.terms, token.adopted), ("abc", &terms, true));
            assert_eq!(token.mac, keyring.mac(b"a key"));
        }
        assert_eq!(described(&path), described(&fixture.path()), "from version {version}");
    }
}

/// Version, tables and indexes as they describe themselves, but for the blanks.
fn described(path: &Path) -> (i64, Vec<String>) {
    let connection = Connection::open(path).expect("a database");
    let (_, version) = identity(&connection).expect("a version");
    let mut select = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .expect("a statement");
    let texts = select.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let described = texts.map(|text| text.expect("text").split_whitespace().collect()).collect();
    (version, described)
}
