//! The panel, the store and the journal of the model: everything that outlives a crash.

use std::collections::{BTreeMap, BTreeSet};

use crate::tenants::course::{Act, Course, Facts, Listed, Way};

/// How the world is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) way: Way,
    /// The credential has the key of the profile, and not a further one.
    pub(super) main: bool,
    /// The panel's list does not show the keys.
    pub(super) hidden: bool,
    /// The panel's first key does not work.
    pub(super) dud: bool,
    /// Somebody else sees the key of the profile.
    pub(super) recoverable: bool,
}

/// Everything that outlives a crash.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) main: String,
    pub(super) further: BTreeMap<u64, String>,
    pub(super) duds: BTreeSet<String>,
    /// Keys that this rotation made.
    pub(super) made: BTreeSet<String>,
    pub(super) foreign: BTreeSet<String>,
    /// Keys that the credential has had: whoever gave it another one knows of them.
    pub(super) had: BTreeSet<String>,
    pub(super) next: u64,
    pub(super) stored: String,
    pub(super) generation: u64,
    /// What an operator gave the credential last.
    pub(super) chosen: Option<String>,
    /// Keys that other credentials have.
    pub(super) elsewhere: BTreeSet<String>,
    pub(super) old: String,
    pub(super) journal: Course<String>,
    /// A key was asked for, and is made before this is done next.
    pub(super) under_way: Option<Act>,
}

impl World {
    pub(super) fn new(setting: Setting) -> Self {
        let old = if setting.main { "main" } else { "further" }.to_owned();
        Self {
            setting,
            main: "main".to_owned(),
            further: BTreeMap::from([(1, "further".to_owned()), (2, "other".to_owned())]),
            duds: BTreeSet::new(),
            made: BTreeSet::new(),
            foreign: BTreeSet::from(["other".to_owned()]),
            had: BTreeSet::new(),
            next: 3,
            stored: old.clone(),
            generation: 1,
            chosen: None,
            elsewhere: BTreeSet::new(),
            old,
            journal: Course::planned(setting.way, Facts::default()),
            under_way: None,
        }
    }

    pub(super) fn works(&self, key: &str) -> bool {
        (self.main == key || self.further.values().any(|k| k == key)) && !self.duds.contains(key)
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        let shown = |text: &String| (!self.setting.hidden).then(|| text.clone());
        self.further.iter().map(|(id, text)| (*id, shown(text))).collect()
    }

    pub(super) fn key(&mut self) -> String {
        self.next += 1;
        format!("key-{}", self.next)
    }

    /// The panel makes a key for us.
    pub(super) fn mint(&mut self, way: Way) -> String {
        let key = self.key();
        if self.setting.dud && self.made.is_empty() {
            self.duds.insert(key.clone());
        }
        self.made.insert(key.clone());
        match way {
            Way::Add => drop(self.further.insert(self.next, key.clone())),
            Way::Replace => self.main.clone_from(&key),
        }
        key
    }

    /// An operator gives the credential a key.
    pub(super) fn choose(&mut self, key: String) {
        self.had.insert(key.clone());
        self.stored.clone_from(&key);
        self.generation += 1;
        self.chosen = Some(key);
    }

    /// An operator gives another credential a key.
    pub(super) fn lend(&mut self, key: String) {
        self.had.insert(key.clone());
        self.elsewhere.insert(key);
    }

    pub(super) fn foreign(&mut self) -> String {
        let key = self.key();
        self.further.insert(self.next, key.clone());
        self.foreign.insert(key.clone());
        key
    }
}

/// Every world.
pub(super) fn settings() -> impl Iterator<Item = Setting> {
    let all = (0..32_u8).map(|bits| Setting {
        way: if bits & 1 == 0 { Way::Add } else { Way::Replace },
        main: bits & 2 == 0,
        hidden: bits & 4 != 0,
        dud: bits & 8 != 0,
        recoverable: bits & 16 == 0,
    });
    // A panel that replaces a key by one that does not work leaves nobody any that does.
    all.filter(|setting| !setting.dud || setting.way == Way::Add)
}
