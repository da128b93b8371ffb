//! What the table says of the upstream's own routes, and of an operator's.

use http::{HeaderMap, Version, header::HOST};

use super::*;

fn target(text: &str) -> Target {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, "a".parse().expect("a header value"));
    let uri = text.parse().expect("a target");
    Target::canonicalize(uri, &headers, Version::HTTP_11, 1000).expect("a target")
}

fn table() -> RouteTable {
    RouteTable::new(&[]).expect("the table itself")
}

#[test]
fn reads_are_found_with_and_without_their_suffix() {
    let table = table();
    let template = |t: &str| table.read(&target(t)).map(|l| &*table.route(l.id).template);
    assert_eq!(template("/virtual_machines.json"), Some("/virtual_machines"));
    assert_eq!(template("/virtual_machines/7.xml"), Some("/virtual_machines/:id"));
    let page = "/transactions/page/:page<number>";
    assert_eq!(template("/transactions.json/page/2"), Some(page));
    assert_eq!(template("/transactions/page/2"), Some(page));
    assert_eq!(template("/virtual_machines/7/console"), None);
    assert_eq!(template("/nothing"), None);
    assert!(table.read(&target("/virtual_machines/1abc.json")).expect("listed").odd);
}

#[test]
fn a_guard_does_not_depend_on_the_suffix_or_the_id() {
    let table = table();
    for path in [
        "/users/1/make_new_api_key.json",
        "/users/1abc/make_new_api_key",
        "/users/1/make_new_api_key.html",
        "/users/1/make_new_api_key%2ejs",
        "/users/1/user_api_keys/generate.xml",
        "/users/1/suspend",
    ] {
        assert!(table.is_guarded(&Method::POST, &target(path)), "{path}");
    }
    assert!(table.is_guarded(&Method::PUT, &target("/users/1.json")));
    assert!(!table.is_guarded(&Method::GET, &target("/users/1.json")));
    assert!(!table.is_guarded(&Method::POST, &target("/virtual_machines.json")));
}

#[test]
fn an_operators_route_opens_no_guard() {
    let route = OperatorRoute {
        pattern: "/users/:id/:what<word>".to_owned(),
        class: RouteClass::Volatile,
        families: vec!["users".to_owned()],
        as_is: true,
        masked: true,
        only_format: None,
        private: false,
    };
    let table = RouteTable::new(&[route]).expect("a table");
    let guarded = |path: &str| {
        let target = target(path);
        let listed = table.read(&target).expect("listed");
        table.is_guarded_read(listed, &Method::GET, &target)
    };
    assert!(guarded("/users/1/make_new_api_key") && guarded("/users/1/suspend.x"));
    assert!(!guarded("/users/1/anything") && !guarded("/users/1"));
    assert!(table.iter().filter(|route| route.may_be_guarded).count() == 1);
}

#[test]
fn a_write_touches_what_it_changes() {
    let table = table();
    let names = table.families();
    let vms = names.find("vms").expect("a family");
    let dns = names.find("dns").expect("a family");
    let touched = table.touches(&target("/virtual_machines/1/startup.json"));
    assert_eq!(touched.scope, vms.bits());
    assert_eq!(touched.all.bits() & dns.bits(), 0);
    assert_ne!(touched.all.bits() & vms.bits(), 0);
    assert_eq!(table.touches(&target("/roles/1")).all, names.all());
    assert_eq!(table.touches(&target("/unheard/of")).all, names.all());
}

#[test]
fn a_scope_does_not_depend_on_the_spelling_of_an_id_or_the_method() {
    let table = table();
    let inventory = table.scope_bit("inventory").expect("a class");
    let vms = table.scope_bit("vms").expect("a family");
    for path in ["/virtual_machines/1", "/virtual_machines/01.json", "/virtual_machines/1abc"] {
        assert_ne!(table.touches(&target(path)).scope & inventory, 0, "{path}");
    }
    assert_ne!(table.touches(&target("/users/01/vm_stats.json")).scope & vms, 0);
    let listed = table.read(&target("/settings/hypervisors/1/virtual_machines.json"));
    assert_ne!(table.route(listed.expect("listed").id).scope_mask() & vms, 0);
}

#[test]
fn an_item_is_found_where_its_name_stands() {
    let table = table();
    let vms = table.families().find("vms").expect("a family").iter().next();
    let item = |text: &str| {
        let target = target(text);
        let listed = table.read(&target).expect("listed");
        let item = table.route(listed.id).item(&target);
        item.map(|(family, name)| (Some(family) == vms, name.to_owned()))
    };
    let of_vms = |name: &str| Some((true, name.to_owned()));
    assert_eq!(item("/virtual_machines/7.json"), of_vms("7"));
    assert_eq!(item("/virtual_machines/7/cpu_usage.json"), of_vms("7"));
    assert_eq!(item("/virtual_machines/7/disks.json"), None, "another family");
    assert_eq!(item("/virtual_machines.json"), None);
    assert_eq!(item("/virtual_machines/status.json"), None);
}

#[test]
fn a_write_is_as_narrow_as_its_path_says() {
    let table = table();
    let narrow = |method, text: &str| {
        let target = target(text);
        let touches = table.touches_by(&method, &target);
        let name = match touches.narrow {
            Some(Narrow::Item(place)) => place.name(&target).unwrap_or_default().to_owned(),
            Some(Narrow::New(_)) => "new".to_owned(),
            None => "all".to_owned(),
        };
        (name, touches.everyone)
    };
    let check = |method, text, expected: &str, everyone| {
        assert_eq!(narrow(method, text), (expected.to_owned(), everyone), "{text}");
    };
    check(Method::PUT, "/virtual_machines/7.json", "7", false);
    check(Method::POST, "/virtual_machines/7/startup.json", "7", false);
    check(Method::POST, "/virtual_machines/7/disks.json", "7", false);
    check(Method::POST, "/virtual_machines.json", "new", false);
    check(Method::PUT, "/virtual_machines.json", "all", false);
    check(Method::PUT, "/virtual_machines/7abc.json", "all", false);
    check(Method::POST, "/virtual_machines/7/change_owner.json", "all", true);
    check(Method::PUT, "/roles/7.json", "all", true);
    check(Method::POST, "/never_heard_of.json", "all", true);
}

#[test]
fn what_a_transaction_of_an_item_touches_is_what_a_write_to_it_does() {
    let table = table();
    let [kind] = table.item_kinds() else { panic!("machines alone") };
    assert_eq!(&*kind.kind, "VirtualMachine");
    assert_eq!(kind.touches, table.touches(&target("/virtual_machines/7")).all);
    assert!(table.shared().intersection(table.precise()).is_empty());
}

#[test]
fn every_read_is_touched_by_a_write_to_its_own_path() {
    let table = table();
    for route in table.iter() {
        let path = route.template.replace("<number>", "").replace(":page", "1");
        let path: String = path
            .split('/')
            .map(|s| if s.starts_with(':') { "1" } else { s })
            .collect::<Vec<_>>()
            .join("/");
        let touched = table.touches(&target(&path)).all;
        let own = route.families.bits();
        assert_eq!(touched.bits() & own, own, "{}", route.template);
    }
}

#[test]
fn an_operator_adds_routes_and_families() {
    let route = OperatorRoute {
        pattern: "/v1/:name<word>".to_owned(),
        class: RouteClass::Static,
        families: vec!["files".to_owned()],
        as_is: true,
        masked: true,
        only_format: None,
        private: false,
    };
    let table = RouteTable::new(std::slice::from_ref(&route)).expect("a table");
    let listed = table.read(&target("/v1/vms-1k")).expect("listed");
    assert!(table.route(listed.id).as_is && !listed.odd);
    let files = table.families().find("files").expect("a family");
    assert_eq!(table.touches(&target("/v1/vms-1k")).all, files);
    assert!(table.shared().contains(files.iter().next().expect("one")));
    let own = OperatorRoute { private: true, ..route.clone() };
    let table = RouteTable::new(&[own]).expect("a table");
    assert!(!table.shared().contains(files.iter().next().expect("one")));
    let lost = OperatorRoute { families: vec![], ..route };
    assert!(matches!(RouteTable::new(&[lost]), Err(RouteError::NoFamily(_))));
}

#[test]
fn a_suffix_goes_where_the_route_has_it() {
    let table = table();
    let place = |t: &str| {
        let listed = table.read(&target(t)).expect("listed");
        table.route(listed.id).suffix_place(t)
    };
    assert_eq!(place("/virtual_machines"), "/virtual_machines".len());
    assert_eq!(place("/transactions/page/2"), "/transactions".len());
}

#[test]
fn scopes_name_families_and_classes() {
    let table = table();
    let vms = table.scope_bit("vms").expect("a family");
    let volatile = table.scope_bit("volatile").expect("a class");
    assert_eq!(vms & volatile, 0);
    assert_eq!(table.scope_bit("nothing"), None);
}
