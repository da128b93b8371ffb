//! Machines: created, changed, switched and removed; most of it is done later, by transactions.

use super::super::app::{Call, Outcome};
use super::super::jobs::Effect;
use super::super::panel::Kind;
use super::super::rails::{Object, Value};
use super::super::records::MachineSpec;
use super::super::reply::{Answer, Refusal};

const PARTS: [Kind; 5] =
    [Kind::Disk, Kind::Address, Kind::Interface, Kind::Backup, Kind::FirewallRule];

pub(crate) fn index(call: &mut Call<'_>) -> Outcome {
    call.list(Kind::Machine, call.visible_ids(Kind::Machine))
}

pub(crate) fn status(call: &mut Call<'_>) -> Outcome {
    let ids = call.visible_ids(Kind::Machine);
    call.list_of(Kind::Machine.root(), ids, None, |c, id| {
        c.panel.get(Kind::Machine, id).map(|machine| c.panel.status_item(machine))
    })
}

pub(crate) fn show(call: &mut Call<'_>) -> Outcome {
    let id = call.machine()?;
    call.show(Kind::Machine, id)
}

/// The machine is listed at once, locked until its disks are there and it has been built.
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let sent = call.params.under(Kind::Machine.model());
    let spec = spec(call)?;
    let asked_owner = sent.integer("user_id").and_then(|id| u64::try_from(id).ok());
    let owner = asked_owner.filter(|_| call.reader.admin).unwrap_or(call.reader.user);
    if call.panel.get(Kind::User, owner).is_none() {
        return Err(Refusal::Invalid("user", "can't be blank"));
    }
    let id = call.panel.add_machine(owner, spec);
    let sizes = [("primary_disk_size", 10, false), ("swap_disk_size", 0, true)];
    for (name, default, swap) in sizes {
        let size = sent.integer(name).unwrap_or(default);
        if size > 0 {
            let disk = call.panel.add_disk(owner, id, size, swap);
            call.panel.queue(call.now, id, "build_disk", Effect::DiskBuilt(disk));
        }
    }
    if sent.integer("required_ip_address_assignment") != Some(0) {
        call.panel.add_address(owner, id);
    }
    call.panel.queue(call.now, id, "build_virtual_machine", Effect::Built);
    if sent.integer("required_virtual_machine_startup") != Some(0) {
        call.panel.queue(call.now, id, "startup_virtual_machine", Effect::Booted(true));
    }
    let machine = call.panel.get(Kind::Machine, id).ok_or(Refusal::NotFound)?;
    let location = format!("/virtual_machines/{}", machine.fields.str("identifier"));
    call.created(Kind::Machine, id, location)
}

/// `updated_at` moves before the record is judged, and stays moved when it is refused.
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let id = call.machine()?;
    call.panel.touch(Kind::Machine, id);
    call.refuse_blank(Kind::Machine, &["label", "hostname"])?;
    let sent = call.params.under(Kind::Machine.model());
    for name in ["memory", "cpus"] {
        if sent.integer(name).is_some_and(|number| number <= 0) {
            return Err(Refusal::Invalid(name, "must be greater than 0"));
        }
    }
    call.assign(
        Kind::Machine,
        id,
        &["label", "hostname", "note"],
        &["memory", "cpus", "cpu_shares"],
    );
    if call.reader.admin {
        call.assign(Kind::Machine, id, &["admin_note"], &[]);
    }
    Ok(Answer::no_content())
}

/// The machine is gone at once; what is left of it is cleared away later.
pub(crate) fn destroy(call: &mut Call<'_>) -> Outcome {
    let id = call.machine()?;
    call.panel.queue(call.now, id, "destroy_virtual_machine", Effect::Gone);
    for kind in PARTS {
        for part in call.panel.of_machine(kind, id) {
            call.panel.remove(kind, part);
        }
    }
    call.panel.remove(Kind::Machine, id);
    Ok(Answer::no_content())
}

pub(crate) fn startup(call: &mut Call<'_>) -> Outcome {
    later(call, "startup_virtual_machine", |_| Effect::Booted(true))
}

pub(crate) fn shutdown(call: &mut Call<'_>) -> Outcome {
    later(call, "stop_virtual_machine", |_| Effect::Booted(false))
}

pub(crate) fn stop(call: &mut Call<'_>) -> Outcome {
    later(call, "stop_virtual_machine", |_| Effect::Booted(false))
}

pub(crate) fn reboot(call: &mut Call<'_>) -> Outcome {
    later(call, "reboot_virtual_machine", |_| Effect::Booted(true))
}

/// Suspends a machine, or takes the suspension back.
pub(crate) fn suspend(call: &mut Call<'_>) -> Outcome {
    later(call, "suspend_virtual_machine", |machine| {
        Effect::Suspended(!machine.is_true("suspended"))
    })
}

pub(crate) fn build(call: &mut Call<'_>) -> Outcome {
    later(call, "build_virtual_machine", |_| Effect::Built)
}

/// Unlike its siblings done at once: an operator unlocks a machine whose transaction is stuck.
pub(crate) fn unlock(call: &mut Call<'_>) -> Outcome {
    let id = call.machine()?;
    set(call, id, "locked", false.into());
    call.scheduled(Kind::Machine, id)
}

pub(crate) fn reset_password(call: &mut Call<'_>) -> Outcome {
    let id = call.machine()?;
    let password = call.panel.secrets.hex(12);
    set(call, id, "initial_root_password", password.into());
    call.show(Kind::Machine, id)
}

pub(crate) fn change_owner(call: &mut Call<'_>) -> Outcome {
    let id = call.machine()?;
    let sent = call.params.under(Kind::Machine.model());
    let owner = sent.integer("user_id").and_then(|id| u64::try_from(id).ok());
    let exists = |owner: &u64| call.panel.get(Kind::User, *owner).is_some();
    let owner = owner.filter(exists).ok_or(Refusal::Invalid("user", "can't be blank"))?;
    call.panel.give(id, owner);
    set(call, id, "user_id", owner.into());
    call.show(Kind::Machine, id)
}

pub(crate) fn console(call: &mut Call<'_>) -> Outcome {
    let id = call.machine()?;
    let now = Value::Time(call.panel.now());
    let session = Object::from([
        ("called_in_at", now.clone()),
        ("created_at", now.clone()),
        ("id", id.into()),
        ("port", (30_000 + id).into()),
        ("remote_key", call.panel.secrets.hex(32).into()),
        ("updated_at", now),
        ("virtual_machine_id", id.into()),
    ]);
    let name = "remote_access_session";
    Ok(Answer::ok(name, Value::Model(name, session)))
}

/// Queues the work: the machine is locked at once, and all else it shows changes at the end.
fn later(
    call: &mut Call<'_>,
    action: &'static str,
    effect: impl FnOnce(&Object) -> Effect,
) -> Outcome {
    let id = call.machine()?;
    let machine = call.panel.get(Kind::Machine, id).ok_or(Refusal::NotFound)?;
    let effect = effect(&machine.fields);
    call.panel.queue(call.now, id, action, effect);
    call.scheduled(Kind::Machine, id)
}

fn set(call: &mut Call<'_>, id: u64, name: &'static str, value: Value) {
    if let Some(machine) = call.panel.get_mut(Kind::Machine, id) {
        machine.fields.set(name, value);
    }
    call.panel.touch(Kind::Machine, id);
}

fn spec(call: &Call<'_>) -> Result<MachineSpec, Refusal> {
    let sent = call.params.under(Kind::Machine.model());
    let required = |name: &'static str| {
        let text = sent.text(name).filter(|text| !text.trim().is_empty());
        text.ok_or(Refusal::Invalid(name, "can't be blank"))
    };
    let positive = |name: &'static str, default: i64| {
        let number = sent.integer(name).unwrap_or(default);
        let message = "must be greater than 0";
        if number > 0 { Ok(number) } else { Err(Refusal::Invalid(name, message)) }
    };
    let template = sent.integer("template_id").and_then(|id| u64::try_from(id).ok()).unwrap_or(1);
    if call.panel.get(Kind::Template, template).is_none() {
        return Err(Refusal::Invalid("template", "can't be blank"));
    }
    Ok(MachineSpec {
        label: required("label")?,
        hostname: required("hostname")?,
        memory: positive("memory", 512)?,
        cpus: positive("cpus", 1)?,
        cpu_shares: positive("cpu_shares", 1)?,
        template,
        note: sent.text("note"),
        root_password: sent.text("initial_root_password").filter(|p| !p.is_empty()),
    })
}
