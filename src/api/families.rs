//! Families: groups of reads that the same writes change.

use std::fmt;

/// At most this many families; the four highest bits of a scope are the route classes.
pub const MAX_FAMILIES: usize = 60;

/// A set of families, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FamilySet(u64);

/// The names of the families, each in the place of its bit.
#[derive(Clone, Debug, Default)]
pub struct FamilyNames(Vec<Box<str>>);

/// More families were named than a set can hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_FAMILIES} families are named")]
pub struct TooManyFamilies;

impl FamilySet {
    /// No family.
    pub const EMPTY: Self = Self(0);

    /// The first `count` families: all that there are.
    pub fn all(count: usize) -> Self {
        Self((1 << count.min(MAX_FAMILIES)) - 1)
    }

    /// The set of one family.
    pub fn one(index: usize) -> Self {
        Self(1 << index)
    }

    /// This and the other.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this and not in the other.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the family at this place is in it.
    pub fn contains(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    /// Whether there is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The places of its families, lowest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let index = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some(index)
        })
    }

    /// The bits themselves, for scopes that name families.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl FamilyNames {
    /// The set of one name, which is added when it is new.
    pub fn intern(&mut self, name: &str) -> Result<FamilySet, TooManyFamilies> {
        if let Some(set) = self.find(name) {
            return Ok(set);
        }
        if self.0.len() == MAX_FAMILIES {
            return Err(TooManyFamilies);
        }
        self.0.push(name.into());
        Ok(FamilySet::one(self.0.len() - 1))
    }

    /// The set of one name, if it is known.
    pub fn find(&self, name: &str) -> Option<FamilySet> {
        self.0.iter().position(|n| **n == *name).map(FamilySet::one)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> FamilySet {
        FamilySet::all(self.0.len())
    }
}

impl fmt::Display for FamilyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_lists_its_families_in_order() {
        let set = FamilySet::one(5).union(FamilySet::one(0)).union(FamilySet::one(59));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 59]);
        assert_eq!(FamilySet::EMPTY.iter().count(), 0);
        assert_eq!(FamilySet::all(60).iter().count(), 60);
    }

    #[test]
    fn a_name_keeps_its_place() {
        let mut names = FamilyNames::default();
        let vms = names.intern("vms");
        assert_ne!(names.intern("dns"), vms);
        assert_eq!(names.intern("vms"), vms);
        for i in names.len()..MAX_FAMILIES {
            assert!(names.intern(&format!("f{i}")).is_ok());
        }
        assert_eq!(names.intern("one more"), Err(TooManyFamilies));
    }
}
