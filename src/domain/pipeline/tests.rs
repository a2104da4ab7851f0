use proptest::prelude::*;

use super::*;

fn stage(name: &str, all_of: &[usize]) -> Stage {
    Stage {
        name: name.to_owned(),
        all_of: all_of.iter().map(|on| Trigger::Stage(*on)).collect(),
        has_tasks: true,
        max_rounds: 3,
        ..Stage::default()
    }
}

fn command(name: &str, all_of: &[usize]) -> Stage {
    Stage { has_tasks: false, has_command: true, ..stage(name, all_of) }
}

fn now(state: StageState) -> Now {
    Now { state, ..Now::default() }
}

fn at_work(tasks: Tally) -> Now {
    Now { state: StageState::Running, round: 1, tasks, ..Now::default() }
}

const DONE: Tally = Tally { open: 0, done: 1, lost: 0 };

#[test]
fn a_stage_goes_its_way() {
    use StageState::{Approval, Blocked, Done, Failed, Fixing, Refused, RolledBack, RollingBack, Unknown};
    let tester = Stage { takes_findings: true, ..stage("test", &[]) };
    let deploy = Stage { needs_approval: true, rolls_back: true, ..command("deploy", &[]) };
    let gone = Tally { lost: 1, ..Tally::default() };
    let open = Tally { open: 1, ..Tally::default() };
    let found = |round, counted_from| Now { findings: 2, round, counted_from, ..at_work(DONE) };
    let runs = |command| Now { command, ..at_work(Tally::default()) };
    let undone = |rollback| Now { rollback, command: Some(CommandState::Failed), ..now(RollingBack) };
    let unbegun = Now { is_unbegun: true, ..runs(Some(CommandState::Failed)) };
    let table: Vec<(&Stage, Now, Option<Step>)> = vec![
        (&tester, now(StageState::Waiting), Some(Step::Begin(0))),
        (&tester, at_work(open), None),
        (&tester, at_work(DONE), Some(Step::End(0, Done, Why::Finished))),
        (&tester, at_work(gone), Some(Step::End(0, Failed, Why::Tasks))),
        (&tester, at_work(Tally::default()), Some(Step::End(0, Failed, Why::CalledOff))),
        (&tester, found(1, 0), Some(Step::Fix(0))),
        (&tester, found(3, 0), Some(Step::End(0, Failed, Why::Rounds))),
        (&tester, found(4, 3), Some(Step::Fix(0))),
        (&tester, Now { fixes: open, state: Fixing, ..found(1, 0) }, None),
        (&tester, Now { fixes: DONE, state: Fixing, ..found(1, 0) }, Some(Step::Begin(0))),
        (&tester, Now { fixes: gone, state: Fixing, ..found(1, 0) }, Some(Step::End(0, Failed, Why::Fixes))),
        (&tester, Now { state: Failed, ..at_work(open) }, Some(Step::Reopen(0))),
        (&tester, Now { state: Failed, ..at_work(gone) }, None),
        (&deploy, now(StageState::Waiting), Some(Step::Ask(0))),
        (&deploy, now(Approval), None),
        (&deploy, Now { approved: Some(true), ..now(Approval) }, Some(Step::Command(0))),
        (&deploy, now(Refused), None),
        (&deploy, runs(Some(CommandState::Running)), None),
        (&deploy, runs(Some(CommandState::Passed)), Some(Step::End(0, Done, Why::Finished))),
        (&deploy, runs(Some(CommandState::Unknown)), Some(Step::End(0, Unknown, Why::Unknown))),
        (&deploy, runs(Some(CommandState::Failed)), Some(Step::Rollback(0))),
        // Nothing is undone of what never began.
        (&deploy, unbegun, Some(Step::End(0, Failed, Why::Command))),
        (&deploy, undone(None), Some(Step::Rollback(0))),
        (&deploy, undone(Some(CommandState::Running)), None),
        (&deploy, undone(Some(CommandState::Passed)), Some(Step::End(0, RolledBack, Why::Undone))),
        (&deploy, undone(Some(CommandState::Unknown)), Some(Step::End(0, Failed, Why::Rollback))),
        (&deploy, now(Blocked), Some(Step::Wait(0))),
    ];
    for (stage, now, expected) in table {
        let stages = std::slice::from_ref(stage);
        let found = steps(stages, std::slice::from_ref(&now), &Seats::new());
        assert_eq!(found, Vec::from_iter(expected), "{now:?}");
    }
}

#[test]
fn all_of_waits_for_all_and_any_of_for_one() {
    use StageState::{Done, Failed, RolledBack, RollingBack, Running, Waiting};
    let both = stage("both", &[0, 1]);
    let either = Stage { any_of: both.all_of.clone(), all_of: Vec::new(), ..both.clone() };
    let table = [
        ([Done, Done], "begins", "begins"),
        ([Done, Running], "waits", "begins"),
        ([Running, Running], "waits", "waits"),
        ([Failed, Running], "lost", "waits"),
        ([Failed, Done], "lost", "begins"),
        ([Failed, Failed], "lost", "lost"),
        // What comes of a stage is not told before it is over.
        ([Done, RollingBack], "waits", "begins"),
        ([Failed, RollingBack], "lost", "waits"),
        ([Done, RolledBack], "lost", "begins"),
    ];
    let words = |step: Option<&Step>| match step {
        None => "waits",
        Some(Step::Begin(_)) => "begins",
        Some(Step::End(_, StageState::Blocked, _)) => "lost",
        Some(other) => panic!("{other:?}"),
    };
    for (before, all, any) in table {
        for (last, expected) in [(&both, all), (&either, any)] {
            let stages = [stage("a", &[]), stage("b", &[]), last.clone()];
            let open = Tally { open: 1, ..Tally::default() };
            let now =
                [Now { tasks: open, ..now(before[0]) }, Now { tasks: open, ..now(before[1]) }, now(Waiting)];
            let now = now
                .map(|now| Now { tasks: if now.state == Running { open } else { Tally::default() }, ..now });
            let steps = steps(&stages, &now, &Seats::new());
            assert_eq!(words(steps.iter().find(|step| step.stage() == 2)), expected, "{before:?}");
        }
    }
}

#[test]
fn who_was_blocked_by_a_stage_that_is_then_rolled_back_hears_of_that() {
    let stages = [command("deploy", &[]), stage("after", &[0])];
    let undone = |state, rollback| Now { rollback, command: Some(CommandState::Failed), ..now(state) };
    let blocked = now(StageState::Blocked);
    let runs = [undone(StageState::RollingBack, Some(CommandState::Running)), blocked];
    assert_eq!(steps(&stages, &runs, &Seats::new()), [Step::Wait(1)]);
    let over = [undone(StageState::RolledBack, Some(CommandState::Passed)), now(StageState::Waiting)];
    let lost = Step::End(1, StageState::Blocked, Why::Stage(0));
    assert_eq!(steps(&stages, &over, &Seats::new()), [lost]);
}

#[test]
fn workers_and_groups_start_stages_when_they_are_through() {
    let mut last = stage("last", &[]);
    last.all_of = vec![Trigger::Workers("crew".to_owned(), vec!["a".to_owned(), "b".to_owned()])];
    let stages = [stage("first", &[]), last];
    let busy = [at_work(Tally { open: 1, ..Tally::default() }), Now::default()];
    let over = [now(StageState::Done), Now::default()];
    let seats = |open, done| Seats::from([("a".to_owned(), Tally { open, done, lost: 0 })]);
    assert_eq!(steps(&stages, &busy, &seats(1, 1)), []);
    assert_eq!(steps(&stages, &over, &seats(0, 1)), [Step::Begin(1)]);
    // They do nothing while others are at work: it may still come.
    assert_eq!(steps(&stages, &busy, &Seats::new()), []);
    let idle = Step::End(1, StageState::Blocked, Why::Idle("crew".to_owned()));
    assert_eq!(steps(&stages, &over, &Seats::new()), [idle]);
}

#[test]
fn an_approval_may_be_one_of_several_triggers() {
    let mut hurried = stage("hurried", &[]);
    hurried.any_of = vec![Trigger::Stage(0), Trigger::Approval];
    let stages = [stage("slow", &[]), hurried];
    let slow = at_work(Tally { open: 1, ..Tally::default() });
    let approved = Now { approved: Some(true), ..Now::default() };
    assert!(asks(&stages[1], &Now::default()));
    assert_eq!(steps(&stages, &[slow.clone(), Now::default()], &Seats::new()), []);
    assert_eq!(steps(&stages, &[slow, approved], &Seats::new()), [Step::Begin(1)]);
}

#[test]
fn the_nearest_stage_comes_first_upstream() {
    let stages = [stage("build", &[]), stage("lint", &[0]), stage("test", &[1]), stage("docs", &[])];
    assert_eq!(upstream(&stages, 2), [1, 0]);
    assert_eq!(upstream(&stages, 0), [0_usize; 0]);
    assert_eq!(first(&stages), Some(0));
}

/// Any pipeline whose stages wait for earlier ones.
fn pipelines() -> impl Strategy<Value = Vec<Stage>> {
    let one = (any::<[bool; 5]>(), 0_u32..3, proptest::collection::vec((0_usize..6, 0_u8..3), 0..4), 0_u8..4);
    proptest::collection::vec(one, 1..6).prop_map(|drawn| {
        let all = drawn.into_iter().enumerate();
        all.map(|(at, ([a, b, c, d, e], rounds, triggers, kind))| {
            let mut stage = Stage {
                name: format!("s{at}"),
                has_tasks: kind != 0,
                has_command: kind == 0 || a,
                needs_approval: b,
                takes_findings: c && kind != 0,
                max_rounds: rounds + 1,
                rolls_back: d,
                ..Stage::default()
            };
            for (on, how) in triggers {
                let trigger = match (on < at, how) {
                    (true, _) => Trigger::Stage(on),
                    (false, 0) => Trigger::Approval,
                    (false, _) => Trigger::Workers(format!("w{on}"), vec![format!("w{on}")]),
                };
                let is_any = how == 1 || trigger == Trigger::Approval;
                if is_any { &mut stage.any_of } else { &mut stage.all_of }.push(trigger);
            }
            if e { Stage { all_of: Vec::new(), any_of: Vec::new(), ..stage } } else { stage }
        })
        .collect()
    })
}

/// What the world makes of a stage at work, a number at a time.
fn happen(now: &mut Now, chance: u8) -> bool {
    let over = |tally: &mut Tally| {
        let is_open = tally.open > 0;
        if is_open {
            tally.open -= 1;
            *(if chance.is_multiple_of(5) { &mut tally.lost } else { &mut tally.done }) += 1;
        }
        is_open
    };
    let ended = |command: &mut Option<CommandState>| {
        let runs = *command == Some(CommandState::Running);
        if runs {
            let ends = [CommandState::Passed, CommandState::Failed, CommandState::Unknown];
            *command = Some(ends[usize::from(chance) % 3]);
        }
        runs
    };
    match now.state {
        StageState::Running if over(&mut now.tasks) => now.findings += usize::from(chance % 2),
        StageState::Running => return ended(&mut now.command),
        StageState::Fixing => return over(&mut now.fixes),
        StageState::RollingBack => return ended(&mut now.rollback),
        StageState::Approval => {
            now.approved = Some(!chance.is_multiple_of(4));
            if chance.is_multiple_of(4) {
                now.state = StageState::Refused;
            }
        }
        _ => return false,
    }
    true
}

proptest! {
    #[test]
    fn a_run_keeps_its_order_its_rounds_and_ends(stages in pipelines(), chances in proptest::collection::vec(any::<u8>(), 1..200)) {
        let mut all = vec![Now::default(); stages.len()];
        let mut commands = vec![0; stages.len()];
        let mut seats = Seats::new();
        let mut chances = chances.into_iter().cycle();
        for turn in 0.. {
            prop_assert!(turn < 2000, "it never ends: {all:?}");
            let next = steps(&stages, &all, &seats);
            prop_assert!(next.is_empty() || conclusion(&stages, &all, &seats).is_none());
            for step in &next {
                let at = step.stage();
                let before = all[at].clone();
                if let Step::Begin(_) | Step::Command(_) = step
                    && !before.state.is_active()
                {
                    // Nothing begins before its triggers have come, nor unapproved.
                    let has_come = |trigger: &Trigger| come(trigger, &all, at, &seats) == Triggers::Met;
                    prop_assert!(stages[at].all_of.iter().all(has_come));
                    prop_assert!(stages[at].any_of.is_empty() || stages[at].any_of.iter().any(has_come));
                    prop_assert!(!stages[at].needs_approval || before.approved == Some(true));
                }
                let now = &mut all[at];
                now.state = step.leads_to(&before);
                match step {
                    Step::Begin(_) => {
                        now.round += 1;
                        (now.tasks, now.fixes) = (Tally { open: 2, ..Tally::default() }, Tally::default());
                        now.findings = 0;
                    }
                    Step::Fix(_) => now.fixes.open = now.findings,
                    Step::Command(_) => {
                        commands[at] += 1;
                        now.command = Some(CommandState::Running);
                    }
                    Step::Rollback(_) => now.rollback = Some(CommandState::Running),
                    _ => {}
                }
                prop_assert!(now.round <= stages[at].max_rounds, "{now:?}");
                prop_assert!(commands[at] <= 1);
            }
            if !next.is_empty() {
                continue;
            }
            let chance = chances.next().unwrap_or_default();
            let from = usize::from(chance) % stages.len();
            let moved = (0..stages.len()).find(|by| happen(&mut all[(from + by) % stages.len()], chance));
            if moved.is_none() {
                // At rest, and what it came to can be said.
                let come_to = conclusion(&stages, &all, &seats);
                prop_assert!(come_to.is_some(), "{all:?}");
                if let Some(Conclusion::Done) = come_to {
                    prop_assert!(all.iter().all(|now| now.state == StageState::Done));
                }
                let Some(Conclusion::Asks(at)) = come_to else { break };
                all[at].approved = Some(true);
            } else if chance.is_multiple_of(3) {
                let worker = format!("w{}", chance % 6);
                seats.insert(worker, Tally { done: 1, ..Tally::default() });
            }
        }
    }
}
