//! What the credentials of one upstream user share: the epochs that any of them raises for all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{
    api::{families::FamilySet, routes::RouteTable},
    cache::{coherence::Epochs, partition::Partition},
    site::Site,
    tenants::record::{Reach, Standing},
};

/// The accounts of all upstreams.
pub struct Accounts {
    sites: HashMap<String, Arc<Site>>,
    families: usize,
    precise: FamilySet,
    /// By upstream and account, for as long as a credential is of it.
    known: Mutex<HashMap<(String, String), Weak<Epochs>>>,
}

impl Accounts {
    /// No account yet.
    pub fn new(sites: HashMap<String, Arc<Site>>, routes: &RouteTable) -> Self {
        let (families, precise) = (routes.families().len(), routes.precise());
        Self { sites, families, precise, known: Mutex::default() }
    }

    /// A new partition for a credential; none if its upstream is not there.
    pub fn partition(&self, upstream: &str, standing: &Standing) -> Option<Arc<Partition>> {
        let commons = Arc::clone(self.sites.get(upstream)?.commons());
        // Who has not said what it reaches may see, and change, everything.
        let sees_all = standing.reach != Some(Reach::Own);
        let account = match &standing.account {
            Some(account) => self.account(upstream, account),
            None => self.stranger(),
        };
        Some(Arc::new(Partition::new(account, commons, sees_all)))
    }

    fn account(&self, upstream: &str, account: &str) -> Arc<Epochs> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == known.capacity() {
            // Before it grows, and not each time: that would look at every account for every account.
            known.retain(|_, account| account.strong_count() > 0);
        }
        let key = (upstream.to_owned(), account.to_owned());
        if let Some(account) = known.get(&key).and_then(Weak::upgrade) {
            return account;
        }
        let account = self.stranger();
        known.insert(key, Arc::downgrade(&account));
        account
    }

    fn stranger(&self) -> Arc<Epochs> {
        Arc::new(Epochs::new(self.families, self.precise))
    }
}
