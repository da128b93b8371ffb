//! What has been learned of one route, and what a further pair makes of it.

use std::sync::Arc;

use crate::{
    transcode::{
        json,
        learned::{Map, Unfit, learn, to_json, to_xml},
        tree::{Bounds, Tree},
        xml::{self, Mixed},
    },
    vocabulary::Taken,
};

/// What is known of the formats of one route.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) map: Arc<Map>,
    pub(super) proven: bool,
    /// As far as was seen the JSON comes of the XML, too.
    pub(super) tells_json: bool,
    /// Moves when something else may be derived than before.
    pub(super) generation: u64,
    /// The digest of the document that was learned from last, and when that was.
    learned_from: Option<(u32, u64)>,
}

/// Both sides of a pair, read.
struct Sides<'p> {
    json: &'p [u8],
    xml: &'p [u8],
    json_tree: Tree<'p>,
    xml_tree: Tree<'p>,
}

/// What a map makes of a pair.
enum Reproduced {
    /// The XML; and whether it makes no other JSON than that of the pair.
    Yes { tells_json: bool },
    /// It has not seen something.
    Unfit,
    /// Something else.
    No,
}

/// After so long, in milliseconds, the same document proves something again.
const LATER: u64 = 60_000;

impl Default for Course {
    fn default() -> Self {
        let map = Arc::new(Map::new());
        Self { map, proven: false, tells_json: true, generation: 0, learned_from: None }
    }
}

impl Course {
    /// A map from elsewhere, which has proved nothing here.
    pub(super) fn of(map: Map) -> Self {
        Self { map: Arc::new(map), ..Self::default() }
    }

    /// Takes a pair; `now` is in milliseconds of the process.
    pub(super) fn take(&mut self, json: &[u8], xml: &[u8], now: u64) -> Taken {
        let Some(sides) = Sides::read(json, xml) else { return self.give_up() };
        match sides.reproduced(&self.map) {
            Reproduced::Yes { tells_json } => {
                self.tells_json &= tells_json;
                if self.proven {
                    return Taken::Confirmed;
                }
                let digest = crc32fast::hash(json);
                let same =
                    self.learned_from.is_some_and(|(of, at)| of == digest && now < at + LATER);
                if same {
                    return Taken::Repeated;
                }
                self.proven = true;
                self.generation += 1;
                Taken::Proved
            }
            Reproduced::Unfit => {
                let known = Map::clone(&self.map);
                if self.learn(known, &sides, now) { Taken::Learned } else { self.anew(&sides, now) }
            }
            Reproduced::No => self.anew(&sides, now),
        }
    }

    /// What was learned does not hold: begins with this pair again.
    fn anew(&mut self, sides: &Sides<'_>, now: u64) -> Taken {
        let had_learned = !self.map.is_empty();
        *self = Self { generation: self.generation + 1, ..Self::default() };
        match (self.learn(Map::new(), sides, now), had_learned) {
            (_, true) => Taken::Contradicted,
            (true, false) => Taken::Learned,
            (false, false) => Taken::Unlearned,
        }
    }

    /// Lets a map learn from a pair, and takes it if it then makes both sides of it.
    fn learn(&mut self, mut map: Map, sides: &Sides<'_>, now: u64) -> bool {
        if learn(&mut map, &sides.json_tree, &sides.xml_tree).is_err() {
            return false;
        }
        let Reproduced::Yes { tells_json } = sides.reproduced(&map) else { return false };
        self.map = Arc::new(map);
        self.tells_json &= tells_json;
        self.learned_from = Some((crc32fast::hash(sides.json), now));
        true
    }

    fn give_up(&mut self) -> Taken {
        if self.proven {
            *self = Self { generation: self.generation + 1, ..Self::default() };
            return Taken::Contradicted;
        }
        Taken::Unlearned
    }
}

impl<'p> Sides<'p> {
    fn read(json: &'p [u8], xml: &'p [u8]) -> Option<Self> {
        let json_tree = json::read(json, Bounds::REPLY).ok()?;
        let xml_tree = xml::read(xml, Mixed::Refused, Bounds::REPLY).ok()?;
        Some(Self { json, xml, json_tree, xml_tree })
    }

    fn reproduced(&self, map: &Map) -> Reproduced {
        match to_xml(map, &self.json_tree, self.json.len()) {
            Ok(made) if made.as_bytes() == self.xml => {}
            Ok(_) => return Reproduced::No,
            Err(_) => return Reproduced::Unfit,
        }
        if !map.tells_json() {
            return Reproduced::Yes { tells_json: false };
        }
        match to_json(map, &self.xml_tree, self.json.len()) {
            Ok(made) => Reproduced::Yes { tells_json: made.as_bytes() == self.json },
            // This document is not to be derived; others may be.
            Err(Unfit::Ambiguous) => Reproduced::Yes { tells_json: true },
            Err(_) => Reproduced::Yes { tells_json: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(id: u32, note: &str) -> String {
        format!(r#"{{"vm":{{"id":{id},"note":{note}}}}}"#)
    }

    fn xml(id: u32, note: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vm>\n  <id type=\"integer\">{id}</id>\n  \
             {note}\n</vm>\n"
        )
    }

    const NONE: (&str, &str) = ("null", "<note nil=\"true\"/>");
    const PRICE: (&str, &str) = ("\"1.5\"", "<note type=\"decimal\">1.5</note>");
    const TEXT: (&str, &str) = ("\"1.5\"", "<note>1.5</note>");

    fn take(course: &mut Course, id: u32, note: (&str, &str), now: u64) -> Taken {
        course.take(json(id, note.0).as_bytes(), xml(id, note.1).as_bytes(), now)
    }

    #[test]
    fn a_later_pair_proves_what_was_learned() {
        let mut course = Course::default();
        assert_eq!(take(&mut course, 1, NONE, 0), Taken::Learned);
        assert!(!course.proven);
        assert_eq!(take(&mut course, 1, NONE, LATER - 1), Taken::Repeated);
        assert_eq!(take(&mut course, 2, NONE, 1), Taken::Proved);
        assert_eq!(take(&mut course, 2, NONE, 1), Taken::Confirmed);
        let mut course = Course::default();
        take(&mut course, 1, NONE, 0);
        assert_eq!(take(&mut course, 1, NONE, LATER), Taken::Proved);
    }

    #[test]
    fn what_it_has_not_seen_it_learns() {
        let mut course = Course::default();
        take(&mut course, 1, NONE, 0);
        take(&mut course, 2, NONE, 0);
        assert_eq!(take(&mut course, 3, PRICE, 0), Taken::Learned);
        assert!(course.proven, "the pair is reproduced, and so are all before it");
        assert_eq!(take(&mut course, 4, NONE, 0), Taken::Confirmed);
    }

    #[test]
    fn a_difference_ends_what_was_proven() {
        let mut course = Course::default();
        take(&mut course, 1, TEXT, 0);
        take(&mut course, 2, TEXT, 0);
        let before = course.generation;
        assert_eq!(take(&mut course, 3, PRICE, 0), Taken::Contradicted);
        assert!(!course.proven && course.generation > before);
        assert_eq!(take(&mut course, 4, PRICE, 0), Taken::Proved);
        assert_eq!(course.take(b"{", b"<a/>", 0), Taken::Contradicted);
        assert!(!course.proven);
        assert_eq!(course.take(b"{", b"<a/>", 0), Taken::Unlearned);
    }

    #[test]
    fn what_xml_replaces_makes_it_no_source() {
        let mut course = Course::default();
        take(&mut course, 1, ("\"\\u0085\"", "<note>…</note>"), 0);
        assert!(!course.tells_json);
        assert_eq!(take(&mut course, 2, NONE, 0), Taken::Learned);
        assert_eq!(take(&mut course, 3, NONE, 0), Taken::Proved);
        assert!(!course.tells_json, "it has been seen once");
    }
}
