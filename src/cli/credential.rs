//! `tollgate credential`: add, rotate, list and remove upstream credentials.

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::{
    Desk,
    failure::Failure,
    input::SecretSource,
    output::{Column, time},
};
use crate::{
    tenants::{
        record::{CredentialRecord, Noun, Reach, SecretKind, Standing, member},
        secret::UpstreamSecret,
        store::StoreError,
    },
    vocabulary::Closed,
};

/// What can be done to credentials in the store.
#[derive(Debug, Subcommand)]
pub enum StoredCommand {
    /// Add a credential of an upstream, which is asked whether it takes it
    Add(AddCredential),
    /// Give a credential another secret, which is tested; its cache starts anew
    Rotate(RotateCredential),
    /// Say what a credential reaches, and whose it is; its cache starts anew
    Set(SetCredential),
    /// List the credentials, without their secrets
    List,
    /// Remove a credential that no token in use stands for
    Remove {
        /// The credential
        name: String,
    },
}

/// A credential to add.
#[derive(Debug, Args)]
pub struct AddCredential {
    /// The credential
    pub name: String,
    /// The upstream, by its name in the configuration
    #[arg(long)]
    pub upstream: String,
    /// What is sent.
    #[command(flatten)]
    pub pair: Pair,
    /// What is declared.
    #[command(flatten)]
    pub standing: StandingArgs,
    /// Whether it is tested.
    #[command(flatten)]
    pub trial: Trial,
}

/// Whether a secret is tested before it is stored.
#[derive(Clone, Copy, Debug, Args)]
pub struct Trial {
    /// Store it without asking the upstream whether it takes it
    #[arg(long)]
    pub no_test: bool,
}

/// What is declared of a credential from now on; what is not given stays.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("given").args(["reach", "account"]).required(true).multiple(true)))]
pub struct SetCredential {
    /// The credential
    pub name: String,
    /// What is declared.
    #[command(flatten)]
    pub standing: StandingArgs,
}

/// What a credential reaches, and whose it is.
#[derive(Debug, Args)]
pub struct StandingArgs {
    /// What it sees and changes: own (what its account owns) or all (an administrator's)
    #[arg(long, value_name = "REACH", value_parser = reach)]
    pub reach: Option<Reach>,
    /// The upstream user behind it: the same for all credentials of one user
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
}

/// Another secret for a credential.
#[derive(Debug, Args)]
pub struct RotateCredential {
    /// The credential
    pub name: String,
    /// What is sent.
    #[command(flatten)]
    pub pair: Pair,
    /// Whether it is tested.
    #[command(flatten)]
    pub trial: Trial,
}

/// Who the upstream takes us for, and where its secret is.
#[derive(Debug, Args)]
pub struct Pair {
    /// The name.
    #[command(flatten)]
    pub user: User,
    /// The secret.
    #[command(flatten)]
    pub secret: SecretSource,
}

/// A login, or an e-mail address.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct User {
    /// The login, whose secret is a password
    #[arg(long)]
    pub login: Option<String>,
    /// The e-mail address, whose secret is an API key
    #[arg(long)]
    pub email: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    upstream: String,
    kind: &'static str,
    reach: Option<&'static str>,
    account: Option<String>,
    generation: i64,
    key_id: String,
    created: i64,
}

#[derive(Serialize)]
struct Named<'a> {
    credential: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
}

const COLUMNS: [Column<Shown>; 8] = [
    ("NAME", |c| c.name.clone()),
    ("UPSTREAM", |c| c.upstream.clone()),
    ("KIND", |c| c.kind.to_owned()),
    ("REACH", |c| c.reach.unwrap_or("-").to_owned()),
    ("ACCOUNT", |c| c.account.clone().unwrap_or_else(|| "-".to_owned())),
    ("GENERATION", |c| c.generation.to_string()),
    ("KEY", |c| c.key_id.clone()),
    ("CREATED", |c| time(Some(c.created))),
];

/// Does it.
pub fn run(command: &StoredCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let done = |desk: &mut Desk<'_>, credential: &str, generation, what: &str| {
        let text = format!("credential {credential} {what}");
        desk.output.one(&Named { credential, generation }, &text)
    };
    match command {
        StoredCommand::Add(AddCredential { name, upstream, pair, standing, trial }) => {
            let secret = pair.read(desk)?;
            trial.run(desk, name, upstream, &secret)?;
            let vault = desk.vault;
            let standing = standing.over(Standing::default());
            desk.store.edit(desk.now, |edit| {
                edit.add_credential(&vault, name, upstream, &secret, &standing)
            })?;
            done(desk, name, Some(1), "added")
        }
        StoredCommand::Rotate(RotateCredential { name, pair, trial }) => {
            let secret = pair.read(desk)?;
            let records = desk.store.records()?.credentials;
            let missing = || StoreError::Missing { noun: Noun::Credential, name: name.clone() };
            let record = records.iter().find(|record| record.name == *name).ok_or_else(missing)?;
            trial.run(desk, name, &record.upstream, &secret)?;
            let vault = desk.vault;
            let generation =
                desk.store.edit(desk.now, |edit| edit.rotate_credential(&vault, name, &secret))?;
            done(desk, name, Some(generation), &format!("rotated, generation {generation}"))
        }
        StoredCommand::Set(SetCredential { name, standing }) => {
            desk.store.edit::<_, StoreError>(desk.now, |edit| {
                let credential = edit.require_credential(name)?;
                edit.set_standing(name, &standing.over(credential.standing))
            })?;
            done(desk, name, None, "changed")
        }
        StoredCommand::List => {
            let credentials = desk.store.records()?.credentials;
            let shown: Vec<Shown> = credentials.into_iter().map(Shown::from).collect();
            desk.output.list(&shown, &COLUMNS)
        }
        StoredCommand::Remove { name } => {
            desk.store.edit(desk.now, |edit| edit.remove_credential(name))?;
            done(desk, name, None, "removed")
        }
    }
}

impl Pair {
    fn read(&self, desk: &mut Desk<'_>) -> Result<UpstreamSecret, Failure> {
        let secret = self.secret.read(&mut desk.input)?;
        let (kind, login) = match (&self.user.login, &self.user.email) {
            (Some(login), _) => (SecretKind::Password, login.as_str()),
            (None, email) => (SecretKind::Key, email.as_deref().unwrap_or_default()),
        };
        Ok(UpstreamSecret::new(kind, login, &secret)?)
    }
}

impl Trial {
    /// An upstream that is in no configuration is for the store to refuse.
    fn run(
        self,
        desk: &Desk<'_>,
        name: &str,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<(), Failure> {
        if self.no_test || (desk.vault.origin)(upstream).is_none() {
            return Ok(());
        }
        (desk.admit)(name, upstream, secret)
    }
}

impl StandingArgs {
    fn over(&self, standing: Standing) -> Standing {
        Standing {
            reach: self.reach.or(standing.reach),
            account: self.account.clone().or(standing.account),
        }
    }
}

impl From<CredentialRecord> for Shown {
    fn from(record: CredentialRecord) -> Self {
        Self {
            name: record.name,
            upstream: record.upstream,
            kind: record.kind.as_str(),
            reach: record.standing.reach.map(Reach::as_str),
            account: record.standing.account,
            generation: record.generation,
            key_id: record.key_id,
            created: record.created,
        }
    }
}

fn reach(text: &str) -> Result<Reach, &'static str> {
    member(text).ok_or("expected own or all")
}
