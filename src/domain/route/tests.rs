use super::*;
use crate::domain::plan::Complexity::{self, Complex, Normal, Simple};

fn seat(name: &str, provider: &str) -> Seat {
    Seat {
        worker: name.into(),
        provider: provider.into(),
        slots: 1,
        capability: Complex,
        is_protected: name.starts_with("high"),
        is_available: true,
        lacks: None,
        environment: None,
    }
}

fn provider(name: &str, capability: Complexity, price: Option<f64>) -> (ProviderName, Provider) {
    (
        name.into(),
        Provider { name: name.into(), max_parallel: 9, capability, price, is_said: true, lacks: None },
    )
}

fn group(strategy: Strategy, members: &[&str]) -> Group {
    Group { strategy, members: members.iter().map(|&name| name.into()).collect() }
}

/// Three providers, and workers of every kind.
fn fleet() -> Roster {
    let mut roster = Roster {
        chain: vec!["claude".into(), "codex".into()],
        fallback: Some("local".into()),
        ..Roster::default()
    };
    for (name, provider) in [
        ("high1", "claude"),
        ("high2", "claude"),
        ("dev1_worker", "claude"),
        ("keeper", "codex"),
        ("high_dev9", "codex"),
        ("review1", "claude"),
        ("review2", "claude"),
        ("review3", "codex"),
        ("merge1", "claude"),
        ("merge2", "codex"),
        ("review_worker", "codex"),
        ("tiny", "local"),
    ] {
        roster.seats.insert(name.into(), seat(name, provider));
    }
    for (name, environment) in [("keeper", "dev2"), ("high_dev9", "dev9")] {
        roster.seats.get_mut(&WorkerName::new(name)).unwrap().environment = Some(environment.to_owned());
    }
    roster.seats.get_mut(&WorkerName::new("tiny")).unwrap().capability = Simple;
    roster.groups.insert("high-level".into(), group(Strategy::RoundRobin, &["high1", "high2"]));
    roster.groups.insert("mixed".into(), group(Strategy::Sequential, &["high1", "review2"]));
    roster.groups.insert("review".into(), group(Strategy::RoundRobin, &["review1", "review2", "review3"]));
    roster.groups.insert("load".into(), group(Strategy::LeastLoaded, &["review1", "review2", "review3"]));
    roster.groups.insert("merging".into(), group(Strategy::Sequential, &["merge1", "merge2"]));
    roster.groups.insert("empty".into(), group(Strategy::RoundRobin, &[]));
    roster.providers.extend([
        provider("claude", Complex, Some(9.0)),
        provider("codex", Complex, Some(4.0)),
        provider("local", Simple, Some(0.0)),
        provider("unstaffed", Complex, None),
    ]);
    for (pattern, to) in [
        ("(?i)secret", "high1"),
        ("(?i)secret|architecture", "high-level"),
        (r"(?i)\breview\b.*\bPR\b", "review"),
        ("(?i)address .* comments", "load"),
        ("(?i)merge PR", "merging"),
    ] {
        roster.routes.push(Route { pattern: regex::Regex::new(pattern).unwrap(), to: to.into() });
    }
    roster.roles.insert("oracle".into(), "codex".into());
    roster.roles.insert("planner".into(), "high1".into());
    roster
}

fn load(busy: u32, today: u32, turn: i64) -> Load {
    Load { busy, today, turn }
}

/// The rule that decided, and what came of it.
fn came(roster: &Roster, now: &Now, wish: Wish<'_>) -> String {
    let placed = place(roster, &wish);
    let rule = placed.asked.iter().find(|asked| asked.is_taken).unwrap().rule.as_str();
    let need = Need { complexity: wish.complexity, avoid: &[], out: &[], environment: wish.environment };
    match decide(roster, now, &placed.pick, need).choice {
        Choice::Seat(seat) => format!("{rule}: {}", seat.worker),
        Choice::Wait { reason, on } => format!("{rule} waits, {reason}: {on}"),
        Choice::Nobody(why) => format!("{rule}, nobody: {why}"),
    }
}

#[test]
fn the_rules_are_asked_in_their_order() {
    let roster = fleet();
    type Row = (&'static str, Option<&'static str>, Option<&'static str>, Complexity, &'static str);
    let table: &[Row] = &[
        ("Fix bug in dev1 environment", None, None, Normal, "environment: dev1_worker"),
        ("Fix bug in DEV1.", Some("auto"), None, Normal, "environment: dev1_worker"),
        ("Fix dev1", Some("review2"), None, Normal, "target: review2"),
        ("Fix dev2, then dev1", None, None, Normal, "environment: keeper"),
        // Nobody works in it, or only somebody protected: the next rules are asked.
        ("Fix dev7", None, None, Normal, "chain: merge1"),
        ("Fix dev9", None, None, Normal, "chain: merge1"),
        ("Review PR #123", None, None, Normal, "route: review1"),
        ("Review PR #123 in dev1", None, None, Normal, "environment: dev1_worker"),
        // `review_worker` is not the worker of an environment called review.
        ("review this", None, None, Normal, "chain: merge1"),
        ("Address PR #123 review comments", None, None, Simple, "route: review1"),
        ("Review PR", None, Some("oracle"), Simple, "route: review1"),
        ("Think", None, Some("oracle"), Simple, "role: merge2"),
        ("Think", None, Some("planner"), Normal, "chain: merge1"),
        ("Think", None, Some("librarian"), Normal, "chain: merge1"),
        ("Think", Some("oracle"), None, Normal, "target: merge2"),
        ("Think", None, None, Simple, "complexity: tiny"),
        ("Think", None, None, Complex, "chain: merge1"),
        ("Think", Some("codex"), None, Normal, "target: merge2"),
        ("Think", Some("merging"), None, Normal, "target: merge1"),
        // One who cannot do it is stood in for by those who can.
        ("Think", Some("local"), None, Complex, "target: merge1"),
        ("Think", Some("nobody"), None, Normal, "target, nobody: nothing is called nobody"),
        (
            "Think",
            Some("empty"),
            None,
            Normal,
            "target, nobody: group empty has no worker; give it one in kapell.toml, or name another",
        ),
        (
            "Think",
            Some("unstaffed"),
            None,
            Normal,
            "target, nobody: provider unstaffed has no worker; give it one in kapell.toml, or name another",
        ),
    ];
    for (text, target, role, complexity, expected) in table {
        let wish = Wish { text, target: *target, role: *role, complexity: *complexity, ..Wish::default() };
        assert_eq!(came(&roster, &Now::default(), wish), *expected, "{text} {target:?}");
    }
    // Of a provider without a worker it is said why, and what to do.
    let mut absent = fleet();
    absent.providers.get_mut(&ProviderName::new("unstaffed")).unwrap().lacks = Some("no `it`; get it".into());
    let asked = Wish { text: "Think", target: Some("unstaffed"), ..Wish::default() };
    assert_eq!(
        came(&absent, &Now::default(), asked),
        "target, nobody: provider unstaffed has no worker: no `it`; get it"
    );
    let asked = Wish { text: "Fix", environment: Some("dev2"), ..Wish::default() };
    assert_eq!(came(&roster, &Now::default(), asked), "environment: keeper");
}

#[test]
fn who_only_asks_is_answered_by_the_librarian() {
    let mut roster = fleet();
    let to = |roster: &Roster, text, is_open, complexity| {
        came(roster, &Now::default(), Wish { text, is_open, complexity, ..Wish::default() })
    };
    assert_eq!(to(&roster, "Where is the parser?", true, Normal), "chain: merge1");
    roster.roles.insert("librarian".into(), "codex".into());
    for text in ["Where is the parser?", " how does login work,\nand who calls it? ", "Is x.rs used?", "WHY?"]
    {
        assert_eq!(to(&roster, text, true, Normal), "role: merge2", "{text}");
        assert_eq!(to(&roster, text, true, Simple), "role: merge2", "{text}");
        // Who owns files is to change them.
        assert_eq!(to(&roster, text, false, Normal), "chain: merge1", "{text}");
    }
    for text in [
        "Fix the parser",
        "Where the parser is wrong, mend it",
        "Can you fix the parser?",
        "Could we drop this?",
        "Will it please be fixed?",
        "Fix it, will you?",
        "?",
        "",
    ] {
        assert_eq!(to(&roster, text, true, Normal), "chain: merge1", "{text}");
    }
    // A route is asked first.
    assert_eq!(to(&roster, "What must Review PR #123 say?", true, Normal), "route: review1");
}

#[test]
fn every_rule_says_what_it_found() {
    let wish = Wish { text: "Secret architecture, planned", role: Some("planner"), ..Wish::default() };
    let said: Vec<String> = place(&fleet(), &wish)
        .asked
        .iter()
        .map(|asked| {
            format!("{}{} {}", asked.rule.as_str(), if asked.is_taken { "!" } else { ":" }, asked.found)
        })
        .collect();
    assert_eq!(
        said,
        [
            "target: the target is auto",
            "environment: no environment is named that has a worker",
            "route: route 2 ((?i)secret|architecture) matches, but all workers of group high-level are protected and never get a task",
            "role: planner is high1, but worker high1 is protected and never gets a task",
            "complexity: it is no simple task, so the cheapest need not be looked for",
            "chain! whoever is free, along claude, codex",
        ]
    );
}

#[test]
fn a_protected_worker_gets_nothing_by_any_way_in() {
    let mut roster = fleet();
    roster.environments.insert("high_dev9".into());
    roster.roles.insert("judge".into(), "high-level".into());
    let ways = [
        Wish { text: "x", target: Some("high1"), ..Wish::default() },
        Wish { text: "x", target: Some("high-level"), ..Wish::default() },
        Wish { text: "x", target: Some("mixed"), ..Wish::default() },
        Wish { text: "x", target: Some("claude"), ..Wish::default() },
        Wish { text: "x", target: Some("planner"), ..Wish::default() },
        Wish { text: "x", target: Some("judge"), ..Wish::default() },
        Wish { text: "x", role: Some("planner"), ..Wish::default() },
        Wish { text: "x", role: Some("judge"), ..Wish::default() },
        Wish { text: "the secret", ..Wish::default() },
        Wish { text: "fix dev9", ..Wish::default() },
        Wish { text: "x", environment: Some("dev9"), ..Wish::default() },
        Wish { text: "x", complexity: Simple, ..Wish::default() },
        Wish { text: "x", complexity: Complex, ..Wish::default() },
        Wish { text: "x", target: Some("review1"), ..Wish::default() },
    ];
    // Everybody else is away, so that only the protected would be left.
    let mut away = Now::default();
    for seat in roster.seats.values().filter(|seat| !seat.is_protected) {
        away.loads.insert(seat.worker.clone(), load(1, 0, 0));
    }
    for wish in ways {
        for now in [&Now::default(), &away] {
            for avoid in [&[][..], &["claude".into()][..]] {
                let placed = place(&roster, &wish);
                let decided = decide(
                    &roster,
                    now,
                    &placed.pick,
                    Need { complexity: wish.complexity, avoid, out: &[], environment: wish.environment },
                );
                assert!(
                    decided.candidates.iter().all(|it| !it.worker.as_str().starts_with("high")),
                    "{wish:?}: {decided:?}"
                );
                if let Choice::Seat(seat) = &decided.choice {
                    assert!(!seat.is_protected, "{wish:?}: {decided:?}");
                }
            }
        }
    }
}

#[test]
fn each_strategy_finds_its_member() {
    let roster = fleet();
    let next = |group: &str, loads: &[(&str, Load)]| {
        let now = Now {
            loads: loads.iter().map(|(name, load)| ((*name).into(), *load)).collect(),
            ..Now::default()
        };
        came(&roster, &now, Wish { text: "x", target: Some(group), ..Wish::default() })
    };
    type Row<'a> = (&'a str, &'a [(&'a str, Load)], &'a str);
    let table: &[Row<'_>] = &[
        ("review", &[], "target: review1"),
        ("review", &[("review1", load(0, 1, 1))], "target: review2"),
        ("review", &[("review1", load(0, 1, 1)), ("review2", load(0, 1, 2))], "target: review3"),
        (
            "review",
            &[("review1", load(0, 1, 1)), ("review2", load(0, 1, 2)), ("review3", load(0, 9, 3))],
            "target: review1",
        ),
        // Whose turn it is may be busy; then the next has it.
        (
            "review",
            &[("review1", load(1, 1, 1)), ("review2", load(0, 1, 2)), ("review3", load(0, 1, 3))],
            "target: review2",
        ),
        (
            "load",
            &[("review1", load(1, 1, 3)), ("review2", load(0, 5, 2)), ("review3", load(0, 4, 1))],
            "target: review3",
        ),
        (
            "load",
            &[("review1", load(0, 4, 3)), ("review2", load(0, 4, 2)), ("review3", load(0, 4, 4))],
            "target: review2",
        ),
        (
            "load",
            &[("review1", load(1, 1, 3)), ("review2", load(1, 5, 2)), ("review3", load(1, 4, 1))],
            "target waits, slot: review1 is busy",
        ),
        ("merging", &[("merge1", load(0, 7, 9))], "target: merge1"),
    ];
    for (group, loads, expected) in table {
        assert_eq!(next(group, loads), *expected, "{group} {loads:?}");
    }
}

#[test]
fn a_providers_limit_is_the_reason_where_its_workers_are_free() {
    let mut roster = fleet();
    let provider: ProviderName = "codex".into();
    roster.providers.get_mut(&provider).unwrap().max_parallel = 3;
    let mut now = Now {
        loads: BTreeMap::from([("merge2".into(), load(1, 1, 1))]),
        providers: BTreeMap::from([(provider.clone(), 3)]),
        ..Now::default()
    };
    let asked = |now: &Now| came(&roster, now, Wish { text: "x", target: Some("codex"), ..Wish::default() });
    assert_eq!(asked(&now), "target waits, slot: codex does as much at once as it may: 3 of 3");
    now.elsewhere.insert(provider, 2);
    let why = "codex does as much at once as it may: 3 of 3, 2 of them for other projects";
    assert_eq!(asked(&now), format!("target waits, slot: {why}"));
}

#[test]
fn a_sequential_group_works_at_one_task_whoever_asks() {
    let roster = fleet();
    let now = Now { taken: BTreeMap::from([("merging".into(), "p/1".into())]), ..Now::default() };
    let waits = "group merging does one task at a time, and is at p/1";
    let asked = |target| came(&roster, &now, Wish { text: "x", target: Some(target), ..Wish::default() });
    assert_eq!(asked("merging"), format!("target waits, slot: {waits}"));
    assert_eq!(asked("merge2"), format!("target waits, slot: {waits}"));
    assert_eq!(asked("codex"), "target: review3");
    // Also where nobody of it may: whoever takes over does one at a time too.
    let mut limited = Now::default();
    limited
        .limits
        .insert("claude".into(), Limit::RateLimited(Time::from_millis(12), "claude until noon".into()));
    let asked = |now: &Now| came(&roster, now, Wish { text: "x", target: Some("mixed"), ..Wish::default() });
    assert_eq!(asked(&limited), "target: merge2");
    limited.taken.insert("mixed".into(), "p/1".into());
    let waits = "group mixed does one task at a time, and is at p/1";
    assert_eq!(asked(&limited), format!("target waits, slot: {waits}"));
}

#[test]
fn others_take_over_from_the_limited_and_not_from_the_busy() {
    let roster = fleet();
    let wish = Wish { text: "x", target: Some("review1"), ..Wish::default() };
    let busy = Now { loads: BTreeMap::from([("review1".into(), load(1, 1, 1))]), ..Now::default() };
    assert_eq!(came(&roster, &busy, wish), "target waits, slot: review1 is busy");
    let mut limited = Now::default();
    limited
        .limits
        .insert("claude".into(), Limit::RateLimited(Time::from_millis(12), "claude until noon".into()));
    assert_eq!(came(&roster, &limited, wish), "target: merge2");
    limited.limits.insert("codex".into(), Limit::OverBudget("codex: 9 of 9 dollars".into()));
    let simple = Wish { complexity: Simple, ..wish };
    assert_eq!(came(&roster, &limited, simple), "target: tiny");
    assert_eq!(came(&roster, &limited, wish), "target waits, rate-limit: claude until noon");
    let auto = Wish { text: "x", ..Wish::default() };
    assert_eq!(came(&roster, &limited, auto), "chain waits, rate-limit: claude until noon");
    assert_eq!(came(&roster, &limited, Wish { complexity: Simple, ..auto }), "complexity: tiny");
    // Where all wait for their limits, the first that is over is named.
    let mut all = limited.clone();
    for (provider, until) in [("codex", 11), ("local", 13)] {
        let why = format!("{provider} until {until}");
        all.limits.insert(provider.into(), Limit::RateLimited(Time::from_millis(until), why));
    }
    assert_eq!(came(&roster, &all, wish), "target waits, rate-limit: codex until 11");
    // A task that ran into a provider's limit tries the others first, also when it is over.
    let placed = place(&roster, &wish);
    let need = Need { complexity: Normal, avoid: &["claude".into()], out: &[], environment: None };
    let Choice::Seat(seat) = decide(&roster, &Now::default(), &placed.pick, need).choice else { panic!() };
    assert_eq!(seat.worker.as_str(), "merge2");
    // One that only crashes is no obstacle to the others of its provider, and is waited for where nobody else can.
    let mut sick = Now::default();
    sick.quarantined.insert("review1".into(), "review1 until noon: crashes".into());
    let group = Wish { text: "x", target: Some("review"), ..Wish::default() };
    assert_eq!(came(&roster, &sick, group), "target: review2");
    assert_eq!(came(&roster, &sick, wish), "target: merge1");
    let all: Vec<WorkerName> = roster.seats.keys().cloned().collect();
    sick.quarantined = all.into_iter().map(|name| (name, "until noon: crashes".to_owned())).collect();
    assert_eq!(came(&roster, &sick, wish), "target waits, unhealthy: until noon: crashes");
    // What may never be paid is not waited for, unless somebody else is cheaper.
    let mut dear = Now::default();
    dear.limits.insert("claude".into(), Limit::TooDear("5 dollars are more than 1".into()));
    assert_eq!(came(&roster, &dear, wish), "target: merge2");
    for provider in ["codex", "local"] {
        dear.limits.insert(provider.into(), Limit::TooDear("5 dollars are more than 1".into()));
    }
    assert_eq!(came(&roster, &dear, wish), "target, nobody: 5 dollars are more than 1");
    let short = Now { full: Some(("memory", "9 MiB are free".into())), ..Now::default() };
    assert_eq!(came(&roster, &short, wish), "target waits, memory: 9 MiB are free");
    let full = Now { full: Some(("slot", "4 of 4 workers".into())), ..Now::default() };
    assert_eq!(came(&roster, &full, wish), "target waits, slot: 4 of 4 workers");
}

#[test]
fn beside_a_written_chain_only_the_fallback_takes_over() {
    let mut roster = fleet();
    roster.is_chain_said = true;
    roster.seats.insert("other".into(), seat("other", "other"));
    roster.seats.insert("found".into(), seat("found", "found"));
    roster.seats.get_mut(&WorkerName::new("tiny")).unwrap().capability = Normal;
    let found = Provider { is_said: false, ..provider("found", Complex, Some(0.0)).1 };
    roster.providers.extend([provider("other", Complex, Some(1.0)), ("found".into(), found)]);
    let auto = Wish { text: "x", ..Wish::default() };
    let limit = |providers: &[&str]| {
        let limits =
            providers.iter().map(|&name| (name.into(), Limit::OverBudget(format!("{name} is spent"))));
        Now { limits: limits.collect(), ..Now::default() }
    };
    assert_eq!(came(&roster, &limit(&["claude"]), auto), "chain: merge2");
    assert_eq!(came(&roster, &limit(&["claude", "codex"]), auto), "chain: tiny");
    let all = limit(&["claude", "codex", "local"]);
    assert_eq!(came(&roster, &all, auto), "chain waits, budget: claude is spent");
    // Where the chain is only busy another that is written does it, and never one that was only found.
    let chain = |seat: &&Seat| ["claude", "codex"].contains(&seat.provider.as_str());
    let mut busy = Now::default();
    for seat in roster.seats.values().filter(chain) {
        busy.loads.insert(seat.worker.clone(), load(1, 0, 0));
    }
    assert_eq!(came(&roster, &busy, auto), "chain: other");
    busy.loads.insert("other".into(), load(1, 0, 0));
    assert!(came(&roster, &busy, auto).starts_with("chain waits, slot"));
    let simple = Wish { complexity: Simple, ..auto };
    assert_eq!(came(&roster, &limit(&["local"]), simple), "complexity: other");
    assert_eq!(came(&roster, &Now::default(), Wish { target: Some("found"), ..auto }), "target: found");
    // A task that ran into the chain's limits, or was refused there, stays with it when they are over.
    let placed = place(&roster, &auto);
    for (avoid, out) in [(&["claude".into(), "codex".into()][..], &[][..]), (&[][..], &["claude".into()][..])]
    {
        let need = Need { complexity: Normal, avoid, out, environment: None };
        let decided = decide(&roster, &Now::default(), &placed.pick, need);
        assert!(decided.candidates.iter().all(|it| it.worker.as_str() != "other"), "{decided:?}");
    }
    // Who is not written is as good as the others where no chain is.
    roster.is_chain_said = false;
    assert_eq!(came(&roster, &limit(&["claude", "codex", "other"]), auto), "chain: found");
}

#[test]
fn the_cheapest_is_known_from_prices_else_from_capability() {
    let mut roster = fleet();
    roster.seats.get_mut(&WorkerName::new("tiny")).unwrap().capability = Complex;
    let first = |roster: &Roster| {
        came(roster, &Now::default(), Wish { text: "x", complexity: Simple, ..Wish::default() })
    };
    roster.providers.get_mut(&ProviderName::new("local")).unwrap().price = Some(5.0);
    assert_eq!(first(&roster), "complexity: merge2");
    // One price is missing: what can do less is taken for the cheaper.
    roster.providers.get_mut(&ProviderName::new("codex")).unwrap().price = None;
    assert_eq!(first(&roster), "complexity: tiny");
}

#[test]
fn why_it_is_this_worker_is_told_with_who_was_passed_over() {
    let roster = fleet();
    let wish = Wish {
        text: "Review PR #1",
        target: None,
        role: None,
        environment: None,
        complexity: Normal,
        is_open: false,
    };
    let placed = place(&roster, &wish);
    let need = Need { complexity: Normal, avoid: &[], out: &[], environment: None };
    let told = |now: &Now| {
        let decision = decide(&roster, now, &placed.pick, need);
        let Choice::Seat(seat) = &decision.choice else { panic!("{decision:?}") };
        (seat.worker.to_string(), why(&placed, &decision, &seat.worker))
    };
    let (first, free) = told(&Now::default());
    assert!(first == "review1" && free.starts_with("route: ") && !free.contains("; not "), "{free}");
    let limits =
        [("claude".into(), Limit::RateLimited(Time::from_millis(12), "claude until noon".into()))].into();
    let (other, limited) = told(&Now { limits, ..Now::default() });
    let expected = "; not review1: claude until noon, not review2: claude until noon";
    assert!(other == "review3" && limited.ends_with(expected), "{limited}");
}

#[test]
fn an_environment_that_is_shut_is_waited_for_and_one_that_is_not_there_is_told() {
    let roster = fleet();
    let shut = |names: &[(&str, Shut)]| {
        let mut now = Now::default();
        names.iter().for_each(|(name, why)| now.shut(name, why.clone()));
        now
    };
    let taken = || Shut::ForNow("codex2 works in it".to_owned());
    let gone = || Shut::ForEver("there is no such place".to_owned());
    let dev2 = Wish { text: "Fix it", environment: Some("DEV2"), ..Wish::default() };
    assert_eq!(came(&roster, &Now::default(), dev2), "environment: keeper");
    // Nobody takes over for a worker whose place is taken: it is the task's place too.
    assert_eq!(
        came(&roster, &shut(&[("dev2", taken())]), dev2),
        "environment waits, environment: codex2 works in it"
    );
    assert_eq!(
        came(&roster, &shut(&[("Dev2", gone())]), dev2),
        "environment, nobody: there is no such place"
    );
    // A worker of another environment is no help, whoever asks for it.
    let elsewhere = Wish { target: Some("keeper"), environment: Some("dev1"), ..dev2 };
    let told = came(&roster, &Now::default(), elsewhere);
    assert!(!told.contains("target: keeper"), "{told}");
    // What is named in the text does not count where the task names its environment.
    let text = Wish { text: "Fix it as in dev1", ..dev2 };
    assert_eq!(came(&roster, &Now::default(), text), "environment: keeper");
    // A provider's workers that sit there come first, and others do it there where none sits.
    let other = Wish { environment: Some("dev7"), target: Some("codex"), ..dev2 };
    assert!(came(&roster, &Now::default(), other).starts_with("target: "));
    assert_eq!(
        came(&roster, &shut(&[("dev7", taken())]), other),
        "target waits, environment: codex2 works in it"
    );
}
