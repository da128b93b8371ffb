//! What is too long to be judged.

use super::*;

#[test]
fn a_value_over_the_bound_fails_however_it_arrives() {
    let error = Err(MaskError::TokenTooLong { bound: BOUND });
    for (format, before, after) in [
        (Format::Json, "\"", "\""),
        (Format::Json, "1", " "),
        (Format::Xml, "<", ">"),
        (Format::Xml, "x", "<a>"),
    ] {
        let delimiters = if before == "1" || before == "x" { 1 } else { 2 };
        for (length, fits) in [(BOUND - delimiters, true), (BOUND - delimiters + 1, false)] {
            let body = format!("{before}{}{after}", "y".repeat(length));
            for size in [1, 1000, body.len()] {
                let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
                let result = mask_with(secrets(), format, &chunks);
                assert_eq!(
                    result,
                    if fits { Ok(body.clone().into_bytes()) } else { error.clone() }
                );
            }
        }
    }
}

#[test]
fn a_failed_masker_stays_failed() {
    let mut masker = Masker::new(Format::Json, secrets(), fields(Secrecy::Shown), 4);
    let mut out = Vec::new();
    let error = Err(MaskError::TokenTooLong { bound: 4 });
    assert_eq!(masker.push(b"\"abcde", &mut out), error);
    assert_eq!(masker.push(b"{}", &mut out), error);
    assert_eq!(masker.finish(&mut out), error);
    assert_eq!(out, b"");
}
