//! What has been learned of one route, and what a further pair makes of it.

use std::sync::Arc;

use crate::{
    transcode::{
        json,
        learned::{Map, Unfit, Unlearned, learn, to_json, to_xml},
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
    /// No XML has given another JSON than the upstream's.
    tells_json: bool,
    /// It has given the upstream's in a pair that was not learned from.
    has_told_json: bool,
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
    /// The XML; and the JSON, if it makes any.
    Yes { json: Told },
    /// It has not seen something.
    Unfit,
    /// Something else.
    No,
}

/// What XML tells of the JSON that it goes with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Same,
    Other,
    /// It may be one of several, so none is made.
    Nothing,
}

/// After so long, in milliseconds, the same document proves something again.
const LATER: u64 = 60_000;

impl Default for Course {
    fn default() -> Self {
        let map = Arc::new(Map::new());
        Self {
            map,
            proven: false,
            tells_json: true,
            has_told_json: false,
            generation: 0,
            learned_from: None,
        }
    }
}

impl Course {
    /// A map from elsewhere, which has proved nothing here, instead of what was known.
    pub(super) fn import(&mut self, map: Map) {
        let generation = self.generation + 1;
        *self = Self { map: Arc::new(map), generation, ..Self::default() };
    }

    /// Whether JSON may be derived from XML.
    pub(super) fn tells_json(&self) -> bool {
        self.tells_json && self.has_told_json && self.map.tells_json()
    }

    /// Takes a pair; `now` is in milliseconds of the process.
    pub(super) fn take(&mut self, json: &[u8], xml: &[u8], now: u64) -> Taken {
        let Some(sides) = Sides::read(json, xml) else { return self.give_up() };
        match sides.reproduced(&self.map) {
            Reproduced::Yes { json: told } => {
                let refuted = self.hear(told);
                self.has_told_json |= told == Told::Same;
                if refuted {
                    return Taken::Contradicted;
                }
                if self.proven {
                    return Taken::Confirmed;
                }
                let digest = crc32fast::hash(json);
                let same =
                    self.learned_from.is_some_and(|(of, at)| of == digest && now < at + LATER);
                if same {
                    self.has_told_json = false;
                    return Taken::Repeated;
                }
                self.proven = true;
                self.generation += 1;
                Taken::Proved
            }
            Reproduced::Unfit => match self.learn(Map::clone(&self.map), &sides, now) {
                Ok(false) => Taken::Learned,
                Ok(true) => Taken::Contradicted,
                // What is known is good for others, if not for this one.
                Err(why) if why != Unlearned::Contradiction && !self.map.is_empty() => {
                    Taken::Unlearned
                }
                Err(_) => self.anew(&sides, now),
            },
            Reproduced::No => self.anew(&sides, now),
        }
    }

    /// Notes what XML has told of JSON; whether that refutes what was derived.
    fn hear(&mut self, told: Told) -> bool {
        let refuted = told == Told::Other && self.proven && self.tells_json();
        self.tells_json &= told != Told::Other;
        self.generation += u64::from(refuted);
        refuted
    }

    /// What was learned does not hold: begins with this pair again.
    fn anew(&mut self, sides: &Sides<'_>, now: u64) -> Taken {
        let had_learned = !self.map.is_empty();
        *self = Self { generation: self.generation + 1, ..Self::default() };
        match (self.learn(Map::new(), sides, now), had_learned) {
            (_, true) => Taken::Contradicted,
            (Ok(_), false) => Taken::Learned,
            (Err(_), false) => Taken::Unlearned,
        }
    }

    /// Lets a map learn from a pair, and takes it if it then makes both sides of it. Says whether
    /// something that was derived is refuted by it.
    fn learn(&mut self, mut map: Map, sides: &Sides<'_>, now: u64) -> Result<bool, Unlearned> {
        learn(&mut map, &sides.json_tree, &sides.xml_tree)?;
        let Reproduced::Yes { json: told } = sides.reproduced(&map) else {
            return Err(Unlearned::Contradiction);
        };
        let refuted = self.hear(told) || (self.proven && self.tells_json() && !map.tells_json());
        self.generation += u64::from(refuted);
        self.map = Arc::new(map);
        self.learned_from = Some((crc32fast::hash(sides.json), now));
        Ok(refuted)
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
        let xml_tree = xml::read(xml, Mixed::Never, Bounds::REPLY).ok()?;
        Some(Self { json, xml, json_tree, xml_tree })
    }

    fn reproduced(&self, map: &Map) -> Reproduced {
        match to_xml(map, &self.json_tree, self.json.len()) {
            Ok(made) if made.as_bytes() == self.xml => {}
            Ok(_) => return Reproduced::No,
            Err(_) => return Reproduced::Unfit,
        }
        let json = match to_json(map, &self.xml_tree, self.json.len()) {
            Ok(made) if made.as_bytes() == self.json => Told::Same,
            Ok(_) => Told::Other,
            // This document is not derived; others may be.
            Err(Unfit::Ambiguous) => Told::Nothing,
            Err(_) => Told::Other,
        };
        Reproduced::Yes { json }
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
        assert_eq!(take(&mut course, 2, NONE, 0), Taken::Learned);
        assert_eq!(take(&mut course, 3, NONE, 0), Taken::Proved);
        assert!(!course.tells_json(), "it has been seen once");
    }

    #[test]
    fn what_xml_does_not_tell_after_all_ends_what_was_derived_from_it() {
        let mut course = Course::default();
        let at = |fraction: &str| {
            (
                format!("\"2016-12-20T16:19:39.{fraction}Z\""),
                "<note type=\"dateTime\">2016-12-20T16:19:39Z</note>",
            )
        };
        let mut take_at = |id, fraction| {
            let (json, xml) = at(fraction);
            (take(&mut course, id, (&json, xml), 0), course.tells_json(), course.generation)
        };
        assert_eq!(take_at(1, "000"), (Taken::Learned, false, 0));
        assert_eq!(take_at(2, "000"), (Taken::Proved, true, 1));
        assert_eq!(take_at(3, "250"), (Taken::Contradicted, false, 2));
        // XML is derived all the same.
        assert_eq!(take_at(4, "000"), (Taken::Confirmed, false, 2));
        assert!(course.proven);
    }

    #[test]
    fn what_cannot_be_learned_leaves_what_was() {
        let mut course = Course::default();
        take(&mut course, 1, NONE, 0);
        take(&mut course, 2, NONE, 0);
        let json = br#"{"vm":{"id":3,"note":[{"disk":{"disk":{"disk":1}}}]}}"#;
        let xml = xml(
            3,
            "<note type=\"array\">\n    <note>\n      <disk>\n        \
             <disk type=\"integer\">1</disk>\n      </disk>\n    </note>\n  </note>",
        );
        assert_eq!(course.take(json, xml.as_bytes(), 0), Taken::Unlearned);
        assert!(course.proven);
        assert_eq!(take(&mut course, 4, NONE, 0), Taken::Confirmed);
    }
}
