//! Which action a method and a path reach. The first row that matches wins.

use super::actions::{catalog, machines, parts, transactions, users};
use super::app::{Call, Outcome};
use super::panel::Kind;

/// A row of the panel's routes.
pub(crate) struct Route {
    method: &'static str,
    /// Segments; one that begins with `:` matches any.
    pattern: &'static str,
    pub(crate) admin_only: bool,
    pub(crate) action: fn(&mut Call<'_>) -> Outcome,
}

/// The row for a request and what stands where its pattern has names.
pub(crate) fn find(method: &str, segments: &[String]) -> Option<(&'static Route, Vec<String>)> {
    ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| Some((route, captures(route.pattern, segments)?)))
}

fn captures(pattern: &str, segments: &[String]) -> Option<Vec<String>> {
    if pattern.split('/').count() != segments.len() {
        return None;
    }
    let mut found = Vec::new();
    for (wanted, segment) in pattern.split('/').zip(segments) {
        if wanted.starts_with(':') {
            found.push(segment.clone());
        } else if wanted != segment {
            return None;
        }
    }
    Some(found)
}

const fn row(
    method: &'static str,
    pattern: &'static str,
    action: fn(&mut Call<'_>) -> Outcome,
) -> Route {
    Route { method, pattern, admin_only: false, action }
}

const fn admin(
    method: &'static str,
    pattern: &'static str,
    action: fn(&mut Call<'_>) -> Outcome,
) -> Route {
    Route { method, pattern, admin_only: true, action }
}

const ROUTES: &[Route] = &[
    row("GET", "version", catalog::version),
    row("GET", "profile", users::profile),
    // Machines.
    row("GET", "virtual_machines", machines::index),
    row("GET", "virtual_machines/status", machines::status),
    row("GET", "virtual_machines/:id", machines::show),
    row("POST", "virtual_machines", machines::create),
    row("PUT", "virtual_machines/:id", machines::update),
    row("DELETE", "virtual_machines/:id", machines::destroy),
    row("POST", "virtual_machines/:id/startup", machines::startup),
    row("POST", "virtual_machines/:id/shutdown", machines::shutdown),
    row("POST", "virtual_machines/:id/stop", machines::stop),
    row("POST", "virtual_machines/:id/reboot", machines::reboot),
    row("POST", "virtual_machines/:id/suspend", machines::suspend),
    row("POST", "virtual_machines/:id/unlock", machines::unlock),
    row("POST", "virtual_machines/:id/build", machines::build),
    row("POST", "virtual_machines/:id/reset_password", machines::reset_password),
    admin("POST", "virtual_machines/:id/change_owner", machines::change_owner),
    // A read with an effect: each one makes a new key to the console.
    row("GET", "virtual_machines/:id/console", machines::console),
    // Parts of machines.
    row("GET", "virtual_machines/:id/disks", |c| parts::index(c, Kind::Disk)),
    row("POST", "virtual_machines/:id/disks", parts::create_disk),
    row("DELETE", "virtual_machines/:id/disks/:disk_id", parts::destroy_disk_of_machine),
    row("GET", "virtual_machines/:id/ip_addresses", parts::addresses),
    row("POST", "virtual_machines/:id/ip_addresses", parts::assign_address),
    row("DELETE", "virtual_machines/:id/ip_addresses/:ip_id", parts::release_address),
    row("GET", "virtual_machines/:id/network_interfaces", |c| parts::index(c, Kind::Interface)),
    row("GET", "virtual_machines/:id/backups", |c| parts::index(c, Kind::Backup)),
    row("POST", "virtual_machines/:id/backups", parts::create_backup),
    row("GET", "virtual_machines/:id/firewall_rules", parts::rules),
    row("POST", "virtual_machines/:id/firewall_rules", parts::create_rule),
    row("PUT", "virtual_machines/:id/firewall_rules/:rule_id", parts::update_rule),
    row("DELETE", "virtual_machines/:id/firewall_rules/:rule_id", parts::destroy_rule),
    row("GET", "virtual_machines/:id/firewall_rules/:rule_id/move", parts::move_rule),
    row("GET", "virtual_machines/:id/transactions", transactions::of_machine),
    row("GET", "virtual_machines/:id/logs", transactions::logs_of_machine),
    row("GET", "settings/disks", |c| catalog::index(c, Kind::Disk)),
    row("GET", "settings/disks/:id", |c| catalog::show(c, Kind::Disk)),
    row("DELETE", "settings/disks/:id", parts::destroy_disk),
    row("GET", "backups/:id", |c| catalog::show(c, Kind::Backup)),
    row("GET", "backups/:id/convert", parts::convert_backup),
    row("POST", "backups/:id/convert", parts::convert_backup),
    row("DELETE", "backups/:id", parts::destroy_backup),
    // Users.
    row("GET", "users", users::index),
    admin("POST", "users", users::create),
    row("GET", "users/:id", users::show),
    row("PUT", "users/:id", users::update),
    admin("DELETE", "users/:id", users::destroy),
    admin("GET", "users/:id/suspend", users::suspend),
    admin("GET", "users/:id/activate_user", users::activate),
    row("GET", "users/:id/virtual_machines", users::machines),
    row("GET", "users/:id/payments", users::payments),
    row("POST", "users/:id/make_new_api_key", users::make_new_api_key),
    row("GET", "users/:id/user_api_keys", users::api_keys),
    row("POST", "users/:id/user_api_keys/generate", users::generate_api_key),
    row("DELETE", "users/:id/user_api_keys/:key_id", users::destroy_api_key),
    row("GET", "users/:id/ssh_keys", users::ssh_keys),
    row("POST", "users/:id/ssh_keys", users::create_ssh_key),
    row("GET", "users/:id/ssh_keys/:key_id", users::ssh_key),
    row("GET", "settings/ssh_keys", |c| catalog::index(c, Kind::SshKey)),
    row("GET", "settings/ssh_keys/:id", |c| catalog::show(c, Kind::SshKey)),
    row("DELETE", "settings/ssh_keys/:id", users::destroy_ssh_key),
    // Transactions.
    row("GET", "transactions", transactions::index),
    row("GET", "transactions/:id", transactions::show),
    row("GET", "logs", transactions::logs),
    // What administrators set up.
    row("GET", "templates", |c| catalog::index(c, Kind::Template)),
    row("GET", "templates/:id", |c| catalog::show(c, Kind::Template)),
    admin("PUT", "templates/:id", |c| catalog::update(c, Kind::Template)),
    row("GET", "roles", |c| catalog::index(c, Kind::Role)),
    row("GET", "roles/:id", |c| catalog::show(c, Kind::Role)),
    admin("PUT", "roles/:id", |c| catalog::update(c, Kind::Role)),
    row("GET", "settings/networks", |c| catalog::index(c, Kind::Network)),
    row("GET", "settings/networks/:id", |c| catalog::show(c, Kind::Network)),
    admin("PUT", "settings/networks/:id", |c| catalog::update(c, Kind::Network)),
    admin("GET", "settings/hypervisors", |c| catalog::index(c, Kind::Hypervisor)),
    admin("GET", "settings/hypervisors/:id", |c| catalog::show(c, Kind::Hypervisor)),
    admin("PUT", "settings/hypervisors/:id", |c| catalog::update(c, Kind::Hypervisor)),
    admin("GET", "settings/hypervisors/:id/rebooting", catalog::reboot_hypervisor),
    row("GET", "hypervisor_zones", |c| catalog::index(c, Kind::HypervisorZone)),
    row("GET", "settings/hypervisor_zones", |c| catalog::index(c, Kind::HypervisorZone)),
    row("GET", "settings/hypervisor_zones/:id", |c| catalog::show(c, Kind::HypervisorZone)),
    admin("PUT", "settings/hypervisor_zones/:id", |c| catalog::update(c, Kind::HypervisorZone)),
    row("GET", "settings/data_stores", |c| catalog::index(c, Kind::DataStore)),
    row("GET", "settings/data_stores/:id", |c| catalog::show(c, Kind::DataStore)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_word_is_no_id() {
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (route, ids) = find("GET", &path("virtual_machines/status")).expect("a route");
        assert_eq!((route.pattern, ids.len()), ("virtual_machines/status", 0));
        let (_, ids) = find("DELETE", &path("virtual_machines/1/disks/7")).expect("a route");
        assert_eq!(ids, ["1", "7"]);
        assert!(find("PUT", &path("version")).is_none());
    }
}
