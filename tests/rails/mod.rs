//! The writers, the readers and the maps against the real library: ActiveSupport in a Ruby process.
//!
//! Documents come from schemas, several of each, so that what was learned of some can be tried on
//! another. A seed that fails is named, and makes the same document again.

mod bodies;
mod documents;
mod oracle;

use tollgate::transcode::{
    json,
    learned::{Map, Unfit, learn, to_json, to_xml},
    tree::{Bounds, Tree},
    xml::{self, Mixed},
};

use documents::{Document, Schema, Style, fixed};
use oracle::{Rails, Written};

/// Schemas, of which each gives so many documents.
const SCHEMAS: u64 = 600;
const EACH: usize = 4;

/// What came of the documents.
#[derive(Debug, Default)]
struct Score {
    documents: usize,
    /// Rails' own XML of them is no XML.
    unreadable: usize,
    /// Nothing could be learned, because two things look the same.
    unlearned: usize,
    xml: usize,
    json: usize,
    /// What XML does not say, by the documents: fractions, control characters, U+0080 to U+009F.
    lost: usize,
}

struct Sides {
    written: Written,
}

impl Sides {
    fn json(&self) -> Tree<'_> {
        json::read(self.written.json.as_bytes(), Bounds::REPLY).expect("Rails writes JSON")
    }

    fn xml(&self) -> Option<Tree<'_>> {
        xml::read(self.written.xml.as_bytes(), Mixed::Never, Bounds::REPLY).ok()
    }

    fn learn(&self, map: &mut Map) -> bool {
        let xml = self.xml().expect("readable");
        learn(map, &self.json(), &xml).is_ok()
    }

    fn xml_by(&self, map: &Map) -> Result<String, Unfit> {
        to_xml(map, &self.json(), self.written.json.len())
    }

    fn json_by(&self, map: &Map) -> Result<String, Unfit> {
        to_json(map, &self.xml().expect("readable"), self.written.xml.len())
    }
}

#[test]
fn what_a_map_derives_is_what_rails_writes() {
    let mut rails = Rails::start();
    for style in Style::ALL {
        let mut score = Score::default();
        for seed in 0..SCHEMAS / Style::ALL.len() as u64 {
            try_schema(&mut rails, style, seed, &mut score);
        }
        println!("{style:?}: {score:?}");
        let tried = score.documents - score.unreadable - score.unlearned;
        assert_eq!(score.xml, tried, "{style:?}: {score:?}");
        assert_eq!(score.json + score.lost, tried, "{style:?}: {score:?}");
        // The tries are worth something.
        assert!(score.unreadable * 4 < score.documents, "{style:?}: {score:?}");
        assert!(score.unlearned * 20 < score.documents, "{style:?}: {score:?}");
        assert!(style == Style::Fractions || score.lost * 3 < score.documents, "{score:?}");
    }
}

#[test]
fn documents_of_every_kind_come_of_each_other() {
    let mut rails = Rails::start();
    for style in Style::ALL {
        for (at, document) in fixed().iter().enumerate() {
            let side = Sides { written: rails.write(document, style) };
            let mut map = Map::new();
            assert!(side.learn(&mut map), "{style:?} {at}: {:?}", side.written);
            assert_eq!(side.xml_by(&map).as_deref(), Ok(&*side.written.xml), "{style:?} {at}");
            assert_eq!(side.json_by(&map).as_deref(), Ok(&*side.written.json), "{style:?} {at}");
        }
    }
}

fn try_schema(rails: &mut Rails, style: Style, seed: u64, score: &mut Score) {
    let mut schema = Schema::new(style, seed);
    let documents: Vec<Document> = (0..EACH).map(|_| schema.document()).collect();
    let sides: Vec<Sides> =
        documents.iter().map(|document| Sides { written: rails.write(document, style) }).collect();
    score.documents += EACH;
    if sides.iter().any(|side| side.xml().is_none()) {
        assert!(schema.is_awkward(), "{style:?} {seed}: {}", sides[0].written.xml);
        score.unreadable += EACH;
        return;
    }
    let mut map = Map::new();
    if !sides[..EACH - 1].iter().all(|side| side.learn(&mut map)) {
        score.unlearned += EACH;
        return;
    }
    // The last is new to the map: it is derived as Rails writes it, or not at all.
    let last = &sides[EACH - 1];
    match last.xml_by(&map) {
        Ok(made) => assert_eq!(made, last.written.xml, "{style:?} {seed}"),
        Err(_) => {
            let known = map.clone();
            if !last.learn(&mut map) {
                map = known;
                score.documents -= 1;
            }
        }
    }
    for (document, side) in documents.iter().zip(&sides) {
        let Ok(made) = side.xml_by(&map) else { continue };
        assert_eq!(made, side.written.xml, "{style:?} {seed}");
        score.xml += 1;
        match side.json_by(&map) {
            Ok(made) if made == side.written.json => score.json += 1,
            other => {
                assert!(document.loses_in_xml(), "{style:?} {seed}: {other:?} {:?}", side.written);
                score.lost += 1;
            }
        }
    }
}
