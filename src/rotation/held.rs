//! Requests whose credential is about to have another key: they wait, and go out with that one.
//!
//! A panel that replaces a key kills the old one before anybody knows the new one. Whoever sent a request
//! meanwhile would be refused, and his client would be told that it is the credential that is wrong. So
//! requests wait, as many and as long as the configuration says.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::Config;
use crate::{
    limit::in_flight::Gate,
    metrics::Metrics,
    tenants::{directory::Directory, snapshot::Credential},
};

/// How patient requests are with a key that is being replaced.
pub struct Patience {
    places: Gate,
    longest: Duration,
    directory: Arc<Directory>,
    metrics: Arc<Metrics>,
}

impl Patience {
    /// As the configuration says, for the credentials of a directory.
    pub fn new(config: &Config, directory: Arc<Directory>, metrics: Arc<Metrics>) -> Self {
        let Config { max_waiting, max_wait, .. } = *config;
        Self { places: Gate::new(max_waiting), longest: max_wait, directory, metrics }
    }

    /// The credential to send with, which is another generation of the same one where its key was
    /// replaced meanwhile; none where it was waited for in vain, or where too many wait already.
    pub async fn current(&self, credential: &Arc<Credential>) -> Option<Arc<Credential>> {
        if !self.is_held(credential) {
            return Some(Arc::clone(credential));
        }
        let _place = self.places.enter()?;
        let _waiting = Metrics::raise(&self.metrics.rotations.held_requests);
        let end = Instant::now() + self.longest;
        loop {
            // Before the look, so that no change falls between the two.
            let changed = self.directory.changed();
            if !self.is_held(credential) {
                return Some(self.successor(credential).unwrap_or_else(|| Arc::clone(credential)));
            }
            timeout_at(end, changed).await.ok()?;
        }
    }

    /// What to ask once more with, after the upstream refused a credential whose key was replaced while
    /// the request was on its way; none if it was not.
    pub async fn replaced(&self, refused: &Arc<Credential>) -> Option<Arc<Credential>> {
        let current = self.current(refused).await?;
        let next = if Arc::ptr_eq(&current, refused) { self.successor(refused)? } else { current };
        (next.generation > refused.generation).then_some(next)
    }

    fn is_held(&self, credential: &Credential) -> bool {
        self.directory.snapshot().rotating().holds(&credential.name)
    }

    fn successor(&self, credential: &Credential) -> Option<Arc<Credential>> {
        self.directory.snapshot().successor(credential).cloned()
    }
}
