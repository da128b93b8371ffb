//! The tables of the store and the version that a program understands.

use rusqlite::Connection;

/// The version of the tables below; a store of a later one is refused.
pub(super) const VERSION: i64 = 3;

/// Marks the file as a store of Tollgate: "TGts".
pub(super) const APPLICATION: i64 = 0x5447_7473;

const TABLES: &str = "
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
    created INTEGER NOT NULL,
    reach TEXT CHECK (reach IN ('own', 'all')),
    account TEXT CHECK (reach IS NOT 'own' OR account IS NOT NULL)
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
    revoked INTEGER,
    permissions TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX tokens_of_tenant ON tokens (tenant);
CREATE INDEX tokens_of_credential ON tokens (credential);
";

/// What makes the tables of a version, from the first on, those of the next.
const UPGRADES: [&str; VERSION as usize - 1] = [
    "
ALTER TABLE credentials ADD COLUMN reach TEXT CHECK (reach IN ('own', 'all'));
ALTER TABLE credentials
    ADD COLUMN account TEXT CHECK (reach IS NOT 'own' OR account IS NOT NULL);
",
    "ALTER TABLE tokens ADD COLUMN permissions TEXT NOT NULL DEFAULT '';",
];

/// Which store a file holds, as it says itself: application and version; zeros when it is new.
pub(super) fn identity(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let read = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
    Ok((read("application_id")?, read("user_version")?))
}

/// Whether the file has no table of anybody's.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Makes the tables.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// Brings the tables of an earlier version, one or above, to this version.
pub(super) fn upgrade(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    for (from, upgrade) in (1..).zip(UPGRADES) {
        if from >= version {
            connection.execute_batch(upgrade)?;
        }
    }
    connection.pragma_update(None, "user_version", VERSION)
}

#[cfg(test)]
mod tests;
