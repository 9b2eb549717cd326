//! The little that the program does with time: now, and spans such as `30d`.

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
}
