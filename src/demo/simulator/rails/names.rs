//! The singular of a list's name, as the inflections of Rails have it for the names used here.

/// What each item of a list is called in XML.
pub(super) fn singular(plural: &str) -> String {
    /// Rails takes a plain final `s` away; these endings are the exceptions that occur.
    const ENDINGS: [(&str, &str); 6] = [
        ("status", "status"),
        ("statuses", "status"),
        ("data", "datum"),
        ("addresses", "address"),
        ("address", "address"),
        ("ies", "y"),
    ];
    let exception = ENDINGS.iter().find_map(|(many, one)| {
        let stem = plural.strip_suffix(many)?;
        Some(format!("{stem}{one}"))
    });
    exception.unwrap_or_else(|| plural.strip_suffix('s').unwrap_or(plural).to_owned())
}
