//! The tables of the store and the version that a program understands.
//!
//! They are written in SQLite's words, and translated for PostgreSQL. A file says in its header which
//! version it has; a database of PostgreSQL's, which is of the fourth at least, in its table `store`.

use sqlx::query;

use super::store::{Session, StoreError, backend::Backend, get};

/// The version of the tables below; a store of a later one is refused.
pub(super) const VERSION: i64 = 7;

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
    account TEXT CHECK (reach <> 'own' OR account IS NOT NULL),
    user_since INTEGER NOT NULL DEFAULT 1
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
    permissions TEXT NOT NULL DEFAULT '',
    ordinal INTEGER NOT NULL DEFAULT 0,
    label TEXT NOT NULL DEFAULT '',
    policies TEXT NOT NULL DEFAULT '{}',
    replaced_by TEXT
) STRICT;
CREATE TABLE uses (
    token TEXT PRIMARY KEY REFERENCES tokens (id) ON DELETE CASCADE,
    last_used INTEGER NOT NULL,
    month TEXT NOT NULL,
    reads INTEGER NOT NULL,
    writes INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_of_tenant ON tokens (tenant);
CREATE INDEX tokens_of_credential ON tokens (credential);
CREATE INDEX tokens_in_order ON tokens (ordinal);
CREATE UNIQUE INDEX tokens_replaced ON tokens (replaced_by) WHERE replaced_by IS NOT NULL;
CREATE TABLE store (version INTEGER NOT NULL, revision INTEGER NOT NULL) STRICT;
INSERT INTO store (version, revision) VALUES (0, 0);
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    event TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TABLE audit_heads (
    kind TEXT NOT NULL CHECK (kind IN ('head', 'checkpoint')),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL,
    time INTEGER NOT NULL,
    signature BLOB NOT NULL,
    key_id TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE audit_tail (sequence INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
INSERT INTO audit_tail (sequence, hash) VALUES (0, '');
CREATE INDEX audit_heads_in_order ON audit_heads (kind, sequence);
CREATE TABLE idempotency (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL REFERENCES tenants (row) ON DELETE CASCADE,
    credential INTEGER NOT NULL REFERENCES credentials (row) ON DELETE CASCADE,
    generation INTEGER NOT NULL DEFAULT 0,
    mac BLOB NOT NULL CHECK (length(mac) = 32),
    print BLOB NOT NULL CHECK (length(print) = 32),
    key_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'answered', 'unkept', 'unknown')),
    first INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    reply BLOB,
    transactions TEXT NOT NULL DEFAULT '',
    UNIQUE (tenant, credential, mac)
) STRICT;
CREATE INDEX idempotency_of_tenant ON idempotency (tenant, expires);
CREATE INDEX idempotency_by_expiry ON idempotency (expires);
CREATE TABLE acts (
    token TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    policy TEXT NOT NULL CHECK (policy IN ('creates', 'deletes')),
    dated INTEGER NOT NULL,
    number INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (token, policy, dated)
) STRICT;
CREATE INDEX acts_by_end ON acts (ends);
CREATE TABLE data_keys (
    purpose TEXT NOT NULL CHECK (purpose IN ('vault', 'tokens', 'audit')),
    id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    wrapped_by TEXT NOT NULL,
    created INTEGER NOT NULL,
    retired INTEGER,
    PRIMARY KEY (purpose, id)
) STRICT;
CREATE UNIQUE INDEX data_keys_in_force ON data_keys (purpose) WHERE retired IS NULL;
CREATE TABLE admin_tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
    mac BLOB NOT NULL UNIQUE CHECK (length(mac) = 32),
    key_id TEXT NOT NULL,
    expires INTEGER,
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT;
CREATE TABLE answers (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    sealed BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE rotations (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    credential INTEGER NOT NULL REFERENCES credentials (row) ON DELETE CASCADE,
    way TEXT NOT NULL CHECK (way IN ('add', 'replace')),
    step TEXT NOT NULL,
    facts TEXT NOT NULL,
    old_key BLOB NOT NULL,
    old_key_id TEXT NOT NULL,
    new_key BLOB NOT NULL,
    new_key_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    note TEXT,
    tries INTEGER NOT NULL,
    due INTEGER NOT NULL,
    since INTEGER NOT NULL,
    holder TEXT NOT NULL,
    leased INTEGER NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER
) STRICT;
CREATE UNIQUE INDEX one_rotation_each ON rotations (credential) WHERE ended IS NULL;
CREATE TABLE pending_keys (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    upstream TEXT NOT NULL,
    panel_user INTEGER NOT NULL,
    login TEXT NOT NULL,
    token TEXT NOT NULL,
    sealed BLOB NOT NULL,
    key_id TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
";

/// What makes the tables of a version, from the first on, those of the next.
const UPGRADES: [&str; VERSION as usize - 1] = [
    "
ALTER TABLE credentials ADD COLUMN reach TEXT CHECK (reach IN ('own', 'all'));
ALTER TABLE credentials
    ADD COLUMN account TEXT CHECK (reach <> 'own' OR account IS NOT NULL);
",
    "ALTER TABLE tokens ADD COLUMN permissions TEXT NOT NULL DEFAULT '';",
    "
ALTER TABLE tokens ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;
UPDATE tokens SET ordinal = rowid;
CREATE INDEX tokens_in_order ON tokens (ordinal);
CREATE TABLE store (version INTEGER NOT NULL, revision INTEGER NOT NULL) STRICT;
INSERT INTO store (version, revision) VALUES (0, 0);
",
    "
ALTER TABLE tokens ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN policies TEXT NOT NULL DEFAULT '{}';
CREATE TABLE uses (
    token TEXT PRIMARY KEY REFERENCES tokens (id) ON DELETE CASCADE,
    last_used INTEGER NOT NULL,
    month TEXT NOT NULL,
    reads INTEGER NOT NULL,
    writes INTEGER NOT NULL
) STRICT;
",
    "
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    event TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TABLE audit_heads (
    kind TEXT NOT NULL CHECK (kind IN ('head', 'checkpoint')),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL,
    time INTEGER NOT NULL,
    signature BLOB NOT NULL
) STRICT;
CREATE TABLE audit_tail (sequence INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
INSERT INTO audit_tail (sequence, hash) VALUES (0, '');
",
    // An adopted key stands for a client that has been reading the passwords of machines.
    "
UPDATE tokens SET permissions = trim(permissions || ' secrets:read') WHERE adopted = 1;
ALTER TABLE credentials ADD COLUMN user_since INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tokens ADD COLUMN replaced_by TEXT;
CREATE UNIQUE INDEX tokens_replaced ON tokens (replaced_by) WHERE replaced_by IS NOT NULL;
ALTER TABLE audit_heads ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_heads_in_order ON audit_heads (kind, sequence);
CREATE TABLE idempotency (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL REFERENCES tenants (row) ON DELETE CASCADE,
    credential INTEGER NOT NULL REFERENCES credentials (row) ON DELETE CASCADE,
    generation INTEGER NOT NULL DEFAULT 0,
    mac BLOB NOT NULL CHECK (length(mac) = 32),
    print BLOB NOT NULL CHECK (length(print) = 32),
    key_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'answered', 'unkept', 'unknown')),
    first INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    reply BLOB,
    transactions TEXT NOT NULL DEFAULT '',
    UNIQUE (tenant, credential, mac)
) STRICT;
CREATE INDEX idempotency_of_tenant ON idempotency (tenant, expires);
CREATE INDEX idempotency_by_expiry ON idempotency (expires);
CREATE TABLE acts (
    token TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    policy TEXT NOT NULL CHECK (policy IN ('creates', 'deletes')),
    dated INTEGER NOT NULL,
    number INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (token, policy, dated)
) STRICT;
CREATE INDEX acts_by_end ON acts (ends);
CREATE TABLE data_keys (
    purpose TEXT NOT NULL CHECK (purpose IN ('vault', 'tokens', 'audit')),
    id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    wrapped_by TEXT NOT NULL,
    created INTEGER NOT NULL,
    retired INTEGER,
    PRIMARY KEY (purpose, id)
) STRICT;
CREATE UNIQUE INDEX data_keys_in_force ON data_keys (purpose) WHERE retired IS NULL;
CREATE TABLE admin_tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
    mac BLOB NOT NULL UNIQUE CHECK (length(mac) = 32),
    key_id TEXT NOT NULL,
    expires INTEGER,
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT;
CREATE TABLE answers (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    sealed BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE rotations (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    credential INTEGER NOT NULL REFERENCES credentials (row) ON DELETE CASCADE,
    way TEXT NOT NULL CHECK (way IN ('add', 'replace')),
    step TEXT NOT NULL,
    facts TEXT NOT NULL,
    old_key BLOB NOT NULL,
    old_key_id TEXT NOT NULL,
    new_key BLOB NOT NULL,
    new_key_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    note TEXT,
    tries INTEGER NOT NULL,
    due INTEGER NOT NULL,
    since INTEGER NOT NULL,
    holder TEXT NOT NULL,
    leased INTEGER NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER
) STRICT;
CREATE UNIQUE INDEX one_rotation_each ON rotations (credential) WHERE ended IS NULL;
CREATE TABLE pending_keys (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    upstream TEXT NOT NULL,
    panel_user INTEGER NOT NULL,
    login TEXT NOT NULL,
    token TEXT NOT NULL,
    sealed BLOB NOT NULL,
    key_id TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
",
];

/// Which store it is, as it says itself: application and version; zeros when it is new.
pub(super) fn identity(session: &Session<'_>) -> Result<(i64, i64), StoreError> {
    let number = |statement, column| {
        let found = session.first(query(statement), |row| get(row, column))?;
        Ok::<i64, StoreError>(found.unwrap_or_default())
    };
    match session.backend() {
        Backend::Sqlite => Ok((
            number("PRAGMA application_id", "application_id")?,
            number("PRAGMA user_version", "user_version")?,
        )),
        Backend::Postgres if number(OUR_TABLES, "tables")? == 0 => Ok((0, 0)),
        Backend::Postgres => Ok((APPLICATION, number("SELECT version FROM store", "version")?)),
    }
}

/// Counts what only a store of ours has.
const OUR_TABLES: &str = "
SELECT count(*) AS tables FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = 'store' AND column_name = 'revision'";

/// Whether it has no table of anybody's.
pub(super) fn is_empty(session: &Session<'_>) -> Result<bool, StoreError> {
    let count = match session.backend() {
        Backend::Sqlite => "SELECT count(*) AS tables FROM sqlite_schema",
        Backend::Postgres => {
            "SELECT count(*) AS tables FROM information_schema.tables
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        }
    };
    let tables: Option<i64> = session.first(query(count), |row| get(row, "tables"))?;
    Ok(tables == Some(0))
}

/// Makes the tables.
pub(super) fn create(session: &Session<'_>) -> Result<(), StoreError> {
    session.make_tables(TABLES)?;
    mark(session)
}

/// Brings the tables of an earlier version, one or above, to this version.
pub(super) fn upgrade(session: &Session<'_>, version: i64) -> Result<(), StoreError> {
    for (from, upgrade) in (1..).zip(UPGRADES) {
        if from >= version {
            session.make_tables(upgrade)?;
        }
    }
    mark(session)
}

/// Says which version it is.
fn mark(session: &Session<'_>) -> Result<(), StoreError> {
    session.execute(query("UPDATE store SET version = $1").bind(VERSION))?;
    if session.backend() == Backend::Sqlite {
        let marks =
            format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}");
        session.script(sqlx::AssertSqlSafe(marks))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
