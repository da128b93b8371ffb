//! What becomes of a store of an earlier version.

use std::path::Path;

use super::*;
use crate::tenants::{
    fixture::{Fixture, NOW, SECRET, keyring, origin, secret},
    record::Standing,
    secret::Vault,
    store::Store,
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

#[test]
fn a_store_of_version_1_keeps_its_credentials_and_becomes_this_one() {
    let fixture = Fixture::new();
    let path = fixture.folder.path().join("old.db");
    let keyring = keyring("ab");
    let vault = Vault { keyring: &keyring, origin: &origin };
    let sealed = vault.seal(1, "main", &secret(SECRET)).expect("sealed");
    let old = Connection::open(&path).expect("a database");
    old.execute_batch(VERSION_1).expect("tables");
    old.pragma_update(None, "application_id", APPLICATION).expect("marked");
    old.pragma_update(None, "user_version", 1).expect("marked");
    old.execute(
        "INSERT INTO credentials (name, upstream, kind, sealed, key_id, generation, created)
         VALUES ('acme', 'main', 'password', ?1, ?2, 3, ?3)",
        (sealed, keyring.id().as_str(), NOW),
    )
    .expect("a credential");
    drop(old);

    for _ in 0..2 {
        let records = Store::open(&path).expect("a store").records().expect("read");
        let [record] = &records.credentials[..] else { panic!("{records:?}") };
        assert_eq!((&*record.name, record.generation, record.created), ("acme", 3, NOW));
        assert_eq!(record.standing, Standing::default());
        assert_eq!(vault.open(record).expect("opened"), secret(SECRET));
    }
    assert_eq!(described(&path), described(&fixture.path()));
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
