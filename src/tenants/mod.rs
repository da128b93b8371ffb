//! Tenants, their tokens and the upstream credentials these stand for: the store and its snapshot.
//!
//! The command line edits the store. The request path reads the snapshot, which a running
//! [`Directory`](directory::Directory) rebuilds when the store has changed; no SQL runs there.

use std::{path::PathBuf, time::Duration};

use store::Location;

use crate::settings::Problems;

pub mod course;
pub mod declared;
pub mod directory;
pub mod import;
pub mod master_key;
pub mod record;
pub mod rotation;
pub mod secret;
pub mod snapshot;
pub mod store;

mod schema;
mod uses;

#[cfg(test)]
pub(crate) mod fixture;

crate::section! {
    /// Where tenants, tokens and credentials are kept.
    pub struct Config {
        /// A file of SQLite's, which is made when it does not exist, or a database of PostgreSQL's:
        /// `postgres://USER:PASSWORD@HOST/DATABASE`. To another host than this one the connection is
        /// encrypted and the certificate is checked, unless the URL has another `sslmode`; a CA of
        /// your own is named by `sslrootcert`.
        pub store: Location = Location::from("/var/lib/tollgate/tollgate.db"),
        /// How long the store may take to be reached, and for each answer.
        pub store_timeout: Duration = Duration::from_secs(10),
        /// How often a running server looks whether the store has changed. PostgreSQL announces its
        /// changes besides.
        pub poll_interval: Duration = Duration::from_millis(250),
        /// How often a running server writes down when tokens were used last, what counts against
        /// their quotas of a month, and what they have made and removed within their caps. Several
        /// servers on one store know of each other's after twice this at most.
        pub usage_interval: Duration = Duration::from_secs(10),
        /// The file that holds the master key; the variable `TOLLGATE_MASTER_KEY` wins over it.
        pub master_key_file: Option<PathBuf> = None,
        /// A command that prints the master key, as a program and its arguments, in the place of a
        /// file; no shell reads it.
        pub master_key_command: Vec<String> = Vec::new(),
        /// How long that command may take.
        pub master_key_timeout: Duration = Duration::from_secs(10),
        /// How many credentials have metrics of their own, the first by name; the others share theirs.
        pub credential_series: usize = 200,
        /// The word in new tokens that tells this installation from others, such as `live`.
        pub token_environment: String = "live".to_owned(),
    }
}

impl Config {
    /// What no single key can say.
    pub fn validate(&self, problems: &mut Problems) {
        if self.master_key_file.is_some() && !self.master_key_command.is_empty() {
            let message = "master_key_file is given, too; leave one of the two out";
            problems.add(None, "tenants.master_key_command", message);
        }
    }
}
