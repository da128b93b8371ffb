//! From a command line to what does it.

use std::{
    io::{BufRead, IsTerminal, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use zeroize::Zeroizing;

use super::{
    Cli, Command, CredentialCommand, Desk, UpstreamCommand, apply, audit, check, credential,
    explain, failure::Failure, formats, import, input::Input, master_key, output::Output, probe,
    purge, serve, tenant, token, upstream, vault,
};
use crate::{
    admin::{self, AdminToken},
    api::routes::RouteTable,
    audit::event::{Actor, ActorKind},
    auth::keyring::Keyring,
    config::Config,
    demo,
    serve::StartError,
    tenants::{self, secret::Vault, store::Store},
};

/// Does what the command line says.
pub fn run(
    cli: &Cli,
    stdin: &mut dyn BufRead,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Failure> {
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
        Command::Purge(args) => purge::run(&Config::load(&cli.config)?, args, output),
        Command::Formats(command) => formats::run(&Config::load(&cli.config)?, command, output),
        Command::Explain(args) => explain::run(&Config::load(&cli.config)?, args, output),
        Command::Tenant(_)
        | Command::Credential(CredentialCommand::Stored(_))
        | Command::Token(_)
        | Command::Audit(_)
        | Command::Vault(_)
        | Command::Import(_)
        | Command::Apply(_)
        | Command::Export => at_desk(cli, stdin, stdout),
    }
}

/// The keys that the master key of a configuration gives.
pub(super) fn keyring(config: &Config) -> Result<Keyring, Failure> {
    let variable = std::env::var(tenants::master_key::VARIABLE).ok().map(Zeroizing::new);
    let variable = variable.as_ref().map(|text| text.as_str());
    Ok(tenants::master_key::keyring(&config.tenants, variable)?)
}

/// The token of the admin listener, likewise; there need be none.
pub(super) fn admin_token(config: &Config) -> Result<Option<AdminToken>, Failure> {
    let variable = std::env::var(admin::token::VARIABLE).ok();
    Ok(AdminToken::find(&config.admin, variable.as_deref())?)
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

/// Runs a command that edits the store.
fn at_desk(cli: &Cli, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&cli.config)?;
    let master = keyring(&config)?;
    let routes = RouteTable::new(&config.routes).map_err(StartError::from)?;
    let origin = |name: &str| config.upstreams.get(name).map(|u| u.origin.to_string());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let mut store = Store::open(&config.tenants)?;
    let keyring = store.unlock(master, now)?;
    let desk = &mut Desk {
        store: &mut store.audited(operator(), &keyring),
        vault: Vault { keyring: &keyring, origin: &origin },
        admit: &|name, upstream, secret| probe::admit(&config, name, upstream, secret),
        scope: &|name| routes.scope_bit(name),
        environment: &config.environment,
        input: Input { stdin, variable: &|name| std::env::var(name).ok() },
        output: Output::new(stdout, cli.json),
        now,
    };
    match &cli.command {
        Command::Tenant(command) => tenant::run(command, desk),
        Command::Credential(CredentialCommand::Stored(command)) => credential::run(command, desk),
        Command::Token(command) => token::run(command, desk),
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
        | Command::Credential(CredentialCommand::Test(_)) => Ok(()),
    }
}
