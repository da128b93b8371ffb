//! Times as Rails writes them.

/// A time without the fraction of its second, and the digits of that; none for what is no time or
/// has none.
///
/// `2016-12-20T16:19:39.000+02:00` gives `2016-12-20T16:19:39+02:00` and `000`.
pub fn without_fraction(text: &str) -> Option<(String, &str)> {
    let (whole, rest) = text.split_at_checked(WHOLE.len())?;
    let rest = rest.strip_prefix('.')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, zone) = rest.split_at(digits);
    let is_time = is_like(whole, WHOLE) && is_zone(zone) && (1..=9).contains(&digits);
    is_time.then(|| (format!("{whole}{zone}"), fraction))
}

/// The opposite: a time with this fraction of its second; none for what is no time or has one.
pub fn with_fraction(text: &str, zeros: usize) -> Option<String> {
    let (whole, zone) = text.split_at_checked(WHOLE.len())?;
    is_whole_time(text).then(|| format!("{whole}.{:0<zeros$}{zone}", ""))
}

/// Whether it is a time without a fraction of its second.
pub fn is_whole_time(text: &str) -> bool {
    text.split_at_checked(WHOLE.len())
        .is_some_and(|(whole, zone)| is_like(whole, WHOLE) && is_zone(zone))
}

/// Whether it is a date.
pub fn is_date(text: &str) -> bool {
    is_like(text, "0000-00-00")
}

const WHOLE: &str = "0000-00-00T00:00:00";

fn is_zone(zone: &str) -> bool {
    zone == "Z" || is_like(zone, "+00:00") || is_like(zone, "-00:00")
}

/// Whether a text has a digit wherever a pattern has a zero, and elsewhere what the pattern has.
fn is_like(text: &str, pattern: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        _ => byte == wanted,
    };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_cut_and_put_back() {
        for (text, whole, fraction) in [
            ("2016-12-20T16:19:39.000Z", "2016-12-20T16:19:39Z", "000"),
            ("2016-12-20T16:19:39.120+02:00", "2016-12-20T16:19:39+02:00", "120"),
            ("2016-12-20T16:19:39.5-11:30", "2016-12-20T16:19:39-11:30", "5"),
        ] {
            assert_eq!(without_fraction(text), Some((whole.to_owned(), fraction)));
        }
        assert_eq!(
            with_fraction("2016-12-20T16:19:39Z", 3).as_deref(),
            Some("2016-12-20T16:19:39.000Z")
        );
        for other in ["", "2016", "2016-12-20T16:19:39Z", "2016-12-20T16:19:39.Z", "é2016-12-20T1"]
        {
            assert_eq!(without_fraction(other), None, "{other}");
        }
        for other in ["2016-12-20T16:19:39", "2016-12-20 16:19:39Z", "2016-12-20T16:19:39.0Z"] {
            assert_eq!(with_fraction(other, 3), None, "{other}");
        }
    }
}
