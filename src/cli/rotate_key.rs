//! `tollgate credential rotate-key`: has the panel make a new key for a credential, and removes the old.
//!
//! The running server is asked to, works on it by itself, and tells how far it is; the command waits for
//! it, but not for ever. With `--offline` the command does the work, whether a server runs or not, and a
//! running server sees each step in the store. If the command is ended, a server goes on with what it
//! left; so does the same command.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    failure::Failure,
    output::Output,
    remote::{Call, Remote, path, pause},
    serve::runtime,
    token::duration,
};
use crate::{
    audit::event::Actor,
    auth::keyring::Keyring,
    clock::unix,
    config::Config,
    metrics::Metrics,
    net::upstream::Upstream,
    operations::{
        Page, every,
        keys::{KeyRotation, NewKeyRotation},
    },
    rotation::{Panel, Parts, Rotor, Worked, now_in_millis},
    serve::StartError,
    tenants::{
        course::{Facts, Note, Step, Way},
        record::{RotationRecord, member},
        store::{Store, StoreError, rotations::RotationRefusal},
    },
    vocabulary::Closed as _,
};

/// Which key to rotate, and how.
#[derive(Debug, Args)]
pub struct RotateKey {
    /// The credential
    pub name: String,
    /// Replace the key of the profile, where the panel adds none; requests wait meanwhile
    #[arg(long)]
    pub replace: bool,
    /// Replace it although nobody else could read the new key if the panel's answer were lost
    #[arg(long, requires = "replace")]
    pub unrecoverable: bool,
    /// Wait so long for the server to end it, which goes on afterwards, too, and end with 75 then; with
    /// --offline the command does it, however long that takes
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub wait: Duration,
}

#[derive(Serialize)]
struct Rotated<'a> {
    credential: &'a str,
    generation: i64,
    note: Option<&'static str>,
}

/// How often it is looked whether somebody else has gone on.
const LOOK: Duration = Duration::from_millis(250);

/// More steps than a rotation takes between two looks.
const STEPS: usize = 64;

const PATH: &str = "/v1/key-rotations";

/// Has a server do it, and tells people the steps that it is seen at.
pub fn ask(server: &Remote, args: &RotateKey, output: &mut Output<'_>) -> Result<(), Failure> {
    let RotateKey { name, replace, unrecoverable, wait } = args;
    let part = |page: &Page| server.ask(Call::get(format!("{PATH}?{}", page.query())));
    let begun: Vec<KeyRotation> = every::<_, Failure>(part)?;
    let open = begun.into_iter().find(|one| one.credential == *name && one.ended.is_none());
    let mut rotation = match open {
        Some(open) => open,
        None => {
            let (replace, unrecoverable) = (*replace, *unrecoverable);
            let new = NewKeyRotation { credential: name.clone(), replace, unrecoverable };
            server.ask_once(Call::post(PATH, &new))?
        }
    };
    let KeyRotation { id, step, .. } = &rotation;
    output.aside(&format!("rotation {id} of the key of credential {name}: {step}"));
    let (since, mut told) = (Instant::now(), Step::Planned.as_str().to_owned());
    let mut unseen = None;
    loop {
        if rotation.step != told {
            output.progress(&format!("{name}: {}", rotation.step))?;
            told.clone_from(&rotation.step);
        }
        if rotation.ended.is_some() {
            break;
        }
        if since.elapsed() >= *wait {
            let (id, step) = (rotation.id, rotation.step);
            return Err(Failure::UnderWay { name: name.clone(), id, step, waited: *wait, unseen });
        }
        pause(LOOK)?;
        match server.ask(Call::get(path(&[PATH, &rotation.id.to_string()]))) {
            Ok(seen) => (rotation, unseen) = (seen, None),
            // It goes on, whether it is seen or not: a server may be started anew meanwhile.
            Err(failure) if is_for_now(&failure) => unseen = Some(Box::new(failure)),
            Err(failure) => return Err(failure),
        }
    }
    let note = rotation.note.as_deref().and_then(member);
    let kept = rotation.new_kept.then_some(rotation.id);
    report(name, End { step: member(&rotation.step), note, kept }, rotation.generation, output)
}

/// Whether the next look may see more.
fn is_for_now(failure: &Failure) -> bool {
    matches!(failure, Failure::Unasked { .. } | Failure::NotNow { .. } | Failure::Unsettled { .. })
}

/// Does it, and tells each step to people.
pub fn run(
    config: &Config,
    master: Keyring,
    actor: Actor,
    args: &RotateKey,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let name = &args.name;
    let ended = runtime(1)?.block_on(async {
        let rotor = rotor(config, master, actor)?;
        let row = begin(&rotor, args).await?;
        let (tell, mut told) = mpsc::channel(STEPS);
        let working = async {
            // Moved in, so that the listener hears of the end.
            let tell = tell;
            work(&rotor, row, &tell).await.map_err(Failure::from)
        };
        let listening = async {
            while let Some(step) = told.recv().await {
                output.progress(&format!("{name}: {}", Step::as_str(step)))?;
            }
            Ok(())
        };
        let (ended, ()) = tokio::try_join!(working, listening)?;
        Ok::<_, Failure>(ended)
    })?;
    let kept = ended.ended.is_some() && ended.course.new.is_some();
    let step = Some(ended.course.step);
    let end = End { step, note: ended.course.note, kept: kept.then_some(ended.row) };
    report(name, end, ended.now_generation, output)
}

/// How a rotation has come out.
struct End {
    step: Option<Step>,
    note: Option<Note>,
    /// The number of a rotation that keeps a key which no credential has.
    kept: Option<i64>,
}

fn report(
    name: &str,
    End { step, note, kept }: End,
    generation: i64,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if step != Some(Step::Done) {
        let mut why = note.map_or("it has not ended", Note::meaning).to_owned();
        if let Some(row) = kept {
            why = format!(
                "{why}\nThe key that the panel made is kept: `tollgate credential rotations --use \
                 {row}` gives it to the credential, --forget {row} forgets it"
            );
        }
        return Err(Failure::NotRotated { name: name.to_owned(), why });
    }
    let mut text = format!("credential {name} has a new key, generation {generation}");
    if let Some(note) = note {
        text = format!("{text}; {}", note.meaning());
    }
    let rotated = Rotated { credential: name, generation, note: note.map(Note::as_str) };
    output.one(&rotated, &text)
}

fn rotor(config: &Config, master: Keyring, actor: Actor) -> Result<Arc<Rotor>, Failure> {
    let keyring = Store::open(&config.tenants)?.unlock(master, unix(SystemTime::now()))?;
    let metrics = Arc::new(Metrics::new());
    let mut panels = HashMap::new();
    for (name, upstream) in &config.upstreams {
        let settings = upstream.config.clone();
        let pool = Upstream::new(upstream.origin.clone(), settings, Arc::clone(&metrics))
            .map_err(|source| StartError::Upstream { name: name.clone(), source })?;
        let only_format = upstream.config.only_format;
        panels.insert(name.clone(), Panel { pool, only_format });
    }
    let parts = Parts {
        config: config.rotation.clone(),
        store: config.tenants.clone(),
        keyring: Arc::new(keyring),
        actor,
        panels,
        metrics,
    };
    Ok(Arc::new(Rotor::new(parts)?))
}

/// Plans a rotation, or finds the one that is under way.
async fn begin(rotor: &Arc<Rotor>, args: &RotateKey) -> Result<i64, Failure> {
    let way = if args.replace { Way::Replace } else { Way::Add };
    let facts = Facts { unrecoverable: args.unrecoverable, ..Facts::default() };
    match rotor.plan(&args.name, way, facts).await {
        Err(StoreError::Rotation(RotationRefusal::UnderWay(name))) => {
            let open = rotor.open(&name).await?;
            let ended = || StoreError::Rotation(RotationRefusal::UnderWay(name.clone()));
            Ok(open.ok_or_else(ended)?)
        }
        planned => Ok(planned?),
    }
}

async fn work(
    rotor: &Arc<Rotor>,
    row: i64,
    tell: &mpsc::Sender<Step>,
) -> Result<RotationRecord, StoreError> {
    loop {
        // Who does not listen does not want to know.
        let worked = rotor.work(row, |step| _ = tell.try_send(step)).await?;
        let wait = match worked {
            Worked::Ended => break,
            Worked::Elsewhere => LOOK,
            Worked::Later(due) => {
                let wait = due.saturating_sub(now_in_millis());
                Duration::from_millis(u64::try_from(wait).unwrap_or(0))
            }
        };
        tokio::time::sleep(wait).await;
    }
    let gone = || StoreError::Rotation(RotationRefusal::LeaseLost);
    rotor.look(row).await?.ok_or_else(gone)
}
