//! Why a command failed, with the exit code that says so to scripts.

use std::{fmt::Write, io, net::SocketAddr, path::PathBuf, time::Duration};

use http::StatusCode;

pub(super) use self::codes::of_store;
use self::codes::{of_file, of_operation};
use super::{apply::ApplyError, exit::Exit, remote::AskError};
use crate::{
    admin::token::AdminTokenError,
    auth::keyring::VaultError,
    config::ConfigError,
    error_chain::error_chain,
    net::{tls::TlsError, upstream::UpstreamError},
    operations::OperationError,
    policy::policies::PolicyError,
    serve::StartError,
    telemetry::LogError,
    tenants::{
        import::{ImportError, LineProblem},
        master_key::NoMasterKey,
        secret::BadSecret,
        store::StoreError,
    },
};

mod codes;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The import was refused.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// What is declared was not applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// An operation was refused.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] VaultError),
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be made.
    #[error("{} cannot be created", path.display())]
    CannotCreate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard input cannot be read.
    #[error("standard input cannot be read")]
    Stdin(#[source] io::Error),
    /// The variable is not set.
    #[error("there is no environment variable {0}, or it is not text")]
    NoVariable(String),
    /// The secret is longer than any.
    #[error("the secret has more than {0} bytes")]
    SecretTooLong(u64),
    /// `set` without anything to set.
    #[error(
        "nothing to change: give at least one of --default-format, --reads, --writes, --upstream-reads, --limit-status"
    )]
    NothingToSet,
    /// Most likely forgotten, and it would take everything away.
    #[error(
        "give all policies that the token is to have, --none alone to take them away, or --permit"
    )]
    NoPolicies,
    /// No server does it.
    #[error(
        "no server does this: leave --server out, and run it where the configuration and the store are"
    )]
    StoreAlone,
    /// The store alone cannot do it.
    #[error("a running server alone does this: leave --offline out")]
    ServerAlone,
    /// Policies that make no sense.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A file that is no policies.
    #[error("{} holds no policies", path.display())]
    PolicyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A mode for what there is not.
    #[error("there is no policy \"{0}\" to put in shadow or off; give it, too")]
    NoSuchPolicy(&'static str),
    /// The answer cannot be written.
    #[error("the answer cannot be written")]
    Output(#[source] io::Error),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no master key.
    #[error(transparent)]
    MasterKey(#[from] NoMasterKey),
    /// The admin token cannot be used.
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
    /// The certificate cannot be used.
    #[error("the certificate cannot be used")]
    Tls(#[from] TlsError),
    /// The log cannot be set up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The process cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}; name another with {key}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Where it is configured.
        key: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The system refuses what every process needs.
    #[error("the system refuses: {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The upstream does not take a credential.
    #[error("the upstream does not take the credential {name}: {why}")]
    Refused {
        /// Which one.
        name: String,
        /// What it said.
        why: String,
    },
    /// The upstream cannot say whether it takes a credential.
    #[error(
        "credential {name} cannot be tested, and was not stored (--no-test stores it untested)"
    )]
    Untested {
        /// Which one.
        name: String,
        /// Why.
        #[source]
        why: Box<Failure>,
    },
    /// An upstream that is in no configuration.
    #[error("there is no upstream \"{0}\" in the configuration")]
    UnknownUpstream(String),
    /// The upstream does not answer.
    #[error("upstream {upstream} does not answer")]
    Silent {
        /// Which one.
        upstream: String,
        /// Why.
        source: UpstreamError,
    },
    /// The upstream answers something else than whether it takes a credential.
    #[error("upstream {upstream} answered {status}")]
    Answered {
        /// Which one.
        upstream: String,
        /// What.
        status: StatusCode,
    },
    /// A key was not rotated.
    #[error("the key of credential {name} was not rotated: {why}")]
    NotRotated {
        /// Of which credential.
        name: String,
        /// Why.
        why: String,
    },
    /// A key is not rotated yet.
    #[error(
        "after {} s the rotation {id} of the key of credential {name} was seen last at the step {step}; a \
         server goes on with it, and `tollgate credential rotations` shows how it ends. The same command \
         waits for it while it is under way, and begins another after that", waited.as_secs()
    )]
    UnderWay {
        /// Of which credential.
        name: String,
        /// The number of the rotation.
        id: i64,
        /// How far it is.
        step: String,
        /// How long it was waited for.
        waited: Duration,
        /// Why it was not seen at last.
        #[source]
        unseen: Option<Box<Failure>>,
    },
    /// The running server cannot be asked.
    #[error(
        "the admin listener on {place} cannot be asked; does `tollgate serve` run there?{instead}"
    )]
    Unasked {
        /// Where it should listen.
        place: String,
        /// What else can be done.
        instead: &'static str,
        /// Why.
        source: AskError,
    },
    /// The running server does not take the admin token.
    #[error("the admin listener on {place} refuses: {why}")]
    NotPermitted {
        /// Where it listens.
        place: String,
        /// What it said.
        why: String,
    },
    /// The running server cannot do it now.
    #[error("the server on {place} cannot do it now: {why}")]
    NotNow {
        /// Where it listens.
        place: String,
        /// What it said.
        why: String,
    },
    /// The running server does not know whether it was done.
    #[error("the server on {place} does not know whether it was done: {why}")]
    Unsettled {
        /// Where it listens.
        place: String,
        /// What it said.
        why: String,
    },
    /// The running server refuses what it may have done when it was asked before.
    #[error("asked again, the server on {place} says: {why}")]
    RefusedAgain {
        /// Where it listens.
        place: String,
        /// What it said.
        why: String,
    },
    /// The upstream does not take a secret, or does not say so, as the running server says.
    #[error("{0}")]
    NotStored(String),
    /// The running server may have done it, and nobody heard what it said.
    #[error(
        "it may have been done: the lists show whether it was. A token whose secret was lost gets another \
         by `tollgate token rotate ID`; an admin token is revoked, and another one created"
    )]
    Unheard(#[source] Box<Failure>),
    /// The token would be heard.
    #[error("{0} would send the admin token in clear; use https, or ask on the machine itself")]
    InClear(String),
    /// `--server` with something else than a server.
    #[error("{0:?} is no server: expected https://HOST:PORT")]
    BadServer(String),
    /// The running server cannot do it.
    #[error("{0}")]
    NotDone(String),
    /// The demo's own parts cannot be put together.
    #[error("the demo cannot start: {0}")]
    Demo(String),
}

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => of_store(error),
            Self::Import(ImportError::Store(error)) => of_store(error),
            Self::Import(ImportError::Read(_)) | Self::Stdin(_) | Self::Output(_) => Exit::Io,
            Self::Import(ImportError::Lines(bad)) => {
                let upstreams_alone = bad.iter().all(|bad| match &bad.problem {
                    LineProblem::Store(error) => of_store(error) == Exit::Config,
                    LineProblem::TooLong
                    | LineProblem::Syntax { .. }
                    | LineProblem::Expected { .. }
                    | LineProblem::Unknown { .. }
                    | LineProblem::Secret(_)
                    | LineProblem::Unadoptable(_)
                    | LineProblem::Scope(_)
                    | LineProblem::Differs { .. }
                    | LineProblem::TokenDiffers { .. }
                    | LineProblem::Random(_) => false,
                });
                if upstreams_alone { Exit::Config } else { Exit::Data }
            }
            Self::Operation(error) => of_operation(error),
            Self::Import(ImportError::TooLong { .. }) => Exit::Data,
            Self::Apply(error) => error.exit(),
            Self::SecretTooLong(_) | Self::NotDone(_) | Self::PolicyFile { .. } => Exit::Data,
            Self::Policy(_)
            | Self::NoSuchPolicy(_)
            | Self::NothingToSet
            | Self::NoPolicies
            | Self::StoreAlone
            | Self::ServerAlone
            | Self::InClear(_)
            | Self::BadServer(_) => Exit::Usage,
            Self::Random(_) => Exit::Software,
            Self::Unreadable { source, .. } => of_file(source, Exit::NoInput),
            Self::CannotCreate { source, .. } => of_file(source, Exit::CantCreate),
            Self::NoVariable(_) => Exit::NoInput,
            Self::Config(ConfigError::Unreadable { source, .. }) => of_file(source, Exit::NoInput),
            Self::Config(ConfigError::Wrong { .. })
            | Self::MasterKey(_)
            | Self::AdminToken(_)
            | Self::Tls(_)
            | Self::UnknownUpstream(_)
            | Self::Log(_)
            | Self::Start(_) => Exit::Config,
            Self::Listen { .. }
            | Self::Refused { .. }
            | Self::Silent { .. }
            | Self::Answered { .. }
            | Self::NotNow { .. }
            | Self::Unsettled { .. }
            | Self::NotStored(_)
            | Self::NotRotated { .. }
            | Self::RefusedAgain { .. }
            | Self::Unheard(_)
            | Self::Unasked { .. } => Exit::Unavailable,
            Self::Untested { why, .. } => why.exit(),
            Self::UnderWay { .. } => Exit::UnderWay,
            Self::NotPermitted { .. } => Exit::NoPermission,
            Self::System { .. } | Self::Demo(_) => Exit::Software,
        }
    }

    /// All there is to say, for standard error: the failure, its causes, every bad line.
    pub fn report(&self) -> String {
        let mut text = error_chain(self);
        if let Self::Import(ImportError::Lines(bad)) = self {
            for line in bad {
                // Writing to memory does not fail.
                let _ = write!(text, "\n  {line}");
            }
        }
        text
    }
}

impl From<BadSecret> for Failure {
    fn from(error: BadSecret) -> Self {
        Self::Operation(error.into())
    }
}
