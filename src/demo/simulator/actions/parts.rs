//! Disks, addresses, backups and firewall rules: each change of one changes its machine too.

use super::super::app::{Call, Outcome};
use super::super::jobs::Effect;
use super::super::panel::{Kind, Record};
use super::super::rails::Value;
use super::super::reply::{Answer, Refusal};

pub(crate) fn index(call: &mut Call<'_>, kind: Kind) -> Outcome {
    let machine = call.machine()?;
    call.list(kind, call.panel.of_machine(kind, machine))
}

pub(crate) fn create_disk(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    let sent = call.params.under(Kind::Disk.model());
    let size = sent.integer("disk_size").filter(|size| *size > 0);
    let size = size.ok_or(Refusal::Invalid("disk_size", "must be greater than 0"))?;
    let owner = call.owner_of(machine);
    let id = call.panel.add_disk(owner, machine, size, sent.is_true("is_swap"));
    call.assign(Kind::Disk, id, &["label"], &["data_store_id"]);
    call.panel.queue(call.now, machine, "build_disk", Effect::DiskBuilt(id));
    call.panel.touch(Kind::Machine, machine);
    call.created(Kind::Disk, id, format!("/settings/disks/{id}"))
}

pub(crate) fn destroy_disk_of_machine(call: &mut Call<'_>) -> Outcome {
    let (machine, id) = call.part(Kind::Disk)?;
    remove_disk(call, machine, id)
}

pub(crate) fn destroy_disk(call: &mut Call<'_>) -> Outcome {
    let id = call.id(0);
    let machine = call.visible(Kind::Disk, id)?.machine.ok_or(Refusal::NotFound)?;
    remove_disk(call, machine, id)
}

pub(crate) fn addresses(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    let ids = call.panel.of_machine(Kind::Address, machine);
    call.list_of("ip_address_joins", ids, None, |c, id| {
        c.panel.get(Kind::Address, id).map(|record| c.panel.address_join(record))
    })
}

pub(crate) fn assign_address(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    let owner = call.owner_of(machine);
    let id = call.panel.add_address(owner, machine);
    call.panel.touch(Kind::Machine, machine);
    let record = call.panel.get(Kind::Address, id).ok_or(Refusal::NotFound)?;
    let location = format!("/virtual_machines/{machine}/ip_addresses/{id}");
    Ok(Answer::created(location, "ip_address_join", call.panel.address_join(record)))
}

pub(crate) fn release_address(call: &mut Call<'_>) -> Outcome {
    let (machine, id) = call.part(Kind::Address)?;
    call.panel.remove(Kind::Address, id);
    call.panel.touch(Kind::Machine, machine);
    Ok(Answer::no_content())
}

pub(crate) fn create_backup(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    let note = call.params.under(Kind::Backup.model()).text("note");
    let owner = call.owner_of(machine);
    let id = call.panel.add_backup(owner, machine, note);
    call.panel.queue(call.now, machine, "take_backup", Effect::BackupBuilt(id));
    call.created(Kind::Backup, id, format!("/backups/{id}"))
}

pub(crate) fn destroy_backup(call: &mut Call<'_>) -> Outcome {
    let id = call.id(0);
    let machine = call.visible(Kind::Backup, id)?.machine.ok_or(Refusal::NotFound)?;
    call.panel.remove(Kind::Backup, id);
    call.panel.queue(call.now, machine, "destroy_backup", Effect::Touched);
    Ok(Answer::no_content())
}

/// Makes a template of a backup. A read with an effect when it is asked for by GET.
pub(crate) fn convert_backup(call: &mut Call<'_>) -> Outcome {
    let backup = call.id(0);
    let owner = call.visible(Kind::Backup, backup)?.owner;
    let sent = call.params.under(Kind::Backup.model());
    let label = sent.text("label").unwrap_or_else(|| format!("Template of backup {backup}"));
    let model = call.panel.get(Kind::Template, 1).ok_or(Refusal::NotFound)?;
    let mut fields = model.fields.clone();
    let id = call.panel.next_id(Kind::Template);
    let now = Value::Time(call.panel.now());
    fields.set("id", id);
    fields.set("label", label);
    fields.set("file_name", format!("template-{id}.tgz"));
    fields.set("created_at", now.clone());
    fields.set("updated_at", now);
    fields.set("user_id", owner);
    call.panel.insert(Kind::Template, Record { fields, owner, machine: None });
    call.panel.touch(Kind::Backup, backup);
    call.show(Kind::Template, id)
}

pub(crate) fn rules(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    call.list(Kind::FirewallRule, rules_in_order(call, machine))
}

pub(crate) fn create_rule(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    let sent = call.params.under(Kind::FirewallRule.model());
    let text = |name: &str, default: &str| sent.text(name).unwrap_or_else(|| default.to_owned());
    let [address, command, port, protocol] = [
        text("address", "0.0.0.0/0"),
        text("command", "ACCEPT"),
        text("port", ""),
        text("protocol", "TCP"),
    ];
    if !matches!(command.as_str(), "ACCEPT" | "DROP") {
        return Err(Refusal::Invalid("command", "is not included in the list"));
    }
    let owner = call.owner_of(machine);
    let id = call.panel.add_firewall_rule(owner, machine, [&address, &command, &port, &protocol]);
    let location = format!("/virtual_machines/{machine}/firewall_rules/{id}");
    call.created(Kind::FirewallRule, id, location)
}

pub(crate) fn update_rule(call: &mut Call<'_>) -> Outcome {
    let (_, id) = call.part(Kind::FirewallRule)?;
    call.panel.touch(Kind::FirewallRule, id);
    call.refuse_blank(Kind::FirewallRule, &["command", "protocol"])?;
    call.assign(Kind::FirewallRule, id, &["address", "command", "port", "protocol"], &[]);
    Ok(Answer::no_content())
}

/// The rules behind it move up.
pub(crate) fn destroy_rule(call: &mut Call<'_>) -> Outcome {
    let (machine, id) = call.part(Kind::FirewallRule)?;
    call.panel.remove(Kind::FirewallRule, id);
    let order = rules_in_order(call, machine);
    renumber(call, &order);
    Ok(Answer::no_content())
}

/// A read with an effect: `?position=2` puts the rule there.
pub(crate) fn move_rule(call: &mut Call<'_>) -> Outcome {
    let (machine, id) = call.part(Kind::FirewallRule)?;
    let mut order = rules_in_order(call, machine);
    order.retain(|other| *other != id);
    let wanted = call.params.integer("position").unwrap_or(1).max(1);
    let place = usize::try_from(wanted - 1).unwrap_or(0).min(order.len());
    order.insert(place, id);
    renumber(call, &order);
    call.show(Kind::FirewallRule, id)
}

fn remove_disk(call: &mut Call<'_>, machine: u64, id: u64) -> Outcome {
    call.panel.remove(Kind::Disk, id);
    call.panel.queue(call.now, machine, "destroy_disk", Effect::Touched);
    call.panel.touch(Kind::Machine, machine);
    Ok(Answer::no_content())
}

fn rules_in_order(call: &Call<'_>, machine: u64) -> Vec<u64> {
    let mut ids = call.panel.of_machine(Kind::FirewallRule, machine);
    ids.sort_by_key(|id| position(call, *id));
    ids
}

fn position(call: &Call<'_>, id: u64) -> i64 {
    call.panel.get(Kind::FirewallRule, id).map_or(0, |rule| rule.fields.integer("position"))
}

fn renumber(call: &mut Call<'_>, order: &[u64]) {
    for (place, id) in (1_i64..).zip(order) {
        if position(call, *id) == place {
            continue;
        }
        if let Some(rule) = call.panel.get_mut(Kind::FirewallRule, *id) {
            rule.fields.set("position", place);
        }
        call.panel.touch(Kind::FirewallRule, *id);
    }
}
