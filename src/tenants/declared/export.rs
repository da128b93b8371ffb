//! A declaration of what the store has, without secrets.

use std::{collections::HashMap, fmt::Write as _};

use serde_json::{Map, Value as Json};
use toml::Value;

use super::{
    Known,
    facts::{self, Fact},
};
use crate::{
    settings::to_json,
    tenants::record::{CredentialRecord, TenantSettings, TokenRecord, TokenTerms},
};

/// What the store has. What has a label that names it has no id, so that it can also be applied to
/// another store.
pub struct Exported<'a> {
    tenants: Vec<(&'a str, Keys)>,
    credentials: Vec<(&'a str, Keys)>,
    tokens: Vec<Keys>,
}

/// What is said of one record.
#[derive(Default)]
struct Keys {
    /// What no key can say.
    remark: Option<String>,
    said: Vec<(&'static str, Value)>,
}

const HEADING: &str = "\
# What this Tollgate's store has, for `tollgate apply`. A key that is left out has its default. No
# secret stands here: a credential that is added needs secret_file or secret_variable, and a token
# that is added is written to the file that is given with --tokens-out.
";

impl<'a> Exported<'a> {
    /// Declares it.
    pub fn of(known: &Known<'a>) -> Self {
        let records = known.records;
        let tenant_defaults = facts::of_tenant(&TenantSettings::default());
        let token_defaults = facts::of_token("", &TokenTerms::default());
        let tenants: HashMap<i64, &str> =
            records.tenants.iter().map(|tenant| (tenant.row, &*tenant.name)).collect();
        let credentials: HashMap<i64, &str> =
            records.credentials.iter().map(|c| (c.row, &*c.name)).collect();
        let name = |names: &HashMap<i64, &'a str>, row| names.get(&row).copied().unwrap_or("");
        let token = |(token, named): (&TokenRecord, bool)| {
            let mut keys = Keys::default();
            if !named {
                keys.say("id", &*token.id);
            }
            keys.say("tenant", name(&tenants, token.tenant));
            let facts = facts::of_token(name(&credentials, token.credential), &token.terms);
            keys.beyond(&token_defaults, facts)
        };
        Self {
            tenants: records
                .tenants
                .iter()
                .map(|tenant| {
                    let facts = facts::of_tenant(&tenant.settings);
                    (&*tenant.name, Keys::default().beyond(&tenant_defaults, facts))
                })
                .collect(),
            credentials: records
                .credentials
                .iter()
                .map(|credential| (&*credential.name, credential_keys(known, credential)))
                .collect(),
            tokens: tokens(&records.tokens, known.now).into_iter().map(token).collect(),
        }
    }

    /// Writes it as a file.
    pub fn to_toml(&self) -> String {
        let mut text = HEADING.to_owned();
        for (table, records) in [("tenants", &self.tenants), ("credentials", &self.credentials)] {
            for (name, keys) in records {
                header(&mut text, table, name);
                keys.write(&mut text);
            }
        }
        for keys in &self.tokens {
            text.push_str("\n[[tokens]]\n");
            keys.write(&mut text);
        }
        text
    }

    /// It as JSON.
    pub fn to_json(&self) -> Map<String, Json> {
        let named = |records: &[(&str, Keys)]| -> Json {
            records.iter().map(|(name, keys)| ((*name).to_owned(), keys.to_json())).collect()
        };
        let tokens: Json = self.tokens.iter().map(Keys::to_json).collect();
        [
            ("tenants", named(&self.tenants)),
            ("credentials", named(&self.credentials)),
            ("tokens", tokens),
        ]
        .map(|(table, records)| (table.to_owned(), records))
        .into_iter()
        .collect()
    }
}

impl Keys {
    fn say(&mut self, key: &'static str, value: impl Into<Value>) {
        self.said.push((key, value.into()));
    }

    fn put(&mut self, (key, value): Fact) {
        self.said.extend(value.map(|value| (key, value)));
    }

    fn beyond(mut self, defaults: &[Fact], facts: Vec<Fact>) -> Self {
        let beyond = defaults.iter().zip(facts).filter(|(default, fact)| default.1 != fact.1);
        beyond.for_each(|(_, fact)| self.put(fact));
        self
    }

    fn write(&self, text: &mut String) {
        // Writing to memory does not fail.
        if let Some(remark) = &self.remark {
            let _ = writeln!(text, "# {remark}");
        }
        for (key, value) in &self.said {
            let _ = writeln!(text, "{key} = {value}");
        }
    }

    fn to_json(&self) -> Json {
        self.said.iter().map(|(key, value)| ((*key).to_owned(), to_json(value))).collect()
    }
}

fn credential_keys(known: &Known<'_>, credential: &CredentialRecord) -> Keys {
    let mut keys = Keys::default();
    keys.say("upstream", &*credential.upstream);
    match known.vault.open(credential) {
        Ok(secret) => keys.say(facts::login_key(secret.kind()), secret.pair().0),
        Err(why) => keys.remark = Some(format!("Its login is not known: {why}")),
    }
    facts::of_standing(&credential.standing).into_iter().for_each(|fact| keys.put(fact));
    keys
}

/// The tokens that can be declared, and whether the label of each names it.
fn tokens(records: &[TokenRecord], now: i64) -> Vec<(&TokenRecord, bool)> {
    let live =
        || records.iter().filter(|token| token.revoked.is_none() && token.replaced_by.is_none());
    let mut by_label: HashMap<(i64, &str), Vec<&TokenRecord>> = HashMap::new();
    for token in live() {
        by_label.entry((token.tenant, &*token.terms.label)).or_default().push(token);
    }
    let named = |token: &TokenRecord| {
        let same = &by_label[&(token.tenant, &*token.terms.label)];
        let (newest, older) = match same.split_last() {
            Some((newest, older)) => (newest.id == token.id, older),
            None => (false, &[][..]),
        };
        let clear = older.iter().all(|older| older.terms.expires.is_some());
        (!token.terms.label.is_empty() && clear, newest)
    };
    live()
        .filter_map(|token| {
            let (clear, newest) = named(token);
            // What has ended, and has a newer one of its label, is of no use to anybody.
            let declarable = newest || !(clear && token.has_ended(now));
            declarable.then_some((token, clear && newest))
        })
        .collect()
}

fn header(text: &mut String, table: &str, name: &str) {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = if name.chars().all(bare) { name.to_owned() } else { format!("\"{name}\"") };
    // Writing to memory does not fail.
    let _ = writeln!(text, "\n[{table}.{name}]");
}
