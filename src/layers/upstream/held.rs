//! Requests whose credential is about to have another key: they wait, and go out with that one.
//!
//! A panel that replaces a key kills the old one before anybody knows the new one. Whoever sent a request
//! meanwhile would be refused, and his client would be told that it is the credential that is wrong. So
//! requests wait, as many and as long as the configuration says.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::Sites;
use crate::{
    limit::in_flight::Gate, metrics::Metrics, rejection::Rejection, tenants::snapshot::Credential,
};

/// How patient requests are with a key that is being replaced.
#[derive(Clone, Debug)]
pub struct Patience {
    places: Gate,
    longest: Duration,
}

impl Patience {
    /// So many wait for so long.
    pub fn new(most: usize, longest: Duration) -> Self {
        Self { places: Gate::new(most), longest }
    }
}

impl Sites {
    /// The credential to send with, which is another generation of the same one where its key was
    /// replaced meanwhile.
    pub(super) async fn current(
        &self,
        credential: &Arc<Credential>,
    ) -> Result<Arc<Credential>, Rejection> {
        if !self.is_held(credential) {
            return Ok(Arc::clone(credential));
        }
        let _place = self.patience.places.enter().ok_or(Rejection::KeyHeld)?;
        let _waiting = Metrics::raise(&self.metrics.held_requests);
        let end = Instant::now() + self.patience.longest;
        loop {
            // Before the look, so that no change falls between the two.
            let changed = self.directory.changed();
            if !self.is_held(credential) {
                return Ok(self.successor(credential).unwrap_or_else(|| Arc::clone(credential)));
            }
            timeout_at(end, changed).await.map_err(|_| Rejection::KeyHeld)?;
        }
    }

    /// What to ask once more with, after the upstream refused a credential whose key was replaced while
    /// the request was on its way; none if it was not.
    pub(super) async fn replaced(&self, refused: &Arc<Credential>) -> Option<Arc<Credential>> {
        let current = self.current(refused).await.ok()?;
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
