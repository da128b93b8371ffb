//! A moment as it is declared: a date and time with its distance from UTC, or Unix seconds.
//!
//! Own arithmetic on the Gregorian calendar. Years are counted from March, so that the leap day is a
//! year's last and months follow a formula: 153 days are five months.

use toml::value::{Date, Datetime, Offset, Time, Value};

use crate::settings::Setting;

/// A Unix time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub i64);

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// In 400 years the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;

/// From the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;

impl Moment {
    /// As it is written: a date and time in UTC, or a number beyond the years 0 to 9999.
    pub(super) fn to_toml(self) -> Value {
        let (days, seconds) = (self.0.div_euclid(DAY_SECONDS), self.0.rem_euclid(DAY_SECONDS));
        let small = |number: i64| u8::try_from(number).unwrap_or_default();
        match date(days) {
            None => Value::Integer(self.0),
            date => Value::Datetime(Datetime {
                date,
                time: Some(Time {
                    hour: small(seconds / 3600),
                    minute: small(seconds / 60 % 60),
                    second: Some(small(seconds % 60)),
                    nanosecond: None,
                }),
                offset: Some(Offset::Z),
            }),
        }
    }
}

impl Setting for Moment {
    fn from_toml(value: &Value) -> Result<Self, String> {
        const WANT: &str =
            "expected a time such as 2027-01-31T00:00:00Z, or a Unix time in seconds";
        match value {
            Value::Integer(seconds) => Some(Self(*seconds)),
            Value::Datetime(written) => unix(written).map(Self),
            // As JSON has it, which knows no times.
            Value::String(text) => text.parse().ok().as_ref().and_then(unix).map(Self),
            _ => None,
        }
        .ok_or_else(|| format!("{WANT}, found {value}"))
    }
}

/// Without its distance from UTC a time could be many.
fn unix(written: &Datetime) -> Option<i64> {
    let (date, time, offset) = (written.date?, written.time?, written.offset?);
    let second = i64::from(time.second.unwrap_or_default());
    let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + second;
    let east = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * 60,
    };
    Some(days(date) * DAY_SECONDS + of_day - east)
}

/// From the first of January 1970.
fn days(date: Date) -> i64 {
    let from_march = i64::from(date.year) * 12 + i64::from(date.month) - 3;
    let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
    era * ERA_DAYS + day + i64::from(date.day) - 1 - DAYS_TO_1970
}

fn date(days: i64) -> Option<Date> {
    let days = days + DAYS_TO_1970;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    // Without the leap days that are before it, every year has 365.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let months = (era * 400 + year) * 12 + from_march + 2;
    Some(Date {
        year: u16::try_from(months.div_euclid(12)).ok().filter(|year| *year <= 9999)?,
        month: u8::try_from(months.rem_euclid(12) + 1).ok()?,
        day: u8::try_from(day_of_year - (153 * from_march + 2) / 5 + 1).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<i64, String> {
        let table: toml::Table = format!("at = {text}").parse().expect("TOML");
        Moment::from_toml(&table["at"]).map(|moment| moment.0)
    }

    #[test]
    fn a_time_is_read_with_its_distance_from_utc() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(read("2000-02-29T12:30:15.5Z"), Ok(951_827_415));
        assert_eq!(read("2027-01-31T02:00:00+02:00"), Ok(1_801_353_600));
        assert_eq!(read("2027-01-30 19:00:00-05:00"), Ok(1_801_353_600));
        assert_eq!(read("1801353600"), Ok(1_801_353_600));
        assert_eq!(read("1969-12-31T23:59:59Z"), Ok(-1));
        assert_eq!(read("\"1970-01-01T00:00:01Z\""), Ok(1));
        for wrong in ["2027-01-31", "2027-01-31T02:00:00", "02:00:00", "\"soon\"", "1.5"] {
            assert!(read(wrong).expect_err(wrong).contains("expected a time"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(seconds in any::<i64>()) {
            let written = Moment(seconds).to_toml();
            prop_assert_eq!(read(&written.to_string()), Ok(seconds));
        }

        #[test]
        fn it_is_the_date_that_others_make_of_it(seconds in 0..253_402_300_800_i64) {
            let written = Moment(seconds).to_toml().to_string();
            let at = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
            let theirs = httpdate::fmt_http_date(at);
            let parts: Vec<&str> = theirs.split(' ').collect();
            let start = format!("{}-", parts[3]);
            let end = format!("-{}T{}Z", parts[1], parts[4]);
            prop_assert!(written.starts_with(&start) && written.ends_with(&end), "{written} {theirs}");
        }
    }
}
