//! What a request is at each stage of its way, in types.
//!
//! [`Traced`] is anybody's request. [`Aimed`] has a canonical target. [`Call`] has a caller: it
//! can be made from a [`Caller`] alone, and only [`Caller::verify`] makes one, so what stands below
//! authentication cannot be put above it. [`Exchange`] knows its format, and [`Lookup`] and
//! [`Outbound`] are what the cache and the upstream are asked.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Method, Version, uri::PathAndQuery};

use crate::{
    api::{
        method::is_read,
        routes::{Listed, RouteId, RouteTable, Touches},
        target::Target,
    },
    auth::{
        presented::Presented,
        token::{Shape, shape},
    },
    cache::touch::Touch,
    cache::{
        dependence::{Dependence, Stamps},
        directives::Directives,
        entry::Stored,
        key::Key,
        validator::Held,
    },
    net::server::ClientBody,
    record::Record,
    tenants::{
        directory::Directory,
        snapshot::{Credential, Grant, NotGood},
    },
    vocabulary::{Bypass, Format, Forward, PolicyName, Secrecy, UpstreamCause},
};

/// A request that has a name.
pub struct Traced {
    /// What is known of it.
    pub record: Arc<Record>,
    /// Its method.
    pub method: Method,
    /// Its target as it was sent.
    pub uri: http::Uri,
    /// Its version.
    pub version: Version,
    /// Its headers as they were sent.
    pub headers: HeaderMap,
    /// Its body.
    pub body: ClientBody,
}

/// A request whose target is canonical.
pub struct Aimed {
    /// What is known of it.
    pub record: Arc<Record>,
    /// The method that will run upstream, as far as the head says.
    pub method: Method,
    /// What it is about.
    pub target: Target,
    /// What it does there.
    pub effect: Effect,
    /// The policy that counts what it makes or removes, once it is known what runs.
    pub counted: Option<PolicyName>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: ClientBody,
}

/// What a request does upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It reads a route that is listed.
    Read(Listed),
    /// It reads what is not listed; who knows what that does.
    UnlistedRead {
        /// The operator says that such reads change nothing.
        harmless: bool,
        /// What it would touch, for scopes.
        touches: Touches,
    },
    /// It changes something, or counts as if it did.
    Write(Touches),
}

/// Somebody who presented a token that is good.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Grant>);

/// Why nobody is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NobodyCalls {
    /// There is no such token, or no longer.
    #[error("unknown token")]
    Unknown,
    /// There is, but it is not good now or from there.
    #[error(transparent)]
    NotGood(#[from] NotGood),
}

/// A request of a known caller.
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// The request, in a place of its own: every layer hands it on, and none that it passes moves it.
    pub request: Box<Aimed>,
}

/// A call whose formats are decided.
pub struct Exchange {
    /// The call.
    pub call: Call,
    /// The target as it is asked for upstream, if not as it stands.
    pub ask: Option<PathAndQuery>,
    /// The format that is answered; none for what is asked for as it is.
    pub format: Option<Format>,
    /// The one format that the upstream has of it, if it has not both.
    pub native: Option<Format>,
    /// What a write touches.
    pub touch: Option<Arc<Touch>>,
}

/// What is left of a call when the cache has been asked.
pub enum Lookup {
    /// To be fetched once for all that ask.
    Miss(Box<Miss>),
    /// To be passed through.
    Pass(Box<Exchange>, Option<Bypass>),
    /// To be compared with what was shown already: a fetch that nobody waits for or is charged for.
    Sample(Box<Outbound>),
}

/// A read that the cache could not answer.
pub struct Miss {
    /// The read.
    pub exchange: Exchange,
    /// What the answer will be kept under.
    pub key: Key,
    /// The epochs when the read began.
    pub stamps: Stamps,
    /// The route that is read.
    pub route: RouteId,
    /// What the answer depends on.
    pub dependence: Dependence,
    /// Why what is kept would not do.
    pub forward: Forward,
    /// What the request demands of what it is shown.
    pub demands: Directives,
    /// What the upstream may be asked about, whether or not it may be shown.
    pub held: Option<Held>,
    /// What may be shown if there will be no answer.
    pub stale: Option<Arc<Stored>>,
    /// What was asked for before is not to be believed; in milliseconds of the process.
    pub trusted_from: u64,
}

/// What the upstream is asked.
pub enum Outbound {
    /// A fill: made from its key alone, so that nothing of the first caller reaches it.
    Fill {
        /// What is asked for.
        key: Key,
        /// In whose name.
        credential: Arc<Credential>,
        /// Whether the reply is searched for secrets.
        masked: bool,
        /// What is kept of an earlier one: it need not travel again.
        held: Option<Held>,
        /// What for.
        cause: UpstreamCause,
    },
    /// A request that is passed on.
    Forward(Box<Exchange>),
}

impl Exchange {
    /// The target as it is asked for upstream.
    pub fn upstream_target(&self) -> &PathAndQuery {
        self.ask.as_ref().unwrap_or_else(|| self.call.request.target.path_and_query())
    }
}

impl Caller {
    /// Recognizes a token. This is the one maker of callers.
    pub fn verify(
        directory: &Directory,
        presented: &Presented<'_>,
        now: i64,
        from: IpAddr,
    ) -> Result<Self, NobodyCalls> {
        let secret = presented.expose();
        if matches!(shape(secret), Shape::Garbage) {
            return Err(NobodyCalls::Unknown);
        }
        let mac = directory.keyring().mac(secret);
        let grant = directory.find(&mac).ok_or(NobodyCalls::Unknown)?;
        grant.check(now, from)?;
        Ok(Self(grant))
    }

    /// What the token gives.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.0
    }

    /// What is masked for it.
    pub fn secrecy(&self) -> Secrecy {
        self.0.permissions.secrecy()
    }

    /// What the token stands for upstream.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.0.credential
    }
}

impl Effect {
    /// What a method does to a target.
    pub fn of(
        routes: &RouteTable,
        method: &Method,
        target: &Target,
        unlisted_reads_harmless: bool,
    ) -> Self {
        if !is_read(method) {
            return Self::Write(routes.touches_by(method, target));
        }
        match routes.read(target) {
            // Rails finds a resource by an id like this, so it is no other one; but a spelling
            // that is not canonical must not have an entry of its own.
            Some(listed) if listed.odd => Self::Write(routes.touches(target)),
            Some(listed) if !routes.keeps_a_secret(listed, target) => Self::Read(listed),
            Some(_) | None if routes.has_effect(target) => Self::Write(routes.touches(target)),
            Some(_) | None => Self::UnlistedRead {
                harmless: unlisted_reads_harmless,
                touches: routes.touches(target),
            },
        }
    }

    /// Whether it counts as a write of everybody's, and not of its partition alone.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Write(_))
    }

    /// Whether it needs a token that may write.
    pub fn may_change(self) -> bool {
        match self {
            Self::Read(_) => false,
            Self::UnlistedRead { harmless, .. } => !harmless,
            Self::Write(_) => true,
        }
    }
}
