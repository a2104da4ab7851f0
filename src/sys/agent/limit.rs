//! Which limit an agent's error message means, and when it ends.
//!
//! Only what a program itself reports as an error is ever looked at here, never what a model said.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::event::LimitKind;
use crate::base::clock::Time;

/// The limit that an HTTP status means.
pub(super) fn of_status(status: u64) -> Option<LimitKind> {
    match status {
        401 | 403 => Some(LimitKind::Auth),
        402 => Some(LimitKind::Quota),
        429 => Some(LimitKind::RateLimit),
        503 | 529 => Some(LimitKind::Overload),
        _ => None,
    }
}

/// The limit that an error message means. Money comes before the status: an empty account answers 429 too.
pub(super) fn of_message(message: &str) -> Option<LimitKind> {
    const QUOTA: &[&str] = &["quota", "billing", "credit balance", "out of credits", "payment required"];
    const RATE: &[&str] = &["rate limit", "rate_limit", "too many requests", "usage limit", "hit your limit"];
    const OVERLOAD: &[&str] = &["overloaded", "at capacity", "service unavailable", "high demand"];
    const AUTH: &[&str] = &[
        "unauthorized",
        "not logged in",
        "please run /login",
        "invalid api key",
        "incorrect api key",
        "missing environment variable",
        "authentication",
        "oauth token",
    ];
    const UNREACHABLE: &[&str] = &[
        "connection failed",
        "connection refused",
        "connection error",
        "unable to connect",
        "cannot connect",
        "error sending request",
        "econnrefused",
        "enotfound",
    ];
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(QUOTA) {
        return Some(LimitKind::Quota);
    }
    if let Some(status) = status_in(&message) {
        return of_status(status);
    }
    [
        (RATE, LimitKind::RateLimit),
        (OVERLOAD, LimitKind::Overload),
        (AUTH, LimitKind::Auth),
        (UNREACHABLE, LimitKind::Unreachable),
    ]
    .into_iter()
    .find_map(|(words, kind)| says(words).then_some(kind))
}

/// The HTTP status in `unexpected status 401 Unauthorized` or `last status: 429 Too Many Requests`.
fn status_in(message: &str) -> Option<u64> {
    message.match_indices("status").find_map(|(at, word)| {
        let rest = message[at + word.len()..].trim_start_matches([':', ' ']);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        (digits == 3).then(|| rest[..3].parse().ok()).flatten()
    })
}

/// When the limit of an error message ends: `try again in 1.5s`, `try again at 1:04 AM.`,
/// `try again at Nov 22nd, 2026 1:04 AM.`, `resets 12:57am (UTC)`. A time of day is taken as UTC
/// and as the next such time after `now`, or as a minute from now where it has just been; one in another
/// named zone is not understood.
pub(super) fn reset_in(message: &str, now: Time) -> Option<Time> {
    let message = message.to_lowercase();
    let after = |marker: &str| message.split_once(marker).map(|(_, rest)| rest.trim_start());
    if let Some(rest) = after("try again in ").or_else(|| after("retry after ")) {
        return later(now, seconds(rest)?);
    }
    let rest = after("try again at ").or_else(|| after("resets at ")).or_else(|| after("resets "))?;
    clock(rest, now)
}

/// When a `retry-after` header ends: seconds, or an HTTP date.
pub(super) fn retry_after(header: &str, now: Time) -> Option<Time> {
    match header.trim().parse::<f64>() {
        Ok(seconds) => later(now, seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(header.trim()).ok()?;
            Some(Time::from_millis(date.timestamp().as_millisecond()))
        }
    }
}

/// `now` and so many seconds, unless that is nonsense: no limit lasts a year.
pub(super) fn later(now: Time, seconds: f64) -> Option<Time> {
    const YEAR_S: f64 = 366.0 * 86_400.0;
    let sane = seconds.is_finite() && (0.0..YEAR_S).contains(&seconds);
    sane.then(|| Time::from_millis(now.as_millis().saturating_add((seconds * 1000.0).ceil() as i64)))
}

/// `1.5s`, `1h 30m`, `6m0s`, `3 days 2 hours` in seconds; stops at the first word that is no such part.
fn seconds(text: &str) -> Option<f64> {
    let mut total = None;
    let mut rest = text;
    loop {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(count) = rest[..number].parse::<f64>() else { return total };
        let unit_and_more = rest[number..].trim_start();
        let end = unit_and_more.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit_and_more.len());
        let unit = match &unit_and_more[..end] {
            "ms" => 0.001,
            "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => return total,
        };
        total = Some(total.unwrap_or(0.0) + count * unit);
        rest = unit_and_more[end..].trim_start_matches([' ', ',']);
    }
}

/// `1:04 am.`, `3pm (utc)`, `nov 22nd, 2026 1:04 am.`
fn clock(text: &str, now: Time) -> Option<Time> {
    if text.split_once('(').is_some_and(|(_, zone)| !zone.starts_with("utc)")) {
        return None;
    }
    let text = text.split('(').next()?;
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
    let today = Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(TimeZone::UTC).date();
    let date = match words.peek().and_then(|word| month(word)) {
        Some(month) => {
            words.next();
            let day = words.next()?.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok()?;
            let year = words.next_if(|word| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()));
            let year = year.map_or(Some(today.year()), |year| year.parse().ok())?;
            Some(Date::new(year, month, day).ok()?)
        }
        None => None,
    };
    let (hour, minute) = time_of_day(words.next()?, words.next())?;
    let on = |date: Date| -> Option<Time> {
        let moment = date.at(hour, minute, 0, 0).to_zoned(TimeZone::UTC).ok()?;
        Some(Time::from_millis(moment.timestamp().as_millisecond()))
    };
    let days = match date {
        Some(date) => vec![on(date)],
        None => [today.yesterday().ok(), Some(today), today.tomorrow().ok()]
            .map(|date| date.and_then(on))
            .to_vec(),
    };
    let moments = || days.iter().flatten().copied();
    // Seconds are not told, so that it may end within the minute that runs; and no two clocks agree.
    let is_just_past = |moment: &Time| *moment <= now && *moment > now.plus_seconds(-SKEW_S);
    if moments().any(|moment| is_just_past(&moment)) {
        return Some(now.plus_seconds(MINUTE_S));
    }
    // A day that is named is meant, whenever it was.
    moments().find(|moment| date.is_some() || *moment > now)
}

const MINUTE_S: i64 = 60;
/// A time of day that was this long ago is meant, and not that of the next day.
const SKEW_S: i64 = 5 * MINUTE_S;

/// `1:04` and `am.`, or `3pm` and anything.
fn time_of_day(word: &str, next: Option<&str>) -> Option<(i8, i8)> {
    let split = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (figures, half) = if split == word.len() { (word, next?) } else { word.split_at(split) };
    let (hour, minute) = figures.split_once(':').unwrap_or((figures, "0"));
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    if !(1..=12).contains(&hour) || !(0..60).contains(&minute) {
        return None;
    }
    match half.trim_end_matches('.') {
        "am" => Some((hour % 12, minute)),
        "pm" => Some((hour % 12 + 12, minute)),
        _ => None,
    }
}

fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let at = MONTHS.iter().position(|month| word.get(..3) == Some(month))?;
    word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'.').then_some(at as i8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_programs() {
        use LimitKind::{Auth, Overload, Quota, RateLimit, Unreachable};
        for (message, kind) in [
            ("exceeded retry limit, last status: 429 Too Many Requests", Some(RateLimit)),
            ("You’ve hit your usage limit. Visit https://x or try again at 1:04 AM.", Some(RateLimit)),
            ("Quota exceeded. Check your plan and billing details.", Some(Quota)),
            ("unexpected status 429: insufficient_quota", Some(Quota)),
            ("unexpected status 401 Unauthorized: Incorrect API key provided: sk-fake.", Some(Auth)),
            ("unexpected status 529 <unknown status code>: Overloaded, url: http://x", Some(Overload)),
            ("unexpected status 404 Not Found: no such model", None),
            ("Selected model is at capacity. Please try a different model.", Some(Overload)),
            ("Not logged in · Please run /login", Some(Auth)),
            ("Codex ran out of room in the model's context window.", None),
            ("Connection failed: error sending request", Some(Unreachable)),
            (
                "Cannot connect to API: Unable to connect. Is the computer able to access the url?",
                Some(Unreachable),
            ),
            ("status", None),
            ("status: 42", None),
            ("exit status 4290", None),
            ("", None),
        ] {
            assert_eq!(of_message(message), kind, "{message}");
        }
    }

    #[test]
    fn ends_of_limits() {
        let now = Time::parse("2026-11-21T23:30:30Z").expect("a time");
        for (message, end) in [
            ("Please try again in 1.5s.", Some("2026-11-21T23:30:31.500Z")),
            ("try again in 250ms", Some("2026-11-21T23:30:30.250Z")),
            ("try again in 6m0s", Some("2026-11-21T23:36:30.000Z")),
            ("Try again in 3 days 2 hours 1 minute.", Some("2026-11-25T01:31:30.000Z")),
            ("try again in a while", None),
            ("try again in 9999999999 days", None),
            ("try again at 11:45 PM.", Some("2026-11-21T23:45:00.000Z")),
            ("try again at 1:04 AM.", Some("2026-11-22T01:04:00.000Z")),
            ("try again at Nov 23rd, 2026 12:00 AM.", Some("2026-11-23T00:00:00.000Z")),
            ("try again at Feb 30th, 2026 1:00 AM.", None),
            ("You've hit your limit · resets 12:57am (UTC)", Some("2026-11-22T00:57:00.000Z")),
            // Those who name minutes mean one of its seconds; and somebody's clock may be ahead.
            ("try again at 11:30 PM.", Some("2026-11-21T23:31:30.000Z")),
            ("try again at 11:26 PM.", Some("2026-11-21T23:31:30.000Z")),
            ("resets 11:25pm (UTC)", Some("2026-11-22T23:25:00.000Z")),
            ("try again at Nov 21st, 2026 11:30 PM.", Some("2026-11-21T23:31:30.000Z")),
            ("try again at Nov 21st, 2026 11:00 PM.", Some("2026-11-21T23:00:00.000Z")),
            ("resets 3pm (Europe/Berlin)", None),
            ("resets 12pm", Some("2026-11-22T12:00:00.000Z")),
            ("resets 13pm", None),
            ("resets 0:99 am", None),
            ("resets ", None),
            ("resets ä:ö", None),
            ("nothing of the kind", None),
        ] {
            assert_eq!(reset_in(message, now).map(|at| at.to_string()).as_deref(), end, "{message}");
        }
    }

    #[test]
    fn a_limit_that_ended_just_before_midnight_is_no_day_long() {
        let now = Time::parse("2026-11-22T00:01:00Z").expect("a time");
        for (message, end) in [
            ("try again at 11:59 PM.", "2026-11-22T00:02:00.000Z"),
            ("try again at 12:01 AM.", "2026-11-22T00:02:00.000Z"),
            ("try again at 12:02 AM.", "2026-11-22T00:02:00.000Z"),
            ("try again at 11:50 PM.", "2026-11-22T23:50:00.000Z"),
        ] {
            assert_eq!(reset_in(message, now).map(|at| at.to_string()).as_deref(), Some(end), "{message}");
        }
    }

    #[test]
    fn a_header_has_seconds_or_a_date() {
        let now = Time::parse("2026-11-21T00:00:00Z").expect("a time");
        for (header, end) in [
            ("2", Some("2026-11-21T00:00:02.000Z")),
            (" 3600 ", Some("2026-11-21T01:00:00.000Z")),
            ("Sat, 21 Nov 2026 00:06:47 GMT", Some("2026-11-21T00:06:47.000Z")),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(header, now).map(|at| at.to_string()).as_deref(), end, "{header}");
        }
    }
}
