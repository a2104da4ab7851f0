//! A month of money in a moment: the store and the services, with a clock that the test moves.
#![cfg(debug_assertions)]
#![expect(clippy::unwrap_used, reason = "that is how a test fails, in its helpers too")]

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kapell::base::clock::Time;
use kapell::base::failpoint;
use kapell::base::ids::{AttemptId, PlanId, ProjectId, ProviderName, TaskId, WorkerName};
use kapell::domain::attempt::Outcome;
use kapell::domain::budget::Money;
use kapell::domain::usage::Usage;
use kapell::services::Error;
use kapell::services::costing;
use kapell::services::spending::{self, Begins, Wish};
use kapell::store::attempts::{Ending, NewAttempt};
use kapell::store::events::EventFilter;
use kapell::store::money::GroupBy;
use kapell::store::{Check, Store};
use kapell::sys::config::{Config, load};
use tempfile::TempDir;

/// The clock is one for the whole process.
static CLOCK: Mutex<()> = Mutex::new(());

struct World {
    folder: TempDir,
    store: Store,
    config: Config,
    project: ProjectId,
    plan: PlanId,
    begun: u32,
    _clock: MutexGuard<'static, ()>,
}

fn at(text: &str) -> Time {
    let time = Time::parse(text).unwrap();
    failpoint::set_clock(time.as_millis());
    time
}

fn config(text: &str) -> Config {
    load(Some((Path::new("kapell.toml"), text)), None, &[]).unwrap()
}

impl World {
    fn new(text: &str) -> Self {
        let clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(folder.path(), Check::Header).unwrap(),
            folder,
            config: config(text),
            project: ProjectId::new("p"),
            plan: PlanId::new("plan"),
            begun: 0,
            _clock: clock,
        }
    }

    fn wish<'a>(&'a self, provider: &'a ProviderName, task_usd: Option<f64>) -> Wish<'a> {
        Wish {
            project: &self.project,
            provider,
            plan: Some((&self.plan, None)),
            task_usd,
            begins: Begins::Attempt,
            now: Time::now(),
        }
    }

    /// Begins an attempt in one transaction, as a conductor does; why not, where it must wait.
    fn begin(&mut self, provider: &str, task_usd: Option<f64>) -> Result<AttemptId, String> {
        self.begun += 1;
        let id = AttemptId::new(format!("a-{}", self.begun));
        begin(&self.store, &self.config, &id, provider, task_usd)
    }

    fn end(&self, id: &AttemptId, provider: &str, usage: Usage) {
        let provider = ProviderName::new(provider);
        let ending = Ending {
            outcome: Outcome::Submitted,
            reason: None,
            usage,
            said: None,
            session: None,
            wall: None,
        };
        self.store
            .write(|tx| -> Result<(), Error> {
                tx.finish_attempt(id, &ending)?;
                spending::watch(tx, &self.config, &self.wish(&provider, None))?;
                Ok(())
            })
            .unwrap();
    }

    /// As many as may begin one after the other, each of that cost.
    fn as_many_as_may(&mut self, provider: &str, allowed: f64, usd: f64) -> (u32, String) {
        let mut done = 0;
        loop {
            match self.begin(provider, Some(allowed)) {
                Ok(id) => self.end(&id, provider, told(usd)),
                Err(why) => return (done, why),
            }
            done += 1;
        }
    }

    fn spent(&self, provider: &str, from: &str, to: &str) -> i64 {
        let times = [from, to].map(|text| Time::parse(text).unwrap());
        let provider = ProviderName::new(provider);
        self.store.read(|tx| tx.standing(&provider, times[0], times[1])).unwrap().spent.micros()
    }

    fn count(&self, kind: &str) -> usize {
        let filter = EventFilter { kind: Some(kind), ..EventFilter::default() };
        self.store.read(|tx| tx.events_after(0, &filter, 10_000)).unwrap().len()
    }

    fn costs(&self, by: GroupBy, since: &str) -> costing::CostView {
        let now = Time::now();
        let since = costing::since(since, now).unwrap();
        self.store.read(|tx| costing::view(tx, &self.config, by, since, now)).unwrap()
    }
}

fn begin(
    store: &Store,
    config: &Config,
    id: &AttemptId,
    provider: &str,
    task_usd: Option<f64>,
) -> Result<AttemptId, String> {
    let (provider, project, plan) = (ProviderName::new(provider), ProjectId::new("p"), PlanId::new("plan"));
    let wish = Wish {
        project: &project,
        provider: &provider,
        plan: Some((&plan, None)),
        task_usd,
        begins: Begins::Attempt,
        now: Time::now(),
    };
    store
        .write(|tx| -> Result<_, Error> {
            if let Some(why) = spending::refusal(tx, config, &wish)? {
                return Ok(Err(why));
            }
            tx.insert_attempt(&NewAttempt {
                id,
                project: &project,
                plan: &plan,
                task: &TaskId::text(id.as_str()),
                number: 1,
                worker: &WorkerName::new(provider.as_str()),
                provider: &provider,
                run_dir: "/nowhere",
                worktree: "/nowhere",
                environment: None,
                for_group: None,
                base: None,
                fencing: 0,
                reserve: spending::reserve(tx, config, &wish)?,
            })?;
            Ok(Ok(id.clone()))
        })
        .unwrap()
}

fn told(usd: f64) -> Usage {
    Usage { usd: Some(usd), ..Usage::default() }
}

const TWO: &str = "
[providers.main]
kind = \"command\"
command = [\"x\"]
budget = { usd_per_day = 20.0, usd_per_month = 350.0 }
[providers.local]
kind = \"command\"
command = [\"x\"]
[failover]
chain = [\"main\"]
fallback = \"local\"
";

#[test]
fn a_month_keeps_to_the_cent() {
    let mut world = World::new(TWO);
    for day in 1..=20 {
        at(&format!("2026-03-{day:02}T08:00:00Z"));
        // 3.33 each, four dollars set aside: the sixth could pass 20.
        let (done, why) = world.as_many_as_may("main", 4.0, 3.33);
        assert_eq!(done, 5, "day {day}: {why}");
        let next = Time::now().next_day();
        assert_eq!(
            why,
            format!("main: 16.65 of 20.00 dollars are spent today, and a task may take 4.00; anew at {next}")
        );
        // The fallback has no budget.
        let id = world.begin("local", None).unwrap();
        world.end(&id, "local", Usage::default());
        if day == 10 {
            let month = world.costs(GroupBy::Provider, "month").month;
            assert_eq!(
                (month.spent.to_string(), month.per_day.to_string()),
                ("166.50".into(), "16.65".into())
            );
            assert_eq!((month.days, month.days_left, month.total.to_string()), (7, 21, "516.15".into()));
        }
    }
    assert_eq!((world.count("budget.alert"), world.count("budget.short")), (21, 20));
    at("2026-03-21T08:00:00Z");
    let (done, why) = world.as_many_as_may("main", 4.0, 3.33);
    assert_eq!(done, 4);
    assert_eq!(
        why,
        "main: 346.32 of 350.00 dollars are spent this month, and a task may take 4.00; anew at 2026-04-01T00:00:00.000Z"
    );
    for day in 22..=31 {
        at(&format!("2026-03-{day}T23:59:59Z"));
        assert_eq!(world.as_many_as_may("main", 4.0, 3.33).0, 0);
    }
    // Once a day for each day's budget, and once for the month's.
    assert_eq!((world.count("budget.alert"), world.count("budget.short")), (21, 21));
    assert_eq!(world.count("budget.reached"), 0, "none of them is spent to the last cent");
    assert_eq!(world.spent("main", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"), 346_320_000);

    at("2026-04-01T00:00:00Z");
    assert_eq!(world.as_many_as_may("main", 4.0, 3.33).0, 5);
    let months = world.costs(GroupBy::Month, "all");
    let shown: Vec<String> = months.rows.iter().map(|row| format!("{} {}", row.name, row.spent)).collect();
    assert_eq!(shown, ["2026-03 346.32", "2026-04 16.65"]);
    assert_eq!(months.total.spent.to_string(), "362.97");
    // The local one told nothing, which is not the same as nothing.
    assert_eq!((months.total.count, months.total.untold), (129, 20));
    let days = world.costs(GroupBy::Day, "2026-03-21");
    let shown: Vec<String> = days.rows.iter().map(|row| format!("{} {}", row.name, row.spent)).collect();
    assert_eq!(shown, ["2026-03-21 13.32", "2026-04-01 16.65"]);
}

#[test]
fn a_clock_that_jumps_back_over_a_month_counts_nothing_twice_and_loses_nothing() {
    let mut world = World::new(TWO);
    at("2026-04-01T00:00:10Z");
    let april = world.begin("main", Some(4.0)).unwrap();
    at("2026-03-31T23:59:50Z");
    // It ends before it began, and is counted where it began.
    world.end(&april, "main", told(3.0));
    let march = world.begin("main", Some(4.0)).unwrap();
    at("2026-04-01T00:00:20Z");
    world.end(&march, "main", told(2.0));
    assert_eq!(world.spent("main", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"), 2_000_000);
    assert_eq!(world.spent("main", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"), 3_000_000);
    assert_eq!(world.costs(GroupBy::Plan, "all").total.spent.to_string(), "5.00");
    // What was said of a period is not said again when it comes again.
    at("2026-03-31T12:00:00Z");
    assert_eq!(world.as_many_as_may("main", 4.0, 3.9).0, 4);
    let said = (world.count("budget.alert"), world.count("budget.reached"));
    at("2026-04-02T12:00:00Z");
    at("2026-03-31T12:00:00Z");
    assert_eq!(world.as_many_as_may("main", 4.0, 3.9).0, 0);
    assert_eq!((world.count("budget.alert"), world.count("budget.reached")), said);
}

#[test]
fn figures_that_nothing_can_have_used_neither_break_nor_free_anything() {
    let mut world = World::new(TWO);
    at("2026-05-05T12:00:00Z");
    let huge = Usage {
        input_tokens: u64::MAX,
        cached_tokens: u64::MAX,
        cache_write_tokens: u64::MAX,
        output_tokens: u64::MAX,
        usd: None,
    };
    for (usage, micros) in [
        (told(-5.0), 0),
        (told(f64::NAN), 0),
        (told(0.1 + 0.2), 300_000),
        (told(0.0), 300_000),
        (huge, 300_000),
        // Nobody would ever get it off the books again.
        (told(f64::INFINITY), 300_000),
        (told(1e6), 300_000),
        (told(9_999.0), 9_999_300_000),
    ] {
        let id = world.begin("main", Some(1.0)).unwrap();
        world.end(&id, "main", usage);
        assert_eq!(world.spent("main", "2026-05-05T00:00:00Z", "2026-05-06T00:00:00Z"), micros, "{usage:?}");
    }
    let why = world.begin("main", Some(1.0)).unwrap_err();
    assert!(why.starts_with("main: 9999.30 of 20.00 dollars are spent today"), "{why}");
    // A task that wants more than there ever is waits, and says so.
    at("2026-05-06T12:00:00Z");
    world.config = config(&TWO.replace("350.0", "1e15"));
    let why = world.begin("main", Some(20.01)).unwrap_err();
    assert!(why.contains("and a task may take 20.01"), "{why}");
    assert!(world.begin("main", Some(20.0)).is_ok());
}

#[test]
fn what_is_told_twice_or_falls_counts_once() {
    let mut world = World::new(TWO);
    at("2026-05-05T12:00:00Z");
    let id = world.begin("main", Some(4.0)).unwrap();
    let note = |usd: f64| world.store.write(|tx| tx.set_usage(&id, told(usd))).unwrap();
    let standing = || {
        let (from, to) = (Time::now().start_of_day(), Time::now().next_day());
        let provider = ProviderName::new("main");
        let standing = world.store.read(|tx| tx.standing(&provider, from, to)).unwrap();
        (standing.spent.micros(), standing.reserved.micros())
    };
    assert_eq!(standing(), (0, 4_000_000));
    // The next conductor reads its output from the start again.
    for (usd, expected) in [
        (1.0, (1_000_000, 3_000_000)),
        (1.0, (1_000_000, 3_000_000)),
        (0.5, (1_000_000, 3_000_000)),
        (5.0, (5_000_000, 0)),
    ] {
        note(usd);
        assert_eq!(standing(), expected);
    }
    // One that fails within Kapell is recorded with what was known when it began.
    world.end(&id, "main", Usage::default());
    assert_eq!(standing(), (5_000_000, 0));
    world.end(&id, "main", told(9.0));
    note(9.0);
    assert_eq!(standing(), (5_000_000, 0));
}

#[test]
fn what_a_task_may_take_that_says_nothing_is_what_the_last_ones_took() {
    let mut world = World::new(TWO);
    at("2026-06-01T12:00:00Z");
    let reserved = |world: &mut World| {
        let id = world.begin("main", None).unwrap();
        let (from, to) = (Time::now().start_of_day(), Time::now().next_day());
        let provider = ProviderName::new("main");
        let standing = world.store.read(|tx| tx.standing(&provider, from, to)).unwrap();
        (id, standing.reserved.micros())
    };
    let (first, set_aside) = reserved(&mut world);
    assert_eq!(set_aside, 1_000_000, "a dollar, before anything is known");
    world.end(&first, "main", told(0.10));
    let (second, set_aside) = reserved(&mut world);
    assert_eq!(set_aside, 100_000);
    world.end(&second, "main", told(0.30));
    let (third, set_aside) = reserved(&mut world);
    assert_eq!(set_aside, 200_000);
    world.end(&third, "main", told(15.0));
    world.config = config(&TWO.replace("usd_per_day", "usd_per_attempt = 0.75, usd_per_day"));
    assert_eq!(reserved(&mut world).1, 750_000);
    // No more than the whole limit, or nothing could ever begin.
    at("2026-06-02T12:00:00Z");
    world.config = config(&TWO.replace("usd_per_day = 20.0", "usd_per_day = 0.5, usd_per_attempt = 9.0"));
    assert_eq!(reserved(&mut world).1, 500_000);
    assert!(
        world.begin("main", None).unwrap_err().contains("0.50 of 0.50 dollars are spent or set aside today")
    );
}

#[test]
fn of_a_small_limit_one_attempt_shows_first_what_one_takes() {
    for limit in ["usd_per_day = 5.0", "usd_per_month = 5.0", "tokens_per_day = 600"] {
        let budget = "usd_per_day = 20.0, usd_per_month = 350.0";
        let mut world = World::new(&TWO.replace(budget, limit));
        at("2026-06-01T12:00:00Z");
        let is_first = |world: &World| {
            let provider = ProviderName::new("main");
            let wish = world.wish(&provider, None);
            world.store.read(|tx| spending::is_tried_first(tx, &world.config, &wish)).unwrap()
        };
        // One that tells nothing says nothing, and three that do say that none will.
        for _ in 0..3 {
            assert!(is_first(&world), "{limit}");
            let silent = world.begin("main", None).unwrap();
            world.end(&silent, "main", Usage::default());
        }
        assert!(!is_first(&world), "{limit}");
        // The clock is one for all worlds.
        drop(world);
        let mut world = World::new(&TWO.replace(budget, limit));
        let first = world.begin("main", None).unwrap();
        world.end(&first, "main", Usage { input_tokens: 250, ..told(2.0) });
        assert!(!is_first(&world), "{limit}");
    }
    // A large one does for several.
    let world = World::new(TWO);
    let provider = ProviderName::new("main");
    let is_first =
        world.store.read(|tx| spending::is_tried_first(tx, &world.config, &world.wish(&provider, None)));
    assert!(!is_first.unwrap());
}

#[test]
fn however_many_begin_at_once_no_two_count_on_the_same_dollar() {
    let world = World::new(TWO);
    at("2026-07-01T12:00:00Z");
    let folder = world.folder.path();
    let begun: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let config = &world.config;
                scope.spawn(move || {
                    // Each as a process of its own would.
                    let store = Store::open(folder, Check::Header).unwrap();
                    let ids = (0..10).map(|n| AttemptId::new(format!("a-{thread}-{n}")));
                    ids.filter(|id| begin(&store, config, id, "main", Some(3.0)).is_ok()).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(begun, 6, "6 of 3 dollars are 18 of 20");
}

#[test]
fn a_plan_has_a_budget_of_its_own() {
    let mut world = World::new(TWO);
    at("2026-08-01T12:00:00Z");
    let id = world.begin("local", Some(0.6)).unwrap();
    let provider = ProviderName::new("local");
    let wish = |now| Wish {
        project: &world.project,
        provider: &provider,
        plan: Some((&world.plan, Some(1.0))),
        task_usd: Some(0.5),
        begins: Begins::Attempt,
        now,
    };
    let refused =
        || world.store.write(|tx| spending::refusal(tx, &world.config, &wish(Time::now()))).unwrap();
    assert_eq!(
        refused().unwrap(),
        "plan plan: 0.60 of 1.00 dollars are spent or set aside by its tasks, and a task may take 0.50; resumed with a higher budget_usd it goes on; \
         some is set aside for plan/a-1, whose worker and conductor are gone: kapell resume plan or kapell stop plan \
         --force settles it"
    );
    world.end(&id, "local", told(0.2));
    assert_eq!(refused(), None);
}

#[test]
fn what_was_saved_is_what_the_same_tokens_cost_elsewhere() {
    let prices =
        "prices = { input_usd_per_mtok = 10.0, output_usd_per_mtok = 50.0, cached_usd_per_mtok = 1.0 }";
    let mut world =
        World::new(&format!("{TWO}\n[providers.claude]\n{prices}\n[providers.codex]\nmodel = \"gpt-5.5\"\n"));
    at("2026-09-01T12:00:00Z");
    for _ in 0..3 {
        let id = world.begin("main", Some(1.0)).unwrap();
        let usage = Usage {
            input_tokens: 100_000,
            cached_tokens: 1_000_000,
            cache_write_tokens: 0,
            output_tokens: 10_000,
            usd: Some(0.25),
        };
        world.end(&id, "main", usage);
    }
    // What told no tokens can be compared with nothing.
    let id = world.begin("main", Some(1.0)).unwrap();
    world.end(&id, "main", told(0.5));
    let view = world.costs(GroupBy::Provider, "month");
    assert_eq!(view.total.spent, Money::from_usd(1.25));
    let shown: Vec<String> = (view.savings.iter())
        .map(|it| format!("{} {:?} {} instead of {}", it.provider, it.model, it.would, it.did))
        .collect();
    assert_eq!(shown, ["claude None 7.50 instead of 0.75", "codex Some(\"gpt-5.5\") 3.90 instead of 0.75"]);
}

#[test]
fn every_month_ends_where_the_calendar_says() {
    let mut world =
        World::new(&TWO.replace("usd_per_day = 20.0, usd_per_month = 350.0", "usd_per_month = 10.0"));
    for (month, days, next) in [
        ("2026-02", 28, "2026-03"),
        ("2026-04", 30, "2026-05"),
        ("2026-12", 31, "2027-01"),
        ("2028-02", 29, "2028-03"),
    ] {
        let end = format!("{next}-01T00:00:00.000Z");
        let (from, until) = (format!("{month}-01T00:00:00.000Z"), end.as_str());
        at(&from);
        assert_eq!(Time::now().days_left(), days - 1, "{month}");
        let id = world.begin("main", Some(4.0)).unwrap();
        world.end(&id, "main", told(4.0));
        // The last seconds belong to it; the clock goes on meanwhile.
        at(&Time::parse(&end).unwrap().plus_seconds(-20).to_string());
        let id = world.begin("main", Some(6.0)).unwrap();
        world.end(&id, "main", told(5.99));
        let forecast = world.costs(GroupBy::Provider, "month").month;
        assert_eq!((forecast.days_left, forecast.total.to_string()), (0, "9.99".into()), "{month}");
        let why = world.begin("main", Some(0.02)).unwrap_err();
        assert_eq!(
            why,
            format!(
                "main: 9.99 of 10.00 dollars are spent this month, and a task may take 0.02; anew at {end}"
            )
        );
        let cent = world.begin("main", Some(0.01)).unwrap();
        // It is the month's in which it began, whenever it ends.
        at(&end);
        world.end(&cent, "main", told(0.01));
        assert_eq!(world.spent("main", &from, until), 10_000_000, "{month}");
        let anew = world.begin("main", Some(10.0)).unwrap();
        world.end(&anew, "main", told(0.0));
        assert_eq!(world.spent("main", until, &Time::parse(&end).unwrap().next_month().to_string()), 0);
    }
}

#[test]
fn the_alert_comes_with_the_cent_that_makes_it_four_fifths() {
    let mut world = World::new(TWO);
    at("2026-10-10T10:00:00Z");
    for (usd, alerts, reached) in [(15.99, 0, 0), (0.01, 1, 0), (3.99, 1, 0), (0.01, 1, 1)] {
        let id = world.begin("main", Some(usd)).unwrap();
        world.end(&id, "main", told(usd));
        assert_eq!((world.count("budget.alert"), world.count("budget.reached")), (alerts, reached), "{usd}");
    }
    // Whoever begins at the limit is told when it begins anew, and the next day nothing of it is left.
    let why = world.begin("main", Some(0.01)).unwrap_err();
    assert!(why.ends_with("anew at 2026-10-11T00:00:00.000Z"), "{why}");
    at("2026-10-11T00:00:00Z");
    assert!(world.begin("main", Some(20.0)).is_ok());
}

#[test]
fn a_limit_with_too_little_left_for_a_task_is_not_told_as_reached() {
    let mut world = World::new(TWO);
    at("2026-10-10T10:00:00Z");
    let id = world.begin("main", Some(8.0)).unwrap();
    world.end(&id, "main", told(8.0));
    let said =
        |world: &World| ["budget.short", "budget.alert", "budget.reached"].map(|kind| world.count(kind));
    for _ in 0..2 {
        assert!(world.begin("main", Some(15.0)).is_err());
        assert_eq!(said(&world), [1, 0, 0], "12.00 are left");
    }
    let id = world.begin("main", Some(12.0)).unwrap();
    world.end(&id, "main", told(12.0));
    assert_eq!(said(&world), [1, 1, 1]);
}

#[test]
fn limits_of_a_day_stand_beside_the_sums_of_a_month_and_of_a_day() {
    let mut world = World::new(&TWO.replace(", usd_per_month = 350.0", ""));
    for day in ["2026-10-10", "2026-10-11"] {
        at(&format!("{day}T10:00:00Z"));
        let id = world.begin("main", Some(5.0)).unwrap();
        world.end(&id, "main", told(5.0));
    }
    let now = Time::now();
    for (since, expected) in [
        (now.start_of_month(), Some((None, Some(20.0), Money::from_usd(5.0)))),
        (now.start_of_day(), Some((None, Some(20.0), Money::from_usd(5.0)))),
        (now.plus_seconds(-7 * 24 * 3600), None),
    ] {
        let limits = world.store.read(|tx| costing::limits(tx, &world.config, since, now)).unwrap();
        let main = limits.get("main").map(|limits| (limits.month_usd, limits.day_usd, limits.today));
        assert_eq!((main, limits.len()), (expected, usize::from(expected.is_some())), "{since}");
    }
}

/// Days and months are those of UTC, whatever the machine's clock shows to people.
#[test]
fn a_month_is_the_same_in_every_time_zone() {
    let exe = std::env::current_exe().unwrap();
    let tests = [
        "a_month_keeps_to_the_cent",
        "every_month_ends_where_the_calendar_says",
        "a_clock_that_jumps_back_over_a_month_counts_nothing_twice_and_loses_nothing",
    ];
    for zone in ["Pacific/Kiritimati", "America/St_Johns", "Asia/Kathmandu", "Pacific/Pago_Pago", "<X>+13"] {
        let mut again = kapell::sys::process::spawn::program(exe.to_str().unwrap(), Path::new("."));
        let output = again.arg("--exact").args(tests).env("TZ", zone).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("3 passed"), "{zone}: {said}");
    }
}
