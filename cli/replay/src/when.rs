//! Owns the times of access logs: `10/Oct/2000:13:55:36 -0700`, as nanoseconds since 1970.
//! Never reads a clock or a table of time zones.

/// Reads a time of the Common Log Format.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (clock, zone) = text.split_once(' ')?;
    let mut parts = clock.splitn(4, ['/', ':']);
    let day = number(parts.next()?, 1, 31)?;
    let month = month(parts.next()?)?;
    let year = number(parts.next()?, 1970, 9999)?;
    let mut parts = parts.next()?.split(':');
    let hour = number(parts.next()?, 0, 23)?;
    let minute = number(parts.next()?, 0, 59)?;
    // A leap second is written as 60.
    let second = number(parts.next()?, 0, 60)?;
    if parts.next().is_some() {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    u64::try_from(seconds - offset(zone)?)
        .ok()?
        .checked_mul(NANOS_PER_SEC)
}

pub(super) const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    Some(sign * (number(hours, 0, 23)? * 3600 + number(minutes, 0, 59)? * 60))
}

fn number(text: &str, min: i64, max: i64) -> Option<i64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    (min..=max).contains(&number).then_some(number)
}

fn month(name: &str) -> Option<i64> {
    const NAMES: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let index = NAMES.iter().position(|known| *known == name)?;
    i64::try_from(index).ok().map(|index| index + 1)
}

/// Days from 1970-01-01 in the Gregorian calendar. The year begins in March, so that the leap day
/// is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let month = (month + 9) % 12;
    // Days before the month in a year that begins in March: 0, 31, 61, 92, ...
    let before = (153 * month + 2) / 5;
    year * 365 + year / 4 - year / 100 + year / 400 + before + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_zones() {
        #[track_caller]
        fn check(text: &str, seconds: Option<u64>) {
            let nanos = seconds.map(|seconds| seconds * NANOS_PER_SEC);
            assert_eq!(parse(text.as_bytes()), nanos, "{text}");
        }
        check("01/Jan/1970:00:00:00 +0000", Some(0));
        check("10/Oct/2000:13:55:36 -0700", Some(971_211_336));
        check("10/Oct/2000:20:55:36 +0000", Some(971_211_336));
        check("11/Oct/2000:02:25:36 +0530", Some(971_211_336));
        check("29/Feb/2024:23:59:60 +0000", Some(1_709_251_200));
        check("01/Mar/2100:00:00:00 +0000", Some(4_107_542_400));
        check("31/Dec/1969:23:00:00 -0200", None);
        for bad in [
            "",
            "10/Oct/2000:13:55:36",
            "10/Okt/2000:13:55:36 +0000",
            "32/Oct/2000:13:55:36 +0000",
            "10/Oct/2000:24:55:36 +0000",
            "10/Oct/2000:13:55 +0000",
            "10/Oct/2000:13:55:36:00 +0000",
            "10/Oct/2000:13:55:36 0700",
            "10/Oct/2000:13:55:36 +07",
            "+1/Oct/2000:13:55:36 +0000",
            "10/Oct/2000:13:55:36 \u{e9}000",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut expected = 0;
        for year in 1970..2110 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, length) in (1..).zip(lengths) {
                let length = length + i64::from(month == 2 && is_leap);
                for day in 1..=length {
                    assert_eq!(days(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }
}
