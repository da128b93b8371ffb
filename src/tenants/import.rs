//! The import: JSON lines of tenants, credentials and keys to adopt, in one transaction.
//!
//! 1. A line has `tenant` and `credential`, each as an object that describes it or as the name of
//!    one that exists, and may have `token`, the key that the client holds today.
//! 2. What is there already and equal is left as it is, so a file can be imported twice. What is
//!    there and differs is a bad line: an import never changes anything.
//! 3. Every bad line is reported; one is enough for nothing to be imported.
//! 4. No message repeats a value of the file, except for names.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{
    record::{Noun, Standing, TenantSettings},
    secret::{BadSecret, UpstreamSecret, Vault},
    store::{Edit, NewToken, Store, StoreError},
};
use crate::{
    auth::{
        keyring::{VaultError, random},
        scopes::UnknownName,
        token::{Unadoptable, adoptable, public_id},
    },
    vocabulary::Closed,
};

mod line;

#[cfg(test)]
mod tests;

use line::{CredentialPart, Line, TenantPart, TokenPart};

/// What an import is judged by.
#[derive(Clone, Copy)]
pub struct Import<'a> {
    /// Seals the secrets.
    pub vault: Vault<'a>,
    /// The bit of a route class or a family.
    pub scope: &'a dyn Fn(&str) -> Option<u64>,
    /// The Unix time.
    pub now: i64,
}

/// What an import has added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Tenants that were not there.
    pub tenants: usize,
    /// Credentials that were not there.
    pub credentials: usize,
    /// Keys that were adopted.
    pub tokens: usize,
    /// Tenants, credentials and tokens that were there already, as often as they were met.
    pub unchanged: usize,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The lines cannot be read.
    #[error("the lines cannot be read")]
    Read(#[from] io::Error),
    /// More than are read at once.
    #[error("there are more than {} MiB; import them in parts", most >> 20)]
    TooLong {
        /// So many bytes.
        most: u64,
    },
    /// The store cannot be written.
    #[error(transparent)]
    Store(StoreError),
    /// Some lines are wrong.
    #[error("nothing was imported; bad lines: {}", .0.len())]
    Lines(Vec<BadLine>),
}

/// A line that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// Its number, from one.
    pub line: usize,
    /// What is wrong.
    pub problem: LineProblem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineProblem {
    /// Longer than any line of ours.
    #[error("it has more than {LINE_MAX} bytes")]
    TooLong,
    /// Not JSON.
    #[error("it is not JSON, from column {column}")]
    Syntax {
        /// Where the reader stopped, from one.
        column: usize,
    },
    /// A key holds something else.
    #[error("\"{key}\": expected {expected}")]
    Expected {
        /// The key, with the object that it is in.
        key: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A key that means nothing.
    #[error("\"{key}\": unknown key; known here: {known}")]
    Unknown {
        /// The key.
        key: String,
        /// The keys that mean something.
        known: String,
    },
    /// The secret of the credential.
    #[error("\"credential\": {0}")]
    Secret(#[from] BadSecret),
    /// The key of the client.
    #[error("\"token\": {0}")]
    Unadoptable(#[from] Unadoptable),
    /// A scope.
    #[error("\"token\": {0}")]
    Scope(#[from] UnknownName),
    /// It is there, with other settings.
    #[error("the {} \"{name}\" exists and differs from this line", noun.as_str())]
    Differs {
        /// What it is.
        noun: Noun,
        /// Its name.
        name: String,
    },
    /// The key is another tenant's, or stands for another credential, or was revoked.
    #[error("\"token\": this key is already the token {id}, which differs from this line")]
    TokenDiffers {
        /// The public id of the token.
        id: String,
    },
    /// The store refuses it.
    #[error("{0}")]
    Store(StoreError),
    /// No public id could be made.
    #[error(transparent)]
    Random(#[from] VaultError),
}

/// Much more than a line with the longest of everything.
const LINE_MAX: usize = 64 << 10;

/// Some hundred thousand lines. All of them are read before any is imported.
const INPUT_MAX: u64 = 256 << 20;

impl Import<'_> {
    /// Imports every line, or nothing.
    pub fn run(&self, store: &mut Store, lines: impl BufRead) -> Result<Imported, ImportError> {
        // Before the edit, which keeps everybody else from changing anything: a pipe may take long.
        let lines = read(lines, INPUT_MAX)?;
        store.edit(self.now, |edit| {
            let mut imported = Imported::default();
            let mut bad = Vec::new();
            for (index, text) in lines.iter().enumerate() {
                if text.is_empty() {
                    continue;
                }
                match self.apply(edit, text, &mut imported) {
                    Ok(()) => {}
                    // The store itself is in trouble: no line is to blame.
                    Err(LineProblem::Store(
                        error @ (StoreError::Database(_) | StoreError::TimedOut { .. }),
                    )) => {
                        return Err(ImportError::Store(error));
                    }
                    Err(problem) => bad.push(BadLine { line: index + 1, problem }),
                }
            }
            if bad.is_empty() { Ok(imported) } else { Err(ImportError::Lines(bad)) }
        })
    }

    fn apply(
        &self,
        edit: &Edit<'_>,
        text: &[u8],
        imported: &mut Imported,
    ) -> Result<(), LineProblem> {
        let Line { tenant, credential, token } = Line::parse(text)?;
        let tenant = match tenant {
            TenantPart::Named(name) => edit.require_tenant(&name)?.name,
            TenantPart::Inline(name, settings) => {
                let added = self.tenant(edit, &name, &settings)?;
                count(added, &mut imported.tenants, &mut imported.unchanged);
                name
            }
        };
        let credential = match credential {
            CredentialPart::Named(name) => edit.require_credential(&name)?.name,
            CredentialPart::Inline { name, upstream, secret, standing } => {
                let added = self.credential(edit, &name, &upstream, &secret, &standing)?;
                count(added, &mut imported.credentials, &mut imported.unchanged);
                name
            }
        };
        if let Some(token) = token {
            let added = self.token(edit, &tenant, &credential, &token)?;
            count(added, &mut imported.tokens, &mut imported.unchanged);
        }
        Ok(())
    }

    fn tenant(
        &self,
        edit: &Edit<'_>,
        name: &str,
        settings: &TenantSettings,
    ) -> Result<bool, LineProblem> {
        match edit.tenant(name)? {
            None => edit.add_tenant(name, settings).map(|_| true).map_err(LineProblem::Store),
            Some(there) if there.settings == *settings => Ok(false),
            Some(_) => Err(LineProblem::Differs { noun: Noun::Tenant, name: name.to_owned() }),
        }
    }

    fn credential(
        &self,
        edit: &Edit<'_>,
        name: &str,
        upstream: &str,
        secret: &UpstreamSecret,
        standing: &Standing,
    ) -> Result<bool, LineProblem> {
        let Some(there) = edit.credential(name)? else {
            edit.add_credential(&self.vault, name, upstream, secret, standing)?;
            return Ok(true);
        };
        let vault = |why| StoreError::Vault { name: name.to_owned(), why };
        let same = there.upstream == upstream
            && there.standing == *standing
            && self.vault.open(&there).map_err(vault)? == *secret;
        let differs = LineProblem::Differs { noun: Noun::Credential, name: name.to_owned() };
        if same { Ok(false) } else { Err(differs) }
    }

    fn token(
        &self,
        edit: &Edit<'_>,
        tenant: &str,
        credential: &str,
        token: &TokenPart,
    ) -> Result<bool, LineProblem> {
        adoptable(token.key.as_bytes())?;
        token.terms.scopes.resolve(self.scope)?;
        let keyring = self.vault.keyring;
        let mac = keyring.mac(token.key.as_bytes());
        if let Some(there) = edit.token_by_mac(&mac)? {
            let same = there.tenant == edit.require_tenant(tenant)?.row
                && there.credential == edit.require_credential(credential)?.row
                && there.terms == token.terms
                && there.revoked.is_none();
            return if same { Ok(false) } else { Err(LineProblem::TokenDiffers { id: there.id }) };
        }
        let id = public_id(&*random::<8>()?);
        edit.add_token(&NewToken {
            id: &id,
            tenant,
            credential,
            mac,
            key_id: keyring.id(),
            terms: &token.terms,
            adopted: true,
        })?;
        Ok(true)
    }
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<StoreError> for LineProblem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// All lines, without the space around them.
fn read(lines: impl BufRead, most: u64) -> Result<Vec<Zeroizing<Vec<u8>>>, ImportError> {
    let mut read = Vec::new();
    let mut left = most;
    for line in lines.take(most.saturating_add(1)).split(b'\n') {
        let line = Zeroizing::new(line?);
        left = left.checked_sub(line.len() as u64).ok_or(ImportError::TooLong { most })?;
        read.push(Zeroizing::new(line.trim_ascii().to_vec()));
    }
    Ok(read)
}

fn count(added: bool, new: &mut usize, unchanged: &mut usize) {
    *(if added { new } else { unchanged }) += 1;
}
