//! The little that the program does with time: now, spans such as `30d`, and RFC 3339 text.

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Now, in milliseconds since 1970 (UTC).
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
}

/// `90s`, `15m`, `12h`, `30d`, `6w`, `1y` (365 days) in milliseconds; a bare number counts days.
pub fn span(text: &str) -> Result<i64, String> {
    const UNITS: &[(char, i64)] =
        &[('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', DAY), ('w', 7 * DAY), ('y', 365 * DAY)];
    let unit = UNITS.iter().find(|(c, _)| text.ends_with(*c));
    let digits = unit.map_or(text, |(c, _)| text.strip_suffix(*c).unwrap_or(text));
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    whole
        .then(|| digits.parse::<i64>().ok()?.checked_mul(unit.map_or(DAY, |(_, ms)| *ms)))
        .flatten()
        .filter(|ms| *ms < 1000 * 365 * DAY)
        .ok_or_else(|| "a number and one of s, m, h, d, w, y is wanted, such as 30d".to_owned())
}

/// RFC 3339 in UTC, to the second. Texts of four-digit years compare as their times do.
pub fn rfc3339(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(DAY), ms.rem_euclid(DAY) / 1000);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years begin in March here, so
/// that the leap day is a year's last; an era has 400 of them.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let (era, in_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(span("30d"), Ok(30 * DAY));
        assert_eq!(span("2"), Ok(2 * DAY));
        assert_eq!(span("1y"), Ok(365 * DAY));
        assert_eq!(span("90s"), Ok(90_000));
        for bad in ["", "d", "3dd", "-1d", "1.5d", "1x", "99999999999999999999d", "2000y", "+1d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696_000), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_600_000), "2026-01-01T00:00:00Z");
    }
}
