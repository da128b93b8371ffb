//! A declaration of what the store has, without secrets.

use std::{collections::HashMap, fmt::Write as _};

use toml::Value;

use super::{
    Known,
    facts::{self, Fact},
};
use crate::tenants::record::{CredentialRecord, TenantSettings, TokenRecord, TokenTerms};

const HEADING: &str = "\
# What this Tollgate's store has, for `tollgate apply`. A key that is left out has its default. No
# secret stands here: a credential that is added needs secret_file or secret_variable, and a token
# that is added is written to the file that is given with --tokens-out.
";

/// Writes the declaration. What has a label that names it has no id, so that the file can also be
/// applied to another store.
pub fn export(known: &Known<'_>) -> String {
    let records = known.records;
    let mut text = HEADING.to_owned();
    for tenant in &records.tenants {
        header(&mut text, "tenants", &tenant.name);
        let defaults = facts::of_tenant(&TenantSettings::default());
        put_beyond(&mut text, &defaults, &facts::of_tenant(&tenant.settings));
    }
    for credential in &records.credentials {
        header(&mut text, "credentials", &credential.name);
        credential_keys(&mut text, known, credential);
    }
    let tenants: HashMap<i64, &str> = records.tenants.iter().map(|t| (t.row, &*t.name)).collect();
    let credentials: HashMap<i64, &str> =
        records.credentials.iter().map(|c| (c.row, &*c.name)).collect();
    let name = |names: &HashMap<i64, &'_ str>, row| (*names.get(&row).unwrap_or(&"")).to_owned();
    let defaults = facts::of_token("", &TokenTerms::default());
    for (token, named) in tokens(&records.tokens, known.now) {
        text.push_str("\n[[tokens]]\n");
        if !named {
            put(&mut text, "id", &Value::from(&*token.id));
        }
        put(&mut text, "tenant", &name(&tenants, token.tenant).into());
        let facts = facts::of_token(&name(&credentials, token.credential), &token.terms);
        put_beyond(&mut text, &defaults, &facts);
    }
    text
}

fn credential_keys(text: &mut String, known: &Known<'_>, credential: &CredentialRecord) {
    put(text, "upstream", &Value::from(&*credential.upstream));
    match known.vault.open(credential) {
        Ok(secret) => {
            let login = secret.pair().0;
            put(text, facts::login_key(secret.kind()), &Value::from(login));
        }
        // Writing to memory does not fail.
        Err(why) => drop(writeln!(text, "# Its login is not known: {why}")),
    }
    facts::of_standing(&credential.standing).iter().for_each(|fact| put_fact(text, fact));
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
    let _ = writeln!(text, "\n[{table}.{name}]");
}

fn put_beyond(text: &mut String, defaults: &[Fact], facts: &[Fact]) {
    let beyond = defaults.iter().zip(facts).filter(|(default, fact)| default.1 != fact.1);
    beyond.for_each(|(_, fact)| put_fact(text, fact));
}

fn put_fact(text: &mut String, (key, value): &Fact) {
    if let Some(value) = value {
        put(text, key, value);
    }
}

fn put(text: &mut String, key: &str, value: &Value) {
    let _ = writeln!(text, "{key} = {value}");
}
