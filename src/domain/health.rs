//! Whether a worker lives, whether it may be given more, and whether the machine can carry another:
//! pure decisions on what was seen.

use std::time::Duration;

use super::attempt::Outcome;

/// Less processor time than this between two looks is no sign of life: a program that only waits
/// turns over now and then.
const LEAST_CPU: Duration = Duration::from_millis(200);
/// Nor is less than this part of the time between them, in hundredths.
const LEAST_CPU_PERCENT: u32 = 2;

/// Whether so much processor time, used within so long, is work.
pub fn is_work(cpu: Duration, within: Duration) -> bool {
    cpu >= LEAST_CPU.max(within * LEAST_CPU_PERCENT / 100)
}

/// How long a worker is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Without a sign of life for this long it is taken for stuck.
    pub stuck_after: Duration,
    /// It is looked at this often at least.
    pub look: Duration,
}

impl Patience {
    /// How often a worker is looked at: as it is configured, and not less often than it may be stuck.
    pub fn between_looks(self) -> Duration {
        self.look.min(self.stuck_after)
    }

    /// What is to be done about a worker that has been silent for so long. `nudged`: how long ago it
    /// was nudged in this silence. One that cannot be told anything is not nudged.
    pub fn next(self, silent: Duration, nudged: Option<Duration>, can_be_nudged: bool) -> Next {
        let look = self.between_looks();
        match nudged {
            _ if silent < self.stuck_after => Next::LookIn(look.min(self.stuck_after - silent)),
            None if can_be_nudged => Next::Nudge,
            Some(ago) if ago < look => Next::LookIn(look - ago),
            None | Some(_) => Next::Stop,
        }
    }
}

/// What is to be done about a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Look again after this long.
    LookIn(Duration),
    /// Ask it for a sign of life.
    Nudge,
    /// Save what it did and end it.
    Stop,
}

/// When a worker is taken for one that only crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashRule {
    /// So many attempts in a row.
    pub crashes: u32,
    /// An attempt that ends sooner ended at once.
    pub within: Duration,
    /// It gets nothing for this long the first time, twice as long each time after.
    pub rest: Duration,
}

/// It never gets nothing for longer than this, unless that is configured.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// What is remembered of a worker that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// Attempts in a row that ended at once.
    pub crashes: u32,
    /// Quarantines since it did anything well.
    pub quarantines: u32,
}

/// What the end of an attempt means for its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be recorded.
    Same,
    /// This is to be remembered.
    Remember(Record),
    /// It gets nothing for so long, and this is to be remembered.
    Quarantine(Record, Duration),
}

impl CrashRule {
    /// What the end of an attempt that lived so long means. What a person, the machine, a provider's limit
    /// or money ended tells nothing about the worker.
    pub fn weigh(self, before: Record, outcome: Outcome, lived: Duration, was_money: bool) -> Verdict {
        let after = match outcome {
            Outcome::Killed | Outcome::Interrupted | Outcome::RateLimited => return Verdict::Same,
            Outcome::Failed if was_money => return Verdict::Same,
            Outcome::Failed if lived < self.within => {
                Record { crashes: before.crashes.saturating_add(1), ..before }
            }
            Outcome::Submitted | Outcome::Violation => Record::default(),
            Outcome::Failed | Outcome::TimedOut | Outcome::Stuck => Record { crashes: 0, ..before },
        };
        if after.crashes < self.crashes {
            return if after == before { Verdict::Same } else { Verdict::Remember(after) };
        }
        let longest = LONGEST_REST.max(self.rest);
        let rest = self.rest.saturating_mul(1 << before.quarantines.min(20)).min(longest);
        // The next crash after it is one too many again.
        let record = Record {
            crashes: self.crashes.saturating_sub(1),
            quarantines: before.quarantines.saturating_add(1),
        };
        Verdict::Quarantine(record, rest)
    }
}

/// How the machine's memory is, as far as the system tells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Memory {
    /// Part of the last ten seconds in which something waited for memory, in hundredths.
    pub pressure: Option<f64>,
    /// Bytes that can be had without taking them from anybody, and of how many.
    pub machine: Option<Room>,
    /// The same within the narrowest limit that this process is held to.
    pub group: Option<Room>,
}

/// Memory that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free.
    pub free: u64,
    /// Of so many.
    pub of: u64,
}

/// How much memory there must be before another worker starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryRule {
    /// The most pressure, in hundredths of the time.
    pub most_pressure: f64,
    /// The least that must be free, in bytes. `None`: a twentieth, at most 256 MiB.
    pub least_free: Option<u64>,
}

const MIB: u64 = 1 << 20;

impl MemoryRule {
    /// Why no worker may start, with the figures, if so. Pressure is what is asked first; room counts
    /// where the system tells of no pressure, where it is configured, and within a limit, which kills
    /// before anybody waits.
    pub fn refuses(&self, memory: &Memory) -> Option<String> {
        if let Some(pressure) = memory.pressure.filter(|pressure| *pressure >= self.most_pressure) {
            let free = memory.machine.map(|room| format!(", {} MiB are free", room.free / MIB));
            return Some(format!(
                "for {pressure:.0} % of the last 10 s programs waited for memory (limit {:.0} %){}",
                self.most_pressure,
                free.unwrap_or_default()
            ));
        }
        let is_asked = memory.pressure.is_none() || self.least_free.is_some();
        let machine = memory.machine.filter(|_| is_asked).map(|room| (room, "of this machine"));
        let group = memory.group.map(|room| (room, "of the control group's limit"));
        let (room, whose, least) = [machine, group]
            .into_iter()
            .flatten()
            .map(|(room, whose)| {
                (room, whose, self.least_free.unwrap_or_else(|| (room.of / 20).min(256 * MIB)))
            })
            .find(|(room, _, least)| room.free < *least)?;
        Some(format!(
            "{} of {} MiB {whose} are free, and {} must be",
            room.free / MIB,
            room.of / MIB,
            least / MIB
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn work_is_more_than_turning_over() {
        let ms = Duration::from_millis;
        for (cpu, within, expected) in [
            (ms(0), s(1), false),
            (ms(199), s(1), false),
            (ms(200), s(1), true),
            (ms(200), s(300), false),
            (ms(5_999), s(300), false),
            (ms(6_000), s(300), true),
        ] {
            assert_eq!(is_work(cpu, within), expected, "{cpu:?} within {within:?}");
        }
    }

    #[test]
    fn the_silent_are_nudged_once_and_then_stopped() {
        let patient = Patience { stuck_after: s(300), look: s(60) };
        let seldom = Patience { stuck_after: s(10), look: s(300) };
        for (patience, silent, nudged, can, expected) in [
            (patient, 0, None, true, Next::LookIn(s(60))),
            (patient, 250, None, true, Next::LookIn(s(50))),
            (patient, 300, None, true, Next::Nudge),
            (patient, 300, Some(0), true, Next::LookIn(s(60))),
            (patient, 359, Some(59), true, Next::LookIn(s(1))),
            (patient, 360, Some(60), true, Next::Stop),
            (patient, 9999, Some(9000), true, Next::Stop),
            // It showed life after the nudge, and is silent anew.
            (patient, 20, Some(30), true, Next::LookIn(s(60))),
            (patient, 300, None, false, Next::Stop),
            (seldom, 0, None, true, Next::LookIn(s(10))),
            (seldom, 10, None, true, Next::Nudge),
            (seldom, 15, Some(5), true, Next::LookIn(s(5))),
            (seldom, 20, Some(10), true, Next::Stop),
        ] {
            let nudged = nudged.map(s);
            assert_eq!(patience.next(s(silent), nudged, can), expected, "{patience:?} {silent} {nudged:?}");
        }
    }

    #[test]
    fn whoever_only_crashes_rests_longer_each_time() {
        use Outcome::{Failed, Interrupted, Killed, RateLimited, Stuck, Submitted, TimedOut, Violation};
        let rule = CrashRule { crashes: 3, within: s(10), rest: s(60) };
        let record = |crashes, quarantines| Record { crashes, quarantines };
        for (before, outcome, lived, money, expected) in [
            (record(0, 0), Failed, 1, false, Verdict::Remember(record(1, 0))),
            (record(1, 0), Failed, 9, false, Verdict::Remember(record(2, 0))),
            (record(2, 0), Failed, 0, false, Verdict::Quarantine(record(2, 1), s(60))),
            // One more try after it, and it rests twice as long.
            (record(2, 1), Failed, 0, false, Verdict::Quarantine(record(2, 2), s(120))),
            (record(2, 5), Failed, 0, false, Verdict::Quarantine(record(2, 6), s(1920))),
            (record(2, 60), Failed, 0, false, Verdict::Quarantine(record(2, 61), s(3600))),
            (record(2, 3), Failed, 10, false, Verdict::Remember(record(0, 3))),
            (record(2, 3), Submitted, 1, false, Verdict::Remember(record(0, 0))),
            (record(2, 3), Violation, 1, false, Verdict::Remember(record(0, 0))),
            (record(2, 1), TimedOut, 1, false, Verdict::Remember(record(0, 1))),
            (record(2, 1), Stuck, 1, false, Verdict::Remember(record(0, 1))),
            // These say nothing about the worker.
            (record(2, 0), Killed, 0, false, Verdict::Same),
            (record(2, 0), Interrupted, 0, false, Verdict::Same),
            (record(2, 0), RateLimited, 0, false, Verdict::Same),
            (record(2, 0), Failed, 0, true, Verdict::Same),
            (record(0, 0), Submitted, 99, false, Verdict::Same),
        ] {
            let verdict = rule.weigh(before, outcome, s(lived), money);
            assert_eq!(verdict, expected, "{before:?} {outcome:?} {lived} {money}");
        }
        let at_once = CrashRule { crashes: 1, within: s(10), rest: s(7200) };
        let expected = Verdict::Quarantine(record(0, 1), s(7200));
        assert_eq!(at_once.weigh(record(0, 0), Failed, s(0), false), expected);
    }

    #[test]
    fn no_worker_starts_where_memory_is_short() {
        let room = |free, of| Some(Room { free: free * MIB, of: of * MIB });
        let rule = MemoryRule { most_pressure: 25.0, least_free: None };
        let floor = MemoryRule { least_free: Some(1000 * MIB), ..rule };
        let memory = |pressure, machine, group| Memory { pressure, machine, group };
        for (rule, memory, expected) in [
            (rule, memory(None, None, None), None),
            (rule, memory(Some(0.0), room(9_000, 16_000), None), None),
            // Nobody waits, so the little that is free is enough, unless a floor is configured.
            (rule, memory(Some(0.0), room(10, 16_000), None), None),
            (
                floor,
                memory(Some(0.0), room(10, 16_000), None),
                Some("10 of 16000 MiB of this machine are free, and 1000 must be"),
            ),
            (rule, memory(Some(24.9), room(10, 16_000), None), None),
            (
                rule,
                memory(Some(25.0), room(9_000, 16_000), None),
                Some("for 25 % of the last 10 s programs waited for memory (limit 25 %), 9000 MiB are free"),
            ),
            (
                rule,
                memory(Some(90.0), None, None),
                Some("for 90 % of the last 10 s programs waited for memory (limit 25 %)"),
            ),
            (rule, memory(None, room(256, 16_000), None), None),
            (
                rule,
                memory(None, room(255, 16_000), None),
                Some("255 of 16000 MiB of this machine are free, and 256 must be"),
            ),
            // A small machine needs less.
            (rule, memory(None, room(40, 800), None), None),
            (
                rule,
                memory(None, room(39, 800), None),
                Some("39 of 800 MiB of this machine are free, and 40 must be"),
            ),
            (
                rule,
                memory(Some(0.0), room(9_000, 16_000), room(20, 512)),
                Some("20 of 512 MiB of the control group's limit are free, and 25 must be"),
            ),
            (rule, memory(Some(0.0), room(9_000, 16_000), room(200, 512)), None),
            (
                floor,
                memory(None, room(9_000, 16_000), room(999, 4_000)),
                Some("999 of 4000 MiB of the control group's limit are free, and 1000 must be"),
            ),
            (MemoryRule { least_free: Some(0), ..rule }, memory(None, room(0, 16_000), room(0, 512)), None),
        ] {
            assert_eq!(rule.refuses(&memory).as_deref(), expected, "{rule:?} {memory:?}");
        }
    }
}
