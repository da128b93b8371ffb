//! Seconds since 1970 as the calendar shows them; the simulator needs no more of time zones.

const DAY: i64 = 86_400;

/// A moment in a zone, field by field.
pub(crate) struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
    zone_minutes: i32,
}

impl Civil {
    /// The moment `unix` as a clock shows it that runs `zone_minutes` ahead of UTC.
    pub(crate) fn new(unix: i64, zone_minutes: i32) -> Self {
        let local = unix + i64::from(zone_minutes) * 60;
        let (year, month, day) = date_of(local.div_euclid(DAY));
        Self { year, month, day, second_of_day: local.rem_euclid(DAY), zone_minutes }
    }

    /// `2016-07-25`.
    pub(crate) fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `2016-12-20T16:19:39Z`, with `fraction` between the seconds and the zone.
    pub(crate) fn time(&self, fraction: &str) -> String {
        let (hour, minute) = (self.second_of_day / 3600, self.second_of_day / 60 % 60);
        let second = self.second_of_day % 60;
        let date = self.date();
        let zone = self.zone();
        format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
    }

    fn zone(&self) -> String {
        let minutes = self.zone_minutes.abs();
        match self.zone_minutes {
            0 => "Z".to_owned(),
            ahead => {
                let sign = if ahead > 0 { '+' } else { '-' };
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// Year, month and day of a day number, by counting years from March so that leap days come last.
fn date_of(days_since_1970: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    const MARCH_OF_YEAR_0: i64 = 719_468;
    let days = days_since_1970 + MARCH_OF_YEAR_0;
    let era = days.div_euclid(DAYS_IN_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_IN_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_a_calendar_shows() {
        assert_eq!(Civil::new(0, 0).time(""), "1970-01-01T00:00:00Z");
        assert_eq!(Civil::new(1_482_250_779, 0).time(""), "2016-12-20T16:19:39Z");
        assert_eq!(Civil::new(1_482_250_779, 120).time(".000"), "2016-12-20T18:19:39.000+02:00");
        assert_eq!(Civil::new(1_482_250_779, -210).time(""), "2016-12-20T12:49:39-03:30");
        assert_eq!(Civil::new(951_782_400, 0).date(), "2000-02-29");
        assert_eq!(Civil::new(-1, 0).time(""), "1969-12-31T23:59:59Z");
    }
}
