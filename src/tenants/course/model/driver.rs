//! What works on the journal of the model, as `rotation/work.rs` and `rotation/acts.rs` do.

use super::*;

/// A process that works on the journal until it dies.
pub(super) struct Driver<'a> {
    pub(super) world: &'a mut World,
    mutation: Mutation,
    /// What it has in memory.
    pub(super) course: Course<String>,
}

/// It has died.
pub(super) struct Dead;

impl<'a> Driver<'a> {
    pub(super) fn start(world: &'a mut World, mutation: Mutation) -> Self {
        let mut course = world.journal.clone().resumed();
        if mutation == Mutation::AskedAgain && course.step == Step::Doubting {
            course.step = Step::Minting;
        }
        Self { world, mutation, course }
    }

    pub(super) fn step(&mut self, act: Act, fault: Fault) -> Result<(), Dead> {
        if fault == Fault::CrashBefore {
            return Err(Dead);
        }
        if self.world.under_way == Some(act) {
            self.world.under_way = None;
            self.world.mint(self.course.way);
        }
        self.meddle(fault);
        let outcome = self.perform(act, fault);
        if fault == Fault::CrashAfter {
            return Err(Dead);
        }
        self.course = self.course.clone().after(outcome);
        self.write();
        Ok(())
    }

    /// What others do to the panel and the store.
    fn meddle(&mut self, fault: Fault) {
        let world = &mut *self.world;
        // By hand, nobody sets a key that does not work, or one that dies by itself.
        let old = Some(world.old.clone()).filter(|_| self.course.way == Way::Add);
        let old = old.filter(|old| world.works(old));
        let new = world.journal.new.clone().filter(|new| world.works(new));
        match (fault, old, new) {
            (Fault::ForeignKey, _, _) => drop(world.foreign()),
            (Fault::OtherSecret, _, _) => {
                let other = world.foreign();
                world.choose(other);
            }
            (Fault::OldSecret, Some(old), _) => world.choose(old),
            (Fault::OldElsewhere, Some(old), _) => world.lend(old),
            (Fault::NewSecret, _, Some(new)) => world.choose(new),
            (Fault::NewElsewhere, _, Some(new)) => world.lend(new),
            (_, _, _) => {}
        }
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
            // A key that is added late, when nobody waits for it any more, is an operator's to remove.
            Fault::LateForTheKey | Fault::LateForTheSurvey
                if act == Act::Mint && self.course.way == Way::Replace =>
            {
                let late = fault == Fault::LateForTheKey;
                self.world.under_way = Some(if late { Act::Mint } else { Act::Survey });
                return Outcome::Unknown;
            }
            Fault::Refused | Fault::NotFound
                if act == Act::Mint && self.world.works(&self.world.old) =>
            {
                return Outcome::Refused;
            }
            Fault::Refused if matches!(act, Act::RemoveOld | Act::RemoveNew) => {
                return Outcome::Left;
            }
            _ => {}
        }
        let done = self.effect(act, fault);
        match (fault, act) {
            (Fault::AnswerLost, Act::Switch | Act::Wait) => done,
            (Fault::AnswerLost, Act::Mint) => Outcome::Unknown,
            (Fault::AnswerLost, _) => Outcome::NoAnswer,
            _ => done,
        }
    }

    fn effect(&mut self, act: Act, fault: Fault) -> Outcome<String> {
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
            Act::Mint if !world.works(&world.old) => {
                let taken = self.mutation == Mutation::TakesDeadForRefused;
                if taken { Outcome::Refused } else { Outcome::Fails }
            }
            Act::Mint => Outcome::Minted(world.mint(self.course.way)),
            Act::Look => self.look(),
            Act::Probe => match &self.course.new {
                Some(_) if self.mutation == Mutation::Unprobed => Outcome::Works,
                Some(new) if world.works(new) => Outcome::Works,
                Some(_) => Outcome::Fails,
                None => Outcome::NoAnswer,
            },
            Act::Switch => self.switch(),
            Act::RemoveOld => {
                let old = world.old.clone();
                if self.is_used(&old, [Mutation::RemovesOwn, Mutation::RemovesOthers]) {
                    return Outcome::InUse;
                }
                self.remove_old(fault)
            }
            Act::RemoveNew => self.remove_new(fault),
        }
    }

    /// Whether a credential has a key, as far as the driver looks: at its own, and at others.
    fn is_used(&self, key: &String, blind_to: [Mutation; 2]) -> bool {
        let [own, others] = blind_to.map(|mutation| self.mutation == mutation);
        self.world.stored == *key && !own || self.world.elsewhere.contains(key) && !others
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
            self.remove_old(Fault::None);
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

    fn remove_old(&mut self, fault: Fault) -> Outcome<String> {
        let world = &mut *self.world;
        match self.course.facts.place {
            Place::Main if world.main != world.old => Outcome::Removed,
            Place::Main if fault == Fault::NotFound => {
                let taken = self.mutation == Mutation::TakesNotFound;
                let left = Answered::NotFound.of_the_main_key();
                if taken { Outcome::Removed } else { left }
            }
            Place::Main => {
                world.main = world.key();
                Answered::Done.of_the_main_key()
            }
            Place::Further(id) => self.remove(id, fault),
            Place::Unknown => Outcome::Left,
        }
    }

    /// Has the panel remove a further key.
    fn remove(&mut self, id: u64, fault: Fault) -> Outcome<String> {
        let removed = fault != Fault::NotFound && self.world.further.remove(&id).is_some();
        let answered = if removed { Answered::Done } else { Answered::NotFound };
        if self.mutation == Mutation::TakesNotFound {
            return Outcome::Removed;
        }
        let said = answered.of_a_further_key();
        said.unwrap_or_else(|| Answered::unless(&self.world.list(), id))
    }

    fn remove_new(&mut self, fault: Fault) -> Outcome<String> {
        if self.mutation == Mutation::NotUndone {
            return Outcome::Removed;
        }
        if self.mutation == Mutation::RemovesAllNew {
            let before = self.course.facts.before.clone();
            self.world.further.retain(|id, _| before.contains(id));
            return Outcome::Removed;
        }
        let Some(new) = self.course.new.clone() else { return Outcome::Removed };
        if self.is_used(&new, [Mutation::RemovesOwnNew, Mutation::RemovesOthersNew]) {
            return Outcome::InUse;
        }
        match self.course.facts.sought(&new, &self.world.list()) {
            Sought::Gone => Outcome::Removed,
            Sought::Unclear => Outcome::Left,
            Sought::At(id) if self.mutation != Mutation::Unnumbered => Outcome::Located(id),
            Sought::At(id) | Sought::Known(id) => self.remove(id, fault),
        }
    }
}
