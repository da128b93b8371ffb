//! API keys of credentials, and what a rotation that replaces one writes of it.

use std::sync::Arc;

use tollgate::tenants::{
    course::{Course, Facts, Step, Way},
    record::SecretKind,
    secret::{UpstreamSecret, Vault},
    store::rotations::{Entry, Lease},
};

use super::{super::World, Registry};

impl World {
    /// Makes an API key the secret of a credential, in its next generation.
    pub fn give_key(&self, name: &str, key: &str) {
        self.registry.give_key(name, key);
        self.reload();
    }

    /// Writes that the panel has replaced the key of a credential by another, which is not in use yet.
    pub fn begin_replacement(&self, name: &str, key: &str) {
        self.registry.replace_key(name, key, Step::Minted);
        self.reload();
    }

    /// Gives the credential the other key.
    pub fn end_replacement(&self, name: &str, key: &str) {
        self.registry.replace_key(name, key, Step::Done);
        self.reload();
    }
}

impl Registry {
    fn give_key(&self, name: &str, key: &str) {
        let origin = |_: &str| Some(self.origin.clone());
        let vault = Vault { keyring: &self.keyring, origin: &origin };
        let key = secret(name, key);
        self.edit(|edit| edit.rotate_credential(&vault, name, &key).map(drop));
    }

    fn replace_key(&self, name: &str, key: &str, step: Step) {
        let origin = |_: &str| Some(self.origin.clone());
        let vault = Vault { keyring: &self.keyring, origin: &origin };
        let new = Arc::new(secret(name, key));
        // For ever, so that no server works on it.
        let lease = Lease { holder: "a test", until: i64::MAX };
        self.edit(|edit| {
            let mut all = edit.every_rotation()?.into_iter();
            let row = match all.find(|rotation| rotation.name == name) {
                Some(rotation) => rotation.row,
                None => edit.plan_rotation(&vault, name, Way::Replace, &Facts::default())?,
            };
            edit.claim_rotation(row, lease, 0)?;
            let rotation = edit.rotation(row)?.expect("it was planned");
            if step == Step::Done {
                edit.switch_key(&vault, &rotation, &new)?.expect("nobody has changed it");
            }
            let new = (step == Step::Minted).then_some(new);
            let course = Course { step, new, ..Course::planned(Way::Replace, Facts::default()) };
            let entry = Entry { row, course: &course, due: 0, since: 0 };
            assert!(edit.advance_rotation(&vault, &entry, lease)?, "its lease is ours");
            Ok(())
        });
    }
}

fn secret(name: &str, key: &str) -> UpstreamSecret {
    UpstreamSecret::new(SecretKind::Key, name, key).expect("a good key")
}
