//! When a certificate expires: the one field that rustls does not tell.
//!
//! A certificate is nested DER: `SEQUENCE { tbs SEQUENCE { [0] version?, serial, algorithm,
//! issuer, validity SEQUENCE { not before, not after }, … } … }` (RFC 5280, section 4.1). Only the
//! way to that date is walked; what does not look like it gives none.

use std::time::{Duration, SystemTime};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity.
pub(super) fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if let Some((_, behind)) = expect(VERSION, fields) {
        fields = behind;
    }
    for _ in ["serial", "algorithm", "issuer"] {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = expect(SEQUENCE, fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    let seconds = unix_time(tag, text)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The content of an element with this tag, and what follows it.
fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, behind) = element(der)?;
    (found == tag).then_some((content, behind))
}

/// Tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, the only forms that a certificate may use.
fn unix_time(tag: u8, text: &[u8]) -> Option<u64> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = number(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => number(text, 4)?,
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = number(rest, 2)?;
    if rest != b"Z" || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest))
}

/// Years are counted from March, so that the leap day is a year's last and months follow a
/// formula: 153 days are five months.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    const FROM_YEAR_0_TO_1970: u64 = 719_468;
    let year = if month < 3 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(FROM_YEAR_0_TO_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(year: i32, month: u8, day: u8) -> Option<u64> {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let at = not_after(certificate.der())?;
        at.duration_since(SystemTime::UNIX_EPOCH).ok().map(|d| d.as_secs())
    }

    #[test]
    fn dates_of_both_forms_are_read() {
        assert_eq!(expiry(2027, 3, 1), Some(1_803_859_200));
        assert_eq!(expiry(2028, 2, 29), Some(1_835_395_200));
        assert_eq!(expiry(2049, 12, 31), Some(2_524_521_600));
        assert_eq!(expiry(2100, 3, 1), Some(4_107_542_400), "2100 has no leap day");
        assert_eq!(expiry(1999, 12, 31), Some(946_598_400));
    }

    #[test]
    fn what_is_no_certificate_has_no_date() {
        let key = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a pair");
        let der = key.cert.der();
        assert!(not_after(der).is_some());
        assert!((0..der.len()).all(|length| not_after(&der[..length]).is_none()));
        assert_eq!(not_after(&[SEQUENCE, 0x85, 1, 1, 1, 1, 1]), None);
        assert_eq!(not_after(&[SEQUENCE, 0x80]), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(der: Vec<u8>) {
            let _ = not_after(&der);
            let _ = unix_time(UTC_TIME, &der);
            let _ = unix_time(GENERALIZED_TIME, &der);
        }
    }
}
