//! Stores as operators may have made them, by commands and imports, and what an export says of them.

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::{
    auth::scopes::{Access, Permission, ScopeNames},
    limit::Quotas,
    policy::document::PolicyDocument,
    settings::Room,
    tenants::{
        record::{Reach, Standing, TenantSettings, address_range},
        secret::UpstreamSecret,
    },
};

#[derive(Clone, Debug)]
struct Made {
    tenants: Vec<TenantSettings>,
    credentials: Vec<Standing>,
    tokens: Vec<MadeToken>,
}

#[derive(Clone, Debug)]
struct MadeToken {
    tenant: prop::sample::Index,
    credential: prop::sample::Index,
    terms: TokenTerms,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Stays,
    IsRevoked,
    IsRotated,
}

fn made() -> impl Strategy<Value = Made> {
    let quota = || {
        let pair = (1..1000_u32, 1..1000_u32);
        prop::option::of(pair.prop_map(|(per_second, burst)| Quota { per_second, burst }))
    };
    let status =
        || prop::sample::select(vec![LimitStatus::TooManyRequests, LimitStatus::Forbidden]);
    let settings = (prop::sample::select(Format::ALL), quota(), quota(), quota(), status());
    let settings = settings.prop_map(|(default_format, reads, writes, upstream_reads, status)| {
        let quotas = Quotas { reads, writes, upstream_reads };
        TenantSettings { default_format, quotas, limit_status: status }
    });
    let standing = prop::sample::select(vec![
        Standing::default(),
        Standing { reach: Some(Reach::All), account: None },
        Standing { reach: Some(Reach::Own), account: Some("ä \"quoted\" \\ one".to_owned()) },
    ]);
    (
        prop::collection::vec(settings, 1..4),
        prop::collection::vec(standing, 1..4),
        prop::collection::vec(token(), 0..8),
    )
        .prop_map(|(tenants, credentials, tokens)| Made { tenants, credentials, tokens })
}

fn token() -> impl Strategy<Value = MadeToken> {
    let label = prop::sample::select(vec!["", "a", "b", "it's \"q\"", "two\nlines\t", "é # ="]);
    let names = || prop::sample::subsequence(vec!["vms".to_owned(), "volatile".to_owned()], 0..=2);
    let access = prop::sample::select(Access::ALL);
    let permissions = prop::sample::subsequence(Permission::ALL, 0..=Permission::ALL.len());
    let addresses = prop::sample::subsequence(vec!["192.0.2.0/24", "::1", "192.0.2.9"], 0..=3);
    let moment = |from: i64| prop::option::of(from..from + 1_000_000_000);
    let status = prop::option::of(Just(LimitStatus::Forbidden));
    let policies = prop::sample::select(vec![
        "{}",
        r#"{"paths":{"mode":"shadow","deny":["/virtual_machines/:id/console"]}}"#,
        r#"{"limits":{"reads":{"per_second":5,"burst":10}},"monthly":{"writes":1000000000000}}"#,
    ]);
    let then = prop::sample::select(vec![Then::Stays, Then::IsRevoked, Then::IsRotated]);
    let index = any::<prop::sample::Index>;
    let terms = (label, access, names(), names(), permissions, addresses).prop_map(
        |(label, access, allow, deny, permissions, addresses)| TokenTerms {
            label: label.to_owned(),
            scopes: ScopeNames { access, allow, deny },
            permissions: permissions.into_iter().collect(),
            addresses: addresses.iter().map(|text| address_range(text).expect("a range")).collect(),
            ..TokenTerms::default()
        },
    );
    let more = (moment(0), moment(NOW), status, policies);
    (index(), index(), terms, more, then).prop_map(|(tenant, credential, terms, more, then)| {
        let (not_before, expires, limit_status, policies) = more;
        let policies: PolicyDocument = serde_json::from_str(policies).expect("policies");
        let terms = TokenTerms { not_before, expires, limit_status, policies, ..terms };
        MadeToken { tenant, credential, terms, then }
    })
}

impl Made {
    fn put(&self, fixture: &mut Fixture) -> Result<(), StoreError> {
        let Fixture { store, keyring, .. } = fixture;
        let vault = Vault { keyring, origin: &origin };
        store.edit(NOW, |edit| {
            for (n, settings) in self.tenants.iter().enumerate() {
                edit.add_tenant(&format!("t.{n}"), settings)?;
            }
            for (n, standing) in self.credentials.iter().enumerate() {
                let pair = UpstreamSecret::new(SecretKind::ALL[n % 2], "it's \"me\"", SECRET);
                let pair = pair.expect("a good pair");
                edit.add_credential(&vault, &format!("c-{n}"), "main", &pair, standing)?;
            }
            for (n, MadeToken { tenant, credential, terms, then }) in self.tokens.iter().enumerate()
            {
                let tenant = format!("t.{}", tenant.index(self.tenants.len()));
                let credential = format!("c-{}", credential.index(self.credentials.len()));
                let (id, mac, key_id) = (format!("{n}"), keyring.mac(&[n as u8]), keyring.id());
                let new = NewToken {
                    id: &id,
                    tenant: &tenant,
                    credential: &credential,
                    mac,
                    key_id,
                    terms,
                    adopted: n % 2 == 0,
                };
                edit.add_token(&new)?;
                let later = format!("{n}-later");
                let mac = keyring.mac(later.as_bytes());
                let successor = Successor { id: &later, mac, key_id, expires: None };
                match then {
                    Then::Stays => {}
                    Then::IsRevoked => drop(edit.revoke_token(&id)?),
                    Then::IsRotated => drop(edit.rotate_token(&id, &successor, NOW + 60)?),
                }
            }
            Ok(())
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_export_declares_what_is_there_and_nothing_else(made in made()) {
        let mut fixture = Fixture::new();
        // A token that is never good is refused, and with it this store.
        if made.put(&mut fixture).is_ok() {
            let text = exported(&mut fixture, NOW);
            let made = plan(&mut fixture, &text, true);
            let made = made.map_err(|problems| TestCaseError::fail(format!("{problems}\n{text}")))?;
            prop_assert_eq!(steps(&made.1), Vec::<String>::new(), "{}", text);
            let spared = plan(&mut fixture, &text, false).expect("a plan").1;
            prop_assert_eq!(spared.unmanaged, vec![], "{}", text);

            // As JSON it declares the same.
            let mut problems = Problems::default();
            let object = Table::parse(&text, &mut problems).to_object();
            let json = export(&mut fixture, NOW).1;
            // No table at all is one without a record.
            let tables = json.into_iter().filter(|(_, table)| !["{}", "[]"].contains(&&*table.to_string()));
            prop_assert_eq!(tables.collect::<Map<_, _>>(), object.clone());
            let room = Room { values: usize::MAX, beyond: String::new() };
            let root = Table::from_json(object, "", &room, &mut problems);
            let declaration = Declaration::read(root, &mut secret, &mut problems);
            let made = planned(NOW, &mut fixture, (declaration, problems), true);
            let made = made.map_err(|problems| TestCaseError::fail(format!("{problems}\n{text}")))?;
            prop_assert_eq!(steps(&made.1), Vec::<String>::new(), "{}", text);
        }
    }
}
