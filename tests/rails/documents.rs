//! Documents by chance: schemas, and values that fit them.

use serde_json::{Value, json};

/// How a panel of some age writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Default,
    Fractions,
    TypedNulls,
    Rails3,
}

impl Style {
    pub const ALL: [Self; 4] = [Self::Default, Self::Fractions, Self::TypedNulls, Self::Rails3];

    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fractions => "fractions",
            Self::TypedNulls => "typed nulls",
            Self::Rails3 => "rails 3",
        }
    }
}

/// A document, with the kind of everything in it.
pub struct Document {
    pub root: Option<&'static str>,
    pub value: Value,
    loses: bool,
}

impl Document {
    /// Whether it has something that XML does not say.
    pub fn loses_in_xml(&self) -> bool {
        self.loses
    }
}

/// Documents with every kind of value, each kind in every form that the rules tell apart.
pub fn fixed() -> Vec<Document> {
    let everything = json!([
        "object",
        [
            ["id", ["integer", "12"]],
            ["big", ["integer", "340282366920938463463374607431768211456"]],
            ["rate", ["float", "1e20"]],
            ["small", ["float", "1e-5"]],
            ["price", ["decimal", "109.50"]],
            ["zero", ["decimal", "0"]],
            ["booted", ["boolean", true]],
            ["user_id", ["nil", "integer"]],
            ["deleted_at", ["nil", "dateTime"]],
            ["label", ["string", "te<x>&\"'t"]],
            ["note", ["string", ""]],
            ["looks", ["array", [["string", "1.1"], ["string", "2016-07-25"], ["string", "true"]]]],
            ["kind", ["symbol", "ide"]],
            ["created_at", ["time", "1482250779"]],
            ["day", ["date", 17_007]],
            ["empty", ["object", []]],
            ["extra", ["object", [["cpus", ["integer", "1"]]]]],
            ["list", ["array", []]],
            ["lists", ["array", [["array", []], ["array", [["integer", "1"]]]]]],
            ["data", ["array", [["string", "a"], ["nil", null]]]],
            ["cost", ["object", [["cost", ["float", "1.5"]]]]],
            [
                "ip_addresses",
                [
                    "array",
                    [[
                        "model",
                        [
                            "ip_address",
                            [["address", ["string", "1.2.3.4"]], ["free", ["nil", null]]]
                        ]
                    ]]
                ]
            ],
            [
                "disks",
                ["array", [["object", [["disk", ["object", [["size", ["integer", "5"]]]]]]]]]
            ],
            ["owner", ["model", ["user", [["login", ["string", "ünïcödé 😀"]]]]]],
        ]
    ]);
    let fields = everything[1].clone();
    let model = json!(["model", ["virtual_machine", fields]]);
    let of = |root, value| Document { root, value, loses: false };
    let mut documents = vec![
        of(Some("hash"), everything.clone()),
        of(Some("virtual_machine"), model.clone()),
        of(Some("image_templates"), json!(["array", [model.clone(), model]])),
        of(Some("image_templates"), json!(["array", []])),
        of(None, json!(["array", []])),
        of(None, json!(["array", [everything]])),
        of(None, json!(["array", [["integer", "1"], ["string", "a"], ["nil", null]]])),
    ];
    let texts = TEXTS.iter().map(|text| json!(["string", text]));
    documents.push(of(Some("texts"), json!(["array", texts.collect::<Vec<_>>()])));
    documents
}

/// What documents are alike in.
pub struct Schema {
    style: Style,
    chance: Chance,
    root: Option<&'static str>,
    kind: Kind,
    awkward: bool,
    loses: bool,
}

enum Kind {
    Integer,
    Float,
    Decimal,
    Boolean,
    Text,
    Symbol,
    Time,
    Date,
    /// Null now and then.
    Nullable(Box<Kind>),
    Array(Box<Kind>),
    Object(Vec<(String, Kind)>),
    Model(&'static str, Vec<(String, Kind)>),
}

/// A row of numbers that looks like chance and is the same each time (SplitMix64).
struct Chance(u64);

const NAMES: [&str; 28] = [
    "id",
    "label",
    "status",
    "data",
    "news",
    "addresses",
    "ip_addresses",
    "virtual_machines",
    "price",
    "memory",
    "disks",
    "address",
    "cpus",
    "notes",
    "properties",
    "boxes",
    "series",
    "type",
    "nil",
    "children",
    "created_at",
    "updated_at",
    "user_id",
    "cost",
    "value",
    "bus",
    "analyses",
    "version",
];

const AWKWARD: [&str; 8] = ["two words", "1st", "a<b", "x&y", "", "a-b", "Größe", "CamelCase"];

/// Those of them with which Rails' XML can be read all the same.
const HARMLESS: [&str; 3] = ["a-b", "Größe", "CamelCase"];

const MODELS: [&str; 4] = ["virtual_machine", "disk", "ip_address", "vm_hourly_stat"];

const ROOTS: [&str; 4] = ["virtual_machines", "vm", "image_templates", "hash"];

const TEXTS: [&str; 28] = [
    "",
    " ",
    "1",
    "007",
    "1.5",
    "-1",
    "1e5",
    "true",
    "false",
    "null",
    "nil",
    "2016-12-20T16:19:39.000Z",
    "2016-12-20T16:19:39Z",
    "2016-12-20",
    "<b>&amp;</b>",
    "]]>",
    "a\"b'c\\d/e",
    "tab\there",
    "line\nbreak",
    "\r\n",
    "ünïcödé",
    "日本語 😀",
    "\u{2028}\u{2029}",
    "<!-- -- -->",
    "%41",
    "…",
    "€",
    "plain text",
];

/// What XML replaces, or writes as it writes an object without members.
const LOSSY: [&str; 6] = ["\n", "\n  ", "\u{1}bell\u{7}", "\u{85}\u{99}", "\u{fffe}", "\u{fffd}"];

impl Schema {
    pub fn new(style: Style, seed: u64) -> Self {
        let mut schema = Self {
            style,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed),
            root: None,
            kind: Kind::Boolean,
            awkward: false,
            loses: false,
        };
        schema.kind = match schema.chance.below(3) {
            0 => Kind::Array(Box::new(schema.container(0))),
            _ => schema.container(0),
        };
        let rooted = !matches!(schema.kind, Kind::Array(_)) || schema.chance.below(4) > 0;
        schema.root = rooted.then(|| schema.chance.one_of(&ROOTS));
        schema
    }

    /// Whether a name in it is none in XML.
    pub fn is_awkward(&self) -> bool {
        self.awkward
    }

    pub fn document(&mut self) -> Document {
        self.loses = false;
        let kind = std::mem::replace(&mut self.kind, Kind::Boolean);
        let value = self.value(&kind);
        self.kind = kind;
        Document { root: self.root, value, loses: self.loses }
    }

    fn container(&mut self, depth: usize) -> Kind {
        let fields = self.fields(depth);
        if self.chance.below(2) == 0 {
            Kind::Model(self.chance.one_of(&MODELS), fields)
        } else {
            Kind::Object(fields)
        }
    }

    fn fields(&mut self, depth: usize) -> Vec<(String, Kind)> {
        let mut fields: Vec<(String, Kind)> = Vec::new();
        for _ in 0..self.chance.below(8) {
            let awkward = self.chance.below(40) == 0;
            let name =
                if awkward { self.chance.one_of(&AWKWARD) } else { self.chance.one_of(&NAMES) };
            if fields.iter().all(|(known, _)| known != name) {
                self.awkward |= awkward && !HARMLESS.contains(&name);
                let kind = self.kind(depth + 1);
                fields.push((name.to_owned(), kind));
            }
        }
        fields
    }

    fn kind(&mut self, depth: usize) -> Kind {
        let deeper = if depth < 4 { 15 } else { 11 };
        match self.chance.below(deeper) {
            0 | 1 => Kind::Integer,
            2 => Kind::Float,
            3 => Kind::Decimal,
            4 => Kind::Boolean,
            5 | 6 => Kind::Text,
            7 => Kind::Symbol,
            8 => Kind::Time,
            9 => Kind::Date,
            10 => {
                let scalar = match self.chance.below(4) {
                    0 => Kind::Integer,
                    1 => Kind::Time,
                    2 => Kind::Decimal,
                    _ => Kind::Text,
                };
                Kind::Nullable(Box::new(scalar))
            }
            11 | 12 => Kind::Array(Box::new(self.kind(depth + 1))),
            _ => self.container(depth),
        }
    }

    fn value(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Integer => {
                let big =
                    ["0", "-7", "9007199254740993", "340282366920938463463374607431768211456"];
                let small = self.chance.below(1000).to_string();
                let number =
                    if self.chance.below(4) == 0 { self.chance.one_of(&big) } else { &small };
                json!(["integer", number])
            }
            Kind::Float => {
                let floats = ["0.0", "-0.0", "1.5", "1e20", "1e-5", "0.1", "123456789.123", "1e16"];
                json!(["float", self.chance.one_of(&floats)])
            }
            Kind::Decimal => {
                let decimals = ["0", "109.50", "-3.0001", "100000000000000000000.5", "1e3"];
                json!(["decimal", self.chance.one_of(&decimals)])
            }
            Kind::Boolean => json!(["boolean", self.chance.below(2) == 0]),
            Kind::Text => json!(["string", self.text()]),
            Kind::Symbol => json!(["symbol", self.chance.one_of(&["on", "off", "ide"])]),
            Kind::Time => self.time(),
            Kind::Date => json!(["date", self.chance.below(30_000)]),
            Kind::Nullable(inner) if self.chance.below(2) == 0 => match &**inner {
                Kind::Integer => json!(["nil", "integer"]),
                Kind::Time => json!(["nil", "dateTime"]),
                Kind::Decimal => json!(["nil", "decimal"]),
                _ => json!(["nil", null]),
            },
            Kind::Nullable(inner) => self.value(inner),
            Kind::Array(inner) => {
                let items: Vec<_> = (0..self.chance.below(4)).map(|_| self.value(inner)).collect();
                json!(["array", items])
            }
            Kind::Object(fields) => json!(["object", self.members(fields)]),
            Kind::Model(name, fields) => json!(["model", [name, self.members(fields)]]),
        }
    }

    fn members(&mut self, fields: &[(String, Kind)]) -> Vec<Value> {
        fields.iter().map(|(name, kind)| json!([name, self.value(kind)])).collect()
    }

    fn text(&mut self) -> &'static str {
        if self.chance.below(25) == 0 {
            self.loses = true;
            self.chance.one_of(&LOSSY)
        } else {
            self.chance.one_of(&TEXTS)
        }
    }

    fn time(&mut self) -> Value {
        let seconds = self.chance.below(2_000_000_000);
        if self.style == Style::Fractions {
            self.loses = true;
            return json!(["time", format!("{}/1000", seconds * 1000 + self.chance.below(1000))]);
        }
        json!(["time", seconds.to_string()])
    }
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).expect("small")]
    }
}
