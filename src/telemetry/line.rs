//! One line of the access log: what a request was, never what it carried.

use std::{
    io::Write,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::vocabulary::{CacheOutcome, Closed, Format, KeyOutcome, Protocol, RouteClass};

/// What is logged of one request. Everything is borrowed; what is none is left out.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When its head arrived.
    pub time: SystemTime,
    /// Its id, which every other message about it has, too.
    pub request_id: &'a str,
    /// Who sent it.
    pub client: IpAddr,
    /// What its connection speaks.
    pub protocol: Protocol,
    /// Its method.
    pub method: &'a str,
    /// The template of its route; the path itself is never logged.
    pub route: Option<&'a str>,
    /// The names in its query; the values are never logged.
    pub query: QueryNames<'a>,
    /// The format of the reply.
    pub format: Option<Format>,
    /// The status of the reply.
    pub status: u16,
    /// What the cache did.
    pub cache: CacheOutcome,
    /// The class of its route.
    pub class: Option<RouteClass>,
    /// The name of its tenant.
    pub tenant: Option<&'a str>,
    /// The public id of its token.
    pub token: Option<&'a str>,
    /// What came of its `Idempotency-Key`.
    pub idempotency: Option<KeyOutcome>,
    /// The code of the refusal, if Tollgate refused it.
    pub rejection: Option<&'a str>,
    /// The length of the reply's body, where its head tells.
    pub bytes: Option<u64>,
    /// From its head to the reply's head.
    pub duration: Duration,
}

/// The names of a raw query. Its values cannot be got out of this type.
#[derive(Clone, Copy, Default)]
pub struct QueryNames<'a>(&'a str);

/// How a member of the object begins: all that is known of it in one piece, to be copied at once.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// A longer text is cut: a stranger chooses it, and a line has to have a bound.
const MAX_TEXT: usize = 256;

/// A longer name is cut.
const MAX_NAME: usize = 64;

/// Further names are left out.
const MAX_NAMES: usize = 32;

impl<'a> QueryNames<'a> {
    /// The names in what stands behind the question mark.
    pub fn new(raw_query: &'a str) -> Self {
        Self(raw_query)
    }

    /// Each name, as it was written. Rails takes `;` for a separator, too.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.split(['&', ';']).map(name).filter(|name| !name.is_empty())
    }
}

impl std::fmt::Debug for QueryNames<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Line<'_> {
    /// Appends the line as a JSON object and a line feed.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(&timestamp(self.time));
        out.push(b'"');
        text(out, name!("request_id"), self.request_id);
        out.extend_from_slice(name!("client"));
        address(out, self.client);
        word(out, name!("protocol"), Some(self.protocol));
        text(out, name!("method"), self.method);
        optional_text(out, name!("route"), self.route);
        names(out, self.query);
        word(out, name!("format"), self.format);
        out.extend_from_slice(name!("status"));
        number(out, u64::from(self.status));
        word(out, name!("cache"), Some(self.cache));
        word(out, name!("class"), self.class);
        optional_text(out, name!("tenant"), self.tenant);
        optional_text(out, name!("token"), self.token);
        word(out, name!("idempotency"), self.idempotency);
        optional_text(out, name!("rejection"), self.rejection);
        if let Some(bytes) = self.bytes {
            out.extend_from_slice(name!("bytes"));
            number(out, bytes);
        }
        out.extend_from_slice(name!("duration"));
        seconds(out, self.duration);
        out.extend_from_slice(b"}\n");
    }
}

/// What stands before the first `=`, written plainly or as Rack would decode it.
fn name(pair: &str) -> &str {
    let end = pair.bytes().enumerate().position(|(at, byte)| {
        byte == b'=' || byte == b'%' && pair.as_bytes().get(at + 1..at + 3).is_some_and(is_equals)
    });
    &pair[..end.unwrap_or(pair.len())]
}

fn is_equals(hex: &[u8]) -> bool {
    hex.eq_ignore_ascii_case(b"3d")
}

fn text(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    string(out, text, MAX_TEXT);
}

fn optional_text(out: &mut Vec<u8>, name: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        text(out, name, value);
    }
}

fn word<L: Closed>(out: &mut Vec<u8>, name: &[u8], value: Option<L>) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        out.push(b'"');
        out.extend_from_slice(value.as_str().as_bytes());
        out.push(b'"');
    }
}

fn names(out: &mut Vec<u8>, query: QueryNames<'_>) {
    let mut open = false;
    for name in query.iter().take(MAX_NAMES) {
        if open {
            out.push(b',');
        } else {
            out.extend_from_slice(name!("query"));
            out.push(b'[');
            open = true;
        }
        string(out, name, MAX_NAME);
    }
    if open {
        out.push(b']');
    }
}

fn string(out: &mut Vec<u8>, text: &str, bound: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = &text.as_bytes()[..text.floor_char_boundary(bound)];
    let escaped = |byte: u8| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f);
    out.push(b'"');
    let mut copied = 0;
    // Nearly no text has one, and to ask for all bytes together is cheaper than for each.
    let any = bytes.iter().fold(false, |any, byte| any | escaped(*byte));
    for (at, &byte) in bytes.iter().enumerate().filter(|(_, byte)| any && escaped(**byte)) {
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    match address {
        IpAddr::V4(address) => {
            for (byte, between) in address.octets().into_iter().zip(["", ".", ".", "."]) {
                out.extend_from_slice(between.as_bytes());
                number(out, u64::from(byte));
            }
        }
        IpAddr::V6(address) => write!(out, "{address}").expect("writing to memory cannot fail"),
    }
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = digit(value % 10);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Seconds with their microseconds.
fn seconds(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    let mut fraction = *b".000000";
    put_digits(&mut fraction[1..], u64::from(duration.subsec_micros()));
    out.extend_from_slice(&fraction);
}

/// RFC 3339 in UTC with milliseconds; what lies before 1970 is 1970.
pub fn timestamp(time: SystemTime) -> [u8; 24] {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put_digits(&mut text[..4], year);
    put_digits(&mut text[5..7], month);
    put_digits(&mut text[8..10], day);
    put_digits(&mut text[11..13], second / 3600);
    put_digits(&mut text[14..16], second / 60 % 60);
    put_digits(&mut text[17..19], second % 60);
    put_digits(&mut text[20..23], u64::from(since.subsec_millis()));
    text
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year, and in eras of 400
/// years, which all have the same number of days.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    const FROM_YEAR_0: u64 = 719_468;
    let day = days + FROM_YEAR_0;
    let (era, day) = (day / DAYS_OF_ERA, day % DAYS_OF_ERA);
    let leap_days = day / 1460 - day / 36_524 + day / 146_096;
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

/// Fills the whole place, from its end.
fn put_digits(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        *byte = digit(value % 10);
        value /= 10;
    }
}

fn digit(value: u64) -> u8 {
    b"0123456789"[(value % 10) as usize]
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    pub(crate) const SAMPLE: Line<'static> = Line {
        time: UNIX_EPOCH,
        request_id: "r1",
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        protocol: Protocol::Http2,
        method: "GET",
        route: None,
        query: QueryNames(""),
        format: None,
        status: 401,
        cache: CacheOutcome::None,
        class: None,
        tenant: None,
        token: None,
        idempotency: None,
        rejection: None,
        bytes: None,
        duration: Duration::from_micros(1_000_042),
    };

    fn written(line: &Line<'_>) -> Value {
        let mut out = Vec::new();
        line.write(&mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(!out.contains(&b'\n'));
        serde_json::from_slice(&out).expect("a line is JSON")
    }

    #[test]
    fn a_full_line_has_every_field() {
        let line = Line {
            time: UNIX_EPOCH + Duration::from_millis(1_482_250_779_007),
            client: "2001:db8::1".parse().expect("an address"),
            route: Some("/virtual_machines/:id"),
            query: QueryNames::new("page=2&period[startdate]=x&short"),
            format: Some(Format::Xml),
            status: 200,
            cache: CacheOutcome::Hit,
            class: Some(RouteClass::Inventory),
            tenant: Some("acme \"x\"\n"),
            token: Some("ab12"),
            idempotency: Some(KeyOutcome::Replayed),
            rejection: Some("limited"),
            bytes: Some(u64::MAX),
            ..SAMPLE
        };
        let want = json!({
            "time": "2016-12-20T16:19:39.007Z", "request_id": "r1", "client": "2001:db8::1",
            "protocol": "h2", "method": "GET", "route": "/virtual_machines/:id",
            "query": ["page", "period[startdate]", "short"], "format": "xml", "status": 200,
            "cache": "hit", "class": "inventory", "tenant": "acme \"x\"\n", "token": "ab12",
            "idempotency": "replayed", "rejection": "limited", "bytes": u64::MAX, "duration": 1.000042,
        });
        assert_eq!(written(&line), want);
    }

    #[test]
    fn what_is_none_is_left_out() {
        let want = json!({
            "time": "1970-01-01T00:00:00.000Z", "request_id": "r1", "client": "127.0.0.1",
            "protocol": "h2", "method": "GET", "status": 401, "cache": "none", "duration": 1.000042,
        });
        assert_eq!(written(&SAMPLE), want);
    }

    #[test]
    fn no_value_of_a_query_is_logged() {
        let check = |query: &str, want: &[&str]| {
            let names: Vec<_> = QueryNames::new(query).iter().collect();
            assert_eq!(names, want, "{query}");
            assert!(!format!("{:?}", QueryNames::new(query)).contains("hush"), "{query}");
        };
        check("", &[]);
        check("a=hush&b=hush=c&d", &["a", "b", "d"]);
        check("a%3Dhush&b%3dhush;c=hush", &["a", "b", "c"]);
        check("&&=hush&é%3=hush", &["é%3"]);
    }

    #[test]
    fn a_line_is_bounded_whatever_was_sent() {
        let long = "\u{1}&".repeat(20_000);
        let query = format!("{}=&", "\u{1}".repeat(1000)).repeat(1000);
        let line = Line { method: &long, query: QueryNames::new(&query), ..SAMPLE };
        let mut out = Vec::new();
        line.write(&mut out);
        assert!(out.len() < 16 << 10, "{}", out.len());
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let check = |day, want| assert_eq!(civil(day), want);
        check(0, (1970, 1, 1));
        check(11_016, (2000, 2, 29));
        check(11_017, (2000, 3, 1));
        check(47_540, (2100, 2, 28));
        check(47_541, (2100, 3, 1));
        let mut previous = civil(0);
        for day in 1..200_000 {
            let next = civil(day);
            let same_month = (previous.0, previous.1, previous.2 + 1);
            let first = match previous {
                (year, 12, _) => (year + 1, 1, 1),
                (year, month, _) => (year, month + 1, 1),
            };
            assert!(next == same_month || next == first, "{previous:?} then {next:?}");
            previous = next;
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
            let line = written(&Line { tenant: Some(&text), ..SAMPLE });
            prop_assert_eq!(line["tenant"].as_str(), Some(text.as_str()));
        }
    }
}
