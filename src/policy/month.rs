//! A month of the civil calendar, in UTC.
//!
//! Own arithmetic on the proleptic Gregorian calendar. Years are counted from March, so that the
//! leap day is a year's last and months follow a formula: 153 days are five months.

use std::{fmt, str::FromStr};

/// A month of the years 0 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(
    /// Months since January of the year 0.
    u32,
);

/// A text that is no month.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no month; it is written as 2026-11")]
pub struct NoMonth(pub String);

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// In 400 years the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;

/// From the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;

/// December 9999.
const LAST: i64 = 9_999 * 12 + 11;

impl Month {
    /// The month of a Unix time in seconds; the nearest one for a time outside of its years.
    pub fn of(unix_seconds: i64) -> Self {
        let days = unix_seconds.div_euclid(DAY_SECONDS) + DAYS_TO_1970;
        let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        // Without the leap days that are before it, every year has 365.
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let months = (era * 400 + year) * 12 + from_march + 2;
        Self(u32::try_from(months.clamp(0, LAST)).unwrap_or(0))
    }

    /// The Unix time of its end: the first second of the next one.
    pub fn end(self) -> i64 {
        let from_march = i64::from(self.0) + 1 - 2;
        let (years, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
        let (era, year) = (years.div_euclid(400), years.rem_euclid(400));
        let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
        (era * ERA_DAYS + day - DAYS_TO_1970) * DAY_SECONDS
    }

    /// A number that is greater for a later month, and below 2^24.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// The month of such a number.
    pub(super) fn numbered(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let parts =
            text.split_once('-').filter(|(year, month)| (year.len(), month.len()) == (4, 2));
        let numbers = parts.and_then(|(year, month)| Some((digits(year)?, digits(month)?)));
        match numbers {
            Some((year, month @ 1..=12)) => Ok(Self(year * 12 + month - 1)),
            Some(_) | None => Err(NoMonth(text.to_owned())),
        }
    }
}

/// A number of nothing but digits; a sign is none.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn month(text: &str) -> Month {
        text.parse().expect("a month")
    }

    fn days_of(year: i64, month: i64) -> i64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Counts one day after the other from 1970 on: the year, the month and the day of the month.
    fn naive(days: i64) -> (i64, i64, i64) {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for _ in 0..days.max(0) {
            day += 1;
            if day > days_of(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        for _ in days.min(0)..0 {
            day -= 1;
            if day == 0 {
                month -= 1;
                if month == 0 {
                    (year, month) = (year - 1, 12);
                }
                day = days_of(year, month);
            }
        }
        (year, month, day)
    }

    #[test]
    fn known_times_have_their_month() {
        for (seconds, expected, end) in [
            (0, "1970-01", 2_678_400),
            (-1, "1969-12", 0),
            (951_782_400, "2000-02", 951_868_800),
            (951_868_799, "2000-02", 951_868_800),
            (951_868_800, "2000-03", 954_547_200),
            (1_793_491_200, "2026-11", 1_796_083_200),
            (1_796_083_199, "2026-11", 1_796_083_200),
            (4_107_542_399, "2100-02", 4_107_542_400),
            (253_402_300_799, "9999-12", 253_402_300_800),
        ] {
            assert_eq!(Month::of(seconds), month(expected), "{seconds}");
            assert_eq!(Month::of(seconds).end(), end, "{seconds}");
        }
    }

    #[test]
    fn a_time_outside_has_the_nearest_month() {
        assert_eq!(Month::of(i64::MIN), month("0000-01"));
        assert_eq!(Month::of(i64::MAX), month("9999-12"));
        assert_eq!(Month::of(253_402_300_800), month("9999-12"));
    }

    #[test]
    fn months_are_in_order() {
        assert!(month("2026-11") < month("2026-12") && month("2026-12") < month("2027-01"));
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for wrong in [
            "",
            "2026",
            "2026-",
            "2026-1",
            "2026-00",
            "2026-13",
            "2026-011",
            "26-11",
            "+026-11",
            "2026-+1",
            "-026-11",
            "2026-11-01",
            " 2026-11",
            "2026/11",
            "２026-11",
        ] {
            assert_eq!(wrong.parse::<Month>(), Err(NoMonth(wrong.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn it_is_the_month_that_counting_days_leads_to(
            days in -80_000_i64..80_000,
            second in 0..DAY_SECONDS,
        ) {
            let (year, number, day) = naive(days);
            let found = Month::of(days * DAY_SECONDS + second);
            prop_assert_eq!(found.to_string(), format!("{year:04}-{number:02}"));
            let left = days_of(year, number) - day + 1;
            prop_assert_eq!(found.end(), (days + left) * DAY_SECONDS);
        }

        #[test]
        fn a_month_lasts_until_its_end(seconds in any::<i64>()) {
            let found = Month::of(seconds);
            prop_assert_eq!(Month::of(found.end() - 1), found);
            prop_assert_eq!(Month::numbered(found.number()), found);
        }

        #[test]
        fn what_is_shown_is_read_back(number in 0..=u32::try_from(LAST).expect("a month")) {
            let shown = Month::numbered(number).to_string();
            prop_assert_eq!(month(&shown), Month::numbered(number));
        }
    }
}
