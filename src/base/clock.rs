//! Wall-clock time, as it is stored and shown. Durations are measured with
//! [`std::time::Instant`], which does not jump.

use std::fmt;
use std::time::Duration;

use super::failpoint;

/// A moment, in milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// The wall clock now.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond().saturating_add(failpoint::clock_jump_ms()))
    }

    /// From milliseconds since 1970-01-01 UTC.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// From seconds since 1970-01-01 UTC.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Parses RFC 3339; `None` when it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|timestamp| Self(timestamp.as_millisecond()))
    }

    /// This moment moved by `seconds`, negative for earlier.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// The start of this moment's day in UTC.
    #[must_use]
    pub fn start_of_day(self) -> Self {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        Self(self.0 - self.0.rem_euclid(DAY_MS))
    }

    /// The start of this moment's month in UTC.
    #[must_use]
    pub fn start_of_month(self) -> Self {
        let day = self.start_of_day();
        let of_month = jiff::Timestamp::from_millisecond(day.0)
            .map_or(1, |timestamp| timestamp.to_zoned(jiff::tz::TimeZone::UTC).day());
        day.plus_seconds(-(i64::from(of_month) - 1) * 24 * 3600)
    }

    /// The start of the day after this moment's, in UTC.
    #[must_use]
    pub fn next_day(self) -> Self {
        self.start_of_day().plus_seconds(24 * 3600)
    }

    /// The start of the month after this moment's, in UTC.
    #[must_use]
    pub fn next_month(self) -> Self {
        // The longest month is shorter than this, the shortest with the next one longer.
        self.start_of_month().plus_seconds(32 * 24 * 3600).start_of_month()
    }

    /// How many days of its month follow this moment's day.
    pub fn days_left(self) -> u32 {
        let days = self.next_month().millis_since(self.next_day()) / (24 * 3600 * 1000);
        u32::try_from(days).unwrap_or(0)
    }

    /// Milliseconds from `earlier` to this moment; negative when the clock jumped back.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// How long it is until then; nothing once it is past.
    pub fn from_now(self) -> Duration {
        Duration::from_millis(u64::try_from(self.millis_since(Self::now())).unwrap_or(0))
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC with milliseconds: `2026-11-21T01:02:03.456Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// Where a person's day begins.
#[derive(Debug, Clone)]
pub enum Zone {
    /// As this system is set, or as `TZ` says. Found out when a time is first shown: that reads through
    /// all zones there are.
    System,
    /// Universal time.
    Utc,
}

impl Zone {
    /// The moment for people in this zone: `01:02:03` on the day of `now`, else `2026-11-21 01:02`.
    pub fn show(&self, time: Time, now: Time) -> String {
        let zoned = |time: Time| {
            let timestamp = jiff::Timestamp::from_millisecond(time.0).ok()?;
            // jiff keeps what it found.
            let zone = match self {
                Self::System => jiff::tz::TimeZone::system(),
                Self::Utc => jiff::tz::TimeZone::UTC,
            };
            Some(timestamp.to_zoned(zone))
        };
        match (zoned(time), zoned(now)) {
            (Some(time), Some(now)) if time.date() == now.date() => time.strftime("%H:%M:%S").to_string(),
            (Some(time), _) => time.strftime("%Y-%m-%d %H:%M").to_string(),
            (None, _) => time.to_string(),
        }
    }
}
