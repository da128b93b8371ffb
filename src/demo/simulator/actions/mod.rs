//! What the panel does for each route, and what the actions share: finding, showing, paging.

pub(crate) mod catalog;
pub(crate) mod machines;
pub(crate) mod parts;
pub(crate) mod transactions;
pub(crate) mod users;

use super::app::{Call, Outcome};
use super::panel::{Kind, Record};
use super::rails::Value;
use super::reply::{Answer, Paging, Refusal};
use super::target::to_i;

/// The most items of one page.
const LARGEST_PAGE: i64 = 1000;

impl Call<'_> {
    /// What stands in the path for the nth name of the route.
    fn segment(&self, nth: usize) -> &str {
        self.path.get(nth).map_or("", String::as_str)
    }

    /// The id in the path, as tolerantly as Ruby reads integers.
    fn id(&self, nth: usize) -> u64 {
        u64::try_from(to_i(self.segment(nth))).unwrap_or(0)
    }

    /// The machine that the path names by number or by identifier.
    fn machine(&self) -> Result<u64, Refusal> {
        let by_identifier = self.panel.machine_of_identifier(self.segment(0));
        let id = by_identifier.unwrap_or_else(|| self.id(0));
        self.visible(Kind::Machine, id).map(|_| id)
    }

    /// The part of the path's machine that the second name stands for.
    fn part(&self, kind: Kind) -> Result<(u64, u64), Refusal> {
        let machine = self.machine()?;
        let id = self.id(1);
        let record = self.visible(kind, id)?;
        if record.machine == Some(machine) { Ok((machine, id)) } else { Err(Refusal::NotFound) }
    }

    /// The user that the path names; others than oneself are for administrators.
    fn user(&self) -> Result<u64, Refusal> {
        let id = self.id(0);
        if !self.reader.admin && id != self.reader.user {
            return Err(Refusal::Forbidden);
        }
        self.visible(Kind::User, id).map(|_| id)
    }

    /// A record that exists and that the reader may see; both failures look the same.
    fn visible(&self, kind: Kind, id: u64) -> Result<&Record, Refusal> {
        let found = self.panel.get(kind, id).filter(|record| self.reader.sees(record));
        found.ok_or(Refusal::NotFound)
    }

    fn owner_of(&self, machine: u64) -> u64 {
        let record = self.panel.get(Kind::Machine, machine);
        record.and_then(|r| r.owner).unwrap_or(self.reader.user)
    }

    fn view(&self, kind: Kind, id: u64) -> Result<Value, Refusal> {
        let record = self.panel.get(kind, id).ok_or(Refusal::NotFound)?;
        Ok(self.panel.item(kind, record, self.reader))
    }

    fn show(&self, kind: Kind, id: u64) -> Outcome {
        Ok(Answer::ok(kind.model(), self.view(kind, id)?))
    }

    fn scheduled(&self, kind: Kind, id: u64) -> Outcome {
        Ok(Answer::scheduled(kind.model(), self.view(kind, id)?))
    }

    fn created(&self, kind: Kind, id: u64, location: String) -> Outcome {
        Ok(Answer::created(location, kind.model(), self.view(kind, id)?))
    }

    /// A list of these records, or the page of it that was asked for.
    fn list(&self, kind: Kind, ids: Vec<u64>) -> Outcome {
        self.list_of(kind.root(), ids, None, |c, id| {
            c.panel.get(kind, id).map(|record| c.panel.item(kind, record, c.reader))
        })
    }

    fn list_of(
        &self,
        root: &'static str,
        mut ids: Vec<u64>,
        shown_by_default: Option<usize>,
        item: impl Fn(&Self, u64) -> Option<Value>,
    ) -> Outcome {
        let paging = self.paging(ids.len());
        if let Some(paging) = paging {
            let start = paging.limit.saturating_mul(paging.page - 1).min(ids.len());
            ids.drain(..start);
            ids.truncate(paging.limit);
        } else if let Some(limit) = shown_by_default {
            ids.truncate(limit);
        }
        let items: Vec<Value> = ids.into_iter().filter_map(|id| item(self, id)).collect();
        Ok(Answer { paging, ..Answer::ok(root, items.into()) })
    }

    fn paging(&self, total: usize) -> Option<Paging> {
        let (page, limit) = (self.params.integer("page"), self.params.integer("per_page"));
        if page.is_none() && limit.is_none() {
            return None;
        }
        let page = usize::try_from(page.unwrap_or(1)).unwrap_or(1).max(1);
        let limit = limit.unwrap_or(10).clamp(1, LARGEST_PAGE);
        Some(Paging { page, limit: usize::try_from(limit).unwrap_or(1), total })
    }

    /// All that the reader may see, by id.
    fn visible_ids(&self, kind: Kind) -> Vec<u64> {
        if self.reader.admin {
            return self.panel.all(kind).map(|(id, _)| id).collect();
        }
        let seen = self.panel.all(kind).filter(|(_, record)| record.owner.is_none());
        let mut ids: Vec<u64> = seen.map(|(id, _)| id).collect();
        ids.extend(self.panel.of_owner(kind, self.reader.user));
        ids
    }

    /// Sets the fields of a record to what was sent for them, with the types that they have.
    fn assign(&mut self, kind: Kind, id: u64, texts: &[&'static str], integers: &[&'static str]) {
        let sent = self.params.under(kind.model());
        let Some(record) = self.panel.get_mut(kind, id) else { return };
        for name in texts.iter().filter(|name| sent.has(name)) {
            record.fields.set(name, sent.text(name));
        }
        for name in integers {
            if let Some(number) = sent.integer(name) {
                record.fields.set(name, number);
            }
        }
    }

    /// Refuses a field that was sent empty; one that was not sent stays as it is.
    fn refuse_blank(&self, kind: Kind, names: &[&'static str]) -> Result<(), Refusal> {
        let sent = self.params.under(kind.model());
        let is_blank = |name: &str| sent.text(name).is_none_or(|text| text.trim().is_empty());
        match names.iter().find(|name| sent.has(name) && is_blank(name)) {
            Some(name) => Err(Refusal::Invalid(name, "can't be blank")),
            None => Ok(()),
        }
    }
}
