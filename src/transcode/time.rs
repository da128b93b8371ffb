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

/// The Unix time in seconds, without the fraction of a second; none for what is no time.
pub fn unix(text: &str) -> Option<i64> {
    let whole = without_fraction(text).map(|(whole, _)| whole);
    let text = whole.as_deref().unwrap_or(text);
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    if !is_whole_time(text) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour <= 23;
    let east = match text.as_bytes().get(WHOLE.len()) {
        Some(b'Z') | None => 0,
        Some(sign) => {
            let distance = number(20, 22)? * 3600 + number(23, 25)? * 60;
            if *sign == b'-' { -distance } else { distance }
        }
    };
    let of_day = hour * 3600 + minute * 60 + second - east;
    is_real.then(|| days(year, month, day) * DAY_SECONDS + of_day)
}

/// From the first of January 1970. Years are counted from March, so that the leap day is a year's last
/// and months follow a formula: 153 days are five months.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let from_march = year * 12 + month - 3;
    let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let of_era = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
    era * ERA_DAYS + of_era + day - 1 - DAYS_TO_1970
}

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// In 400 years the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;

/// From the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;

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
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_has_its_distance_from_utc() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-26T15:37:58Z", Some(1_795_707_478)),
            ("2026-11-26T17:37:58+02:00", Some(1_795_707_478)),
            ("2026-11-26T10:07:58-05:30", Some(1_795_707_478)),
            ("2026-11-26T15:37:58.999Z", Some(1_795_707_478)),
            ("", None),
            ("2026-11-26", None),
            ("2026-11-26T15:37:58", None),
            ("2026-11-26 15:37:58 UTC", None),
            ("2026-00-26T15:37:58Z", None),
            ("2026-13-26T15:37:58Z", None),
            ("2026-11-00T15:37:58Z", None),
            ("2026-11-26T24:37:58Z", None),
        ] {
            assert_eq!(unix(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_time_that_others_write_so(seconds in 0_i64..253_402_300_800) {
            let at = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
            let theirs = httpdate::fmt_http_date(at);
            let words: Vec<&str> = theirs.split([' ', ',']).filter(|word| !word.is_empty()).collect();
            let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(words[2]).expect("a month") / 3;
            let text = format!("{}-{:02}-{}T{}Z", words[3], month + 1, words[1], words[4]);
            prop_assert_eq!(unix(&text), Some(seconds));
        }

        #[test]
        fn any_text_is_a_time_or_none(text in ".{0,40}") {
            let _ = unix(&text);
        }
    }

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
