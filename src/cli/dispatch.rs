//! From a command line to what does it.

use std::{
    io::{BufRead, IsTerminal, Write},
    time::SystemTime,
};

use zeroize::Zeroizing;

use super::{
    Admit, Cli, Command, Counter, CredentialCommand, Desk, UpstreamCommand, apply, audit, check,
    credential, explain,
    failure::Failure,
    formats, import,
    input::Input,
    master_key,
    output::Output,
    probe, purge,
    remote::Remote,
    rotate_key, serve, tenant, token, upstream,
    vault::{self, VaultCommand},
};
use crate::{
    admin::{self, AdminToken},
    api::routes::RouteTable,
    audit::event::{Actor, ActorKind},
    auth::keyring::Keyring,
    clock::unix,
    config::Config,
    demo,
    operations::Means,
    serve::StartError,
    tenants::{
        self,
        secret::{UpstreamSecret, Vault},
        store::Store,
    },
};

/// Does what the command line says.
pub fn run(
    cli: &Cli,
    stdin: &mut dyn BufRead,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    cli.command.doer().require(cli)?;
    let output = &mut Output::new(stdout, cli.json);
    match &cli.command {
        Command::Serve => serve::run(&Config::load(&cli.config)?),
        Command::Check => check::run(&cli.config, output),
        Command::Demo => demo::run(output),
        Command::MasterKey(args) => master_key::run(args, output),
        Command::Upstream(UpstreamCommand::List) => {
            upstream::list(&Config::load(&cli.config)?, output)
        }
        Command::Credential(CredentialCommand::Test(test)) => {
            let config = Config::load(&cli.config)?;
            probe::run(&config, keyring(&config)?, &test.name, output)
        }
        Command::Credential(CredentialCommand::RotateKey(args)) if cli.offline => {
            let config = Config::load(&cli.config)?;
            rotate_key::run(&config, keyring(&config)?, operator(), args, output)
        }
        Command::Credential(CredentialCommand::RotateKey(args)) => {
            rotate_key::ask(&Remote::of(cli)?.or_else(OFFLINE), args, output)
        }
        Command::Purge(args) => purge::run(&Remote::of(cli)?, args, output),
        Command::Formats(command) => formats::run(&Remote::of(cli)?, command, output),
        Command::Explain(args) => explain::run(&Remote::of(cli)?, args, output),
        Command::Vault(VaultCommand::Rewrap(_)) => at_store(cli, stdin, stdout),
        Command::Tenant(_)
        | Command::Credential(CredentialCommand::Stored(_))
        | Command::Token(_)
        | Command::Vault(_)
        | Command::AdminToken(_)
        | Command::Audit(_)
        | Command::Import(_)
        | Command::Apply(_)
        | Command::Export => {
            if cli.offline {
                at_store(cli, stdin, stdout)
            } else {
                at_server(cli, stdin, stdout)
            }
        }
    }
}

/// Who can do what a command says.
enum Doer {
    /// This process alone, where the configuration and the store are.
    Here,
    /// A running server alone.
    Server,
    /// A running server, or this process with `--offline`.
    Either,
}

impl Doer {
    /// Refuses to be told otherwise: whoever names a server means that one, and not the store that the
    /// configuration happens to name here.
    fn require(&self, cli: &Cli) -> Result<(), Failure> {
        match self {
            Self::Here if cli.server.is_some() => Err(Failure::StoreAlone),
            Self::Server if cli.offline => Err(Failure::ServerAlone),
            Self::Here | Self::Server | Self::Either => Ok(()),
        }
    }
}

impl Command {
    fn doer(&self) -> Doer {
        match self {
            Self::Serve
            | Self::Check
            | Self::Demo
            | Self::MasterKey(_)
            | Self::Upstream(_)
            | Self::Credential(CredentialCommand::Test(_))
            // No master key is sent to a server.
            | Self::Vault(VaultCommand::Rewrap(_)) => Doer::Here,
            Self::Purge(_) | Self::Formats(_) | Self::Explain(_) => Doer::Server,
            Self::Tenant(_)
            | Self::Credential(CredentialCommand::Stored(_) | CredentialCommand::RotateKey(_))
            | Self::Token(_)
            | Self::AdminToken(_)
            | Self::Import(_)
            | Self::Apply(_)
            | Self::Export
            | Self::Audit(_)
            | Self::Vault(_) => Doer::Either,
        }
    }
}

/// The keys that the master key of a configuration gives.
pub(super) fn keyring(config: &Config) -> Result<Keyring, Failure> {
    let variable = std::env::var(tenants::master_key::VARIABLE).ok().map(Zeroizing::new);
    let variable = variable.as_ref().map(|text| text.as_str());
    Ok(tenants::master_key::keyring(&config.tenants, variable)?)
}

/// The token of the admin listener, likewise; there need be none.
pub(super) fn admin_token(config: &admin::Config) -> Result<Option<AdminToken>, Failure> {
    let variable = std::env::var(admin::token::VARIABLE).ok();
    Ok(AdminToken::find(config, variable.as_deref())?)
}

/// Who runs the command, by the name that the system has for them.
fn operator() -> Actor {
    let user = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == user).then_some(name)
    });
    Actor::named(ActorKind::Operator, named.unwrap_or(&user))
}

/// What the server says can be done besides, where nobody answers.
const OFFLINE: &str = "; --offline works on the store itself";

/// Has the running server do it.
fn at_server(cli: &Cli, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<(), Failure> {
    let server = Remote::of(cli)?.or_else(OFFLINE);
    // The server tests what it is given.
    at_desk(cli, Counter::Server(server), &|_, _, _| Ok(()), stdin, stdout)
}

/// Does it on the store itself.
fn at_store(cli: &Cli, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&cli.config)?;
    let master = keyring(&config)?;
    let routes = RouteTable::new(&config.routes).map_err(StartError::from)?;
    let origin = |name: &str| config.upstreams.get(name).map(|u| u.origin.to_string());
    let mut store = Store::open(&config.tenants)?;
    let keyring = store.unlock(master, unix(SystemTime::now()))?;
    let store = &mut store.audited(operator(), &keyring);
    let means = Means {
        vault: Vault { keyring: &keyring, origin: &origin },
        scope: &|name| routes.scope_bit(name),
        environment: &config.environment,
    };
    let admit = |name: &str, upstream: &str, secret: &UpstreamSecret| {
        // What is in no configuration is for the store to refuse.
        if !config.upstreams.contains_key(upstream) {
            return Ok(());
        }
        probe::admit(&config, name, upstream, secret)
    };
    at_desk(cli, Counter::Store { store, means }, &admit, stdin, stdout)
}

fn at_desk(
    cli: &Cli,
    counter: Counter<'_>,
    admit: Admit<'_>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<(), Failure> {
    let desk = &mut Desk {
        counter,
        admit,
        input: Input { stdin, variable: &|name| std::env::var(name).ok() },
        output: Output::new(stdout, cli.json),
        now: unix(SystemTime::now()),
    };
    match &cli.command {
        Command::Tenant(command) => tenant::run(command, desk),
        Command::Credential(CredentialCommand::Stored(command)) => credential::run(command, desk),
        Command::Token(command) => token::run(command, desk),
        Command::AdminToken(command) => super::admin_token::run(command, desk),
        Command::Import(args) => import::run(args, desk),
        Command::Audit(command) => audit::run(command, desk),
        Command::Apply(args) => {
            let mut question = std::io::stderr();
            let terminal = std::io::stdin().is_terminal() && question.is_terminal();
            let asks: Option<&mut dyn Write> = if terminal { Some(&mut question) } else { None };
            apply::run(args, desk, asks)
        }
        Command::Export => apply::export(desk),
        Command::Vault(command) => vault::run(command, desk),
        Command::Serve
        | Command::Check
        | Command::Demo
        | Command::MasterKey(_)
        | Command::Purge(_)
        | Command::Explain(_)
        | Command::Formats(_)
        | Command::Upstream(_)
        | Command::Credential(CredentialCommand::Test(_) | CredentialCommand::RotateKey(_)) => {
            Ok(())
        }
    }
}
