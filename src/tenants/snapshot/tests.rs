//! What a snapshot takes over, what it makes anew, and what it leaves out.

use super::*;
use crate::{
    auth::scopes::{Access, Permission, ScopeNames},
    limit::{Quota, Quotas},
    tenants::{
        fixture::{Fixture, NOW, SECRET, keyring, origin, secret, surroundings},
        record::{Reach, TenantSettings},
        secret::Vault,
        store::StoreError,
    },
};

struct Case {
    fixture: Fixture,
    surroundings: Surroundings,
}

impl Case {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.add("acme", "one");
        fixture.add("bolt", "two");
        Self { fixture, surroundings: surroundings() }
    }

    fn build(&mut self, previous: &Snapshot) -> Snapshot {
        let records = self.fixture.store.records().expect("read");
        Snapshot::build(&records, &self.fixture.keyring, &self.surroundings, previous)
    }

    fn find<'a>(&self, snapshot: &'a Snapshot, key: &str) -> &'a Grant {
        snapshot.find(&self.fixture.keyring.mac(key.as_bytes())).expect("a grant")
    }

    fn edit(&mut self, sql: &str) {
        self.fixture.store.script(sql);
    }
}

#[test]
fn what_did_not_change_is_kept() {
    let mut case = Case::new();
    let first = case.build(&Snapshot::default());
    let second = case.build(&first);
    let (before, after) = (case.find(&first, "one"), case.find(&second, "one"));
    assert!(Arc::ptr_eq(&before.tenant.limits, &after.tenant.limits));
    assert!(Arc::ptr_eq(&before.credential, &after.credential));
    assert_eq!((first.tokens(), first.vault_version()), (2, 1));
    assert_eq!(second.vault_version(), 1);
    let other = case.find(&first, "two");
    assert_ne!(before.credential.partition.id(), other.credential.partition.id());
}

#[test]
fn other_quotas_are_other_limiters() {
    let mut case = Case::new();
    let first = case.build(&Snapshot::default());
    let reads = Some(Quota { per_second: 5, burst: 5 });
    let quotas = Quotas { reads, ..Quotas::default() };
    let settings = TenantSettings { quotas: quotas.clone(), ..TenantSettings::default() };
    let edited = case.fixture.store.edit(NOW, |edit| edit.set_tenant("acme", &settings));
    edited.map_err(|e: StoreError| e).expect("edited");
    let second = case.build(&first);
    assert_eq!(*case.find(&second, "one").tenant.limits.quotas(), quotas);
    let [before, after] = [&first, &second].map(|s| Arc::clone(&case.find(s, "two").tenant.limits));
    assert!(Arc::ptr_eq(&before, &after), "the other tenant keeps its limiters");
}

#[test]
fn a_rotated_credential_starts_a_new_partition() {
    let mut case = Case::new();
    let first = case.build(&Snapshot::default());
    let Fixture { store, keyring, .. } = &mut case.fixture;
    let vault = Vault { keyring, origin: &origin };
    let same_secret = store.edit(NOW, |e| e.rotate_credential(&vault, "acme", &secret(SECRET)));
    assert_eq!(same_secret.expect("rotated"), 2);
    let second = case.build(&first);
    let (before, after) = (case.find(&first, "one"), case.find(&second, "one"));
    assert_ne!(before.credential.partition.id(), after.credential.partition.id());
    assert_eq!(second.vault_version(), 2);
    assert!(Arc::ptr_eq(
        &case.find(&first, "two").credential,
        &case.find(&second, "two").credential
    ));
}

#[test]
fn who_looks_for_the_last_writes_of_a_key_has_the_next_one() {
    let mut case = Case::new();
    let first = case.build(&Snapshot::default());
    let rotate = |case: &mut Case| {
        let Fixture { store, keyring, .. } = &mut case.fixture;
        let vault = Vault { keyring, origin: &origin };
        let rotated = store.edit(NOW, |e| e.rotate_credential(&vault, "acme", &secret(SECRET)));
        rotated.map_err(|e: StoreError| e).expect("rotated");
    };
    let looks = |snapshot: &Snapshot, partition| snapshot.looker(partition).map(|c| c.generation);
    let old = case.find(&first, "one").credential.partition.id();
    rotate(&mut case);
    let second = case.build(&first);
    // Whatever else is edited meanwhile.
    let third = case.build(&second);
    assert_eq!([&first, &second, &third].map(|s| looks(s, old)), [Some(1), Some(2), Some(2)]);
    let newer = case.find(&third, "one").credential.partition.id();
    rotate(&mut case);
    let fourth = case.build(&third);
    assert_eq!([old, newer].map(|partition| looks(&fourth, partition)), [None, Some(3)]);
}

#[test]
fn another_standing_starts_a_new_partition() {
    let mut case = Case::new();
    let first = case.build(&Snapshot::default());
    let standing = Standing { reach: Some(Reach::Own), account: Some("joe".to_owned()) };
    let declared = case.fixture.store.edit(NOW, |edit| edit.set_standing("acme", &standing));
    declared.expect("declared");
    let second = case.build(&first);
    let [before, after] = [&first, &second].map(|s| Arc::clone(&case.find(s, "one").credential));
    assert_ne!(before.partition.id(), after.partition.id());
    assert_eq!((&before.standing, &after.standing), (&Standing::default(), &standing));
    assert_eq!(before.generation, after.generation);
    let [before, after] = [&first, &second].map(|s| Arc::clone(&case.find(s, "two").credential));
    assert!(Arc::ptr_eq(&before, &after), "the other credential is kept");
}

#[test]
fn the_same_secret_sealed_anew_keeps_its_partition() {
    let mut case = Case::new();
    let first = case.build(&Snapshot::default());
    let mut records = case.fixture.store.records().expect("read");
    let vault = Vault { keyring: &case.fixture.keyring, origin: &origin };
    let record = &mut records.credentials[0];
    let key = vault.key_of(record).expect("its key");
    record.sealed = vault.seal(&key, record.row, "main", &secret(SECRET)).expect("sealed");
    let second = Snapshot::build(&records, &case.fixture.keyring, &case.surroundings, &first);
    let (before, after) = (case.find(&first, "one"), case.find(&second, "one"));
    assert!(Arc::ptr_eq(&before.credential.partition, &after.credential.partition));
    assert!(!Arc::ptr_eq(&before.credential, &after.credential), "it was opened anew");
    assert_eq!(second.vault_version(), first.vault_version(), "no secret has changed");
}

#[test]
fn revoked_tokens_and_unusable_records_are_left_out() {
    let mut case = Case::new();
    case.edit("UPDATE tokens SET revoked = 1 WHERE tenant = 1");
    let snapshot = case.build(&Snapshot::default());
    assert_eq!((snapshot.tokens(), snapshot.left_out().len()), (1, 0));
    case.edit("UPDATE tokens SET revoked = NULL, deny = 'moons' WHERE tenant = 1");
    case.edit("UPDATE credentials SET upstream = 'other' WHERE name = 'bolt'");
    let snapshot = case.build(&snapshot);
    assert_eq!(snapshot.tokens(), 0);
    let why: Vec<String> = snapshot.left_out().iter().map(ToString::to_string).collect();
    assert_eq!(why[0], "credential bolt: there is no upstream \"other\" in the configuration");
    assert!(why[1].ends_with("\"moons\" is neither a route class nor a family of routes"));
    assert!(why[2].ends_with("its credential is not usable"));
}

#[test]
fn a_grant_has_the_permissions_of_its_token_alone() {
    let mut case = Case::new();
    case.edit("UPDATE tokens SET permissions = 'cache:refresh' WHERE tenant = 1");
    let snapshot = case.build(&Snapshot::default());
    let [one, two] = ["one", "two"].map(|key| case.find(&snapshot, key).permissions);
    assert!(one.contains(Permission::Refresh) && !one.contains(Permission::Explain));
    assert_eq!(two, PermissionSet::default());
}

#[test]
fn another_master_key_opens_nothing() {
    let mut case = Case::new();
    case.fixture.keyring = keyring("cd");
    let snapshot = case.build(&Snapshot::default());
    assert_eq!((snapshot.tokens(), snapshot.left_out().len()), (0, 4));
    assert!(snapshot.left_out()[0].to_string().contains("another master key"));
}

#[test]
fn secrets_are_given_for_masking_and_never_printed() {
    let mut case = Case::new();
    let Fixture { store, keyring, .. } = &mut case.fixture;
    let vault = Vault { keyring, origin: &origin };
    let (short, standing) = (secret("1234567"), Standing::default());
    store
        .edit(NOW, |edit| edit.add_credential(&vault, "short", "main", &short, &standing))
        .expect("added");
    let snapshot = case.build(&Snapshot::default());
    assert_eq!(snapshot.upstream_secrets("main").collect::<Vec<_>>(), [("joe", SECRET); 2]);
    assert_eq!(snapshot.upstream_secrets("other").count(), 0);
    let text = format!("{snapshot:?}");
    let header = case.find(&snapshot, "one").credential.authorization.clone();
    assert!(!text.contains(SECRET) && !text.contains(header.to_str().expect("text")), "{text}");
}

#[test]
fn a_token_is_good_in_its_time_and_from_its_addresses() {
    let mut case = Case::new();
    let snapshot = case.build(&Snapshot::default());
    let some = case.find(&snapshot, "one");
    let grant = Grant {
        token_id: String::new(),
        tenant: Arc::clone(&some.tenant),
        credential: Arc::clone(&some.credential),
        scopes: ScopeNames::all(Access::ReadOnly).resolve(&|_| None).expect("no names"),
        permissions: PermissionSet::default(),
        not_before: Some(100),
        expires: Some(200),
        addresses: vec!["192.0.2.0/24".parse().expect("a range")],
        limit_status: LimitStatus::TooManyRequests,
        allowance: Arc::default(),
    };
    let [inside, mapped, outside] =
        ["192.0.2.9", "::ffff:192.0.2.9", "198.51.100.1"].map(|a| a.parse().expect("an address"));
    assert_eq!(grant.check(100, inside), Ok(()));
    assert_eq!(grant.check(199, mapped), Ok(()));
    assert_eq!(grant.check(99, inside), Err(NotGood::NotYet));
    assert_eq!(grant.check(200, inside), Err(NotGood::Expired));
    assert_eq!(grant.check(150, outside), Err(NotGood::Address));
}
