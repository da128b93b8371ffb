//! An upstream as the gateway knows it: its connections, the epochs that all of its partitions
//! share, the secrets that its replies must not show, and its address in what it answers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use prometheus::IntCounter;

use crate::{
    cache::partition::Commons,
    net::{server::ClientBody, upstream::Upstream},
    tenants::snapshot::Snapshot,
    transcode::{
        disclosure::{Needles, Scanner, Secret},
        mask::{Fields, Masker, Secrets},
    },
    vocabulary::Format,
};

/// One upstream.
pub struct Site {
    name: String,
    pool: Arc<Upstream<ClientBody>>,
    origin: String,
    commons: Arc<Commons>,
    only_format: Option<Format>,
    sought: ArcSwap<Sought>,
}

/// The secrets of an upstream, as its replies are searched for them.
#[derive(Default)]
pub struct Sought {
    /// Below the escapes of a document's format.
    secrets: Arc<Secrets>,
    /// In every usual spelling, whatever the body is.
    needles: Arc<Needles>,
}

impl Site {
    /// An upstream under its name.
    pub fn new(name: &str, pool: Arc<Upstream<ClientBody>>, commons: Arc<Commons>) -> Self {
        Self {
            name: name.to_owned(),
            origin: pool.origin().to_string(),
            pool,
            commons,
            only_format: None,
            sought: ArcSwap::default(),
        }
    }

    /// The same, which has one format alone.
    #[must_use]
    pub fn with_only(self, only_format: Option<Format>) -> Self {
        Self { only_format, ..self }
    }

    /// The one format that it has, if it has not both.
    pub fn only_format(&self) -> Option<Format> {
        self.only_format
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What all partitions of this upstream depend on.
    pub fn commons(&self) -> &Arc<Commons> {
        &self.commons
    }

    /// The connections to it.
    pub fn pool(&self) -> &Arc<Upstream<ClientBody>> {
        &self.pool
    }

    /// Compiles the secrets of a snapshot, before it is in force. It may take a second for ten thousand
    /// credentials, and belongs off the request path.
    pub fn seek(&self, snapshot: &Snapshot) {
        self.sought.store(Arc::new(Sought::of(snapshot, &self.name)));
    }

    /// The secrets of the snapshot in force, or of the next one.
    pub fn sought(&self) -> Arc<Sought> {
        self.sought.load_full()
    }

    /// A header's value with the upstream's address replaced by the one that clients know, or by
    /// nothing, which makes it relative.
    pub fn public(&self, value: &HeaderValue, address: Option<&str>) -> Option<HeaderValue> {
        let text = value.to_str().ok()?;
        let public = address.unwrap_or("");
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?', '#', '>']);
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, length)) = self.first_address(rest) {
            let (before, behind) = (&rest[..at], &rest[at + length..]);
            out.push_str(before);
            out.push_str(if ends(behind) { public } else { &rest[at..at + length] });
            rest = behind;
        }
        out.push_str(rest);
        if out.is_empty() {
            out.push('/');
        }
        HeaderValue::from_str(&out).ok()
    }

    /// Where the upstream's address stands in a text, and how long it is there: with its port, or
    /// without when that is the scheme's own.
    fn first_address(&self, text: &str) -> Option<(usize, usize)> {
        let short = self.origin.strip_suffix(":443").or_else(|| self.origin.strip_suffix(":80"));
        let found = |address: &str| text.find(address).map(|at| (at, address.len()));
        found(&self.origin).or_else(|| short.and_then(found))
    }
}

impl Sought {
    fn of(snapshot: &Snapshot, upstream: &str) -> Self {
        let pairs = || snapshot.upstream_secrets(upstream);
        let needles = pairs().map(|(login, secret)| Secret { login, secret });
        Self {
            needles: Arc::new(Needles::new(needles)),
            secrets: Arc::new(Secrets::new(pairs().map(|(_, secret)| secret))),
        }
    }

    /// Masks one document as it comes.
    pub fn masker(&self, format: Format, fields: Arc<Fields>, longest: usize) -> Masker {
        Masker::new(format, Arc::clone(&self.secrets), fields, longest)
    }

    /// Stars what is left in one body as it comes.
    pub fn scanner(&self) -> Scanner {
        Scanner::new(Arc::clone(&self.needles))
    }

    /// Stars secrets in headers, which are whole, and counts them.
    pub fn star_headers(&self, headers: &mut HeaderMap, found: &IntCounter) {
        for value in headers.values_mut() {
            let masked = self.needles.mask(Bytes::copy_from_slice(value.as_bytes()));
            if masked.found > 0 {
                found.inc_by(masked.found as u64);
                let starred = HeaderValue::from_maybe_shared(masked.body);
                *value = starred.unwrap_or(HeaderValue::from_static("***"));
            }
        }
    }
}
