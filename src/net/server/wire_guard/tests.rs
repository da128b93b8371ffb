//! A connection's bytes, and what the guard says of them.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Where the stream stands after these bytes, or where it breaks the rules.
fn verdict(bytes: &[u8]) -> Result<Part, usize> {
    let mut guard = WireGuard::new();
    guard.inspect(bytes)?;
    Ok(guard.part())
}

fn whole(request: &str) {
    assert_eq!(verdict(request.as_bytes()), Ok(Part::Between), "{request:?}");
}

/// The violation is at the character marked by `¦`.
fn refused(marked: &str) {
    let at = marked.find('¦').expect("a mark");
    let request = marked.replace('¦', "");
    assert_eq!(verdict(request.as_bytes()), Err(at), "{marked:?}");
    assert!(verdict(&request.as_bytes()[..at]).is_ok(), "{marked:?}");
}

#[test]
fn well_formed_messages_end_where_they_should() {
    whole("");
    whole("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    whole("\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    whole("GET / HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    whole("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n");
    whole("POST / HTTP/1.1\r\ncontent-LENGTH:\t 0005 \r\n\r\n#\n\0\r\n");
    whole("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    whole("POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\t\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    whole("POST / HTTP/1.1\r\nTransfer-Encoding:chunked\r\n\r\n1;a=\"b\"\r\n\n\r\n0;c\r\n\r\n");
    whole("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nExpires: never\r\n\r\n");
    whole("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx");
    whole("GET / HTTP/1.1\r\nX-Content-Length: 1\r\nContent-Length-X: 2\r\nX: #a\tb\r\n\r\n");
}

#[test]
fn unfinished_messages_say_what_they_wait_for() {
    let part = |text: &str| verdict(text.as_bytes());
    assert_eq!(part("\r\n"), Ok(Part::Between));
    assert_eq!(part("G"), Ok(Part::Head));
    assert_eq!(part("GET / HTTP/1.1\r\nHost: a\r\n\r"), Ok(Part::Head));
    assert_eq!(part("PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx"), Ok(Part::Body));
    let chunked = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(part(chunked), Ok(Part::Body));
    assert_eq!(part(&format!("{chunked}0\r\nExp")), Ok(Part::Body));
}

#[test]
fn whole_messages_are_counted() {
    let post = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi\r\n";
    let mut guard = WireGuard::new();
    let counts: Vec<_> = [&post[..], post, b"POST / HTTP/1.1\r\n", b"\n"]
        .into_iter()
        .map(|bytes| (guard.inspect(bytes).is_ok(), guard.complete()))
        .collect();
    assert_eq!(counts, [(true, 1), (true, 2), (true, 2), (false, 2)]);
}

#[test]
fn only_crlf_ends_a_line() {
    refused("¦\nGET / HTTP/1.1\r\n\r\n");
    refused("\r¦GET / HTTP/1.1\r\n\r\n");
    refused("GET / HTTP/1.1¦\nHost: a\r\n\r\n");
    refused("GET / HTTP/1.1\r¦Host: a\r\n\r\n");
    refused("GET / HTTP/1.1\r\nHost: a¦\n\r\n");
    refused("GET / HTTP/1.1\r\nHost: a\r¦b\r\n\r\n");
    refused("GET / HTTP/1.1\r\nHost: a¦\0\r\n\r\n");
    refused("GET / HTTP/1.1\r\nHost: a\r\n¦\n");
    refused("GET / HTTP/1.1\r\n\r¦\r");
}

#[test]
fn one_framing_is_declared_once() {
    const TE: &str = "Transfer-Encoding: chunked\r\n";
    refused("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length¦: 1\r\n\r\n");
    refused(&format!("GET / HTTP/1.1\r\n{TE}Content-Length¦: 1\r\n\r\n"));
    refused(&format!("GET / HTTP/1.1\r\nContent-Length: 0\r\n{}", TE.replacen(':', "¦:", 1)));
    refused(&format!("GET / HTTP/1.1\r\n{TE}{}", TE.replacen(':', "¦:", 1)));
    refused(&format!("GET / HTTP/1.0\r\n{}", TE.replacen(':', "¦:", 1)));
    refused(&format!("GET / HTTP/1.1\r\n{TE}\r\n0\r\nContent-Length¦: 1\r\n\r\n"));
}

#[test]
fn a_length_is_digits() {
    for value in ["¦+1", "¦-1", "1¦,1", "1 ¦1", "¦\r\n", "0¦x10", "1¦.0", "1844674407370955161¦6"]
    {
        refused(&format!("GET / HTTP/1.1\r\nContent-Length: {value}\r\n\r\n"));
    }
    let most = format!("GET / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    assert_eq!(verdict(most.as_bytes()), Ok(Part::Body));
}

#[test]
fn the_only_coding_is_chunked() {
    for value in ["¦gzip", "¦gzip, chunked", "chunked¦, chunked", "chunked¦;a", "chunke¦\r\n"]
    {
        refused(&format!("GET / HTTP/1.1\r\nTransfer-Encoding: {value}\r\n\r\n"));
    }
    for value in ["¦\r\n", "chunk ¦ed", "chunked ¦x", "¦\"chunked\""] {
        let value = value.replace("chunk ¦ed", "chunk¦ ed");
        refused(&format!("GET / HTTP/1.1\r\nTransfer-Encoding: {value}\r\n\r\n"));
    }
}

#[test]
fn names_are_tokens_and_lines_are_not_continued() {
    refused("GET / HTTP/1.1\r\nHost¦ : a\r\n\r\n");
    refused("GET / HTTP/1.1\r\nContent-Length¦\t: 5\r\n\r\n");
    refused("GET / HTTP/1.1\r\nHost: a\r\n¦ b\r\n\r\n");
    refused("GET / HTTP/1.1\r\n¦\tHost: a\r\n\r\n");
    refused("GET / HTTP/1.1\r\n¦: a\r\n\r\n");
    refused("GET / HTTP/1.1\r\nHost¦\r\n\r\n");
    refused("GET / HTTP/1.1\r\nH¦\u{f6}st: a\r\n\r\n");
}

#[test]
fn a_target_has_no_fragment() {
    refused("GET /a¦#b HTTP/1.1\r\n\r\n");
}

#[test]
fn chunks_are_strict() {
    let chunked = |rest: &str| {
        refused(&format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{rest}"));
    };
    for size in ["¦\r\n", "¦;a\r\n", "¦-1", "¦ 1", "1¦ \r\n", "0¦x1", "¦g", "0000000000000000¦0"]
    {
        chunked(size);
    }
    chunked("1¦\nx\r\n");
    chunked("1\r¦x");
    chunked("1\r\nx¦y");
    chunked("1\r\nx¦\n");
    chunked("1\r\nx\r¦1");
    chunked("1;a¦\nx\r\n");
    chunked("0\r\n\r¦x");
    chunked("0\r\nA: b¦\n");
    let long = "x".repeat(MAX_EXTENSIONS);
    chunked(&format!("1;{long}¦x\r\n"));
    chunked(&format!("1;{long}\r\nx\r\n0;¦x\r\n\r\n"));
}

/// Streams that are nearly requests.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n",
        b"POST /x HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"X-Rather-Long-Field-Name: y\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"content-length",
        b"transfer-",
        b": 3",
        b"chunked",
        b"\r\n",
        b"\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b";ext=1",
        b"\n",
        b"\r",
        b"\0",
        b"#",
        b" ",
    ];
    vec(select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_cut_into_reads_changes_nothing(stream in streams(), cuts in vec(0usize..200, 0..12)) {
        let expected = verdict(&stream);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let mut guard = WireGuard::new();
        let mut start = 0;
        let mut found = Ok(());
        for cut in cuts {
            found = guard.inspect(&stream[start..cut]).map_err(|offset| start + offset);
            if found.is_err() {
                break;
            }
            start = cut;
        }
        prop_assert_eq!(found.map(|()| guard.part()), expected);
    }

    #[test]
    fn byte_by_byte_is_the_same(stream in streams()) {
        let mut guard = WireGuard::new();
        let mut found = Ok(());
        for (at, byte) in stream.iter().enumerate() {
            found = guard.inspect(&[*byte]).map_err(|offset| at + offset);
            if found.is_err() {
                break;
            }
        }
        prop_assert_eq!(found.map(|()| guard.part()), verdict(&stream));
    }

    #[test]
    fn nothing_panics(stream: Vec<u8>) {
        let _ = verdict(&stream);
    }
}
