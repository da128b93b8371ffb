//! Policies as they are written down: in the store, and in the files that operators hand in.
//!
//! JSON, with no key that is not known here, so that a misspelled part cannot be taken for one that
//! was left out. Whether numbers and entries make sense is seen when the document is compiled.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::ToSchema;

use super::Mode;
use crate::vocabulary::Closed as _;

/// The most entries of one list.
pub const MAX_ENTRIES: usize = 64;

/// The longest path or pattern, in bytes.
pub const MAX_PATH_BYTES: usize = 512;

/// The most that a cap may let through in its window.
pub const MAX_IN_WINDOW: u64 = 10_000;

/// The longest window of a cap, in seconds: 31 days. The shortest is one second.
pub const MAX_WINDOW_SECONDS: u64 = 31 * 24 * 60 * 60;

/// The highest rate, in requests a second, and the largest burst.
pub const MAX_RATE: u64 = 1_000_000;

/// The most reads or writes of a month that can be asked for.
pub const MAX_MONTHLY: u64 = 1_000_000_000_000;

/// All policies of a token; a part that is absent says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyDocument {
    /// The methods that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<MethodsPart>,
    /// The paths that may be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathsPart>,
    /// The items that may be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesPart>,
    /// The items that are not to be removed or rebuilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<ProtectedPart>,
    /// How many items may be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creates: Option<CapPart>,
    /// How many items may be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletes: Option<CapPart>,
    /// How many requests there may be in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsPart>,
    /// How many requests there may be in a month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly: Option<MonthlyPart>,
}

/// Methods that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MethodsPart {
    /// What comes of it.
    #[serde(skip_serializing_if = "is_enforce")]
    pub mode: Mode,
    /// The methods, in capitals. GET stands for HEAD too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

/// Patterns of paths, as the route table has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PathsPart {
    /// What comes of it.
    #[serde(skip_serializing_if = "is_enforce")]
    pub mode: Mode,
    /// A path has to be under one of them, with parameters of their shapes; none allows all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// A path must not be under any of them. An id that is written out is compared as it is
    /// spelled; `protected` and `resources` know the other name of an item.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// Items that may be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourcesPart {
    /// What comes of it.
    #[serde(skip_serializing_if = "is_enforce")]
    pub mode: Mode,
    /// The paths of the items, such as `/virtual_machines/12`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

/// Items that are not to be removed or rebuilt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProtectedPart {
    /// What comes of it.
    #[serde(skip_serializing_if = "is_enforce")]
    pub mode: Mode,
    /// The paths of the items, such as `/virtual_machines/12`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
}

/// So many in any window of a length. Of what is taken, a place is free again after the length of the
/// window and at most a sixtieth of it more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapPart {
    /// What comes of it.
    #[serde(default, skip_serializing_if = "is_enforce")]
    pub mode: Mode,
    /// How many; from 1 to [`MAX_IN_WINDOW`].
    pub at_most: u32,
    /// The length of the window in seconds; from 1 to [`MAX_WINDOW_SECONDS`].
    pub window_seconds: u32,
}

/// Rates of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsPart {
    /// What comes of it.
    #[serde(skip_serializing_if = "is_enforce")]
    pub mode: Mode,
    /// Of reads; none is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<Rate>,
    /// Of writes; none is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Rate>,
}

/// So many requests a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The sustained rate, in requests a second; from 1 to [`MAX_RATE`].
    pub per_second: u32,
    /// How many may come at once; from 1 to [`MAX_RATE`].
    pub burst: u32,
}

/// Quotas of a month, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MonthlyPart {
    /// What comes of it.
    #[serde(skip_serializing_if = "is_enforce")]
    pub mode: Mode,
    /// Reads, from 1 to [`MAX_MONTHLY`]; none is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<u64>,
    /// Writes, from 1 to [`MAX_MONTHLY`]; none is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<u64>,
}

impl PolicyDocument {
    /// Whether it has no part at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().copied().find(|mode| mode.as_str() == word);
        known.ok_or_else(|| {
            D::Error::custom(format_args!(
                "unknown mode {word:?}; known are enforce, shadow and off"
            ))
        })
    }
}

/// The default is not written down.
fn is_enforce(mode: &Mode) -> bool {
    *mode == Mode::Enforce
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = concat!(
        r#"{"methods":{"mode":"shadow","only":["GET"]},"#,
        r#""paths":{"allow":["/virtual_machines/**"],"deny":["/virtual_machines/:id/console"]},"#,
        r#""resources":{"only":["/virtual_machines/12","/virtual_machines/abcdefghij1234"]},"#,
        r#""protected":{"mode":"off","items":["/virtual_machines/7"]},"#,
        r#""creates":{"at_most":5,"window_seconds":86400},"#,
        r#""deletes":{"mode":"shadow","at_most":2,"window_seconds":3600},"#,
        r#""limits":{"reads":{"per_second":5,"burst":10},"writes":{"per_second":1,"burst":2}},"#,
        r#""monthly":{"reads":100000,"writes":1000}}"#,
    );

    fn read(text: &str) -> Result<PolicyDocument, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn written(document: &PolicyDocument) -> String {
        serde_json::to_string(document).expect("a document")
    }

    #[test]
    fn what_was_written_is_read_back() {
        let document = read(EVERYTHING).expect("a document");
        assert!(!document.is_empty());
        assert_eq!(written(&document), EVERYTHING);
        let mode = |text: &str| read(text).expect(text).creates.map(|part| part.mode);
        let spelled_out = r#"{"creates":{"mode":"enforce","at_most":1,"window_seconds":1}}"#;
        assert_eq!(mode(spelled_out), Some(Mode::Enforce));
        assert_eq!(mode(EVERYTHING), Some(Mode::Enforce));
    }

    #[test]
    fn what_is_absent_is_not_written() {
        assert_eq!(written(&PolicyDocument::default()), "{}");
        assert!(read("{}").expect("a document").is_empty());
        let only = read(r#"{"paths":{"deny":["/a"]}}"#).expect("a document");
        assert_eq!(written(&only), r#"{"paths":{"deny":["/a"]}}"#);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            r#"{"method":{"only":["GET"]}}"#,
            r#"{"methods":{"only":["GET"],"not":[]}}"#,
            r#"{"paths":{"denied":[]}}"#,
            r#"{"resources":{"items":[]}}"#,
            r#"{"protected":{"only":[]}}"#,
            r#"{"creates":{"at_most":1,"window_seconds":1,"per":1}}"#,
            r#"{"limits":{"reads":{"per_second":1,"burst":1,"x":1}}}"#,
            r#"{"limits":{"upstream_reads":{"per_second":1,"burst":1}}}"#,
            r#"{"monthly":{"requests":1}}"#,
            r#"{"methods":{"mode":"audit","only":["GET"]}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_whole_and_none_is_left_out() {
        for wrong in [
            r#"{"creates":{"at_most":1}}"#,
            r#"{"creates":{"window_seconds":1}}"#,
            r#"{"creates":{"at_most":-1,"window_seconds":1}}"#,
            r#"{"creates":{"at_most":1.5,"window_seconds":1}}"#,
            r#"{"limits":{"reads":{"per_second":1}}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
