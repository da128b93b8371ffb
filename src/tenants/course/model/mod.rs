//! A panel, a stored credential and a journal, with a crash or a lost message at every step.
//!
//! The driver does what `rotation/work.rs` does, in the same order; what it decides it asks the course.
//! Each [`Mutation`] is a mistake that somebody could make in it, and a test shows that the properties
//! would catch it.

mod driver;
mod faults;
mod world;

use proptest::prelude::*;

use self::{
    driver::Driver,
    faults::{FAULTS, Fault, MUTATIONS, Mutation},
    world::{Setting, World, settings},
};
use super::*;

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
    let reads = world.setting.recoverable && journal.endangers();
    if !stored && !has && !reads {
        return Err(format!("there is neither key: {world:?}"));
    }
    if world.foreign.iter().chain(&world.elsewhere).any(|key| !world.works(key)) {
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
    let known = told(&[Note::NewLeft, Note::Ambiguous, Note::NotSeen, Note::OldLeft]) || replaced;
    if let Some(kept) = kept.filter(|_| !known) {
        return Err(format!("{kept} was made and is left: {world:?}"));
    }
    let changed = world.stored != world.old && !world.foreign.contains(&world.stored);
    if step == Step::Done && changed && world.works(&world.old) && !told(&[Note::OldLeft]) {
        return Err(format!("the old key still works: {world:?}"));
    }
    // An operator's own choice stands.
    if world.generation > 2 || (world.generation == 2 && step == Step::Undone) {
        let chosen = world.chosen.as_ref() == Some(&world.stored);
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

/// A replacement that has made a key.
fn replacing(step: Step) -> Course<String> {
    let planned = Course::planned(Way::Replace, Facts::default());
    Course { step, new: Some("key".to_owned()), ..planned }
}

#[test]
fn requests_are_not_held_back_for_ever_and_the_key_is_used_all_the_same() {
    for step in [Step::Doubting, Step::Minted] {
        let mut course = replacing(step);
        for _ in 0..MOST_HELD {
            assert!(course.holds());
            course = course.after(Outcome::NoAnswer);
        }
        for _ in 0..MOST_HELD * 24 {
            assert_eq!((course.holds(), course.step), (false, step));
            assert_eq!(course.by_hand(), ByHand::Ends, "an operator's way out");
            course = course.after(Outcome::NoAnswer);
        }
        if step == Step::Doubting {
            course = course.after(Outcome::Found("key".to_owned()));
            assert!(!course.holds());
        }
        course = course.after(Outcome::Works);
        assert!(course.holds(), "the switch is a matter of a moment");
        assert_eq!(course.after(Outcome::Switched).step, Step::Done);
    }
}

#[test]
fn a_panel_that_answers_now_and_then_does_not_prolong_the_wait() {
    let mut course = replacing(Step::Minted);
    let mut asked = 0;
    while course.holds() {
        course = course.after(Outcome::NoAnswer);
        asked += 1;
        if asked % 10 == 0 {
            course = course.after(Outcome::Fails).after(Outcome::Found("key".to_owned()));
        }
        assert!(asked <= MOST_HELD, "{course:?}");
    }
    assert_eq!(course.step, Step::Minted);
}

/// What a panel shows whose profile has its key, with the administrator's eyes.
fn survey() -> Outcome<String> {
    Outcome::Surveyed(Survey {
        user: 1,
        further: None,
        place: Place::Main,
        recoverable: true,
        shared: false,
    })
}

#[test]
fn a_panel_that_never_makes_the_key_is_not_asked_for_ever() {
    for answered in [Outcome::Unknown, Outcome::NotAsked] {
        let mut course: Course<String> = Course::planned(Way::Replace, Facts::default());
        let mut asked = 0;
        while !course.step.is_end() {
            course = course.after(survey()).after(Outcome::Waited).after(answered.clone());
            asked += 1;
            assert!(asked <= MOST_TRIES + 1, "it does not end: {course:?}");
            // As long as it may come late, nothing follows from its not being there.
            for _ in 0..8 {
                if course.step == Step::Doubting {
                    course = course.after(Outcome::NoAnswer);
                }
            }
            if course.step == Step::Doubting {
                course = course.after(Outcome::FoundNone);
            }
        }
        assert_eq!((course.step, course.note), (Step::Undone, Some(Note::NoAnswer)));
    }
}

#[test]
fn no_key_is_replaced_while_its_requests_are_sent() {
    let asked = Facts { asked: true, ..Facts::default() };
    for tries in 0..MOST_HELD * 2 {
        let planned = Course { new: None, ..replacing(Step::Planned) };
        let mut course = Course { facts: asked.clone(), tries, ..planned };
        course = course.after(survey());
        if !course.step.is_end() {
            assert_eq!((course.step, course.holds()), (Step::Holding, true), "{tries} tries");
            course = course.after(Outcome::Waited);
            assert_eq!((course.step, course.holds()), (Step::Minting, true), "{tries} tries");
        }
    }
}

#[test]
fn a_key_that_is_refused_again_and_again_is_lost_and_only_then() {
    for found in [Outcome::Found("key".to_owned()), Outcome::Gone] {
        let mut course = replacing(Step::Minted);
        for _ in 0..MOST_TRIES {
            course = course.after(Outcome::Fails);
            assert_eq!(course.step, Step::Doubting);
            course = course.after(found.clone());
            assert_eq!((course.step, course.new.is_some()), (Step::Minted, true));
        }
        assert_eq!(course.clone().after(Outcome::Works).step, Step::Probed);
        let lost = course.after(Outcome::Fails);
        assert_eq!((lost.step, lost.new.is_some()), (Step::Lost, true));
    }
}

#[test]
fn a_key_that_was_added_is_not_looked_for_for_ever() {
    let planned = Course::planned(Way::Add, Facts::default());
    let mut course: Course<String> = Course { step: Step::Doubting, ..planned };
    let mut asked = 0;
    while !course.step.is_end() {
        assert!(course.step.mints(), "others wait for it");
        course = course.after(Outcome::NoAnswer);
        asked += 1;
        assert!(asked <= MOST_HELD + 1, "it does not end: {course:?}");
    }
    assert_eq!((course.step, course.note), (Step::Undone, Some(Note::NotSeen)));
    assert_eq!(asked, MOST_HELD + 1);
}

#[test]
fn a_removal_is_not_tried_for_ever() {
    for (step, end, note) in
        [(Step::Removing, Step::Done, Note::OldLeft), (Step::Undoing, Step::Undone, Note::NewLeft)]
    {
        let planned = Course::planned(Way::Add, Facts::default());
        let mut course = Course { step, new: Some("key".to_owned()), ..planned };
        let mut asked = 0;
        while !course.step.is_end() {
            course = course.after(Outcome::NoAnswer);
            asked += 1;
            assert!(asked <= MOST_HELD + 1, "it does not end: {course:?}");
        }
        assert_eq!((course.step, course.note), (end, Some(note)));
    }
}

#[test]
fn a_key_that_another_credential_was_given_before_it_was_seen_is_not_replaced() {
    let held = Course { new: None, ..replacing(Step::Holding) };
    let ended = held.after(Outcome::InUse);
    assert_eq!((ended.step, ended.note), (Step::Undone, Some(Note::Shared)));
}

#[test]
fn a_panel_that_is_silent_after_it_was_asked_for_a_key_has_perhaps_replaced_it() {
    let asked = Facts { asked: true, ..Facts::default() };
    let mut course = Course { facts: asked, new: None, ..replacing(Step::Planned) };
    for _ in 0..MOST_HELD {
        assert!(course.holds());
        assert_eq!(course.by_hand(), ByHand::Ends, "an operator's way out");
        course = course.after(Outcome::NoAnswer);
    }
    assert_eq!((course.holds(), course.step), (false, Step::Planned));
    assert_eq!(course.after(Outcome::Fails).step, Step::Doubting);
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
