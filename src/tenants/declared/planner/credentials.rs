//! A declared credential, compared with the stored one.

use super::Planner;
use crate::tenants::{
    declared::{
        document::DeclaredCredential,
        facts,
        plan::{Change, Deed, Name, Step},
        written::CredentialKeys,
    },
    record::{CredentialRecord, Noun, SecretKind, Standing},
    secret::{BadSecret, UpstreamSecret, VaultRefusal},
    store::{require_account, require_name},
};

/// Who the upstream takes us for.
type Login<'a> = (SecretKind, &'a str);

const STORED: &str = "as it is stored";
const ANOTHER: &str = "another one";

impl Planner<'_, '_> {
    pub(super) fn credential(&mut self, credential: &DeclaredCredential) {
        let written = &credential.written;
        let upstream = written.keys.upstream.as_ref();
        let Some(upstream) = self.required(written, "upstream", upstream) else { return };
        if written.has("login") && written.has("email") {
            return written.complain("email", "give either this or login", self.problems);
        }
        match self.stored_credentials.get(&*credential.name).copied() {
            None => self.new_credential(credential, upstream),
            Some(there) if there.upstream == upstream => self.known_credential(credential, there),
            Some(there) => {
                let why = format!(
                    "its secret is bound to \"{}\", for which it was added; declare a credential \
                     of another name",
                    there.upstream
                );
                written.complain("upstream", &why, self.problems);
            }
        }
    }

    fn new_credential(&mut self, credential: &DeclaredCredential, upstream: String) {
        let DeclaredCredential { name, written, secret } = credential;
        let standing = written.keys.standing();
        if let Err(why) = require_name(Noun::Credential, name) {
            written.complain("", &why.to_string(), self.problems);
        }
        if (self.known.vault.origin)(&upstream).is_none() {
            let why = VaultRefusal::NoUpstream(upstream.clone()).to_string();
            written.complain("upstream", &why, self.problems);
        }
        self.require_account(credential, &standing);
        let login = login(&written.keys);
        if login.is_none() && !written.has("login") && !written.has("email") {
            let why = "a new credential needs this, or an e-mail address";
            written.complain("login", why, self.problems);
        }
        if secret.place.is_none() {
            let why = "a new credential needs its secret: give this, or secret_variable";
            written.complain("secret_file", why, self.problems);
        }
        let (Some(login), Some(text)) = (login, &secret.text) else { return };
        let Some(pair) = self.pair(credential, login, text) else { return };
        let mut new = facts::of_pair(Some(login), None);
        new.push(("upstream", Some(upstream.clone().into())));
        new.extend(facts::of_standing(&standing));
        let nothing: Vec<_> = new.iter().map(|(key, _)| (*key, None)).collect();
        self.plan.steps.push(Step {
            name: Name::credential(name),
            changes: Change::between(&nothing, &new),
            deed: Deed::AddCredential { upstream, secret: pair, standing },
        });
    }

    fn known_credential(&mut self, credential: &DeclaredCredential, there: &CredentialRecord) {
        let standing = credential.written.keys.standing();
        let mut changes = Vec::new();
        let secret = self.another_pair(credential, there, &mut changes);
        let (old, new) = (facts::of_standing(&there.standing), facts::of_standing(&standing));
        let restated = Change::between(&old, &new);
        let standing = (!restated.is_empty()).then_some(standing);
        if let Some(standing) = &standing {
            self.require_account(credential, standing);
        }
        changes.extend(restated);
        let name = Name::credential(&credential.name);
        if secret.is_none() && standing.is_none() {
            return self.plan.kept.push(name);
        }
        let deed = Deed::SetCredential { upstream: there.upstream.clone(), secret, standing };
        self.plan.steps.push(Step { name, changes, deed });
    }

    /// Login and secret as declared, where they are not those that are stored.
    fn another_pair(
        &mut self,
        credential: &DeclaredCredential,
        there: &CredentialRecord,
        changes: &mut Vec<Change>,
    ) -> Option<UpstreamSecret> {
        let DeclaredCredential { written, secret, .. } = credential;
        let declared = login(&written.keys);
        if declared.is_none() && secret.place.is_none() {
            return None;
        }
        let stored = self.known.vault.open(there);
        let stored_login = stored.as_ref().ok().map(|stored| (stored.kind(), stored.pair().0));
        let Some(text) = &secret.text else {
            // Where a place is named, it was complained of.
            if secret.place.is_none() && declared != stored_login {
                let why = match &stored {
                    Ok(_) => "this is not what is stored: give the secret that belongs to it, too"
                        .to_owned(),
                    Err(why) => format!("give the secret that belongs to this: {why}"),
                };
                let key = declared.map_or("login", |(kind, _)| facts::login_key(kind));
                written.complain(key, &why, self.problems);
            }
            return None;
        };
        let Some(login) = declared.or(stored_login) else {
            let why = "what is stored cannot be read: give this, or an e-mail address";
            written.complain("login", why, self.problems);
            return None;
        };
        let pair = self.pair(credential, login, text)?;
        if stored.as_ref() == Ok(&pair) {
            return None;
        }
        if self.known.rotated.contains(&there.name) {
            let why = "the key was rotated since, and what stands there is not good any more: leave \
                       it out, or give the credential another secret with `tollgate credential rotate`";
            written.complain("secret_file", why, self.problems);
            return None;
        }
        let old = facts::of_pair(stored_login, Some(STORED));
        changes.extend(Change::between(&old, &facts::of_pair(Some(login), Some(ANOTHER))));
        Some(pair)
    }

    fn pair(
        &mut self,
        credential: &DeclaredCredential,
        (kind, login): Login<'_>,
        secret: &str,
    ) -> Option<UpstreamSecret> {
        let complain = |why: BadSecret| {
            let key = match why {
                BadSecret::NoLogin | BadSecret::Login => facts::login_key(kind),
                BadSecret::NoSecret | BadSecret::Secret | BadSecret::TooLong => {
                    credential.secret.key()
                }
            };
            credential.written.complain(key, &why.to_string(), self.problems);
        };
        UpstreamSecret::new(kind, login, secret).map_err(complain).ok()
    }

    fn require_account(&mut self, credential: &DeclaredCredential, standing: &Standing) {
        if let Err(why) = require_account(&credential.name, standing) {
            credential.written.complain("account", &why.to_string(), self.problems);
        }
    }
}

fn login(keys: &CredentialKeys) -> Option<Login<'_>> {
    let CredentialKeys { login, email, .. } = keys;
    let login = login.as_deref().map(|login| (SecretKind::Password, login));
    login.or_else(|| email.as_deref().map(|email| (SecretKind::Key, email)))
}
