//! Keys that a client has made: kept from it, and kept.
//!
//! A key of the caller's own user becomes the key of the caller's credential, by a rotation that the
//! client has begun and that removes nothing. A key of another user waits in the store until an operator
//! says whose it is. In either case the store knows that a key is asked for before it is, and has it
//! sealed before the client hears of it.

use std::{pin::pin, sync::Arc, time::Instant};

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::{
    LOOK, Rotor,
    panel::Silence,
    until,
    work::{BETWEEN_WRITES, Worked},
};
use crate::{
    error_chain::error_chain,
    tenants::{
        course::{Facts, Note, Step, Way},
        record::{PendingRecord, Records, SecretKind},
        secret::{SealedSecret, UpstreamSecret, Vault},
        snapshot::Credential,
        store::{StoreError, pending::NewPending, rotations::RotationRefusal},
    },
};

/// What a client wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// How the key is made.
    pub way: Way,
    /// For which user, by its number.
    pub user: u64,
    /// What the client's token stands for.
    pub credential: Arc<Credential>,
    /// The public id of that token.
    pub token: String,
}

/// Where the key is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caught {
    /// A credential has it, in this generation.
    Credential(String, i64),
    /// It waits for an owner, under this number.
    Pending(i64),
}

/// Why there is none.
#[derive(Clone, Copy, Debug)]
pub enum Uncaught {
    /// The store cannot keep it.
    Away,
    /// Another key of the credential is being made.
    Busy,
    /// The panel refuses, or what it makes could not be kept.
    No(Note),
    /// The panel does not take the caller's credential.
    Refused,
    /// The panel could not be asked.
    Unreachable,
    /// The panel did not answer, and may have made a key.
    Silent,
}

impl Wish {
    /// What is written of a key for somebody who is behind no credential. No panel has so many users
    /// that a number of theirs would not fit.
    fn pending<'a>(&'a self, login: &'a str) -> NewPending<'a> {
        let user = i64::try_from(self.user).unwrap_or(i64::MAX);
        NewPending { upstream: &self.credential.upstream, user, login, token: &self.token }
    }
}

impl Rotor {
    /// Has the panel make a key, and keeps it.
    pub async fn catch(self: &Arc<Self>, wish: Wish) -> Result<Caught, Uncaught> {
        let panel = self.panels.get(&*wish.credential.upstream).ok_or(Uncaught::Unreachable)?;
        let who = &wish.credential.authorization;
        let own = match panel.profile(who).await {
            Ok(reply) if reply.status == StatusCode::UNAUTHORIZED => return Err(Uncaught::Refused),
            Ok(reply) if reply.is_good() => reply.shown_user(),
            Ok(_) | Err(_) => None,
        };
        let own = own.ok_or(Uncaught::Unreachable)?;
        if own.id == wish.user && wish.credential.kind() == SecretKind::Key {
            return self.rotate_for(&wish).await;
        }
        self.keep_for_somebody(&wish).await
    }

    async fn rotate_for(self: &Arc<Self>, wish: &Wish) -> Result<Caught, Uncaught> {
        let name = &wish.credential.name;
        let facts = Facts { keeps_old: true, ..Facts::default() };
        let (most, wished) = (self.config.max_kept, wish.clone());
        let planned = self.edit(move |edit, vault| {
            let Credential { name, upstream, .. } = &*wished.credential;
            edit.require_room(upstream, most)?;
            edit.plan_rotation(vault, name, wished.way, &facts)
        });
        let row = planned.await.map_err(|error| not_kept(&error))?;
        // What is not done by then is gone on with by the server, and not by this request; but not while a
        // key is on its way.
        let enough = CancellationToken::new();
        let mut work = pin!(self.see_through(&enough, row));
        let worked = match tokio::time::timeout(self.config.lease * 2, &mut work).await {
            Ok(worked) => worked,
            Err(_) => {
                enough.cancel();
                work.await
            }
        };
        worked.map_err(|error| {
            tracing::warn!(reason = error_chain(&error), "a rotation stands still");
            Uncaught::Silent
        })?;
        let rotation = self.look(row).await.ok().flatten().ok_or(Uncaught::Silent)?;
        match (rotation.course.step, rotation.course.note) {
            (Step::Done, _) => Ok(Caught::Credential(name.clone(), rotation.generation + 1)),
            (Step::Undone | Step::Lost, Some(Note::NoAnswer)) => Err(Uncaught::Unreachable),
            (Step::Undone | Step::Lost, Some(note)) => Err(Uncaught::No(note)),
            (_, _) => Err(Uncaught::Silent),
        }
    }

    /// Works on a rotation until it has ended, or waits for whoever does: it may have been seen before it
    /// could be begun.
    async fn see_through(
        self: &Arc<Self>,
        enough: &CancellationToken,
        row: i64,
    ) -> Result<(), StoreError> {
        loop {
            let wait = match self.work_until(enough, row, |_| ()).await? {
                Worked::Ended => return Ok(()),
                Worked::Later(due) => until(due),
                Worked::Elsewhere => LOOK,
            };
            if enough.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn keep_for_somebody(self: &Arc<Self>, wish: &Wish) -> Result<Caught, Uncaught> {
        let panel = self.panels.get(&*wish.credential.upstream).ok_or(Uncaught::Unreachable)?;
        let who = &wish.credential.authorization;
        let shown = match panel.user(wish.user, who).await {
            Ok(reply) if reply.is_refused() => return Err(Uncaught::No(Note::MintRefused)),
            Ok(reply) if reply.is_good() => reply.shown_user().filter(|u| u.id == wish.user),
            Ok(_) | Err(_) => None,
        };
        let shown = shown.ok_or(Uncaught::Unreachable)?;
        let login = shown.email.ok_or(Uncaught::No(Note::MintRefused))?;
        if wish.way == Way::Replace && self.has_key(wish, &login, shown.main).await? {
            return Err(Uncaught::No(Note::Shared));
        }
        let row = self.expect(wish, &login).await?;
        let asked = match wish.way {
            Way::Add => panel.add(wish.user, who).await,
            Way::Replace => panel.replace(wish.user, who).await,
        };
        let reply = match asked {
            Ok(reply) => reply,
            Err(Silence::NotAsked) => {
                self.unexpect(row).await;
                return Err(Uncaught::Unreachable);
            }
            Err(Silence::Unknown) => return Err(Uncaught::Silent),
        };
        if reply.is_refused() {
            self.unexpect(row).await;
            return Err(Uncaught::No(Note::MintRefused));
        }
        let key = reply.key().filter(|_| reply.is_good());
        let secret = key.and_then(|key| UpstreamSecret::new(SecretKind::Key, &login, &key).ok());
        self.keep_caught(row, wish, secret.ok_or(Uncaught::Silent)?).await?;
        Ok(Caught::Pending(row))
    }

    /// Whether a credential of ours has the key that would be replaced, or may have it.
    async fn has_key(
        self: &Arc<Self>,
        wish: &Wish,
        login: &str,
        main: Option<String>,
    ) -> Result<bool, Uncaught> {
        let (upstream, login) = (wish.credential.upstream.to_string(), login.to_owned());
        let asked = self.with_store(move |store, vault| {
            let doomed = Doomed { upstream: &upstream, login: &login, main: main.as_deref() };
            Ok(doomed.may_be_ours(&store.records()?, vault))
        });
        asked.await.map_err(|error| away(&error))
    }

    async fn expect(self: &Arc<Self>, wish: &Wish, login: &str) -> Result<i64, Uncaught> {
        let (wish, login, most) = (wish.clone(), login.to_owned(), self.config.max_kept);
        let written = self.edit(move |edit, vault| {
            edit.require_room(&wish.credential.upstream, most)?;
            edit.expect_key(vault, &wish.pending(&login))
        });
        written.await.map_err(|error| not_kept(&error))
    }

    async fn unexpect(self: &Arc<Self>, row: i64) {
        if let Err(error) = self.edit(move |edit, _| edit.unexpect_key(row)).await {
            tracing::warn!(reason = error_chain(&error), "a key that was not made stays expected");
        }
    }

    /// The key is nowhere else, so a store that is away for a moment is waited for.
    async fn keep_caught(
        self: &Arc<Self>,
        row: i64,
        wish: &Wish,
        secret: UpstreamSecret,
    ) -> Result<(), Uncaught> {
        let secret = Arc::new(secret);
        let begun = Instant::now();
        loop {
            let (secret, wish) = (Arc::clone(&secret), wish.clone());
            let kept = self.edit(move |edit, vault| {
                edit.keep_key(vault, row, &wish.pending(secret.pair().0), &secret)
            });
            match kept.await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() < self.config.store_patience => {
                    tracing::warn!(reason = error_chain(&error), "a new key is not kept yet");
                }
                Err(_) => break,
            }
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
        tracing::error!(pending = row, "a new key could not be kept, and is lost");
        // It was made: nobody may take it for something that never happened.
        Err(Uncaught::Silent)
    }
}

/// A key of the profile that would be replaced.
pub(super) struct Doomed<'a> {
    pub(super) upstream: &'a str,
    /// The login of its user.
    pub(super) login: &'a str,
    /// The key itself, if the panel shows it.
    pub(super) main: Option<&'a str>,
}

impl Doomed<'_> {
    /// Whether a credential has it, or what is pending or rotated. What cannot be opened may be it.
    pub(super) fn may_be_ours(&self, records: &Records, vault: &Vault<'_>) -> bool {
        let credentials = records.credentials.iter();
        let mut credentials =
            credentials.filter(|c| c.upstream == self.upstream && c.kind == SecretKind::Key);
        let mut pending = records.pending.iter().filter(|p| p.upstream == self.upstream);
        let mut rotated = records.rotations.iter().filter(|r| r.upstream == self.upstream);
        let is_it = |row, sealed: &SealedSecret| {
            !sealed.bytes.is_empty()
                && self.may_be(vault.open_sealed(row, self.upstream, SecretKind::Key, sealed))
        };
        credentials.any(|credential| self.may_be(vault.open(credential)))
            || pending.any(|p| is_it(PendingRecord::bound_to(p.row), &p.sealed))
            || rotated.any(|r| {
                // The old key of one that has ended is no credential's any more.
                let old = r.ended.is_none().then_some(&r.old);
                r.course.new.iter().chain(old).any(|sealed| is_it(r.credential, sealed))
            })
    }

    fn may_be<E>(&self, opened: Result<UpstreamSecret, E>) -> bool {
        opened.ok().is_none_or(|secret| {
            let (login, key) = secret.pair();
            self.main.map_or_else(|| login.eq_ignore_ascii_case(self.login), |main| main == key)
        })
    }
}

fn not_kept(error: &StoreError) -> Uncaught {
    match error {
        StoreError::Rotation(RotationRefusal::UnderWay(_)) => Uncaught::Busy,
        StoreError::Rotation(full @ RotationRefusal::Full { .. }) => {
            tracing::warn!(reason = error_chain(full), "no key is asked for");
            Uncaught::No(Note::TooManyKept)
        }
        error => away(error),
    }
}

fn away(error: &StoreError) -> Uncaught {
    tracing::warn!(reason = error_chain(error), "no key is asked for, because none could be kept");
    Uncaught::Away
}
