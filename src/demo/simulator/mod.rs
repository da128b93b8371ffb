//! A control panel that behaves as Rails does, on a port of its own, without a disk or a network.
//!
//! It is a stateful fake: users see their own machines, writes take effect, transactions run and
//! settle, both formats come in Rails' exact bytes with its headers, errors and quirks. Its handle
//! makes things go wrong, slow or stand still, and tells what was asked. It knows nothing of the
//! gateway.
//!
//! Layers, from the socket inwards: `server` (connections, rules, faults), `app` (Rails' order of
//! work), `routes` and `actions` (what is done), `panel` (what there is), `rails` (the bytes).
//!
//! One liberty: when a machine is locked by a new transaction its `updated_at` stays, as in the
//! panel; every other change moves the `updated_at` of what it changes by at least one second.

mod actions;
mod app;
mod auth;
mod calendar;
mod delivery;
mod faults;
mod jobs;
mod journal;
mod negotiation;
mod panel;
mod params;
mod rails;
mod records;
mod reply;
mod routes;
mod secrets;
mod seed;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod views;
mod wire;
mod xml_body;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

pub use faults::{Fault, Gate, NeverArrived, Stage};
pub use journal::Seen;
pub use rails::{Dialect, Field};

use faults::Pattern;
use panel::{Kind, Panel};
use rails::Value;
use secrets::Secrets;
use server::Shared;

/// How a simulator is set up.
#[derive(Clone)]
pub struct Options {
    /// Where it listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// With it the panel is served over TLS; the protocol is HTTP/1.1 whatever ALPN says.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// How long a transaction takes.
    pub job_duration: Duration,
    /// How long a connection may idle before it is closed.
    pub keep_alive: Duration,
    /// How long [`Fault::Hang`] lasts.
    pub hang: Duration,
    /// How many users there are besides the administrator; the first are alice, bob and carol.
    pub users: usize,
    /// How many machines each user has; otherwise two, three or four in turn.
    pub machines: Option<usize>,
    /// How it writes times and nulls.
    pub dialect: Dialect,
}

/// A user of the panel, with all that it takes to speak for it.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub id: u64,
    /// The login, which goes with the password or the key.
    pub login: String,
    /// The e-mail, which goes with the key.
    pub email: String,
    /// The key that the profile shows.
    pub api_key: String,
    /// The password.
    pub password: String,
    /// Whether it sees all.
    pub admin: bool,
}

/// A machine, by both its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its number.
    pub id: u64,
    /// Its 14 characters.
    pub identifier: String,
    /// The number of its owner.
    pub user_id: u64,
}

/// A running control panel; it stops when this is dropped.
pub struct Simulator {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            job_duration: Duration::from_secs(3),
            keep_alive: Duration::from_secs(75),
            hang: Duration::from_secs(300),
            users: 3,
            machines: None,
            dialect: Dialect::default(),
        }
    }
}

impl fmt::Debug for User {
    /// Who it is, and nothing of what lets anyone in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, login, admin, .. } = self;
        f.debug_struct("User").field("id", id).field("login", login).field("admin", admin).finish()
    }
}

impl Simulator {
    /// Binds, fills the panel and serves it.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let secrets = Secrets::random().map_err(io::Error::other)?;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut panel = Panel::new(Instant::now(), unix, secrets);
        panel.jobs.duration = options.job_duration;
        panel.dialect = options.dialect;
        seed::fill(&mut panel, &options);
        let origin = format!("{scheme}://{addr}");
        let shared = Arc::new(Shared::new(panel, origin, options.keep_alive, options.hang));
        let tls = options.tls.map(TlsAcceptor::from);
        tokio::spawn(server::accept(Arc::clone(&shared), listener, tls));
        Ok(Self { addr, shared })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its scheme, host and port, without a slash at the end.
    pub fn url(&self) -> String {
        self.shared.origin.clone()
    }

    /// All users as they are now, in the order of their numbers; the administrator is the last.
    pub fn users(&self) -> Vec<User> {
        let panel = self.shared.panel();
        let users = panel.accounts().filter_map(|(id, account)| {
            let fields = &panel.get(Kind::User, id)?.fields;
            Some(User {
                id,
                login: fields.str("login").to_owned(),
                email: fields.str("email").to_owned(),
                api_key: account.api_key.clone(),
                password: account.password.clone(),
                admin: account.admin,
            })
        });
        users.collect()
    }

    /// One user by its login.
    pub fn user(&self, login: &str) -> Option<User> {
        self.users().into_iter().find(|user| user.login == login)
    }

    /// The further keys of a user, beside the one that the profile shows; empty if there is no such
    /// user.
    pub fn further_keys(&self, login: &str) -> Vec<String> {
        let panel = self.shared.panel();
        let ids = panel.user_of_login(login).map(|id| panel.of_owner(Kind::ApiKey, id));
        let keys = ids.into_iter().flatten().filter_map(|id| panel.get(Kind::ApiKey, id));
        keys.map(|key| key.fields.str("api_key").to_owned()).collect()
    }

    /// All machines as they are now, in the order of their numbers.
    pub fn machines(&self) -> Vec<Machine> {
        let panel = self.shared.panel();
        let machines = panel.all(Kind::Machine).map(|(id, record)| Machine {
            id,
            identifier: record.fields.str("identifier").to_owned(),
            user_id: record.owner.unwrap_or(0),
        });
        machines.collect()
    }

    /// Ends all transactions now.
    pub fn settle_all(&self) {
        self.shared.panel().settle_all(Instant::now());
    }

    /// Changes a machine's `updated_at` behind everyone's back; false if there is no such machine.
    pub fn touch_vm(&self, id: u64) -> bool {
        let mut panel = self.shared.panel();
        panel.settle(Instant::now());
        panel.touch(Kind::Machine, id);
        panel.get(Kind::Machine, id).is_some()
    }

    /// Sets a field of a machine behind everyone's back, or gives it a new one; false if there is no
    /// such machine.
    pub fn set_field(&self, id: u64, name: &'static str, field: Field) -> bool {
        let mut panel = self.shared.panel();
        let Some(record) = panel.get_mut(Kind::Machine, id) else { return false };
        record.fields.set(name, Value::from(field));
        true
    }

    /// Makes all keys and the session of a user worthless, its password too; false if there is
    /// no such user.
    pub fn revoke(&self, login: &str) -> bool {
        let mut panel = self.shared.panel();
        let Some(id) = panel.user_of_login(login) else { return false };
        for key in panel.of_owner(Kind::ApiKey, id) {
            panel.remove(Kind::ApiKey, key);
        }
        let fresh = [40, 32, 16].map(|digits| panel.secrets.hex(digits));
        if let Some(account) = panel.account_mut(id) {
            [account.api_key, account.session, account.password] = fresh;
        }
        true
    }

    /// Replies to what matches take this long, until [`Simulator::clear_rules`]. A pattern is the
    /// beginning of a raw target, with or without a method before it: `/users`, `PUT /users/1`.
    pub fn delay(&self, pattern: &str, delay: Duration) {
        self.shared.rules.add_delay(pattern, delay);
    }

    /// The next `times` requests that match go wrong.
    pub fn fault(&self, pattern: &str, times: usize, fault: Fault) {
        self.shared.rules.add_fault(pattern, times, fault);
    }

    /// The next `times` requests that match wait at this stage until the gate is released or
    /// dropped, at most two minutes.
    pub fn hold(&self, pattern: &str, stage: Stage, times: usize) -> Gate {
        self.shared.rules.add_gate(pattern, stage, times)
    }

    /// Forgets all faults and delays.
    pub fn clear_rules(&self) {
        self.shared.rules.clear();
    }

    /// Every request so far, in order of arrival; the last fifty thousand of them.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.journal.all()
    }

    /// How many requests with this method had a target that begins so.
    pub fn count(&self, method: &str, path_prefix: &str) -> usize {
        let pattern = Pattern::parse(&format!("{method} {path_prefix}"));
        self.shared.journal.count(|seen| pattern.matches(&seen.method, &seen.target))
    }

    /// Forgets what was seen.
    pub fn clear_seen(&self) {
        self.shared.journal.clear();
    }

    /// How many connections have been accepted.
    pub fn accepted_connections(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Cuts all connections that are open now, whatever they are doing.
    pub fn cut_connections(&self) {
        self.shared.cut_connections();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("url", &self.shared.origin).finish_non_exhaustive()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
