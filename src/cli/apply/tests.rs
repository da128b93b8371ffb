//! Who is asked, and what comes of the answer.

use std::{
    fs,
    io::{self, Write},
};

use crate::{
    cli::{
        exit::Exit,
        tests::{run_asked, run_with},
    },
    tenants::{
        Config,
        fixture::{Fixture, NOW},
        record::TenantSettings,
        store::Store,
    },
};

/// A fixture with a file that declares a tenant, and the file.
fn declared() -> (Fixture, String) {
    let fixture = Fixture::new();
    let file = fixture.folder.path().join("declared.toml");
    fs::write(&file, "[tenants.acme]\n").expect("written");
    let file = file.display().to_string();
    (fixture, file)
}

#[test]
fn an_operator_is_asked_and_nothing_but_a_yes_applies() {
    let (mut fixture, file) = declared();
    for (answer, said) in [
        ("", "nothing was applied"),
        ("n\n", "nothing was applied"),
        ("yessir\n", "nothing was applied"),
        ("y\n", "applied"),
        ("", "the store is as declared"),
    ] {
        let shown = run_with(&mut fixture, &format!("apply {file}"), answer).expect("it went well");
        assert_eq!(shown.lines().last(), Some(said), "{answer:?}: {shown}");
    }
    assert_eq!(fixture.store.records().expect("read").tenants.len(), 1);
}

/// Somebody who is asked, and changes the store meanwhile.
struct Meddler(Config);

impl Write for Meddler {
    fn write(&mut self, asked: &[u8]) -> io::Result<usize> {
        let settings = TenantSettings::default();
        let mut store = Store::open(&self.0).map_err(io::Error::other)?;
        store.edit(NOW, |edit| edit.add_tenant("late", &settings)).map_err(io::Error::other)?;
        Ok(asked.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_has_changed_while_somebody_was_asked_is_planned_anew() {
    let (mut fixture, file) = declared();
    let mut meddler = Meddler(fixture.config());
    let line = format!("apply --prune {file}");
    let refused = run_asked(&mut fixture, &line, "y\n", &mut meddler).expect_err("it has moved");
    assert!(refused.report().contains("the store has changed"), "{}", refused.report());
    let tenants = fixture.store.records().expect("read").tenants;
    assert_eq!(tenants.iter().map(|tenant| &*tenant.name).collect::<Vec<_>>(), ["late"]);
}

#[test]
fn a_program_is_not_asked() {
    let (mut fixture, file) = declared();
    for line in ["apply - ".to_owned(), format!("apply --json {file}")] {
        let refused = run_with(&mut fixture, &line, "[tenants.acme]\n").expect_err("not asked");
        assert_eq!(refused.exit(), Exit::Usage, "{line}");
        assert!(refused.report().contains("--yes is needed"), "{line}: {}", refused.report());
    }
    let shown =
        run_with(&mut fixture, "apply --yes --json -", "[tenants.acme]\n").expect("applied");
    assert!(shown.starts_with("{\"applied\":true,\"steps\":[{\"act\":\"create\""), "{shown}");
}
