//! What a reply is searched for, by the view of whom it is for.

use std::sync::Arc;

use http::{Response, StatusCode};

use crate::{
    api::format::is_page,
    body::UpstreamBody,
    transcode::mask::Fields,
    vocabulary::{Format, Secrecy},
};

/// The fields that are masked, by view.
pub struct Views {
    hidden: Arc<Fields>,
    shown: Arc<Fields>,
}

/// How a reply is searched.
pub(super) struct Search {
    /// As what it is read; none for what holds no text.
    pub(super) format: Option<Format>,
    /// For which view.
    pub(super) secrecy: Secrecy,
}

impl Views {
    /// By the built-in list; `further` names are passwords, too.
    pub fn new(further: &[String]) -> Self {
        let fields = |secrecy| Arc::new(Fields::of(secrecy, further));
        Self { hidden: fields(Secrecy::Hidden), shown: fields(Secrecy::Shown) }
    }

    /// Those of one.
    pub(super) fn of(&self, secrecy: Secrecy) -> Arc<Fields> {
        Arc::clone(match secrecy {
            Secrecy::Hidden => &self.hidden,
            Secrecy::Shown => &self.shown,
        })
    }
}

impl Search {
    /// Whether it may hide what the upstream's tag was made of.
    pub(super) fn hides(&self) -> bool {
        self.format.is_some() && self.secrecy == Secrecy::Hidden
    }
}

/// Whether a reply shows something, a refused form too, and is no document whose fields are known: what
/// is to be hidden could stand anywhere in it.
pub(super) fn shows_whole(reply: &Response<UpstreamBody>) -> bool {
    let shows = reply.status().is_success() || reply.status() == StatusCode::UNPROCESSABLE_ENTITY;
    shows && is_page(reply.headers())
}
