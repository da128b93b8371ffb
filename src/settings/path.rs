//! What leads to a table, shared by all that stands below it.
//!
//! If each table and key of a document held the names of all that it stands in, a long name with much
//! below it would take the memory of their product.

use std::sync::Arc;

/// What leads from the root of a document to a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Path(Option<Arc<Step>>);

#[derive(Debug)]
struct Step {
    above: Path,
    name: Name,
}

#[derive(Debug)]
enum Name {
    /// A JSON Pointer to the document as a whole.
    Document(String),
    Key(String),
    /// A place in a list.
    Place(usize),
}

impl Path {
    /// The root of a document to which a pointer leads.
    pub(super) fn document(pointer: &str) -> Self {
        Self::default().step(Name::Document(pointer.to_owned()))
    }

    /// What stands behind a key.
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Name::Key(key.to_owned()))
    }

    /// What stands in a place of the list that this leads to.
    pub(super) fn place(&self, place: usize) -> Self {
        self.step(Name::Place(place))
    }

    /// The keys alone, as a section is named.
    pub(super) fn name(&self) -> String {
        let keys = self.steps().into_iter().filter_map(|step| match &step.name {
            Name::Key(key) => Some(&**key),
            Name::Document(_) | Name::Place(_) => None,
        });
        keys.collect::<Vec<_>>().join(".")
    }

    /// A JSON Pointer (RFC 6901).
    pub(super) fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in self.steps() {
            match &step.name {
                Name::Document(document) => pointer.push_str(document),
                Name::Key(key) => {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Name::Place(place) => pointer.push_str(&format!("/{place}")),
            }
        }
        pointer
    }

    /// How many bytes the keys have.
    pub(super) fn length(&self) -> usize {
        let length = |step: &&Step| match &step.name {
            Name::Key(key) => key.len(),
            Name::Document(_) | Name::Place(_) => 0,
        };
        self.steps().iter().map(length).sum()
    }

    fn step(&self, name: Name) -> Self {
        Self(Some(Arc::new(Step { above: self.clone(), name })))
    }

    fn steps(&self) -> Vec<&Step> {
        let last = self.0.as_deref();
        let mut steps: Vec<_> =
            std::iter::successors(last, |step| step.above.0.as_deref()).collect();
        steps.reverse();
        steps
    }
}
