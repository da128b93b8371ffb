//! How a plan is made: each declared record is compared with the stored one.

use std::collections::{HashMap, HashSet};

use super::{
    Declaration, Known,
    document::DeclaredTenant,
    facts,
    identity::Identities,
    plan::{Change, Deed, Name, Plan, Step},
    written::Written,
};
use crate::{
    settings::Problems,
    tenants::{
        record::{CredentialRecord, Noun, TenantRecord, TenantSettings},
        store::require_name,
    },
};

mod credentials;
mod tokens;

struct Planner<'a, 'p> {
    known: &'p Known<'a>,
    prune: bool,
    /// The names that are declared.
    tenants: HashSet<String>,
    credentials: HashSet<String>,
    /// What is stored.
    stored_tenants: HashMap<&'a str, &'a TenantRecord>,
    stored_credentials: HashMap<&'a str, &'a CredentialRecord>,
    /// The names of rows.
    owners: HashMap<i64, &'a str>,
    stood_for: HashMap<i64, &'a str>,
    plan: Plan,
    problems: &'p mut Problems,
}

impl Plan {
    /// What there is to do. With a problem there is no plan, and what is returned is a part of one.
    pub fn make(
        declaration: Declaration,
        known: &Known<'_>,
        prune: bool,
        problems: &mut Problems,
    ) -> Self {
        let Declaration { tenants, credentials, tokens } = declaration;
        let mut planner = Planner {
            tenants: tenants.iter().map(|tenant| tenant.name.clone()).collect(),
            credentials: credentials.iter().map(|credential| credential.name.clone()).collect(),
            stored_tenants: known.records.tenants.iter().map(|t| (&*t.name, t)).collect(),
            stored_credentials: known.records.credentials.iter().map(|c| (&*c.name, c)).collect(),
            owners: known.records.tenants.iter().map(|t| (t.row, &*t.name)).collect(),
            stood_for: known.records.credentials.iter().map(|c| (c.row, &*c.name)).collect(),
            plan: Self::default(),
            known,
            prune,
            problems,
        };
        tenants.iter().for_each(|tenant| planner.tenant(tenant));
        credentials.iter().for_each(|credential| planner.credential(credential));
        let Identities { found, declared, ending } =
            Identities::of(&tokens, known, planner.problems);
        for (token, found) in tokens.into_iter().zip(found) {
            planner.token(token, found);
        }
        planner.rest(&declared, &ending);
        planner.plan
    }
}

impl Planner<'_, '_> {
    fn tenant(&mut self, tenant: &DeclaredTenant) {
        let (name, settings) = (&tenant.name, tenant.written.keys.settings());
        let new = facts::of_tenant(&settings);
        let there = self.stored_tenants.get(&**name);
        let (changes, deed) = match there {
            Some(there) if there.settings == settings => {
                return self.plan.kept.push(Name::tenant(name));
            }
            Some(there) => {
                let old = facts::of_tenant(&there.settings);
                (Change::between(&old, &new), Deed::SetTenant(settings))
            }
            None => {
                if let Err(why) = require_name(Noun::Tenant, name) {
                    tenant.written.complain("", &why.to_string(), self.problems);
                }
                let defaults = facts::of_tenant(&TenantSettings::default());
                (Change::beyond(&defaults, &new), Deed::AddTenant(settings))
            }
        };
        self.plan.steps.push(Step { name: Name::tenant(name), changes, deed });
    }

    /// What is stored and not declared: left alone, or removed.
    fn rest(&mut self, declared: &HashSet<&str>, ending: &HashSet<&str>) {
        let records = self.known.records;
        let live = records.tokens.iter().filter(|token| token.revoked.is_none());
        let mut rest = Vec::new();
        for token in live.filter(|token| !declared.contains(&*token.id)) {
            let [owner, stood_for] =
                [self.owners.get(&token.tenant), self.stood_for.get(&token.credential)]
                    .map(|name| name.copied().unwrap_or_default());
            // What ends by itself goes at once where what it stands on goes.
            let falls = !self.tenants.contains(owner) || !self.credentials.contains(stood_for);
            if falls && self.prune || !ending.contains(&*token.id) {
                let name = Name::token(owner, &token.terms.label, Some(&token.id));
                rest.push((name, Deed::RevokeToken { id: token.id.clone() }));
            }
        }
        let tenants = records.tenants.iter().filter(|t| !self.tenants.contains(&t.name));
        rest.extend(tenants.map(|tenant| (Name::tenant(&tenant.name), Deed::RemoveTenant)));
        let credentials = records.credentials.iter();
        let credentials = credentials.filter(|c| !self.credentials.contains(&c.name));
        rest.extend(credentials.map(|c| (Name::credential(&c.name), Deed::RemoveCredential)));
        if self.prune {
            let steps = rest.into_iter();
            self.plan.steps.extend(steps.map(|(name, deed)| Step {
                name,
                changes: Vec::new(),
                deed,
            }));
        } else {
            self.plan.unmanaged = rest.into_iter().map(|(name, _)| name).collect();
        }
    }

    /// What has to stand behind a key.
    fn required<K>(
        &mut self,
        written: &Written<K>,
        key: &str,
        value: Option<&String>,
    ) -> Option<String> {
        if value.is_none() && !written.has(key) {
            written.complain(key, "this is needed", self.problems);
        }
        value.cloned()
    }
}
