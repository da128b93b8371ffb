//! What is wrong with a configuration, and where.

use std::fmt;

use super::Origin;

/// What is wrong with a configuration: all of it, in the order in which it was found.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

/// One thing to change in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value stands; none for what is missing altogether.
    pub origin: Option<Origin>,
    /// The key, with its section.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// More problems than anybody reads. What is sent over a network can have millions of them.
const MOST: usize = 1000;
const AND_MORE: &str = "there are more problems than these";

impl Problems {
    /// Adds one, if there are not very many already.
    pub fn add(&mut self, origin: Option<Origin>, key: &str, message: &str) {
        let problem = match self.0.len() {
            ..MOST => Problem { origin, key: key.to_owned(), message: message.to_owned() },
            MOST => Problem { origin: None, key: String::new(), message: AND_MORE.to_owned() },
            _ => return,
        };
        self.0.push(problem);
    }

    /// Whether no more are told.
    pub(super) fn are_full(&self) -> bool {
        self.0.len() > MOST
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problem {
    /// `line 12: server.listen: expected …`, ready to follow a file name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(Origin::Line(line)) => write!(f, "line {line}: ")?,
            Some(Origin::Environment(name)) => write!(f, "environment variable {name}: ")?,
            // It names the key, too.
            Some(Origin::Pointer(place)) => return write!(f, "{place}: {}", self.message),
            None => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_problems_are_told_and_one_that_there_are_more() {
        let mut problems = Problems::default();
        (0..3 * MOST).for_each(|n| problems.add(Some(Origin::Line(n)), "key", "wrong"));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), MOST + 1);
        assert_eq!(told.last().map(String::as_str), Some(AND_MORE));
    }
}
