//! New records, with the fields and the types that the panel gives them.

use super::panel::{Account, Kind, Panel, Record};
use super::rails::{Object, Value};

/// What a machine is made from.
#[derive(Clone, Debug)]
pub(crate) struct MachineSpec {
    pub(crate) label: String,
    pub(crate) hostname: String,
    pub(crate) memory: i64,
    pub(crate) cpus: i64,
    pub(crate) cpu_shares: i64,
    pub(crate) template: u64,
    pub(crate) note: Option<String>,
    pub(crate) root_password: Option<String>,
}

/// What a user is made from.
#[derive(Clone, Debug)]
pub(crate) struct UserSpec {
    pub(crate) login: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) admin: bool,
    pub(crate) time_zone: Option<&'static str>,
    pub(crate) zone_minutes: i32,
}

impl Panel {
    /// A user with a key of its own and the role that fits.
    pub(crate) fn add_user(&mut self, spec: UserSpec) -> u64 {
        let id = self.next_id(Kind::User);
        let now = Value::Time(self.now());
        let role_id = if spec.admin { 1_i64 } else { 2 };
        let fields = Object::from([
            ("activated_at", now.clone()),
            ("billing_plan_id", 1_i64.into()),
            ("created_at", now.clone()),
            ("deleted_at", Value::Null),
            ("email", spec.email.into()),
            ("first_name", spec.first_name.into()),
            ("group_id", Value::Null),
            ("id", id.into()),
            ("image_template_group_id", Value::Null),
            ("last_name", spec.last_name.into()),
            ("locale", "en".into()),
            ("login", spec.login.into()),
            ("password_changed_at", now.clone()),
            ("registered_yubikey", false.into()),
            ("status", "active".into()),
            ("suspend_at", Value::Null),
            ("system_theme", "light".into()),
            ("time_zone", spec.time_zone.into()),
            ("updated_at", now),
            ("use_gravatar", false.into()),
            ("user_group_id", Value::Null),
            ("role_ids", Value::List(vec![role_id.into()])),
        ]);
        self.insert(Kind::User, Record::owned(fields, id));
        let account = Account {
            admin: spec.admin,
            password: spec.password,
            api_key: self.secrets.hex(40),
            session: self.secrets.hex(32),
            suspended: false,
            zone_minutes: spec.zone_minutes,
        };
        self.add_account(id, account);
        id
    }

    /// A machine that is neither built nor booted, without disks and addresses.
    pub(crate) fn add_machine(&mut self, owner: u64, spec: MachineSpec) -> u64 {
        let id = self.next_id(Kind::Machine);
        let mut fields = self.machine_fields(id, owner, spec);
        self.set_template_fields(&mut fields);
        self.insert(Kind::Machine, Record { fields, owner: Some(owner), machine: None });
        self.add_interface(owner, id);
        id
    }

    pub(crate) fn add_disk(&mut self, owner: u64, machine: u64, size: i64, swap: bool) -> u64 {
        let id = self.next_id(Kind::Disk);
        let primary = !swap && self.of_machine(Kind::Disk, machine).is_empty();
        let now = Value::Time(self.now());
        let fields = Object::from([
            ("add_to_freebsd_fstab", Value::Null),
            ("add_to_linux_fstab", Value::Null),
            ("built", false.into()),
            ("burst_bw", 0_i64.into()),
            ("burst_iops", 0_i64.into()),
            ("created_at", now.clone()),
            ("data_store_id", 1_i64.into()),
            ("disk_size", size.into()),
            ("disk_vm_number", id.into()),
            ("file_system", (!swap).then_some("ext3").into()),
            ("id", id.into()),
            ("identifier", self.secrets.identifier().into()),
            ("iqn", Value::Null),
            ("is_swap", swap.into()),
            ("label", Value::Null),
            ("locked", false.into()),
            ("max_bw", Value::Null),
            ("min_iops", 400_i64.into()),
            ("mount_point", Value::Null),
            ("primary", primary.into()),
            ("updated_at", now),
            ("virtual_machine_id", machine.into()),
            ("volume_id", Value::Null),
            ("has_autobackups", false.into()),
        ]);
        self.insert(Kind::Disk, Record::part(fields, owner, machine))
    }

    pub(crate) fn add_address(&mut self, owner: u64, machine: u64) -> u64 {
        let id = self.next_id(Kind::Address);
        let now = Value::Time(self.now());
        // A private block: whoever runs the demo must not be sent to a stranger's machine.
        let address = format!("10.{}.{}.{}", id / 62_500 % 250, id / 250 % 250, id % 250 + 2);
        let fields = Object::from([
            ("address", address.into()),
            ("broadcast", "10.255.255.255".into()),
            ("created_at", now.clone()),
            ("customer_network_id", Value::Null),
            ("disallowed_primary", false.into()),
            ("gateway", "10.0.0.1".into()),
            ("hypervisor_id", Value::Null),
            ("id", id.into()),
            ("ip_range_id", 1_i64.into()),
            ("netmask", "255.0.0.0".into()),
            ("network_address", "10.0.0.0".into()),
            ("network_id", 1_i64.into()),
            ("pxe", false.into()),
            ("updated_at", now),
            ("user_id", Value::Null),
            ("free", false.into()),
        ]);
        self.insert(Kind::Address, Record::part(fields, owner, machine))
    }

    pub(crate) fn add_backup(&mut self, owner: u64, machine: u64, note: Option<String>) -> u64 {
        let id = self.next_id(Kind::Backup);
        let now = Value::Time(self.now());
        let disk = self.of_machine(Kind::Disk, machine).first().copied();
        let fields = Object::from([
            ("allow_resize_without_reboot", true.into()),
            ("backup_size", 524_288_i64.into()),
            ("backup_type", "normal".into()),
            ("built", false.into()),
            ("created_at", now.clone()),
            ("disk_id", disk.into()),
            ("id", id.into()),
            ("identifier", self.secrets.identifier().into()),
            ("initiated", "manual".into()),
            ("locked", false.into()),
            ("note", note.into()),
            ("operating_system", "linux".into()),
            ("target_id", machine.into()),
            ("target_type", "VirtualMachine".into()),
            ("updated_at", now),
            ("user_id", owner.into()),
        ]);
        self.insert(Kind::Backup, Record::part(fields, owner, machine))
    }

    pub(crate) fn add_firewall_rule(&mut self, owner: u64, machine: u64, rule: [&str; 4]) -> u64 {
        let [address, command, port, protocol] = rule;
        let id = self.next_id(Kind::FirewallRule);
        let now = Value::Time(self.now());
        let position = self.of_machine(Kind::FirewallRule, machine).len() + 1;
        let interface = self.of_machine(Kind::Interface, machine).first().copied();
        let fields = Object::from([
            ("address", address.into()),
            ("command", command.into()),
            ("created_at", now.clone()),
            ("id", id.into()),
            ("network_interface_id", interface.into()),
            ("port", port.into()),
            ("position", (position as u64).into()),
            ("protocol", protocol.into()),
            ("updated_at", now),
        ]);
        self.insert(Kind::FirewallRule, Record::part(fields, owner, machine))
    }

    pub(crate) fn add_ssh_key(&mut self, owner: u64, key: &str) -> u64 {
        let id = self.next_id(Kind::SshKey);
        let now = Value::Time(self.now());
        let fields = Object::from([
            ("created_at", now.clone()),
            ("id", id.into()),
            ("key", key.into()),
            ("updated_at", now),
            ("user_id", owner.into()),
        ]);
        self.insert(Kind::SshKey, Record::owned(fields, owner))
    }

    /// A further key of a user, beside the one that the profile shows.
    pub(crate) fn add_api_key(&mut self, owner: u64) -> u64 {
        let id = self.next_id(Kind::ApiKey);
        let now = Value::Time(self.now());
        let fields = Object::from([
            ("api_key", self.secrets.hex(40).into()),
            ("created_at", now.clone()),
            ("id", id.into()),
            ("updated_at", now),
            ("user_id", owner.into()),
        ]);
        self.insert(Kind::ApiKey, Record::owned(fields, owner))
    }

    fn add_interface(&mut self, owner: u64, machine: u64) {
        let id = self.next_id(Kind::Interface);
        let now = Value::Time(self.now());
        let mac = format!("00:16:3e:{:02x}:{:02x}:{:02x}", id >> 16 & 255, id >> 8 & 255, id & 255);
        let fields = Object::from([
            ("connected", true.into()),
            ("created_at", now.clone()),
            ("default_firewall_rule", "ACCEPT".into()),
            ("id", id.into()),
            ("identifier", self.secrets.identifier().into()),
            ("label", "eth0".into()),
            ("mac_address", mac.into()),
            ("network_join_id", 1_i64.into()),
            ("primary", true.into()),
            ("rate_limit", Value::Null),
            ("updated_at", now),
            ("usage", Value::Null),
            ("usage_last_reset_at", Value::Null),
            ("usage_month_rolled_at", Value::Null),
            ("virtual_machine_id", machine.into()),
        ]);
        self.insert(Kind::Interface, Record::part(fields, owner, machine));
    }

    fn machine_fields(&mut self, id: u64, owner: u64, spec: MachineSpec) -> Object {
        let now = Value::Time(self.now());
        let root_password = spec.root_password.unwrap_or_else(|| self.secrets.hex(12));
        Object::from([
            ("add_to_marketplace", Value::Null),
            ("admin_note", Value::Null),
            ("allow_resize_without_reboot", true.into()),
            ("allowed_hot_migrate", true.into()),
            ("allowed_swap", true.into()),
            ("booted", false.into()),
            ("built", false.into()),
            ("cpu_shares", spec.cpu_shares.into()),
            ("cpu_sockets", Value::Null),
            ("cpu_threads", Value::Null),
            ("cpu_units", 1000_i64.into()),
            ("cpus", spec.cpus.into()),
            ("created_at", now.clone()),
            ("customer_network_id", Value::Null),
            ("deleted_at", Value::Null),
            ("edge_server_type", false.into()),
            ("enable_autoscale", Value::Null),
            ("enable_monitis", false.into()),
            ("firewall_notrack", false.into()),
            ("hostname", spec.hostname.into()),
            ("hypervisor_id", (id % 2 + 1).into()),
            ("id", id.into()),
            ("identifier", self.secrets.identifier().into()),
            ("initial_root_password", root_password.into()),
            ("initial_root_password_encrypted", false.into()),
            ("label", spec.label.into()),
            ("local_remote_access_ip_address", "10.200.200.254".into()),
            ("local_remote_access_port", (5900 + id).into()),
            ("locked", false.into()),
            ("memory", spec.memory.into()),
            ("min_disk_size", 5_i64.into()),
            ("note", spec.note.into()),
            ("operating_system", Value::Null),
            ("operating_system_distro", Value::Null),
            ("preferred_hvs", Value::List(vec![])),
            ("recovery_mode", Value::Null),
            ("remote_access_password", self.secrets.hex(8).into()),
            ("service_password", Value::Null),
            ("state", "new".into()),
            ("storage_server_type", false.into()),
            ("strict_virtual_machine_id", Value::Null),
            ("support_incremental_backups", true.into()),
            ("suspended", false.into()),
            ("template_id", spec.template.into()),
            ("template_label", Value::Null),
            ("updated_at", now),
            ("user_id", owner.into()),
            ("vip", Value::Null),
            ("xen_id", Value::Null),
        ])
    }

    fn set_template_fields(&self, machine: &mut Object) {
        let id = u64::try_from(machine.integer("template_id")).unwrap_or(0);
        let Some(template) = self.get(Kind::Template, id) else { return };
        let copied = [
            ("operating_system", "operating_system"),
            ("operating_system_distro", "operating_system_distro"),
            ("template_label", "label"),
        ];
        for (field, source) in copied {
            machine.set(field, template.fields.get(source).cloned().unwrap_or(Value::Null));
        }
    }
}
