//! An upstream as the gateway knows it: its connections, the epochs that all of its partitions
//! share, the secrets that its replies must not show, and its address in what it answers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::Mutex;

use crate::{
    cache::partition::Commons,
    net::{server::ClientBody, upstream::Upstream},
    tenants::directory::Directory,
    transcode::mask::Secrets,
    vocabulary::Format,
};

/// One upstream.
pub struct Site {
    name: String,
    pool: Arc<Upstream<ClientBody>>,
    origin: String,
    commons: Arc<Commons>,
    only_format: Option<Format>,
    secrets: ArcSwap<Secrets>,
    secrets_version: AtomicU64,
    renewing: Mutex<()>,
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
            secrets: ArcSwap::default(),
            secrets_version: AtomicU64::new(u64::MAX),
            renewing: Mutex::new(()),
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

    /// The secrets of the snapshot in force; made anew, off the request path, when the vault has
    /// changed since the last reply. None if they cannot be had: then nothing may be shown.
    pub async fn secrets(&self, directory: &Arc<Directory>) -> Option<Arc<Secrets>> {
        let version = directory.snapshot().vault_version();
        if self.secrets_version.load(Ordering::Acquire) == version {
            return Some(self.secrets.load_full());
        }
        let _one = self.renewing.lock().await;
        if self.secrets_version.load(Ordering::Acquire) == version {
            return Some(self.secrets.load_full());
        }
        let (directory, name) = (Arc::clone(directory), self.name.clone());
        let make = move || Secrets::new(directory.snapshot().upstream_secrets(&name));
        let made = Arc::new(tokio::task::spawn_blocking(make).await.ok()?);
        self.secrets.store(Arc::clone(&made));
        self.secrets_version.store(version, Ordering::Release);
        Some(made)
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
