//! What a plan finds, what an apply leaves behind, and that an export says what is there.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::{
    auth::{
        keyring::random,
        token::{Environment, Token},
    },
    limit::Quota,
    settings::{Problems, Table},
    tenants::{
        fixture::{Fixture, NOW, SECRET, origin, scope},
        record::{LimitStatus, SecretKind, TokenTerms},
        store::{NewToken, StoreError, Successor},
    },
    vocabulary::{Closed, Format},
};

mod chains;
mod ended;
mod identity;
mod stores;

const KEY: &str = "planted0123456789abcdef0123456789abcdef";

const FULL: &str = r#"
[tenants.acme]
default_format = "xml"
reads = "20/40"
writes = "5"
limit_status = 403
[tenants."b.c"]
[credentials.acme]
upstream = "main"
login = "acme"
secret_file = "password"
reach = "own"
account = "acme"
[credentials.all]
upstream = "main"
email = "root@example.com"
secret_variable = "ROOT"
reach = "all"
[[tokens]]
tenant = "acme"
credential = "acme"
label = "billing"
access = "read-only"
allow = ["vms"]
deny = ["volatile"]
permissions = ["explain"]
addresses = ["192.0.2.7", "2001:db8::/32"]
not_before = 2026-01-01T00:00:00Z
expires = 2099-01-01T02:00:00+02:00
limit_status = 429
policies = { protected = { items = ["/virtual_machines/7"] } }
[[tokens]]
tenant = "b.c"
credential = "all"
label = "adopted"
secret_file = "key"
[tokens.policies.creates]
at_most = 5
window_seconds = 60
"#;

/// What is wrong in every way, in lines that are counted.
const WRONG: &str = r#"[tenants."a b"]
reads = "0"
[tenants.ok]
writs = "5"
[credentials.new]
upstream = "moon"
reach = "own"
[credentials.old]
upstream = "main"
login = "other"
[credentials.both]
upstream = "main"
login = "a"
email = "b"
secret_file = "nowhere"
[[tokens]]
tenant = "nobody"
credential = "old"
[[tokens]]
credential = "old"
tenant = "ok"
label = "x"
allow = ["volatile", "moons"]
not_before = 2030-01-01T00:00:00Z
expires = 2030-01-01T00:00:00Z
policies = { creates = { at_most = 0, window_seconds = 1 } }
[[tokens]]
id = "none"
tenant = "ok"
credential = "old"
secret_file = "password"
secret_variable = "ROOT"
expires = 2030-01-01
[limits]
"#;

/// What stands in files and variables.
fn secret(place: &SecretPlace) -> Result<Zeroizing<String>, String> {
    let known = HashMap::from([
        ("password", SECRET),
        ("another", "another-upstream-secret"),
        ("ROOT", "root-upstream-secret"),
        ("key", KEY),
    ]);
    let name = match place {
        SecretPlace::File(path) => path.display().to_string(),
        SecretPlace::Variable(name) => name.clone(),
    };
    let found = known.get(&*name).map(|text| Zeroizing::new((*text).to_owned()));
    found.ok_or_else(|| format!("{name} is not there"))
}

fn plan(fixture: &mut Fixture, text: &str, prune: bool) -> Result<(i64, Plan), String> {
    plan_at(NOW, fixture, text, prune)
}

fn plan_at(
    now: i64,
    fixture: &mut Fixture,
    text: &str,
    prune: bool,
) -> Result<(i64, Plan), String> {
    let mut problems = Problems::default();
    let declaration = read(text, &mut problems);
    planned(now, fixture, (declaration, problems), prune)
}

fn planned(
    now: i64,
    fixture: &mut Fixture,
    (declaration, mut problems): (Declaration, Problems),
    prune: bool,
) -> Result<(i64, Plan), String> {
    let (revision, records) = fixture.store.read().expect("read");
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    let known = Known { records: &records, rotated: &HashSet::new(), vault, scope: &scope, now };
    let plan = Plan::make(declaration, &known, prune, &mut problems);
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok((revision, plan)) } else { Err(problems.join("\n")) }
}

/// Does all of a plan; whether the store was still what it was made for.
fn carried_out(fixture: &mut Fixture, (revision, plan): &(i64, Plan)) -> bool {
    let environment = Environment::default();
    let mint = |_| Token::mint(&environment, &random().expect("randomness"));
    let minted: Vec<Token> = (0..plan.to_mint()).map(mint).collect();
    let Fixture { store, keyring, .. } = fixture;
    let vault = Vault { keyring, origin: &origin };
    let done = store.edit_seen(*revision, NOW, |edit| carry_out(plan, edit, &vault, &minted));
    done.expect("carried out").is_some()
}

fn apply(fixture: &mut Fixture, text: &str, prune: bool) -> Plan {
    let made = plan(fixture, text, prune).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(carried_out(fixture, &made), "the store is what it was planned for");
    made.1
}

fn exported(fixture: &mut Fixture, now: i64) -> String {
    export(fixture, now).0
}

/// What is there, as a file and as JSON.
fn export(fixture: &mut Fixture, now: i64) -> (String, serde_json::Map<String, serde_json::Value>) {
    let records = fixture.store.records().expect("read");
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    let rotated = HashSet::new();
    let known = Known { records: &records, rotated: &rotated, vault, scope: &scope, now };
    let exported = Exported::of(&known);
    (exported.to_toml(), exported.to_json())
}

fn read(text: &str, problems: &mut Problems) -> Declaration {
    let root = Table::parse(text, problems);
    Declaration::read(root, &mut secret, problems)
}

/// The steps in a line each.
fn steps(plan: &Plan) -> Vec<String> {
    let value =
        |value: &Option<toml::Value>| value.as_ref().map_or("-".into(), ToString::to_string);
    let step = |step: &Step| {
        let changes: Vec<String> = step
            .changes
            .iter()
            .map(|Change { key, old, new }| format!(" {key}:{}>{}", value(old), value(new)))
            .collect();
        let Name { noun, name, .. } = &step.name;
        format!("{} {} {name}{}", step.act().as_str(), noun.as_str(), changes.concat())
    };
    plan.steps.iter().map(step).collect()
}

#[test]
fn what_was_applied_is_there_and_nothing_is_left_to_do() {
    let mut fixture = Fixture::new();
    let done = apply(&mut fixture, FULL, true);
    assert_eq!((done.steps.len(), done.to_mint()), (6, 1));
    let records = fixture.store.records().expect("read");
    let settings = &records.tenants[0].settings;
    assert_eq!(
        (settings.default_format, settings.limit_status),
        (Format::Xml, LimitStatus::Forbidden)
    );
    assert_eq!(settings.quotas.writes, Some(Quota { per_second: 5, burst: 5 }));
    assert_eq!(records.credentials[0].standing.account.as_deref(), Some("acme"));
    assert_eq!(records.credentials[1].kind, SecretKind::Key);
    let terms = &records.tokens[0].terms;
    assert_eq!((terms.not_before, terms.expires), (Some(1_767_225_600), Some(4_070_908_800)));
    assert_eq!(terms.addresses.len(), 2);
    assert!(records.tokens[1].adopted && !records.tokens[0].adopted);
    assert_eq!(records.tokens[1].mac, fixture.keyring.mac(KEY.as_bytes()));
    assert!(records.tokens[1].terms.policies.creates.is_some());

    let again = plan(&mut fixture, FULL, true).expect("a plan").1;
    assert_eq!((steps(&again), again.kept.len()), (vec![], 6));
}

#[test]
fn each_key_that_differs_is_a_change_and_only_that() {
    let mut fixture = Fixture::new();
    apply(&mut fixture, FULL, true);
    let other = FULL
        .replace("reads = \"20/40\"", "reads = \"21/40\"")
        .replace("writes = \"5\"\n", "")
        .replace("reach = \"own\"\n", "")
        .replace("access = \"read-only\"\n", "")
        .replace("expires = 2099-01-01T02:00:00+02:00\n", "expires = 2098-12-31T23:59:59Z\n")
        .replace("at_most = 5", "at_most = 6")
        .replace("secret_variable = \"ROOT\"", "secret_file = \"another\"");
    let made = plan(&mut fixture, &other, true).expect("a plan");
    let creates = |n| format!("{{ creates = {{ at_most = {n}, window_seconds = 60 }} }}");
    let wanted = vec![
        r#"change tenant acme reads:"20/40">"21/40" writes:"5/5">-"#.to_owned(),
        r#"change credential acme reach:"own">-"#.to_owned(),
        r#"change credential all secret:"as it is stored">"another one""#.to_owned(),
        "change token acme/billing access:\"read-only\">\"read-write\" \
         expires:2099-01-01T00:00:00Z>2098-12-31T23:59:59Z"
            .to_owned(),
        format!("change token b.c/adopted policies:{}>{}", creates(5), creates(6)),
    ];
    assert_eq!(steps(&made.1), wanted);
    assert!(carried_out(&mut fixture, &made));
    assert_eq!(steps(&plan(&mut fixture, &other, true).expect("a plan").1), Vec::<String>::new());
    let generations: Vec<i64> =
        fixture.store.records().expect("read").credentials.iter().map(|c| c.generation).collect();
    assert_eq!(generations, [1, 2]);
}

#[test]
fn every_problem_is_found_with_its_line_and_key() {
    let mut fixture = Fixture::new();
    fixture.add("old", "a key");
    let problems = plan(&mut fixture, WRONG, false).expect_err("problems");
    for wanted in [
        "line 1: tenants.a b: \"a b\" is no name for a tenant",
        "line 2: tenants.a b.reads: expected RATE/BURST",
        "line 4: tenants.ok.writs: unknown key; did you mean \"writes\"?",
        "line 6: credentials.new.upstream: there is no upstream \"moon\"",
        "line 5: credentials.new.account: credential \"new\" reaches what its account owns",
        "line 5: credentials.new.login: a new credential needs this",
        "line 5: credentials.new.secret_file: a new credential needs its secret",
        "line 10: credentials.old.login: this is not what is stored",
        "line 14: credentials.both.email: give either this or login",
        "line 15: credentials.both.secret_file: nowhere is not there",
        "line 17: tokens.tenant: there is no tenant \"nobody\", and none is declared",
        "line 16: tokens.label: a new token needs this",
        "line 23: tokens.allow: \"moons\" is neither a route class nor a family",
        "line 25: tokens.expires: the token would expire before",
        "line 26: tokens.policies: creates",
        "line 28: tokens.id: there is no token \"none\"",
        "line 32: tokens.secret_variable: give either this or secret_file",
        "line 33: tokens.expires: expected a time such as",
        "line 34: limits: unknown key",
    ] {
        assert!(problems.contains(wanted), "{wanted}\nis not in\n{problems}");
    }
    assert_eq!(problems.lines().count(), 19, "{problems}");
    assert!(!problems.contains("upstream-secret"), "{problems}");
}

#[test]
fn what_is_not_declared_is_left_alone_or_removed() {
    let mut fixture = Fixture::new();
    fixture.add("old", "a key");
    apply(&mut fixture, FULL, false);
    let spared = plan(&mut fixture, FULL, false).expect("a plan").1;
    assert!(spared.is_empty());
    let unmanaged: Vec<&str> = spared.unmanaged.iter().map(|name| name.noun.as_str()).collect();
    assert_eq!(unmanaged, ["token", "tenant", "credential"]);

    let pruned = apply(&mut fixture, FULL, true);
    let acts: Vec<Act> = pruned.steps.iter().map(Step::act).collect();
    assert_eq!(acts, [Act::Remove; 3]);
    let records = fixture.store.records().expect("read");
    assert_eq!((records.tenants.len(), records.credentials.len()), (2, 2));
    assert_eq!(records.tokens.len(), 2);

    // What a declared token stands on cannot be pruned away under it.
    let headless = FULL.replace("[tenants.\"b.c\"]\n", "");
    let refused = plan(&mut fixture, &headless, true).expect_err("a problem");
    assert!(refused.contains("tokens.tenant: \"b.c\" is not declared, and would be"), "{refused}");
    assert!(plan(&mut fixture, &headless, false).expect("a plan").1.is_empty());
}

#[test]
fn a_credential_keeps_what_is_not_declared_of_it() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let text = "[credentials.acme]\nupstream = \"main\"\n";
    for kept in ["", "login = \"joe\"\n", "secret_file = \"password\"\n"] {
        let made = plan(&mut fixture, &format!("{text}{kept}"), false).expect("a plan").1;
        assert!(made.is_empty(), "{kept}: {:?}", steps(&made));
    }
    let another = format!("{text}email = \"joe@example.com\"\nsecret_file = \"another\"\n");
    let made = plan(&mut fixture, &another, false).expect("a plan").1;
    let wanted = "change credential acme login:\"joe\">- email:->\"joe@example.com\" \
                  secret:\"as it is stored\">\"another one\"";
    assert_eq!(steps(&made), [wanted]);
    let elsewhere = plan(&mut fixture, &text.replace("main", "moon"), false).expect_err("bound");
    assert!(elsewhere.contains("its secret is bound to \"main\""), "{elsewhere}");
}

#[test]
fn a_plan_is_for_the_store_that_it_was_made_from() {
    let mut fixture = Fixture::new();
    let made = plan(&mut fixture, FULL, false).expect("a plan");
    fixture.add("meanwhile", "a key");
    let again = plan(&mut fixture, FULL, false).expect("a plan");
    assert!(!carried_out(&mut fixture, &made), "another store by now");
    assert_eq!(fixture.store.records().expect("read").tenants.len(), 1);
    assert!(carried_out(&mut fixture, &again), "what was refused has changed nothing");
    assert_eq!(fixture.store.records().expect("read").tenants.len(), 3);
}

#[test]
fn no_secret_is_in_what_is_shown_or_written() {
    let mut fixture = Fixture::new();
    let (_, made) = plan(&mut fixture, FULL, false).expect("a plan");
    let mut shown = format!("{made:?}{:?}", steps(&made));
    apply(&mut fixture, FULL, false);
    shown += &exported(&mut fixture, NOW);
    for planted in [SECRET, KEY, "root-upstream-secret"] {
        assert!(!shown.contains(planted), "{shown}");
    }
    assert!(shown.contains("root@example.com"), "a login is no secret");
}

#[test]
fn a_key_that_was_rotated_since_is_not_put_back() {
    let mut fixture = Fixture::new();
    fixture.add("acme", KEY);
    let declared =
        "[credentials.acme]\nupstream = \"main\"\nlogin = \"joe\"\nsecret_file = \"another\"\n";
    let (_, records) = fixture.store.read().expect("read");
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    for (rotated, refused) in [(HashSet::new(), false), (HashSet::from(["acme".to_owned()]), true)]
    {
        let known = Known { records: &records, rotated: &rotated, vault, scope: &scope, now: NOW };
        let mut problems = Problems::default();
        let declaration = read(declared, &mut problems);
        let plan = Plan::make(declaration, &known, false, &mut problems);
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!((plan.is_empty(), said.len()), (refused, usize::from(refused)), "{said:?}");
    }
}
