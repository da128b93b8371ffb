//! What the panel shows before anyone has changed it.

use super::Options;
use super::panel::{Kind, Panel, Record};
use super::rails::{Object, Value};
use super::records::{MachineSpec, UserSpec};

/// How long ago the seeded records were made, so that the first change moves every time.
const AGE: i64 = 30 * 86_400;

/// Login, last name, time zone and its minutes ahead of UTC.
const USERS: [(&str, &str, Option<&str>, i32); 3] = [
    ("alice", "Archer", None, 0),
    ("bob", "Baker", None, 0),
    ("carol", "Cooper", Some("Pretoria"), 120),
];

const TEMPLATES: [(&str, &str, &str, &str); 4] = [
    ("CentOS 6.8 x64", "linux", "rhel", "1.1"),
    ("Debian 8.0 x64", "linux", "ubuntu", "1.10"),
    ("Ubuntu 16.04 x64", "linux", "ubuntu", "2.0"),
    ("Windows 2012 Standard R2 <x64> & SQL", "windows", "2012", "3.7"),
];

const SUBJECTS: [&str; 20] = [
    "virtual_machines",
    "disks",
    "ip_addresses",
    "networks",
    "backups",
    "templates",
    "users",
    "roles",
    "hypervisors",
    "data_stores",
    "firewall_rules",
    "dns_zones",
    "transactions",
    "log_items",
    "payments",
    "resource_limits",
    "recipes",
    "edge_groups",
    "settings",
    "statistics",
];

const VERBS: [&str; 8] =
    ["create", "create.own", "read", "read.own", "update", "update.own", "delete", "delete.own"];

/// Fills an empty panel.
pub(crate) fn fill(panel: &mut Panel, options: &Options) {
    panel.rewind(AGE);
    let made = panel.now();
    add_settings(panel, made);
    add_roles(panel, made);
    for n in 0..options.users {
        let owner = panel.add_user(user(n));
        let machines = options.machines.unwrap_or(2 + n % 3);
        for nth in 1..=machines {
            add_machine(panel, owner, nth);
        }
        panel.add_ssh_key(owner, "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 demo@laptop");
    }
    panel.add_user(admin());
}

fn user(n: usize) -> UserSpec {
    let plain = format!("user{}", n + 1);
    let known = USERS.get(n).copied();
    let (login, last_name, time_zone, zone_minutes) =
        known.unwrap_or((plain.as_str(), "Miller", None, 0));
    UserSpec {
        login: login.to_owned(),
        email: format!("{login}@example.com"),
        password: format!("{login}-password"),
        first_name: login[..1].to_uppercase() + &login[1..],
        last_name: last_name.to_owned(),
        admin: false,
        time_zone,
        zone_minutes,
    }
}

fn admin() -> UserSpec {
    UserSpec {
        login: "admin".to_owned(),
        email: "admin@example.com".to_owned(),
        password: "admin-password".to_owned(),
        first_name: "Ada".to_owned(),
        last_name: "Min".to_owned(),
        admin: true,
        time_zone: None,
        zone_minutes: 0,
    }
}

/// A machine that is built and not locked; every second one of a user is not booted.
fn add_machine(panel: &mut Panel, owner: u64, nth: usize) {
    let template = (nth as u64 - 1) % TEMPLATES.len() as u64 + 1;
    let spec = MachineSpec {
        label: format!("web{nth}.user{owner}"),
        hostname: format!("web{nth}-user{owner}"),
        memory: 512 << (nth % 4),
        cpus: 1 + i64::try_from(nth % 4).unwrap_or(0),
        cpu_shares: 50,
        template,
        note: (nth == 1).then(|| "Päckchen & <front>".to_owned()),
        root_password: None,
    };
    let machine = panel.add_machine(owner, spec);
    let disks =
        [(10, false), (1, true)].map(|(size, swap)| panel.add_disk(owner, machine, size, swap));
    for disk in disks {
        if let Some(disk) = panel.get_mut(Kind::Disk, disk) {
            disk.fields.set("built", true);
        }
    }
    panel.add_address(owner, machine);
    panel.add_firewall_rule(owner, machine, ["0.0.0.0/0", "ACCEPT", "22", "TCP"]);
    let backup = panel.add_backup(owner, machine, None);
    if let Some(backup) = panel.get_mut(Kind::Backup, backup) {
        backup.fields.set("built", true);
    }
    if let Some(record) = panel.get_mut(Kind::Machine, machine) {
        record.fields.set("built", true);
        record.fields.set("booted", nth % 2 == 1);
        record.fields.set("state", "delivered");
    }
}

fn add_settings(panel: &mut Panel, made: i64) {
    for (label, system, distro, version) in TEMPLATES {
        let id = panel.next_id(Kind::Template);
        let mut fields = template(id, label, system, distro, version);
        fields.set("created_at", Value::Time(made));
        fields.set("updated_at", Value::Time(made));
        panel.insert(Kind::Template, Record::shared(fields));
    }
    for label in ["Public network", "Backup network"] {
        let id = panel.next_id(Kind::Network);
        let fields = [("network_group_id", 1_i64.into()), ("vlan", Value::Null)];
        add_labelled(panel, Kind::Network, id, label, made, fields);
    }
    for label in ["hv1", "hv2"] {
        let id = panel.next_id(Kind::Hypervisor);
        let fields = [
            ("called_in_at", Value::Time(made)),
            ("cpu_idle", 791_i64.into()),
            ("cpu_mhz", 2593.748.into()),
            ("enabled", true.into()),
            ("free_memory", 30_090_i64.into()),
            ("hypervisor_group_id", 1_i64.into()),
            ("hypervisor_type", "kvm".into()),
            ("ip_address", format!("10.200.0.{id}").into()),
            ("locked", false.into()),
            ("online", true.into()),
            ("spare", false.into()),
            ("total_mem", 32_768_i64.into()),
        ];
        add_labelled(panel, Kind::Hypervisor, id, label, made, fields);
    }
    let id = panel.next_id(Kind::HypervisorZone);
    let fields = [("location_group_id", Value::Null), ("release_resource_type", "memory".into())];
    add_labelled(panel, Kind::HypervisorZone, id, "Zone 1", made, fields);
    let id = panel.next_id(Kind::DataStore);
    let fields = [
        ("data_store_size", 1024_i64.into()),
        ("enabled", true.into()),
        ("usage", Value::decimal("52.0")),
        ("zombie_disks_size", 1e20.into()),
    ];
    add_labelled(panel, Kind::DataStore, id, "Local storage", made, fields);
}

fn add_labelled<const N: usize>(
    panel: &mut Panel,
    kind: Kind,
    id: u64,
    label: &str,
    made: i64,
    further: [(&'static str, Value); N],
) {
    let mut fields = Object::from([
        ("created_at", Value::Time(made)),
        ("id", id.into()),
        ("identifier", panel.secrets.identifier().into()),
        ("label", label.into()),
        ("updated_at", Value::Time(made)),
    ]);
    for (name, value) in further {
        fields.set(name, value);
    }
    panel.insert(kind, Record::shared(fields));
}

fn template(id: u64, label: &str, system: &str, distro: &str, version: &str) -> Object {
    Object::from([
        ("allow_resize_without_reboot", (system == "linux").into()),
        ("allowed_hot_migrate", true.into()),
        ("allowed_swap", (system == "linux").into()),
        ("backup_server_id", Value::Null),
        ("cdn", false.into()),
        ("checksum", "5e3eb89f2a1d0c4b7f6e9d8c3b2a1f00".into()),
        ("created_at", Value::Null),
        ("file_name", format!("template-{id}.tgz").into()),
        ("id", id.into()),
        ("label", label.into()),
        ("min_disk_size", 5_i64.into()),
        ("min_memory_size", 128_i64.into()),
        ("operating_system", system.into()),
        ("operating_system_arch", "x64".into()),
        ("operating_system_distro", distro.into()),
        ("operating_system_edition", "".into()),
        ("operating_system_tail", Value::Null),
        ("parent_template_id", Value::Null),
        ("state", "active".into()),
        ("template_size", 471_560_i64.into()),
        ("updated_at", Value::Null),
        ("user_id", Value::Null),
        ("version", version.into()),
        ("virtualization", Value::List(vec!["xen".into(), "kvm".into()])),
    ])
}

fn add_roles(panel: &mut Panel, made: i64) {
    for (label, identifier, own_only) in
        [("Administrator", "admin", false), ("User", "user", true), ("Clear <role>", "clear", true)]
    {
        let id = panel.next_id(Kind::Role);
        let granted = VERBS.iter().filter(|verb| !own_only || verb.ends_with(".own"));
        let pairs = granted.flat_map(|verb| SUBJECTS.iter().map(move |subject| (subject, verb)));
        let permissions = pairs.enumerate().map(|(n, (subject, verb))| {
            let fields = Object::from([
                ("created_at", Value::Time(made)),
                ("id", (n as u64 + 1).into()),
                ("identifier", format!("{subject}.{verb}").into()),
                (
                    "label",
                    format!("{} {}", verb.replace('.', " "), subject.replace('_', " ")).into(),
                ),
                ("updated_at", Value::Time(made)),
            ]);
            Value::Model("permission", fields)
        });
        let fields = Object::from([
            ("created_at", Value::Time(made)),
            ("id", id.into()),
            ("identifier", identifier.into()),
            ("label", label.into()),
            ("permissions", permissions.collect::<Vec<_>>().into()),
            ("system", true.into()),
            ("updated_at", Value::Time(made)),
            ("users_count", 0_i64.into()),
        ]);
        panel.insert(Kind::Role, Record::shared(fields));
    }
}
