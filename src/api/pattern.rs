//! Patterns of paths, and the tree that finds the most specific one for a path.
//!
//! A pattern is literal segments and parameters: `/virtual_machines/:id/disks`. A parameter has a
//! shape: `:id` is a number without leading zeros or a 14-character identifier, `:n<number>`,
//! `:mac<mac>`, `:date<date>` and `:name<word>` say another. `/**` at the end stands for anything
//! below. `.:format` behind a segment says that the format suffix stands there and not at the end.

use std::cmp::Ordering;

use crate::vocabulary::Closed as _;

crate::closed! {
    /// What a parameter's value must look like to be taken as it is.
    pub enum Shape {
        /// `[1-9][0-9]*`, or 14 lower-case letters and digits.
        Id => "id",
        /// Decimal digits.
        Number => "number",
        /// Six pairs of hexadecimal digits with colons between them.
        Mac => "mac",
        /// `YYYY-MM-DD`.
        Date => "date",
        /// Letters, digits, `.`, `_`, `-` and `:`.
        Word => "word",
    }
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
    /// The segment that carries the suffix; none for the last.
    suffix_after: Option<usize>,
}

/// Patterns with a value each; a path finds the most specific.
#[derive(Clone, Debug)]
pub struct PatternTree<T> {
    nodes: Vec<Node<T>>,
}

/// What a path found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a, T> {
    /// The value of the pattern.
    pub value: &'a T,
    /// A parameter has another shape than the pattern declares.
    pub odd: bool,
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has to begin with a slash.
    #[error("a pattern begins with \"/\"")]
    NoSlash,
    /// `:x<shape>` with a shape that does not exist.
    #[error("unknown shape \"{0}\"; known are id, number, mac, date and word")]
    Shape(String),
    /// An empty segment, or `:` without a name.
    #[error("empty segment or parameter")]
    Empty,
    /// `**` elsewhere than at the end.
    #[error("\"**\" stands at the end only")]
    Rest,
}

/// A path of more segments is under no pattern; it bounds the work of a look-up too.
pub const MAX_SEGMENTS: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Parameter(Shape),
    Rest,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// Sorted by [`shortest_first`], for a binary search.
    literals: Vec<(Box<str>, usize)>,
    parameters: Vec<(Shape, usize)>,
    rest: Option<T>,
    value: Option<T>,
}

impl Shape {
    /// Whether a segment has this shape.
    pub fn fits(self, segment: &str) -> bool {
        let bytes = segment.as_bytes();
        let digits = |b: &[u8]| !b.is_empty() && b.iter().all(u8::is_ascii_digit);
        match self {
            Self::Id => {
                let number = digits(bytes) && bytes[0] != b'0' && bytes.len() <= 18;
                let identifier = bytes.len() == 14
                    && bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
                // Fourteen digits are a number; a leading zero makes them neither.
                number || (identifier && !digits(bytes))
            }
            Self::Number => digits(bytes) && bytes.len() <= 18,
            Self::Mac => {
                bytes.len() == 17
                    && bytes.iter().enumerate().all(|(i, b)| match i % 3 {
                        2 => *b == b':',
                        _ => b.is_ascii_hexdigit(),
                    })
            }
            Self::Date => {
                bytes.len() == 10
                    && bytes.iter().enumerate().all(|(i, b)| match i {
                        4 | 7 => *b == b'-',
                        _ => b.is_ascii_digit(),
                    })
            }
            Self::Word => {
                let ok = |b: &u8| b.is_ascii_alphanumeric() || b"._-:".contains(b);
                !bytes.is_empty() && bytes.iter().all(ok)
            }
        }
    }
}

impl Pattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let mut segments = Vec::new();
        let mut suffix_after = None;
        for (i, segment) in rest.split('/').enumerate() {
            if matches!(segments.last(), Some(Segment::Rest)) {
                return Err(PatternError::Rest);
            }
            let (segment, suffixed) = match segment.strip_suffix(".:format") {
                Some(stem) => (stem, true),
                None => (segment, false),
            };
            if suffixed {
                suffix_after = Some(i);
            }
            segments.push(Segment::parse(segment)?);
        }
        Ok(Self { segments, suffix_after })
    }

    /// Whether some path is under both, if its parameters have the shapes that this one declares;
    /// the other takes any shape.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut theirs = other.segments.iter();
        for mine in &self.segments {
            let fits = match (mine, theirs.next()) {
                (Segment::Rest, _) | (_, Some(Segment::Rest)) => return true,
                (_, None) => false,
                (Segment::Literal(mine), Some(Segment::Literal(theirs))) => mine == theirs,
                (Segment::Parameter(shape), Some(Segment::Literal(text))) => shape.fits(text),
                (_, Some(Segment::Parameter(_))) => true,
            };
            if !fits {
                return false;
            }
        }
        matches!(theirs.next(), None | Some(Segment::Rest))
    }

    /// The segment behind which a suffix is put when the client sent none; none for the last.
    pub fn suffix_after(&self) -> Option<usize> {
        self.suffix_after
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "**" {
            return Ok(Self::Rest);
        }
        let Some(name) = text.strip_prefix(':') else {
            return if text.is_empty() || text.contains('*') {
                Err(PatternError::Empty)
            } else {
                Ok(Self::Literal(text.into()))
            };
        };
        let (name, shape) = match name.strip_suffix('>').and_then(|n| n.split_once('<')) {
            Some((name, shape)) => (name, Some(shape)),
            None => (name, None),
        };
        if name.is_empty() {
            return Err(PatternError::Empty);
        }
        let Some(shape) = shape else { return Ok(Self::Parameter(Shape::Id)) };
        let known = Shape::ALL.iter().find(|s| s.as_str() == shape);
        known.map(|s| Self::Parameter(*s)).ok_or_else(|| PatternError::Shape(shape.to_owned()))
    }
}

impl<T> PatternTree<T> {
    /// An empty tree.
    pub fn new() -> Self {
        Self { nodes: vec![Node::new()] }
    }

    /// Adds a pattern, or replaces the value of the same one.
    pub fn insert(&mut self, pattern: &Pattern, value: T) {
        let mut at = 0;
        for segment in &pattern.segments {
            at = match segment {
                Segment::Literal(text) => self.literal_child(at, text),
                Segment::Parameter(shape) => self.parameter_child(at, *shape),
                Segment::Rest => {
                    self.nodes[at].rest = Some(value);
                    return;
                }
            };
        }
        self.nodes[at].value = Some(value);
    }

    /// The most specific pattern that a path is under: at each segment a literal before a
    /// parameter of the right shape, that before one of another shape, and `**` last.
    pub fn find(&self, segments: &[&str]) -> Option<Found<'_, T>> {
        if segments.len() > MAX_SEGMENTS {
            return None;
        }
        self.descend(0, segments)
    }

    fn descend(&self, at: usize, segments: &[&str]) -> Option<Found<'_, T>> {
        let node = &self.nodes[at];
        let rest = || node.rest.as_ref().map(|value| Found { value, odd: false });
        let Some((first, tail)) = segments.split_first() else {
            return node.value.as_ref().map(|value| Found { value, odd: false }).or_else(rest);
        };
        let literal = node.literals.binary_search_by(|(text, _)| shortest_first(text, first));
        if let Ok(i) = literal
            && let Some(found) = self.descend(node.literals[i].1, tail)
        {
            return Some(found);
        }
        for odd in [false, true] {
            let fitting = node.parameters.iter().filter(|(shape, _)| shape.fits(first) != odd);
            for (_, child) in fitting {
                if let Some(found) = self.descend(*child, tail) {
                    return Some(Found { odd: found.odd || odd, ..found });
                }
            }
        }
        rest()
    }

    fn literal_child(&mut self, at: usize, text: &str) -> usize {
        match self.nodes[at].literals.binary_search_by(|(t, _)| shortest_first(t, text)) {
            Ok(i) => self.nodes[at].literals[i].1,
            Err(i) => {
                let child = self.add_node();
                self.nodes[at].literals.insert(i, (text.into(), child));
                child
            }
        }
    }

    fn parameter_child(&mut self, at: usize, shape: Shape) -> usize {
        let known = self.nodes[at].parameters.iter().find(|(s, _)| *s == shape).map(|(_, c)| *c);
        known.unwrap_or_else(|| {
            let child = self.add_node();
            self.nodes[at].parameters.push((shape, child));
            child
        })
    }

    fn add_node(&mut self) -> usize {
        self.nodes.push(Node::new());
        self.nodes.len() - 1
    }
}

/// An order in which most comparisons are of two lengths.
fn shortest_first(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl<T> Default for PatternTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self { literals: Vec::new(), parameters: Vec::new(), rest: None, value: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(patterns: &[&str]) -> PatternTree<String> {
        let mut tree = PatternTree::new();
        for pattern in patterns {
            tree.insert(&Pattern::parse(pattern).expect("a pattern"), (*pattern).to_owned());
        }
        tree
    }

    fn check(patterns: &[&str], path: &str, expected: Option<(&str, bool)>) {
        let tree = tree(patterns);
        let segments: Vec<_> = path.split('/').skip(1).collect();
        let found = tree.find(&segments).map(|f| (f.value.as_str(), f.odd));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let all = ["/vms", "/vms/:id", "/vms/status", "/vms/**", "/vms/:id/disks"];
        check(&all, "/vms", Some(("/vms", false)));
        check(&all, "/vms/7", Some(("/vms/:id", false)));
        check(&all, "/vms/status", Some(("/vms/status", false)));
        check(&all, "/vms/7/disks", Some(("/vms/:id/disks", false)));
        check(&all, "/vms/7/other", Some(("/vms/**", false)));
        check(&all, "/users", None);
        check(&["/vms/**"], "/vms", Some(("/vms/**", false)));
    }

    #[test]
    fn what_rails_takes_for_an_id_is_odd() {
        for odd in ["01", "0", "1-foo", "1abc", "+1", "%201", "1;x", "", "1%2Ejson", "-1"] {
            check(&["/vms/:id"], &format!("/vms/{odd}"), Some(("/vms/:id", true)));
        }
        for fine in ["1", "10", "abcdefghijklmn", "a1b2c3d4e5f6g7"] {
            check(&["/vms/:id"], &format!("/vms/{fine}"), Some(("/vms/:id", false)));
        }
    }

    #[test]
    fn a_declared_shape_is_no_odd_one() {
        let all = ["/ips/:mac<mac>", "/ips/:id", "/on/:d<date>"];
        check(&all, "/ips/00:16:3e:aa:bb:cc", Some(("/ips/:mac<mac>", false)));
        check(&all, "/ips/12", Some(("/ips/:id", false)));
        check(&all, "/on/2026-11-23", Some(("/on/:d<date>", false)));
        check(&all, "/on/today", Some(("/on/:d<date>", true)));
    }

    #[test]
    fn a_long_path_is_under_no_pattern() {
        check(&["/a/**"], &"/a".repeat(MAX_SEGMENTS + 1), None);
    }

    #[test]
    fn wrong_patterns_say_why() {
        assert_eq!(Pattern::parse("vms"), Err(PatternError::NoSlash));
        assert_eq!(Pattern::parse("/a/:x<y>"), Err(PatternError::Shape("y".to_owned())));
        assert_eq!(Pattern::parse("/a//b"), Err(PatternError::Empty));
        assert_eq!(Pattern::parse("/a/:"), Err(PatternError::Empty));
        assert_eq!(Pattern::parse("/**/a"), Err(PatternError::Rest));
    }

    #[test]
    fn patterns_overlap_when_a_path_is_under_both() {
        let check = |mine: &str, theirs: &str, expected: bool| {
            let parse = |text| Pattern::parse(text).expect("a pattern");
            assert_eq!(parse(mine).overlaps(&parse(theirs)), expected, "{mine} {theirs}");
        };
        check("/users/:id", "/users/sign_in", false);
        check("/users/:name<word>", "/users/sign_in", true);
        check("/users/:id/limits", "/users/:id/suspend", false);
        check("/users/:id/:what<word>", "/users/:id/suspend", true);
        check("/users/:id/keys", "/users/:id/keys/**", true);
        check("/users/:id/keys/:id", "/users/:id/keys/**", true);
        check("/users", "/users/:id/keys/**", false);
        check("/a/**", "/a/b/c", true);
        check("/sign_in", "/:id", true);
    }

    #[test]
    fn a_pattern_says_where_its_suffix_stands() {
        let pattern = Pattern::parse("/transactions.:format/page/:n<number>").expect("a pattern");
        assert_eq!(pattern.suffix_after(), Some(0));
    }
}
