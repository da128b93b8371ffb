//! A declared token, compared with the stored one.

use super::Planner;
use crate::{
    auth::token::adoptable,
    tenants::{
        declared::{
            document::DeclaredToken,
            facts,
            identity::Found,
            plan::{Change, Deed, Name, Step},
        },
        record::{TokenRecord, TokenTerms},
        store::StoreError,
    },
};

/// In characters.
const LABEL_MAX: usize = 100;

impl Planner<'_, '_> {
    pub(super) fn token(&mut self, token: DeclaredToken, found: Found<'_>) {
        let written = &token.written;
        let tenant = self.required(written, "tenant", written.keys.tenant.as_ref());
        let credential = self.required(written, "credential", written.keys.credential.as_ref());
        let (Some(tenant), Some(credential)) = (tenant, credential) else { return };
        self.refers(&token, &tenant, &credential);
        let terms = written.keys.terms();
        match found {
            Found::Unclear => {}
            Found::There(there) => self.known_token(&token, &tenant, credential, terms, there),
            Found::New => self.new_token(token, tenant, credential, terms),
        }
    }

    /// What a token stands on has to be there, and to stay.
    fn refers(&mut self, token: &DeclaredToken, tenant: &str, credential: &str) {
        let stored = self.stored_tenants.contains_key(tenant);
        let tenant = (self.tenants.contains(tenant), stored, "tenant", tenant);
        let stored = self.stored_credentials.contains_key(credential);
        let credential = (self.credentials.contains(credential), stored, "credential", credential);
        for (declared, stored, key, name) in [tenant, credential] {
            let name = name.escape_debug();
            let why = match (declared, stored) {
                (true, _) => continue,
                (false, true) if !self.prune => continue,
                (false, true) => format!("\"{name}\" is not declared, and would be removed"),
                (false, false) => format!("there is no {key} \"{name}\", and none is declared"),
            };
            token.written.complain(key, &why, self.problems);
        }
    }

    fn new_token(
        &mut self,
        token: DeclaredToken,
        tenant: String,
        credential: String,
        terms: TokenTerms,
    ) {
        let DeclaredToken { written, secret } = &token;
        let unnamed = terms.label.is_empty() && !written.has("label");
        if unnamed && secret.place.is_none() {
            let why = "a new token needs this: from then on it is known by it";
            written.complain("label", why, self.problems);
        }
        if let Some(Err(why)) = secret.text.as_ref().map(|key| adoptable(key.as_bytes())) {
            written.complain(secret.key(), &why.to_string(), self.problems);
        }
        let now = self.known.now;
        self.judge(&token, &terms, Some(terms.not_before.map_or(now, |from| from.max(now))));
        let name = Name::token(&tenant, &terms.label, None);
        let defaults = facts::of_token("", &TokenTerms::default());
        let changes = Change::beyond(&defaults, &facts::of_token(&credential, &terms));
        let deed = Deed::CreateToken { tenant, credential, terms, key: token.secret };
        self.plan.steps.push(Step { name, changes, deed });
    }

    fn known_token(
        &mut self,
        token: &DeclaredToken,
        tenant: &str,
        credential: String,
        terms: TokenTerms,
        there: &TokenRecord,
    ) {
        // An end that the file does not name may have been given in a rotation.
        let terms = TokenTerms { expires: terms.expires.or(there.terms.expires), ..terms };
        let name = Name::token(tenant, &terms.label, Some(&there.id));
        let stood_for = self.stood_for.get(&there.credential).copied().unwrap_or_default();
        let old = facts::of_token(stood_for, &there.terms);
        let changes = Change::between(&old, &facts::of_token(&credential, &terms));
        if changes.is_empty() {
            return self.plan.kept.push(name);
        }
        if there.has_ended(self.known.now) && terms.expires != there.terms.expires {
            let why = StoreError::Ended { id: there.id.clone() }.to_string();
            token.written.complain("expires", &why, self.problems);
        }
        self.judge(token, &terms, terms.not_before);
        let deed = Deed::SetToken { id: there.id.clone(), credential, terms };
        self.plan.steps.push(Step { name, changes, deed });
    }

    /// Whether a token can be made so, which may be good from then on.
    fn judge(&mut self, token: &DeclaredToken, terms: &TokenTerms, from: Option<i64>) {
        let label = &terms.label;
        if label.chars().count() > LABEL_MAX || label.contains(char::is_control) {
            let why = format!("expected at most {LABEL_MAX} characters on one line");
            token.written.complain("label", &why, self.problems);
        }
        for (key, names) in [("allow", &terms.scopes.allow), ("deny", &terms.scopes.deny)] {
            for name in names.iter().filter(|name| (self.known.scope)(name).is_none()) {
                let why = format!(
                    "\"{}\" is neither a route class nor a family of routes",
                    name.escape_debug()
                );
                token.written.complain(key, &why, self.problems);
            }
        }
        if from.zip(terms.expires).is_some_and(|(from, until)| from >= until) {
            let why = StoreError::NeverGood.to_string();
            token.written.complain("expires", &why, self.problems);
        }
    }
}
