//! How a record shows to whoever reads it.

use super::panel::{Kind, Panel, Record};
use super::rails::{Object, Value};

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) user: u64,
    pub(crate) admin: bool,
}

/// What a machine shows in `/virtual_machines/status`.
const STATUS_FIELDS: [&str; 6] = ["booted", "built", "id", "identifier", "locked", "recovery_mode"];

impl Reader {
    /// Its own records, those that all share, and for an administrator the rest.
    pub(crate) fn sees(&self, record: &Record) -> bool {
        self.admin || record.owner.is_none_or(|owner| owner == self.user)
    }
}

impl Panel {
    /// The record as this reader sees it.
    pub(crate) fn view(&self, kind: Kind, record: &Record, reader: Reader) -> Object {
        match kind {
            Kind::Machine => self.machine_view(record, reader),
            Kind::User => self.user_view(record, reader),
            _ => record.fields.clone(),
        }
    }

    /// The record as an item of a list.
    pub(crate) fn item(&self, kind: Kind, record: &Record, reader: Reader) -> Value {
        Value::Model(kind.model(), self.view(kind, record, reader))
    }

    /// What an address looks like below its machine: wrapped in what joins it to an interface.
    pub(crate) fn address_join(&self, record: &Record) -> Value {
        let fields = &record.fields;
        let interfaces = record.machine.map(|m| self.of_machine(Kind::Interface, m));
        let interface = interfaces.and_then(|ids| ids.first().copied());
        let join = Object::from([
            ("created_at", fields.get("created_at").cloned().unwrap_or(Value::Null)),
            ("id", fields.integer("id").into()),
            ("ip_address_id", fields.integer("id").into()),
            ("network_interface_id", interface.into()),
            ("updated_at", fields.get("updated_at").cloned().unwrap_or(Value::Null)),
            ("ip_address", fields.clone().into()),
        ]);
        Value::Model("ip_address_join", join)
    }

    pub(crate) fn status_item(&self, record: &Record) -> Value {
        Value::Model(Kind::Machine.model(), record.fields.only(&STATUS_FIELDS))
    }

    fn machine_view(&self, record: &Record, reader: Reader) -> Object {
        let id = id_of(record);
        let mut shown = record.fields.clone();
        if !reader.admin {
            shown.remove("admin_note");
        }
        let disk = self.disk_size(id);
        let cents = shown.integer("cpus") * 125 + shown.integer("memory") / 8;
        shown.set("ip_addresses", self.parts(Kind::Address, id, reader));
        shown.set("monthly_bandwidth_used", 0_i64);
        shown.set("total_disk_size", disk);
        shown.set(
            "price_per_hour",
            Value::decimal(&format!("{}.{:04}", cents / 10_000, cents % 10_000)),
        );
        shown.set("price_per_hour_powered_off", precise(disk) / 1000.0);
        shown
    }

    fn user_view(&self, record: &Record, reader: Reader) -> Object {
        let id = id_of(record);
        let mut shown = record.fields.clone();
        shown.remove("role_ids");
        if (reader.admin || reader.user == id)
            && let Some(account) = self.account(id)
        {
            shown.set("api_key", account.api_key.as_str());
        }
        let machines = self.of_owner(Kind::Machine, id);
        let sum = |field: &str| -> i64 {
            let found = machines.iter().filter_map(|m| self.get(Kind::Machine, *m));
            found.map(|machine| machine.fields.integer(field)).sum()
        };
        let disk: i64 = machines.iter().map(|m| self.disk_size(*m)).sum();
        let addresses = self.of_owner(Kind::Address, id);
        let addresses = addresses.iter().filter_map(|a| self.get(Kind::Address, *a));
        let addresses: Vec<_> = addresses.map(|a| self.item(Kind::Address, a, reader)).collect();
        shown.set("additional_fields", Value::List(vec![]));
        shown.set("disk_space_available", 1e20 - precise(disk));
        shown.set("infoboxes", infoboxes());
        shown.set("memory_available", 1e20);
        shown.set("outstanding_amount", Value::decimal("109.50"));
        shown.set("payment_amount", 0.0);
        shown.set("roles", self.roles(record));
        shown.set("total_amount", Value::decimal("109.5"));
        shown.set("used_cpus", sum("cpus"));
        shown.set("used_cpu_shares", sum("cpu_shares"));
        shown.set("used_disk_size", disk);
        shown.set("used_ip_addresses", addresses);
        shown.set("used_memory", sum("memory"));
        shown
    }

    fn roles(&self, user: &Record) -> Vec<Value> {
        let Some(Value::List(ids)) = user.fields.get("role_ids") else { return Vec::new() };
        let ids = ids.iter().filter_map(Value::as_integer).filter_map(|id| u64::try_from(id).ok());
        let found = ids.filter_map(|id| self.get(Kind::Role, id));
        found.map(|role| Value::Model(Kind::Role.model(), role.fields.clone())).collect()
    }

    fn disk_size(&self, machine: u64) -> i64 {
        let disks = self.of_machine(Kind::Disk, machine).into_iter();
        let found = disks.filter_map(|id| self.get(Kind::Disk, id));
        found.map(|disk| disk.fields.integer("disk_size")).sum()
    }

    fn parts(&self, kind: Kind, machine: u64, reader: Reader) -> Vec<Value> {
        let ids = self.of_machine(kind, machine).into_iter();
        ids.filter_map(|id| self.get(kind, id)).map(|r| self.item(kind, r, reader)).collect()
    }
}

fn infoboxes() -> Object {
    Object::from([("display_infoboxes", true.into()), ("hidden_infoboxes", Value::List(vec![]))])
}

fn id_of(record: &Record) -> u64 {
    u64::try_from(record.fields.integer("id")).unwrap_or(0)
}

/// Exact for every size of a disk that a panel has.
fn precise(gigabytes: i64) -> f64 {
    f64::from(i32::try_from(gigabytes).unwrap_or(i32::MAX))
}
