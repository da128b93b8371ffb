//! The acts of a rotation: what the panel is asked for each, and what its answer means for the course.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use zeroize::Zeroizing;

use super::{
    Rotor, millis, now_in_millis,
    panel::{Reply, Silence},
    work::{Came, Task},
};
use crate::tenants::{
    course::{Answered, Outcome, Place, Sought, Step, Survey, Way},
    record::{CredentialRecord, Reach},
    secret::UpstreamSecret,
    store::StoreError,
};

/// What other credentials are to this one.
struct Others {
    /// Those that may see the key of its user.
    seeing: Vec<HeaderValue>,
    /// One has the same key.
    shared: bool,
}

/// So many others are asked at most what the new key is.
const MOST_ASKED: usize = 5;

impl Rotor {
    pub(super) async fn survey(self: &Arc<Self>, task: &Task) -> Result<Came, StoreError> {
        let who = task.old.authorization();
        let shown = match task.panel.profile(&who).await {
            Ok(reply) if reply.status == StatusCode::UNAUTHORIZED => return Ok(Outcome::Fails),
            Ok(reply) if reply.is_good() => reply.shown_user(),
            Ok(_) | Err(_) => None,
        };
        let Some(user) = shown else { return Ok(Outcome::NoAnswer) };
        let listed = match task.panel.keys(user.id, &who).await {
            Ok(reply) if reply.is_good() => reply.listed(),
            Ok(reply) if reply.is_refused() => None,
            Ok(_) | Err(_) => return Ok(Outcome::NoAnswer),
        };
        let key = task.old.pair().1;
        let place = Place::of(key, user.main.as_deref(), listed.as_deref().unwrap_or_default());
        let shared = self.others(task).await?.shared;
        let recoverable = task.stage.course.way == Way::Replace && {
            let seen = self.seen_by_others(task, user.id).await?;
            seen.is_ok_and(|main| main == key)
        };
        let further = listed.map(|listed| listed.into_iter().map(|(id, _)| id).collect());
        let survey = Survey { user: user.id, further, place, recoverable, shared };
        Ok(Outcome::Surveyed(survey))
    }

    /// Whether the key may be replaced when every server has seen that it is about to be. Until that was
    /// written down another credential may have been given it; since then, none is.
    pub(super) async fn waited(self: &Arc<Self>, task: &Task) -> Result<Came, StoreError> {
        let replaces = task.stage.course.step == Step::Holding;
        let shared = replaces && self.others(task).await?.shared;
        Ok(if shared { Outcome::InUse } else { Outcome::Waited })
    }

    pub(super) async fn mint(&self, task: &Task, patience: Duration) -> Result<Came, StoreError> {
        // By then somebody else may have looked, and found nothing.
        if task.renewed.elapsed() > patience {
            return Ok(Outcome::NotAsked);
        }
        let (user, who) = (task.stage.course.facts.user, task.old.authorization());
        let asked = match task.stage.course.way {
            Way::Add => task.panel.add(user, &who).await,
            Way::Replace => task.panel.replace(user, &who).await,
        };
        let reply = match asked {
            Ok(reply) => reply,
            Err(Silence::NotAsked) => return Ok(Outcome::NotAsked),
            Err(Silence::Unknown) => return Ok(Outcome::Unknown),
        };
        // That the key is dead is not what a panel says that makes none.
        if reply.status == StatusCode::UNAUTHORIZED {
            return Ok(Outcome::Fails);
        }
        if reply.is_refused() {
            return Ok(Outcome::Refused);
        }
        let key = reply.key().filter(|_| reply.is_good());
        Ok(match key.and_then(|key| task.secret(&key)) {
            Some(secret) => Outcome::Minted(secret),
            None => Outcome::Unknown,
        })
    }

    /// Finds out whether a key was made.
    pub(super) async fn find(self: &Arc<Self>, task: &Task) -> Result<Came, StoreError> {
        let who = task.old.authorization();
        let found = match task.stage.course.way {
            Way::Add => match task.panel.keys(task.stage.course.facts.user, &who).await {
                Ok(reply) if reply.is_good() => reply
                    .listed()
                    .map_or(Outcome::NoAnswer, |keys| task.stage.course.facts.found(&keys)),
                Ok(_) | Err(_) => Outcome::NoAnswer,
            },
            Way::Replace => match task.panel.profile(&who).await {
                Ok(reply) if reply.is_good() => Outcome::FoundNone,
                Ok(reply) if reply.status == StatusCode::UNAUTHORIZED => {
                    match self.seen_by_others(task, task.stage.course.facts.user).await? {
                        Ok(main) if main == task.old.pair().1 => Outcome::NoAnswer,
                        Ok(main) => Outcome::Found(main),
                        Err(gone) => gone,
                    }
                }
                Ok(_) | Err(_) => Outcome::NoAnswer,
            },
        };
        let settled =
            now_in_millis() >= task.stage.since.saturating_add(millis(self.config.settle));
        Ok(match found {
            Outcome::Found(key) => task.secret(&key).map_or(Outcome::FoundMany, Outcome::Found),
            // The panel may still make it.
            Outcome::FoundNone if settled => Outcome::FoundNone,
            Outcome::FoundMany => Outcome::FoundMany,
            Outcome::Gone => Outcome::Gone,
            _ => Outcome::NoAnswer,
        })
    }

    /// The key of the profile as another credential of ours sees it: an administrator's, or one of the
    /// same account.
    async fn seen_by_others(
        self: &Arc<Self>,
        task: &Task,
        user: u64,
    ) -> Result<Result<String, Outcome<String>>, StoreError> {
        let mut silent = false;
        for other in self.others(task).await?.seeing {
            match task.panel.user(user, &other).await {
                Ok(reply) if reply.is_good() => {
                    let shown = reply.shown_user().filter(|shown| shown.id == user);
                    if let Some(main) = shown.and_then(|shown| shown.main) {
                        return Ok(Ok(main));
                    }
                }
                Ok(reply) if reply.is_refused() => {}
                Ok(_) | Err(_) => silent = true,
            }
        }
        Ok(Err(if silent { Outcome::NoAnswer } else { Outcome::Gone }))
    }

    async fn others(self: &Arc<Self>, task: &Task) -> Result<Others, StoreError> {
        let (row, upstream) = (task.record.credential, task.record.upstream.clone());
        let key = Zeroizing::new(task.old.pair().1.to_owned());
        self.with_store(move |store, vault| {
            let all = store.credentials()?;
            let own = all.iter().find(|credential| credential.row == row);
            let account = own.and_then(|own| own.standing.account.clone());
            let mut found = Others { seeing: Vec::new(), shared: false };
            for other in all.iter().filter(|c| c.row != row && c.upstream == upstream) {
                let Ok(secret) = vault.open(other) else { continue };
                let CredentialRecord { standing, .. } = other;
                let same = account.is_some() && standing.account == account;
                if secret.pair().1 == *key {
                    // It dies with this one, and sees nothing then.
                    found.shared = true;
                } else if standing.reach == Some(Reach::All) || same {
                    found.seeing.push(secret.authorization());
                }
            }
            found.seeing.truncate(MOST_ASKED);
            Ok(found)
        })
        .await
    }

    pub(super) async fn remove_old(self: &Arc<Self>, task: &Task) -> Result<Came, StoreError> {
        if self.is_used(task, &task.old).await? {
            return Ok(Outcome::InUse);
        }
        let Some(now) = self.stored(task).await? else { return Ok(Outcome::Left) };
        let (who, user) = (now.authorization(), task.stage.course.facts.user);
        Ok(match task.stage.course.facts.place {
            Place::Unknown => Outcome::Left,
            Place::Further(key) => removed(task, key, &who).await,
            Place::Main => {
                let profile = match task.panel.profile(&who).await {
                    Ok(reply) if reply.is_good() => reply.shown_user(),
                    Ok(reply) if reply.is_refused() => return Ok(Outcome::Left),
                    Ok(_) | Err(_) => return Ok(Outcome::NoAnswer),
                };
                match profile.and_then(|profile| profile.main) {
                    // It cannot be deleted, but another one in its place is one that nobody knows.
                    Some(main) if main == task.old.pair().1 => {
                        answered(&task.panel.replace(user, &who).await).of_the_main_key()
                    }
                    Some(_) => Outcome::Removed,
                    None => Outcome::Left,
                }
            }
        })
    }

    pub(super) async fn remove_new(self: &Arc<Self>, task: &Task) -> Result<Came, StoreError> {
        let Some(new) = &task.stage.course.new else { return Ok(Outcome::Removed) };
        if self.is_used(task, new).await? {
            return Ok(Outcome::InUse);
        }
        let Some(now) = self.stored(task).await? else { return Ok(Outcome::Left) };
        let (who, user) = (now.authorization(), task.stage.course.facts.user);
        let listed = match task.panel.keys(user, &who).await {
            Ok(reply) if reply.is_good() => reply.listed(),
            Ok(reply) if reply.is_refused() => return Ok(Outcome::Left),
            Ok(_) | Err(_) => None,
        };
        let Some(listed) = listed else { return Ok(Outcome::NoAnswer) };
        Ok(match task.stage.course.facts.sought(new.pair().1, &listed) {
            Sought::Gone => Outcome::Removed,
            Sought::Unclear => Outcome::Left,
            Sought::At(key) => Outcome::Located(key),
            Sought::Known(key) => removed(task, key, &who).await,
        })
    }

    /// Whether a credential has a key, this one or another: whatever has written the store, an operator
    /// may have read the key in the panel.
    async fn is_used(
        self: &Arc<Self>,
        task: &Task,
        key: &UpstreamSecret,
    ) -> Result<bool, StoreError> {
        let upstream = task.record.upstream.clone();
        let key = Zeroizing::new(key.pair().1.to_owned());
        self.with_store(move |store, vault| {
            let all = store.credentials()?;
            let mut of_it = all.iter().filter(|credential| credential.upstream == upstream);
            Ok(of_it.any(|known| vault.open(known).is_ok_and(|secret| secret.pair().1 == *key)))
        })
        .await
    }
}

/// What an answer to who somebody is says of his key.
pub(super) fn probed(answer: Result<Reply, Silence>) -> Came {
    match answer {
        Ok(reply) if reply.is_good() => Outcome::Works,
        Ok(reply) if reply.status == StatusCode::UNAUTHORIZED => Outcome::Fails,
        Ok(_) | Err(_) => Outcome::NoAnswer,
    }
}

/// Removes a further key; says whether it is gone.
async fn removed(task: &Task, key: u64, who: &HeaderValue) -> Came {
    let user = task.stage.course.facts.user;
    let said = answered(&task.panel.remove(user, key, who).await).of_a_further_key();
    if let Some(outcome) = said {
        return outcome;
    }
    match task.panel.keys(user, who).await {
        Ok(reply) if reply.is_good() => {
            reply.listed().map_or(Outcome::NoAnswer, |listed| Answered::unless(&listed, key))
        }
        Ok(reply) if reply.is_refused() => Outcome::Left,
        Ok(_) | Err(_) => Outcome::NoAnswer,
    }
}

fn answered(answer: &Result<Reply, Silence>) -> Answered {
    match answer {
        Ok(reply) if reply.is_good() => Answered::Done,
        Ok(reply) if reply.status == StatusCode::NOT_FOUND => Answered::NotFound,
        Ok(reply) if reply.is_refused() => Answered::Refused,
        Ok(_) | Err(_) => Answered::Nothing,
    }
}
