//! Which token of the store a declared one is.

use std::collections::{HashMap, HashSet};

use super::{Known, document::DeclaredToken};
use crate::{
    auth::keyring::Mac,
    settings::Problems,
    tenants::record::{TenantRecord, TokenRecord},
};

/// What was found for the declared tokens.
pub(super) struct Identities<'a> {
    /// For each, in their order.
    pub(super) found: Vec<Found<'a>>,
    /// The ids of those that are declared.
    pub(super) declared: HashSet<&'a str>,
    /// The ids of those that end by themselves, beside a declared one that is newer.
    pub(super) ending: HashSet<&'a str>,
}

/// What a declared token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// None that is there.
    New,
    /// This one.
    There(&'a TokenRecord),
    /// Nobody can say; it was complained of.
    Unclear,
}

struct Matcher<'a, 'p> {
    known: &'p Known<'a>,
    by_id: HashMap<&'a str, &'a TokenRecord>,
    by_label: HashMap<(i64, &'a str), Vec<&'a TokenRecord>>,
    by_mac: HashMap<Mac, &'a TokenRecord>,
    /// Those that were rotated, by the ids of what has taken their place.
    replaced: HashMap<&'a str, &'a TokenRecord>,
    tenants: HashMap<&'a str, &'a TenantRecord>,
    new_keys: HashSet<Mac>,
    declared: HashSet<&'a str>,
    ending: HashSet<&'a str>,
    problems: &'p mut Problems,
}

impl<'a> Identities<'a> {
    pub(super) fn of(tokens: &[DeclaredToken], known: &Known<'a>, problems: &mut Problems) -> Self {
        let mut matcher = Matcher::new(known, problems);
        // Ids first: what they name is not what a label or key names.
        let by_id: Vec<_> = tokens.iter().map(|token| matcher.by_id(token)).collect();
        let mut labels = HashSet::new();
        let by_label: Vec<_> = tokens
            .iter()
            .zip(by_id)
            .map(|(token, found)| found.unwrap_or_else(|| matcher.by_label(token, &mut labels)))
            .collect();
        let found = tokens
            .iter()
            .zip(by_label)
            .map(|(token, found)| matcher.by_key(token, found))
            .collect();
        Self { found, declared: matcher.declared, ending: matcher.ending }
    }
}

impl<'a, 'p> Matcher<'a, 'p> {
    fn new(known: &'p Known<'a>, problems: &'p mut Problems) -> Self {
        let records = known.records;
        let mut by_label: HashMap<_, Vec<_>> = HashMap::new();
        let live = |token: &&TokenRecord| token.revoked.is_none() && token.replaced_by.is_none();
        // In the order in which they were made.
        for token in records.tokens.iter().filter(live) {
            by_label.entry((token.tenant, &*token.terms.label)).or_default().push(token);
        }
        Self {
            by_id: records.tokens.iter().map(|token| (&*token.id, token)).collect(),
            by_mac: records.tokens.iter().map(|token| (token.mac, token)).collect(),
            replaced: records
                .tokens
                .iter()
                .filter_map(|token| Some((token.replaced_by.as_deref()?, token)))
                .collect(),
            tenants: records.tenants.iter().map(|tenant| (&*tenant.name, tenant)).collect(),
            new_keys: HashSet::new(),
            declared: HashSet::new(),
            ending: HashSet::new(),
            by_label,
            known,
            problems,
        }
    }

    /// None where no id is declared.
    fn by_id(&mut self, token: &DeclaredToken) -> Option<Found<'a>> {
        let id = token.written.keys.id.as_deref()?;
        let found = match self.by_id.get(id) {
            None => {
                let why = format!(
                    "there is no token \"{}\"; leave the id out to have one created",
                    id.escape_debug()
                );
                self.unclear(token, "id", &why)
            }
            Some(record) => self.claim(token, "id", record),
        };
        Some(found)
    }

    fn by_label(
        &mut self,
        token: &DeclaredToken,
        seen: &mut HashSet<(String, String)>,
    ) -> Found<'a> {
        let keys = &token.written.keys;
        let Some(tenant) = keys.tenant.as_deref().filter(|_| !keys.label.is_empty()) else {
            return Found::New;
        };
        if !seen.insert((tenant.to_owned(), keys.label.clone())) {
            let why = "another token of this tenant is declared with this label";
            return self.unclear(token, "label", why);
        }
        let labelled = self.tenants.get(tenant).and_then(|tenant| {
            self.by_label.get(&(tenant.row, &*keys.label)).map(|all| all.iter().copied())
        });
        let mut left: Vec<&TokenRecord> = labelled.into_iter().flatten().collect();
        left.retain(|record| !self.declared.contains(&*record.id));
        let Some(newest) = left.pop() else { return Found::New };
        if left.iter().any(|older| older.terms.expires.is_none()) {
            let ids: Vec<&str> = left.iter().chain([&newest]).map(|record| &*record.id).collect();
            let why =
                format!("more than one token has this label: name the id ({})", ids.join(", "));
            return self.unclear(token, "label", &why);
        }
        self.ending.extend(left.iter().map(|older| &*older.id));
        self.claim(token, "label", newest)
    }

    /// Finds by its key what was not found before, and compares the key of what was.
    fn by_key(&mut self, token: &DeclaredToken, found: Found<'a>) -> Found<'a> {
        let key = token.secret.key();
        let Some(text) = &token.secret.text else { return found };
        let mac = self.known.vault.keyring.mac(text.as_bytes());
        match (found, self.by_mac.get(&mac).copied()) {
            (Found::Unclear, _) => Found::Unclear,
            (Found::There(record), _) if record.mac == mac => found,
            (Found::There(record), _) => {
                let why = format!(
                    "this is not the key of the token {}, and a token keeps its key; if it was \
                     rotated, leave the key out",
                    record.id
                );
                self.unclear(token, key, &why)
            }
            (Found::New, Some(TokenRecord { id, replaced_by: Some(by), .. })) => {
                let why = format!(
                    "the token {id} with this key was rotated: leave the key out, and name the id \
                     of what has taken its place ({by})"
                );
                self.unclear(token, key, &why)
            }
            (Found::New, Some(record)) => self.claim(token, key, record),
            (Found::New, None) if self.new_keys.insert(mac) => Found::New,
            (Found::New, None) => {
                self.unclear(token, key, "another token is declared with this key")
            }
        }
    }

    /// Takes a token, or what has taken its place, for the declared one.
    fn claim(
        &mut self,
        token: &DeclaredToken,
        key: &'static str,
        named: &'a TokenRecord,
    ) -> Found<'a> {
        let Some(record) = self.last_of_chain(named) else {
            let why =
                format!("the token {} was rotated, and what took its place is gone", named.id);
            return self.unclear(token, key, &why);
        };
        let which = if record.id == named.id {
            format!("the token {}", record.id)
        } else {
            format!("the token {}, which has taken the place of {},", record.id, named.id)
        };
        let tenant = token.written.keys.tenant.as_deref();
        let is_of = |name: &str| self.tenants.get(name).is_some_and(|t| t.row == record.tenant);
        if record.revoked.is_some() {
            let why = format!("{which} was revoked, and that is for good");
            return self.unclear(token, key, &why);
        }
        if tenant.is_some_and(|name| !is_of(name)) {
            let why = format!("{which} is another tenant's, and tokens never change hands");
            return self.unclear(token, "tenant", &why);
        }
        if !self.declared.insert(&record.id) {
            let why = format!("{which} is declared twice");
            return self.unclear(token, key, &why);
        }
        let mut before = self.replaced.get(&*record.id);
        while let Some(older) = before {
            self.ending.insert(&older.id);
            before = self.replaced.get(&*older.id);
        }
        Found::There(record)
    }

    /// None where it is gone.
    fn last_of_chain(&self, first: &'a TokenRecord) -> Option<&'a TokenRecord> {
        let mut last = first;
        while let Some(next) = &last.replaced_by {
            last = self.by_id.get(&**next)?;
        }
        Some(last)
    }

    fn unclear(&mut self, token: &DeclaredToken, key: &str, why: &str) -> Found<'a> {
        token.written.complain(key, why, self.problems);
        Found::Unclear
    }
}
