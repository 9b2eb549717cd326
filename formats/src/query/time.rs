//! Times of certificates: DER to seconds since 1970, and to RFC 3339 text.

use crate::asn1::Reader;

/// Seconds since 1970 (UTC) of a whole UTCTime or GeneralizedTime element; `None` if it is neither or
/// out of range. RFC 5280 section 4.1.2.5: two-digit years from 50 on are 19xx. Offsets from UTC and
/// absent seconds, which old certificates have, are understood; fractions are ignored.
pub fn seconds(time: &[u8]) -> Option<i64> {
    let element = Reader::new(time, 0).next().ok()??;
    let text = std::str::from_utf8(element.content).ok()?;
    let (year_digits, text) = match element.tag.0 {
        0x17 => (2, text),
        0x18 => (4, text),
        _ => return None,
    };
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = text.get(from..from + len)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let year = match (number(0, year_digits)?, year_digits) {
        (y, 2) if y >= 50 => 1900 + y,
        (y, 2) => 2000 + y,
        (y, _) => y,
    };
    let at = year_digits;
    let (month, day, hour, minute) =
        (number(at, 2)?, number(at + 2, 2)?, number(at + 4, 2)?, number(at + 6, 2)?);
    let (second, mut rest) = match number(at + 8, 2) {
        Some(s) => (s, text.get(at + 10..)?),
        None => (0, text.get(at + 8..)?),
    };
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let offset = match rest.as_bytes() {
        [] | [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let digit = |b: &u8| b.is_ascii_digit().then(|| i64::from(b - b'0'));
            let minutes = (digit(h1)? * 10 + digit(h2)?) * 60 + digit(m1)? * 10 + digit(m2)?;
            if *sign == b'+' { minutes * 60 } else { -minutes * 60 }
        }
        _ => return None,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// RFC 3339 text, UTC, of seconds since 1970.
pub fn rfc3339(seconds: i64) -> String {
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let s = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

/// The inverse of [`rfc3339`], for its own form of text.
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let number = |at: std::ops::Range<usize>| text.get(at)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    (text.get(19..) == Some("Z"))
        .then(|| days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years begin in March, so that
/// the leap day is the last one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * day_of_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * m + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(s: &str) -> Option<String> {
        seconds(&crate::asn1::tlv(0x17, s.as_bytes())).map(rfc3339)
    }
    fn general(s: &str) -> Option<String> {
        seconds(&crate::asn1::tlv(0x18, s.as_bytes())).map(rfc3339)
    }

    #[test]
    fn text_comes_back() {
        for seconds in [0, -62_167_219_200, 253_402_300_799, 951_782_400, 1_767_323_045] {
            assert_eq!(from_rfc3339(&rfc3339(seconds)), Some(seconds));
        }
        assert_eq!((from_rfc3339(""), from_rfc3339("2026-01-02T03:04:05+01:00")), (None, None));
    }

    #[test]
    fn both_kinds() {
        assert_eq!(utc("260102030405Z").as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(utc("500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(utc("491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(utc("2601020304Z").as_deref(), Some("2026-01-02T03:04:00Z"));
        assert_eq!(utc("260102030405+0100").as_deref(), Some("2026-01-02T02:04:05Z"));
        assert_eq!(general("99991231235959Z").as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(general("20240229120000.5Z").as_deref(), Some("2024-02-29T12:00:00Z"));
        assert_eq!(general("00000101000000Z").as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(utc("261302030405Z"), None);
        assert_eq!(utc("26é1302030405Z"), None);
        assert_eq!(general("hello"), None);
    }
}
