//! What a request is about to do, as far as policies ask.

use std::{array, cell::OnceCell};

use http::Method;

use crate::api::{pattern::MAX_SEGMENTS, routes::Rebuilt};

/// What is judged.
#[derive(Clone, Copy)]
pub struct Act<'a> {
    /// The method that will run, whatever the request line says.
    pub method: &'a Method,
    /// The segments of the canonical path, without its format suffix.
    pub segments: &'a [&'a str],
    /// What is another one afterwards, if anything is. A DELETE removes what its path names, whether
    /// this is set or not.
    pub rebuilds: Option<Rebuilt>,
    /// The other name of the id that stands at a place of the path: the identifier of a number, or
    /// the number of an identifier. It is given the segments and the place, and is asked at most
    /// once for each place, and only where it decides something.
    pub other_name: &'a dyn Fn(&[&str], usize) -> OtherName,
}

/// Whether the other name of an id is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherName {
    /// It is this.
    Known(Box<str>),
    /// It may be any, or there may be no such item.
    Unknown,
}

/// The path of an act, with the other names that were asked for.
pub(super) struct Path<'a> {
    act: &'a Act<'a>,
    others: [OnceCell<OtherName>; MAX_SEGMENTS],
}

impl Act<'_> {
    /// What is gone, or another, afterwards.
    pub fn removes(&self) -> Option<Rebuilt> {
        self.rebuilds.or_else(|| (*self.method == Method::DELETE).then_some(Rebuilt::Named))
    }
}

impl<'a> Path<'a> {
    pub(super) fn of(act: &'a Act<'a>) -> Self {
        Self { act, others: array::from_fn(|_| OnceCell::new()) }
    }

    pub(super) fn segments(&self) -> &'a [&'a str] {
        self.act.segments
    }

    /// The other name of the id at a place, which is below [`MAX_SEGMENTS`].
    pub(super) fn other_name(&self, at: usize) -> &OtherName {
        self.others[at].get_or_init(|| (self.act.other_name)(self.act.segments, at))
    }
}

/// A segment without anything that Rails could take for a format: it runs `console` for
/// `console.html`, and an encoded dot is one to it.
pub(super) fn bare(segment: &str) -> &str {
    let dot = segment.find('.').into_iter().chain(segment.find("%2E")).min();
    &segment[..dot.unwrap_or(segment.len())]
}
