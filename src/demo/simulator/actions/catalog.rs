//! Resources that are only listed, shown and renamed.

use super::super::app::{Call, Outcome};
use super::super::panel::Kind;
use super::super::rails::Object;
use super::super::reply::Answer;

pub(crate) fn version(_: &mut Call<'_>) -> Outcome {
    Ok(Answer::ok("hash", Object::from([("version", "3.0.12".into())]).into()))
}

pub(crate) fn index(call: &mut Call<'_>, kind: Kind) -> Outcome {
    call.list(kind, call.visible_ids(kind))
}

pub(crate) fn show(call: &mut Call<'_>, kind: Kind) -> Outcome {
    let id = call.id(0);
    call.visible(kind, id)?;
    call.show(kind, id)
}

/// Renames it, for everyone who sees it.
pub(crate) fn update(call: &mut Call<'_>, kind: Kind) -> Outcome {
    let id = call.id(0);
    call.visible(kind, id)?;
    call.panel.touch(kind, id);
    call.refuse_blank(kind, &["label"])?;
    call.assign(kind, id, &["label"], &[]);
    Ok(Answer::no_content())
}

/// A read with an effect.
pub(crate) fn reboot_hypervisor(call: &mut Call<'_>) -> Outcome {
    let id = call.id(0);
    call.visible(Kind::Hypervisor, id)?;
    if let Some(hypervisor) = call.panel.get_mut(Kind::Hypervisor, id) {
        hypervisor.fields.set("online", false);
    }
    call.panel.touch(Kind::Hypervisor, id);
    call.show(Kind::Hypervisor, id)
}
