//! `tollgate credential`: add, rotate, list and remove upstream credentials.

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::{
    Admit, Desk,
    failure::Failure,
    input::SecretSource,
    keys,
    output::{Column, time},
    remote::{Call, path},
};
use crate::{
    operations::{
        credentials::{self, Credential, CredentialChange, NewCredential, NewSecret},
        plain::Plain,
    },
    tenants::{
        record::{Reach, SecretKind, member},
        secret::UpstreamSecret,
    },
    vocabulary::Closed as _,
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
    /// List the rotations of keys, and what came of them; use or forget what an ended one has kept
    Rotations(keys::Rotations),
    /// List the keys that clients have made and that belong to no credential; forget one
    Pending(keys::Pending),
    /// Give such a key to a credential
    Claim(keys::ClaimKey),
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
struct Named<'a> {
    credential: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
}

const COLUMNS: [Column<Credential>; 8] = [
    ("NAME", |c| c.name.clone()),
    ("UPSTREAM", |c| c.upstream.clone()),
    ("KIND", |c| c.kind.as_str().to_owned()),
    ("REACH", |c| c.reach.map_or("-", Reach::as_str).to_owned()),
    ("ACCOUNT", |c| c.account.clone().unwrap_or_else(|| "-".to_owned())),
    ("GENERATION", |c| c.generation.to_string()),
    ("KEY", |c| c.key_id.clone()),
    ("CREATED", |c| time(Some(c.created))),
];

const PATH: &str = "/v1/credentials";

/// Does it.
pub fn run(command: &StoredCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let done = |desk: &mut Desk<'_>, credential: &str, generation, what: &str| {
        let text = format!("credential {credential} {what}");
        desk.output.one(&Named { credential, generation }, &text)
    };
    match command {
        StoredCommand::Add(args) => {
            let new = args.new_credential(desk)?;
            args.trial.run(desk.admit, &args.name, &args.upstream, &new.secret()?)?;
            let call = Call::post(PATH, &new);
            desk.create(call, |edit, means| credentials::add(edit, means, &new))?;
            done(desk, &args.name, Some(1), "added")
        }
        StoredCommand::Rotate(RotateCredential { name, pair, trial }) => {
            let new = NewSecret { test: trial.wish(), ..pair.read(desk)? };
            let shown =
                desk.view(Call::get(path(&[PATH, name])), |v| credentials::show(v, name))?;
            trial.run(desk.admit, name, &shown.upstream, &new.secret()?)?;
            let call = Call::post(path(&[PATH, name, "rotate"]), &new);
            let rotated =
                desk.create(call, |edit, means| credentials::rotate(edit, means, name, &new))?;
            let generation = rotated.generation;
            done(desk, name, Some(generation), &format!("rotated, generation {generation}"))
        }
        StoredCommand::Set(SetCredential { name, standing }) => {
            let StandingArgs { reach, account } = standing;
            let change = CredentialChange { reach: *reach, account: account.clone() };
            let call = Call::patch(path(&[PATH, name]), &change);
            desk.edit(call, |edit, _| credentials::set(edit, name, &change))?;
            done(desk, name, None, "changed")
        }
        StoredCommand::List => {
            let all = desk.list("/v1/credentials?", credentials::list)?;
            desk.output.list(&all, &COLUMNS)
        }
        StoredCommand::Rotations(asked) => keys::rotations(asked, desk),
        StoredCommand::Pending(asked) => keys::pending(asked, desk),
        StoredCommand::Claim(claim) => keys::claim(claim, desk),
        StoredCommand::Remove { name } => {
            let call = Call::delete(path(&[PATH, name]));
            desk.edit(call, |edit, _| credentials::remove(edit, name))?;
            done(desk, name, None, "removed")
        }
    }
}

impl AddCredential {
    fn new_credential(&self, desk: &mut Desk<'_>) -> Result<NewCredential, Failure> {
        let NewSecret { kind, login, secret, .. } = self.pair.read(desk)?;
        Ok(NewCredential {
            name: self.name.clone(),
            upstream: self.upstream.clone(),
            kind,
            login,
            secret,
            reach: self.standing.reach,
            account: self.standing.account.clone(),
            test: self.trial.wish(),
        })
    }
}

impl Pair {
    fn read(&self, desk: &mut Desk<'_>) -> Result<NewSecret, Failure> {
        let secret = Plain::new(self.secret.read(&mut desk.input)?);
        let (kind, login) = match (&self.user.login, &self.user.email) {
            (Some(login), _) => (SecretKind::Password, login.as_str()),
            (None, email) => (SecretKind::Key, email.as_deref().unwrap_or_default()),
        };
        Ok(NewSecret { kind, login: login.to_owned(), secret, test: None })
    }
}

impl Trial {
    /// What is said of it to a server, which tests by itself if nothing is.
    pub(super) fn wish(self) -> Option<bool> {
        self.no_test.then_some(false)
    }

    /// Tests what is stored by this process.
    pub(super) fn run(
        self,
        admit: Admit<'_>,
        name: &str,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<(), Failure> {
        if self.no_test { Ok(()) } else { admit(name, upstream, secret) }
    }
}

fn reach(text: &str) -> Result<Reach, &'static str> {
    member(text).ok_or("expected own or all")
}
