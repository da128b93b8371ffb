//! A panel, a stored credential and a journal, with a crash or a lost message at every step.
//!
//! The driver below does what `rotation/work.rs` does, in the same order; what it decides it asks the
//! course. Each [`Mutation`] is a mistake that somebody could make in it, and a test shows that the
//! properties would catch it.

mod faults;
mod world;

use proptest::prelude::*;

use self::{
    faults::{FAULTS, Fault, MUTATIONS, Mutation},
    world::{Setting, World, settings},
};
use super::*;

/// A process that works on the journal until it dies.
struct Driver<'a> {
    world: &'a mut World,
    mutation: Mutation,
    /// What it has in memory.
    course: Course<String>,
}

/// It has died.
struct Dead;

impl<'a> Driver<'a> {
    fn start(world: &'a mut World, mutation: Mutation) -> Self {
        let mut course = world.journal.clone().resumed();
        if mutation == Mutation::AskedAgain && course.step == Step::Doubting {
            course.step = Step::Minting;
        }
        Self { world, mutation, course }
    }

    fn step(&mut self, act: Act, fault: Fault) -> Result<(), Dead> {
        match fault {
            Fault::CrashBefore => return Err(Dead),
            Fault::ForeignKey => drop(self.world.foreign()),
            Fault::OtherSecret => {
                self.world.stored = self.world.foreign();
                self.world.generation += 1;
            }
            // By hand, nobody replaces a key that dies by itself.
            Fault::OldSecret
                if self.course.way == Way::Add && self.world.works(&self.world.old) =>
            {
                self.world.stored.clone_from(&self.world.old);
                self.world.generation += 1;
            }
            Fault::None
            | Fault::CrashAfter
            | Fault::RequestLost
            | Fault::AnswerLost
            | Fault::Refused
            | Fault::OldSecret => {}
        }
        let outcome = self.perform(act, fault);
        if fault == Fault::CrashAfter {
            return Err(Dead);
        }
        self.course = self.course.clone().after(outcome);
        self.write();
        Ok(())
    }

    /// Writes the step, and what came of the last one with it.
    fn write(&mut self) {
        let written = self.course.clone();
        self.world.journal = match self.mutation {
            Mutation::IntentAfterMint if written.step == Step::Minting => return,
            Mutation::SealedAtSwitch => Course { new: None, ..written },
            _ => written,
        };
    }

    fn perform(&mut self, act: Act, fault: Fault) -> Outcome<String> {
        match fault {
            // What is only in our own store is not on its way to anybody.
            Fault::RequestLost if !matches!(act, Act::Switch | Act::Wait) => {
                return if act == Act::Mint { Outcome::Unknown } else { Outcome::NoAnswer };
            }
            Fault::Refused if act == Act::Mint => return Outcome::Refused,
            Fault::Refused if matches!(act, Act::RemoveOld | Act::RemoveNew) => {
                return Outcome::Left;
            }
            _ => {}
        }
        let done = self.effect(act);
        match (fault, act) {
            (Fault::AnswerLost, Act::Switch | Act::Wait) => done,
            (Fault::AnswerLost, Act::Mint) => Outcome::Unknown,
            (Fault::AnswerLost, _) => Outcome::NoAnswer,
            _ => done,
        }
    }

    fn effect(&mut self, act: Act) -> Outcome<String> {
        let world = &mut *self.world;
        match act {
            Act::Survey if !world.works(&world.old) => Outcome::Fails,
            Act::Survey => Outcome::Surveyed(Survey {
                user: 1,
                further: Some(world.further.keys().copied().collect()),
                place: Place::of(&world.old, Some(&world.main), &world.list()),
                recoverable: world.setting.recoverable || self.mutation == Mutation::TakesTheRisk,
                shared: false,
            }),
            Act::Wait => Outcome::Waited,
            Act::Mint => Outcome::Minted(world.mint(self.course.way)),
            Act::Look => self.look(),
            Act::Probe => match &self.course.new {
                Some(_) if self.mutation == Mutation::Unprobed => Outcome::Works,
                Some(new) if world.works(new) => Outcome::Works,
                Some(_) => Outcome::Fails,
                None => Outcome::NoAnswer,
            },
            Act::Switch => self.switch(),
            Act::RemoveOld
                if world.stored == world.old && self.mutation != Mutation::RemovesOwn =>
            {
                Outcome::Left
            }
            Act::RemoveOld => self.remove_old(),
            Act::RemoveNew => self.remove_new(),
        }
    }

    fn look(&self) -> Outcome<String> {
        let world = &*self.world;
        match self.course.way {
            Way::Add => self.course.facts.found(&world.list()),
            Way::Replace if world.works(&world.old) => Outcome::FoundNone,
            Way::Replace if world.setting.recoverable => Outcome::Found(world.main.clone()),
            Way::Replace => Outcome::Gone,
        }
    }

    /// One transaction: the credential and the journal.
    fn switch(&mut self) -> Outcome<String> {
        if self.mutation == Mutation::RemovedBeforeSwitch {
            self.remove_old();
            self.mutation = Mutation::None;
            return Outcome::NoAnswer;
        }
        let world = &mut *self.world;
        if world.generation != 1 && self.mutation != Mutation::Overwrites {
            return Outcome::Overtaken;
        }
        let Some(new) = self.course.new.clone() else { return Outcome::NoAnswer };
        world.had.insert(new.clone());
        world.stored = new;
        world.generation += 1;
        self.course = self.course.clone().after(Outcome::Switched);
        self.write();
        // The step is taken already.
        Outcome::NoAnswer
    }

    fn remove_old(&mut self) -> Outcome<String> {
        let world = &mut *self.world;
        match self.course.facts.place {
            Place::Main if world.main == world.old => {
                world.main = world.key();
                Outcome::Removed
            }
            Place::Main => Outcome::Removed,
            Place::Further(id) => {
                world.further.remove(&id);
                Outcome::Removed
            }
            Place::Unknown => Outcome::Left,
        }
    }

    fn remove_new(&mut self) -> Outcome<String> {
        if self.mutation == Mutation::NotUndone {
            return Outcome::Removed;
        }
        if self.mutation == Mutation::RemovesAllNew {
            let before = self.course.facts.before.clone();
            self.world.further.retain(|id, _| before.contains(id));
            return Outcome::Removed;
        }
        let Some(new) = &self.course.new else { return Outcome::Removed };
        match self.course.facts.sought(new, &self.world.list()) {
            Sought::Gone => Outcome::Removed,
            Sought::Unclear => Outcome::Left,
            Sought::At(id) if self.mutation != Mutation::Unnumbered => Outcome::Located(id),
            Sought::At(id) | Sought::Known(id) => {
                self.world.further.remove(&id);
                Outcome::Removed
            }
        }
    }
}

/// What holds at every moment.
fn always(world: &World, mutation: Mutation) -> Result<(), String> {
    let journal = &world.journal;
    let held = journal.holds() && mutation != Mutation::HoldsNothing;
    let stored = world.works(&world.stored);
    if !stored && !held && journal.step != Step::Lost {
        return Err(format!("requests are sent with a dead key: {world:?}"));
    }
    // A dead key is stored only while the journal has, or can still read, the one that works.
    let has = journal.new.as_ref().is_some_and(|new| world.works(new));
    let reads = world.setting.recoverable && journal.step.mints();
    if !stored && !has && !reads {
        return Err(format!("there is neither key: {world:?}"));
    }
    if world.foreign.iter().any(|key| !world.works(key)) {
        return Err(format!("somebody else's key was removed: {world:?}"));
    }
    Ok(())
}

/// What holds at the end.
fn at_the_end(world: &World) -> Result<(), String> {
    let (step, note) = (world.journal.step, world.journal.note);
    if !step.is_end() {
        return Err(format!("it does not end: {world:?}"));
    }
    if !world.works(&world.stored) {
        return Err(format!("the stored key is dead: {world:?}"));
    }
    let told = |notes: &[Note]| note.is_some_and(|note| notes.contains(&note));
    let left = |key: &&String| world.works(key) && !world.had.contains(*key);
    let kept = world.made.iter().find(left);
    // What replaced the key of the profile cannot be taken back.
    let replaced = world.setting.way == Way::Replace && told(&[Note::Overtaken]);
    let known = told(&[Note::NewLeft, Note::Ambiguous, Note::OldLeft]) || replaced;
    if let Some(kept) = kept.filter(|_| !known) {
        return Err(format!("{kept} was made and is left: {world:?}"));
    }
    let changed = world.stored != world.old && !world.foreign.contains(&world.stored);
    if step == Step::Done && changed && world.works(&world.old) && !told(&[Note::OldLeft]) {
        return Err(format!("the old key still works: {world:?}"));
    }
    // An operator's own choice stands.
    if world.generation > 2 || (world.generation == 2 && step == Step::Undone) {
        let chosen = world.foreign.contains(&world.stored) || world.stored == world.old;
        return if chosen { Ok(()) } else { Err(format!("a secret was overwritten: {world:?}")) };
    }
    Ok(())
}

/// Acts that a rotation takes at most, with faults among the first of them.
const MOST_ACTS: usize = 60;

fn run(setting: Setting, faults: &[Fault], mutation: Mutation) -> Result<(), String> {
    let mut world = World::new(setting);
    let mut faults = faults.iter().copied().chain(std::iter::repeat(Fault::None));
    let mut acts = 0;
    loop {
        let mut driver = Driver::start(&mut world, mutation);
        loop {
            let Some(act) = driver.course.act() else { return at_the_end(&world) };
            acts += 1;
            if acts > MOST_ACTS {
                return at_the_end(&world);
            }
            let died = driver.step(act, faults.next().unwrap_or(Fault::None)).is_err();
            always(driver.world, mutation)?;
            if died {
                break;
            }
        }
    }
}

/// Every run with at most two faults among its first acts.
fn first_violation(mutation: Mutation) -> Option<String> {
    const ACTS: usize = 10;
    let one: Vec<(usize, Fault)> =
        (0..ACTS).flat_map(|at| FAULTS.iter().map(move |fault| (at, *fault))).collect();
    settings().find_map(|setting| {
        one.iter().enumerate().find_map(|(first, (at, fault))| {
            one[first..].iter().find_map(|(other_at, other)| {
                let mut faults = [Fault::None; ACTS];
                faults[*at] = *fault;
                faults[*other_at] = *other;
                let failed = run(setting, &faults, mutation).err()?;
                Some(format!("{setting:?} {faults:?}: {failed}"))
            })
        })
    })
}

#[test]
fn no_two_faults_lose_a_key() {
    assert_eq!(first_violation(Mutation::None), None);
}

#[test]
fn every_mistake_is_caught() {
    for mutation in MUTATIONS {
        assert!(first_violation(mutation).is_some(), "nobody notices {mutation:?}");
    }
}

#[test]
fn without_a_fault_each_way_comes_to_its_end() {
    for setting in settings() {
        let mut world = World::new(setting);
        let mut driver = Driver::start(&mut world, Mutation::None);
        while let Some(act) = driver.course.act() {
            assert!(driver.step(act, Fault::None).is_ok());
        }
        let done = match setting.way {
            Way::Add => !setting.dud,
            Way::Replace => setting.main && setting.recoverable,
        };
        assert_eq!(world.journal.step == Step::Done, done, "{world:?}");
        assert_eq!(world.made.contains(&world.stored), done, "{world:?}");
    }
}

#[test]
fn requests_are_not_held_back_for_ever() {
    for step in [Step::Doubting, Step::Minted] {
        let planned = Course::planned(Way::Replace, Facts::default());
        let mut course = Course { step, new: Some("key".to_owned()), ..planned };
        let mut asked = 0;
        while course.holds() {
            course = course.after(Outcome::NoAnswer);
            asked += 1;
            assert!(asked <= MOST_HELD + 1, "it does not end: {course:?}");
        }
        assert_eq!((course.step, asked), (Step::Lost, MOST_HELD + 1));
        assert!(course.new.is_some(), "it may be what the panel has");
    }
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        4 => proptest::sample::select(&FAULTS[..]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_history_loses_a_key(
        setting in proptest::sample::select(settings().collect::<Vec<_>>()),
        faults in proptest::collection::vec(any_fault(), 0..30),
    ) {
        if let Err(failed) = run(setting, &faults, Mutation::None) {
            return Err(TestCaseError::fail(failed));
        }
    }
}
