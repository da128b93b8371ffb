//! Which paths of ours a file names: `use` trees read out, `super` resolved.

use super::{File, code, is_test, without_comments};

/// Every path of ours that the code before the tests names, from the crate's root.
pub(super) fn imports(file: &File) -> Vec<String> {
    if !file.path.starts_with("src/") || is_test(file) {
        return Vec::new();
    }
    let code = without_comments(code(&file.text));
    let module = module_of(&file.path);
    let mut found = Vec::new();
    let mut rest = code.as_str();
    let next = |text: &str| ["crate::", "super::"].iter().filter_map(|root| text.find(root)).min();
    while let Some(at) = next(rest) {
        // `$crate::` is what a macro says for those who use it, and `my_crate::` another crate.
        let inner = rest[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
        rest = &rest[at..];
        if inner {
            rest = &rest["crate::".len()..];
            continue;
        }
        let base = base_of(&module, &mut rest);
        read_tree(&base, &mut rest, &mut found);
    }
    found
}

/// `src/layers/cache.rs` is the module `layers::cache`.
pub(super) fn module_of(path: &str) -> String {
    let below = path.strip_prefix("src/").unwrap_or(path);
    let name = below.trim_end_matches(".rs").trim_end_matches('/').trim_end_matches("/mod");
    name.replace('/', "::")
}

pub(super) fn first_of(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

/// Takes `crate::` or any number of `super::` off the front, and says where they lead.
fn base_of(module: &str, rest: &mut &str) -> String {
    if let Some(behind) = rest.strip_prefix("crate::") {
        *rest = behind;
        return String::new();
    }
    let mut parts: Vec<_> = module.split("::").collect();
    while let Some(behind) = rest.strip_prefix("super::") {
        *rest = behind;
        parts.pop();
    }
    parts.iter().map(|part| format!("{part}::")).collect()
}

/// Reads `a::{b, c::d}` into `a::b` and `a::c::d`.
fn read_tree(base: &str, rest: &mut &str, found: &mut Vec<String>) {
    *rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        *rest = inside;
        loop {
            *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if rest.is_empty() {
                return;
            }
            if let Some(behind) = rest.strip_prefix('}') {
                *rest = behind;
                return;
            }
            read_tree(base, rest, found);
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            *rest = &rest[end..];
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*');
    let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = behind;
    let path = format!("{base}{name}");
    match behind.strip_prefix("::") {
        // A turbofish ends a path.
        Some(deeper) if !deeper.starts_with('<') => {
            *rest = deeper;
            read_tree(&format!("{path}::"), rest, found);
        }
        _ => found.push(path),
    }
}

#[test]
fn imports_are_read_out_of_nested_braces() {
    let found = imports(&File {
        path: "src/layers/cache.rs".to_owned(),
        text: "use super::{Step, shed::{self, Shed}};\nuse crate::{api::routes, call as c};\n\
               // crate::comment\nfn f(t: &crate::cache::key::Key) { super::super::gateway::x() }\n"
            .to_owned(),
    });
    let expected = [
        "layers::Step",
        "layers::shed::self",
        "layers::shed::Shed",
        "api::routes",
        "call",
        "cache::key::Key",
        "gateway::x",
    ];
    assert_eq!(found, expected);
}
