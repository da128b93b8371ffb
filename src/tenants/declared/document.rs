//! The declaration: what a file says, before it is compared with what is there.

use zeroize::Zeroizing;

use super::{
    ReadSecret, SecretPlace,
    written::{CredentialKeys, TenantKeys, TokenKeys, Written},
};
use crate::settings::{Problems, Section, Table};

/// What an operator declares.
#[derive(Debug, Default)]
pub struct Declaration {
    pub(super) tenants: Vec<DeclaredTenant>,
    pub(super) credentials: Vec<DeclaredCredential>,
    pub(super) tokens: Vec<DeclaredToken>,
}

#[derive(Debug)]
pub(super) struct DeclaredTenant {
    pub(super) name: String,
    pub(super) written: Written<TenantKeys>,
}

#[derive(Debug)]
pub(super) struct DeclaredCredential {
    pub(super) name: String,
    pub(super) written: Written<CredentialKeys>,
    pub(super) secret: DeclaredSecret,
}

#[derive(Debug)]
pub(super) struct DeclaredToken {
    pub(super) written: Written<TokenKeys>,
    pub(super) secret: DeclaredSecret,
}

/// A secret that is named, and what it is.
#[derive(Default)]
pub(super) struct DeclaredSecret {
    pub(super) place: Option<SecretPlace>,
    /// None where no place is named, or it cannot be read.
    pub(super) text: Option<Zeroizing<String>>,
}

const SECRETS: [&str; 4] = ["login", "email", "secret_file", "secret_variable"];

const TABLES: [&str; 3] = ["tenants", "credentials", "tokens"];

impl Declaration {
    /// Reads a document, and the secrets that it names.
    pub fn read(mut root: Table, secrets: &mut ReadSecret<'_>, problems: &mut Problems) -> Self {
        let declaration = Self {
            tenants: named(&mut root, "tenants", problems, |name, table, problems| {
                let written = Written::read(table, problems, TenantKeys::read);
                DeclaredTenant { name, written }
            }),
            credentials: named(&mut root, "credentials", problems, |name, table, problems| {
                let written = Written::read(table, problems, CredentialKeys::read);
                let CredentialKeys { secret_file, secret_variable, .. } = &written.keys;
                let place = place(secret_file.clone(), secret_variable.clone());
                let secret = DeclaredSecret::read(place, secrets, &written, problems);
                DeclaredCredential { name, written, secret }
            }),
            tokens: root
                .take_tables("tokens", problems)
                .into_iter()
                .map(|table| {
                    let written = Written::read(table, problems, TokenKeys::read);
                    let TokenKeys { secret_file, secret_variable, .. } = &written.keys;
                    let place = place(secret_file.clone(), secret_variable.clone());
                    let secret = DeclaredSecret::read(place, secrets, &written, problems);
                    DeclaredToken { written, secret }
                })
                .collect(),
        };
        root.finish(&TABLES, problems);
        declaration
    }

    /// Whether it says by what a credential or a client is known, right or wrong. Who compares that with
    /// what is stored learns something of it.
    pub fn has_secrets(&self) -> bool {
        self.credentials.iter().any(|one| SECRETS.iter().any(|key| one.written.has(key)))
            || self.tokens.iter().any(|one| SECRETS.iter().any(|key| one.written.has(key)))
    }
}

impl DeclaredSecret {
    fn read<K>(
        place: Option<SecretPlace>,
        secrets: &mut ReadSecret<'_>,
        written: &Written<K>,
        problems: &mut Problems,
    ) -> Self {
        if written.has("secret_file") && written.has("secret_variable") {
            let message = "give either this or secret_file";
            written.complain("secret_variable", message, problems);
        }
        let key = place.as_ref().map_or("", SecretPlace::key);
        let read = place.as_ref().and_then(|place| {
            secrets(place).map_err(|why| written.complain(key, &why, problems)).ok()
        });
        Self { text: read, place }
    }

    /// The key that names it.
    pub(super) fn key(&self) -> &'static str {
        self.place.as_ref().map_or("secret_file", SecretPlace::key)
    }
}

impl std::fmt::Debug for DeclaredSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeclaredSecret").field("place", &self.place).finish_non_exhaustive()
    }
}

impl SecretPlace {
    fn key(&self) -> &'static str {
        match self {
            Self::File(_) => "secret_file",
            Self::Variable(_) => "secret_variable",
        }
    }
}

fn place(file: Option<std::path::PathBuf>, variable: Option<String>) -> Option<SecretPlace> {
    file.map(SecretPlace::File).or_else(|| variable.map(SecretPlace::Variable))
}

fn named<T>(
    root: &mut Table,
    key: &str,
    problems: &mut Problems,
    mut read: impl FnMut(String, Table, &mut Problems) -> T,
) -> Vec<T> {
    let Some(mut table) = root.take_table(key, problems) else { return Vec::new() };
    let names = table.names().into_iter();
    names
        .filter_map(|name| {
            let one = table.take_table(&name, problems)?;
            Some(read(name, one, problems))
        })
        .collect()
}
