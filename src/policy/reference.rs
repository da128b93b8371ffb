//! A reference to one item: a path of literal segments, the last of which is its id.
//!
//! An id stands for its item under both of the item's names. Ids may stand further up as well, as
//! in `/virtual_machines/7/disks/3`; the first segment is never one.

use super::act::{OtherName, Path, bare};
use crate::api::pattern::{MAX_SEGMENTS, Shape};

/// The path of an item.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// At most [`MAX_SEGMENTS`].
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(Box<str>),
    Id(Kind, Box<str>),
}

/// Which of an item's two names an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Identifier,
}

/// What is made of an id that cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It is taken for another item.
    Differs,
    /// It is taken for the same item.
    Agrees,
}

impl Reference {
    /// Reads a path; none for one that does not name an item.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let names = path.strip_prefix('/')?.split('/').enumerate();
        let segments = names.map(|(at, name)| Segment::parse(at, name));
        let segments = segments.collect::<Option<Box<[_]>>>()?;
        let names_an_item = matches!(segments.last(), Some(Segment::Id(..)));
        (names_an_item && segments.len() <= MAX_SEGMENTS).then_some(Self { segments })
    }

    /// Whether a path certainly lies at or below the item.
    pub(super) fn covers(&self, path: &Path<'_>) -> bool {
        path.segments().len() >= self.segments.len() && self.agrees(path, Doubt::Differs)
    }

    /// Whether a path may lie at, below or above the item.
    pub(super) fn may_concern(&self, path: &Path<'_>) -> bool {
        self.agrees(path, Doubt::Agrees)
    }

    /// Whether it and a path are the same as far as both go.
    fn agrees(&self, path: &Path<'_>, doubt: Doubt) -> bool {
        let mut pairs = self.segments.iter().zip(path.segments()).enumerate();
        pairs.all(|(at, (mine, theirs))| mine.agrees(theirs, || path.other_name(at), doubt))
    }
}

impl Segment {
    /// What no canonical path has would never be found again, so it is refused; so is what begins
    /// like a number and is none.
    fn parse(at: usize, name: &str) -> Option<Self> {
        if at > 0
            && let Some(kind) = Kind::of(name)
        {
            return Some(Self::Id(kind, name.into()));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let named = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        (named && name.bytes().all(plain)).then(|| Self::Literal(name.into()))
    }

    fn agrees<'n>(
        &self,
        theirs: &str,
        other_name: impl FnOnce() -> &'n OtherName,
        doubt: Doubt,
    ) -> bool {
        match (self, doubt) {
            (Self::Literal(mine), Doubt::Differs) => **mine == *theirs,
            (Self::Literal(mine), Doubt::Agrees) => **mine == *bare(theirs),
            (Self::Id(kind, mine), _) => match Kind::of(theirs) {
                Some(same) if same == *kind => **mine == *theirs,
                Some(_) => match other_name() {
                    OtherName::Known(name) => name == mine,
                    OtherName::Unknown => doubt == Doubt::Agrees,
                },
                None => doubt == Doubt::Agrees,
            },
        }
    }
}

impl Kind {
    /// Which one it is; none for what has the shape of neither.
    fn of(id: &str) -> Option<Self> {
        let digits = id.bytes().all(|b| b.is_ascii_digit());
        let kind = if digits { Self::Number } else { Self::Identifier };
        Shape::Id.fits(id).then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_ends_in_an_id_names_an_item() {
        for item in [
            "/virtual_machines/7",
            "/virtual_machines/abcdefghij1234",
            "/settings/hypervisors/12",
            "/virtual_machines/7/disks/3",
            // The first segment has the shape of an identifier, and is none.
            "/infrastructure/7",
        ] {
            assert!(Reference::parse(item).is_some(), "{item}");
        }
    }

    #[test]
    fn any_other_path_names_none() {
        for other in [
            "",
            "/",
            "/7",
            "/virtual_machines",
            "/virtual_machines/",
            "/virtual_machines/07",
            "/virtual_machines/7-foo",
            "/virtual_machines/7.json",
            "/virtual_machines/:id",
            "/virtual_machines/**",
            "/virtual_machines/7/disks",
            "/virtual_machines//7",
            "/virtual_machines/7?a=b",
            "/Virtual_Machines/7",
            "/virtual%5Fmachines/7",
            "/virtual_machines/7-foo/disks/3",
            "/virtual_machines/07/disks/3",
            "virtual_machines/7",
        ] {
            assert!(Reference::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn an_id_is_a_number_or_an_identifier() {
        assert_eq!(Kind::of("7"), Some(Kind::Number));
        assert_eq!(Kind::of("12345678901234"), Some(Kind::Number));
        assert_eq!(Kind::of("abcdefghijklmn"), Some(Kind::Identifier));
        for neither in ["", "0", "07", "7-foo", "status", "ABCDEFGHIJKLMN", "01234567890123"] {
            assert_eq!(Kind::of(neither), None, "{neither}");
        }
    }
}
