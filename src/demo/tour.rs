//! What the demo prints: where it is, and commands to paste that show what it does.

use std::{fmt::Write as _, io::IsTerminal as _};

use anstyle::{AnsiColor, Style};

use super::launch::Demo;

/// Something to see, and the command that shows it.
struct Stop {
    what: &'static str,
    command: String,
    expected: &'static str,
}

const TITLE: Style = AnsiColor::Green.on_default().bold();
const WHAT: Style = AnsiColor::Cyan.on_default();
const EXPECTED: Style = Style::new().dimmed();

/// The whole text; colored on a terminal alone.
pub(super) fn text(demo: &Demo) -> String {
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let paint = |style: Style, text: &str| {
        if color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    };
    let card = demo.card();
    let mut out = format!(
        "{}\n\n  gateway  {}\n  admin    {}\n  panel    {}  (simulated)\n\n{}\n\n  export \
         CURL_CA_BUNDLE={}\n  export TOLLGATE_CONFIG={}\n",
        paint(TITLE, "Tollgate is running. Ctrl-C ends it."),
        card.url,
        card.admin,
        card.upstream,
        paint(TITLE, "Paste into another terminal, in this order:"),
        demo.authority_file().display(),
        demo.configuration_file().display(),
    );
    for tenant in &card.tenants {
        let name = tenant.name.to_uppercase();
        let _ = writeln!(out, "  export {name}={}:{}", tenant.login, tenant.token);
    }
    for stop in stops(demo) {
        let what = paint(WHAT, &format!("# {}", stop.what));
        let expected = paint(EXPECTED, &format!("# -> {}", stop.expected));
        let _ = write!(out, "\n  {what}\n  {}\n  {expected}\n", stop.command);
    }
    out
}

/// What the commands name.
struct Names {
    url: String,
    admin: String,
    program: String,
    list: String,
    /// The number of the first tenant's user at the panel.
    user: u64,
    /// A machine of it.
    machine: u64,
    /// A machine of it that is off: the panel's second of each user.
    off: u64,
}

impl Names {
    fn of(demo: &Demo) -> Self {
        let card = demo.card();
        let user = demo.panel().user(&card.tenants[0].name).map_or(0, |user| user.id);
        let machines = demo.panel().machines();
        let mut own = machines.iter().filter(|machine| machine.user_id == user);
        let machine = own.next().map_or(1, |machine| machine.id);
        let program = std::env::current_exe().unwrap_or_else(|_| "tollgate".into());
        Self {
            url: card.url.clone(),
            admin: card.admin.clone(),
            program: program.display().to_string(),
            list: format!("{}/virtual_machines.json", card.url),
            user,
            machine,
            off: own.next().map_or(machine, |machine| machine.id),
        }
    }
}

fn stop(what: &'static str, command: String, expected: &'static str) -> Stop {
    Stop { what, command, expected }
}

fn stops(demo: &Demo) -> Vec<Stop> {
    let names = Names::of(demo);
    [reads_and_writes(&names), transactions(&names), refusals(&names)]
        .into_iter()
        .flatten()
        .collect()
}

fn reads_and_writes(names: &Names) -> Vec<Stop> {
    let Names { url, list, machine, .. } = names;
    let status = format!("curl -sS -u $ALICE -o /dev/null -D - {list} | grep -i cache-status");
    vec![
        stop("A miss: the list is fetched from the panel.", status.clone(), "fwd=miss; stored"),
        stop("A hit: the same list, from memory.", status.clone(), "hit"),
        stop(
            "XML: the panel's own bytes, kept beside the JSON.",
            format!("curl -sS -u $ALICE {url}/virtual_machines.xml | sed -n 1,3p"),
            "<virtual_machines type=\"array\">",
        ),
        stop(
            "Another tenant has another cache, and sees its own machines alone.",
            format!("curl -sS -u $BOB -o /dev/null -D - {list} | grep -i cache-status"),
            "fwd=miss; stored",
        ),
        stop(
            "A write that fails: the panel answers 422, and still changes updated_at.",
            format!(
                "curl -sS -u $ALICE -X PUT -H 'Content-Type: application/json' \
                 -d '{{\"virtual_machine\":{{\"label\":\"\"}}}}' {url}/virtual_machines/{machine}.json; echo"
            ),
            "{\"errors\":{\"label\":[\"can't be blank\"]}}",
        ),
        stop("So the next read is a miss, and shows it.", status, "fwd=miss; stored"),
        stop(
            "A token without secrets:read: the passwords of machines are masked, in any reply.",
            format!(
                "curl -sS -u $CAROL {list} | grep -o '\"initial_root_password\":[^,]*' | sed -n 1p"
            ),
            "\"initial_root_password\":\"********\"",
        ),
    ]
}

fn transactions(names: &Names) -> Vec<Stop> {
    let Names { url, list, off, program, .. } = names;
    vec![
        stop(
            "A machine starts: until its transaction has ended, reads are at most a second old.",
            format!(
                "curl -sS -u $ALICE -X POST {url}/virtual_machines/{off}/startup.json -o /dev/null \
                 -w '%{{http_code}}\\n'; sleep 5"
            ),
            "201",
        ),
        stop(
            "The first read after that is a miss, and Tollgate can say which transaction ended.",
            format!(
                "{program} explain $(curl -sS -u $ALICE -o /dev/null -D - {list} | tr -d '\\r' | \
                 grep -i x-request-id | cut -d ' ' -f 2)"
            ),
            "transaction",
        ),
    ]
}

fn refusals(names: &Names) -> Vec<Stop> {
    let Names { url, admin, list, user, program, .. } = names;
    vec![
        stop(
            "A refusal: a token that nobody has.",
            format!(
                "curl -sS -u alice:wrong -o /dev/null -D - {list} | grep -i -E '^HTTP|tollgate-error'"
            ),
            "401, invalid_token",
        ),
        stop(
            "A guarded route: this token may not have keys of the panel made.",
            format!("curl -sS -u $ALICE -X POST {url}/users/{user}/make_new_api_key.json; echo"),
            "{\"errors\":[\"this route handles credentials and is not served through the gateway\"]}",
        ),
        stop(
            "A limit: this tenant may read three times at once, then once a second.",
            format!(
                "for i in 1 2 3 4 5; do curl -sS -u $CAROL -o /dev/null -w '%{{http_code}} ' \
                 {url}/version.json; done; echo"
            ),
            "200 200 200 429 429",
        ),
        stop(
            "An operator raises it: the command asks the admin API, and the server follows.",
            format!("{program} tenant set carol --reads 100/200"),
            "tenant carol changed",
        ),
        stop(
            "What Prometheus sees.",
            format!("curl -sS {admin}/metrics | grep ^tollgate_cache_lookups_total"),
            "hits, misses, and what passed the cache by",
        ),
    ]
}
