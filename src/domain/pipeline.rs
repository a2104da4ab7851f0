//! A pipeline's run: which stage begins, asks, goes back to those who mend, or ends, decided from
//! where every stage and its tasks are.
//!
//! A stage's way: it waits for its triggers, asks a person where that is wanted, has its tasks done,
//! has what they found mended and looks again, at most so many times, then runs its command.

use std::collections::BTreeMap;

/// One stage of a run. What it names is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// All of these must have come.
    pub all_of: Vec<Trigger>,
    /// One of these must have come, where there are any.
    pub any_of: Vec<Trigger>,
    /// Whether workers do something for it.
    pub has_tasks: bool,
    /// Whether a command belongs to it.
    pub has_command: bool,
    /// Whether a person must approve before it begins.
    pub needs_approval: bool,
    /// Whether what its tasks find is mended, and it then looks again.
    pub takes_findings: bool,
    /// So often it looks at most.
    pub max_rounds: u32,
    /// Whether a command that fails is rolled back without being asked.
    pub rolls_back: bool,
}

/// What a stage waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A stage, by its position.
    Stage(usize),
    /// A worker, or all of a group: its name, and its workers.
    Workers(String, Vec<String>),
    /// A person who approves.
    Approval,
}

/// Where a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StageState {
    /// What it waits for has not come.
    Waiting,
    /// A person is to approve it.
    Approval,
    /// Its tasks are at work, or its command.
    Running,
    /// What it found is being mended.
    Fixing,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// A person refused it.
    Refused,
    /// What it waits for will not come.
    Blocked,
    /// Nobody can say whether its command ran to its end.
    Unknown,
    /// What its command did is being undone.
    RollingBack,
    /// What its command did was undone.
    RolledBack,
}

impl StageState {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::Waiting,
        Self::Approval,
        Self::Running,
        Self::Fixing,
        Self::Done,
        Self::Failed,
        Self::Refused,
        Self::Blocked,
        Self::Unknown,
        Self::RollingBack,
        Self::RolledBack,
    ];

    /// The state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approval => "approval",
            Self::Running => "running",
            Self::Fixing => "fixing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
            Self::RollingBack => "rolling-back",
            Self::RolledBack => "rolled-back",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// It came to an end, and not to a good one.
    pub fn is_lost(self) -> bool {
        matches!(
            self,
            Self::Failed
                | Self::Refused
                | Self::Blocked
                | Self::Unknown
                | Self::RollingBack
                | Self::RolledBack
        )
    }

    /// Something is being done for it.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Fixing | Self::RollingBack)
    }

    /// What is told of one at which something was being done when its run came to rest: nobody goes on with it,
    /// whatever was recorded last. `is_conducted`: what was begun for it is being ended.
    pub fn held_up(self, is_conducted: bool) -> Option<&'static str> {
        self.is_active().then_some(if is_conducted { "stopping" } else { "stopped" })
    }
}

/// How many tasks are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Not over.
    pub open: usize,
    /// Done.
    pub done: usize,
    /// Failed or blocked.
    pub lost: usize,
}

/// Where a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandState {
    /// It is about to run, or runs.
    Running,
    /// It ended well.
    Passed,
    /// It did not.
    Failed,
    /// It was begun, and nobody recorded how it ended.
    Unknown,
}

impl CommandState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Running, Self::Passed, Self::Failed, Self::Unknown];

    /// The state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Everything that is known of a stage now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// Where it is.
    pub state: StageState,
    /// Rounds that were begun.
    pub round: u32,
    /// The rounds up to this one do not count: a person had it try again.
    pub counted_from: u32,
    /// What a person said.
    pub approved: Option<bool>,
    /// Its tasks need not be done again; only its command is left.
    pub is_worked: bool,
    /// Tasks of its round.
    pub tasks: Tally,
    /// Tasks that mend what its round found.
    pub fixes: Tally,
    /// What the tasks of its round found.
    pub findings: usize,
    /// Its command, since it was last approved.
    pub command: Option<CommandState>,
    /// Its command could not be begun, so that there is nothing to undo.
    pub is_unbegun: bool,
    /// What undoes it.
    pub rollback: Option<CommandState>,
}

impl Default for Now {
    fn default() -> Self {
        Self {
            state: StageState::Waiting,
            round: 0,
            counted_from: 0,
            approved: None,
            is_worked: false,
            tasks: Tally::default(),
            fixes: Tally::default(),
            findings: 0,
            command: None,
            is_unbegun: false,
            rollback: None,
        }
    }
}

/// What a worker has done in this run: tasks that are over and done, and those that are or may become its own.
pub type Seats = BTreeMap<String, Tally>;

/// Why a stage ended as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// All of it was done.
    Finished,
    /// A task of it failed.
    Tasks,
    /// All of its tasks were called off.
    CalledOff,
    /// What was found could not be mended.
    Fixes,
    /// After the last round it still finds something.
    Rounds,
    /// Its command failed.
    Command,
    /// Its command failed, and what it did was undone.
    Undone,
    /// What its command did could not be undone.
    Rollback,
    /// Whether its command ran to its end is not known.
    Unknown,
    /// That stage did not come to a good end.
    Stage(usize),
    /// None of those that would do came to a good end.
    NoneOf,
    /// These did nothing in this run.
    Idle(String),
}

/// The next thing to do; stages are named by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A person is to approve it.
    Ask(usize),
    /// Its next round begins: its tasks are made.
    Begin(usize),
    /// What its round found becomes tasks.
    Fix(usize),
    /// Its command is run.
    Command(usize),
    /// What its command did is undone.
    Rollback(usize),
    /// It ends.
    End(usize, StageState, Why),
    /// Tasks of it are tried again.
    Reopen(usize),
    /// It waits again for what it waited for.
    Wait(usize),
}

impl Step {
    /// The stage.
    pub fn stage(&self) -> usize {
        match *self {
            Self::Ask(at)
            | Self::Begin(at)
            | Self::Fix(at)
            | Self::Command(at)
            | Self::Rollback(at)
            | Self::End(at, ..)
            | Self::Reopen(at)
            | Self::Wait(at) => at,
        }
    }

    /// Where the stage is once the step is taken from `now`.
    pub fn leads_to(&self, now: &Now) -> StageState {
        match self {
            Self::Ask(_) => StageState::Approval,
            Self::Begin(_) | Self::Command(_) => StageState::Running,
            Self::Fix(_) => StageState::Fixing,
            Self::Rollback(_) => StageState::RollingBack,
            Self::End(_, state, _) => *state,
            Self::Reopen(_) if now.tasks.open > 0 => StageState::Running,
            Self::Reopen(_) => StageState::Fixing,
            Self::Wait(_) => StageState::Waiting,
        }
    }
}

/// What a run comes to once nothing more happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Every stage is done.
    Done,
    /// That stage came to no good end.
    Failed(usize),
    /// That stage waits for a person.
    Asks(usize),
    /// Tasks of that stage were not dispatched.
    Left(usize),
}

/// How far what a stage waits for has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Triggers {
    Met,
    Open,
    Lost(Why),
}

/// The next steps of all stages.
pub fn steps(stages: &[Stage], now: &[Now], seats: &Seats) -> Vec<Step> {
    let steps: Vec<Step> = (0..stages.len()).filter_map(|at| step(stages, now, seats, at)).collect();
    if !steps.is_empty() || now.iter().any(|now| now.state.is_active()) {
        return steps;
    }
    if (0..stages.len()).any(|at| asks(&stages[at], &now[at])) {
        return steps;
    }
    // Nobody is at work and nobody is asked: what has not come by now never will.
    let waiting = |at: &usize| now[*at].state == StageState::Waiting;
    let missing = |at: usize| {
        let triggers = stages[at].all_of.iter().chain(&stages[at].any_of);
        let idle = triggers.filter(|trigger| come(trigger, now, at, seats) == Triggers::Open);
        idle.filter_map(|trigger| match trigger {
            Trigger::Workers(name, _) => Some(name.clone()),
            Trigger::Stage(_) | Trigger::Approval => None,
        })
        .next()
    };
    // Those that wait for other stages follow from these.
    let idle = (0..stages.len()).filter(waiting).filter_map(|at| Some((at, missing(at)?)));
    idle.map(|(at, name)| Step::End(at, StageState::Blocked, Why::Idle(name))).collect()
}

/// Whether a person may approve a stage now.
pub fn asks(stage: &Stage, now: &Now) -> bool {
    let may_hurry = stage.any_of.contains(&Trigger::Approval) && now.state == StageState::Waiting;
    now.approved.is_none() && (now.state == StageState::Approval || may_hurry)
}

/// What the run comes to; `None` while a step can be taken or a command runs.
pub fn conclusion(stages: &[Stage], now: &[Now], seats: &Seats) -> Option<Conclusion> {
    let has_command = |now: &Now| {
        now.state.is_active()
            && (now.command == Some(CommandState::Running) || now.rollback == Some(CommandState::Running))
    };
    if !steps(stages, now, seats).is_empty() || now.iter().any(has_command) {
        return None;
    }
    let first = |is: &dyn Fn(usize) -> bool| (0..stages.len()).find(|&at| is(at));
    if let Some(at) = first(&|at| asks(&stages[at], &now[at])) {
        return Some(Conclusion::Asks(at));
    }
    // What came to a bad end by itself explains more than what was blocked by it.
    let is_lost = |at: usize| now[at].state.is_lost();
    let is_blocked = |at: usize| now[at].state == StageState::Blocked;
    if let Some(at) = first(&|at| is_lost(at) && !is_blocked(at)).or_else(|| first(&is_blocked)) {
        return Some(Conclusion::Failed(at));
    }
    first(&|at| now[at].state != StageState::Done)
        .map_or(Some(Conclusion::Done), |at| Some(Conclusion::Left(at)))
}

/// Whether all that is left of a run is to say of its stages that they are done: nothing would be begun, and nobody
/// asked.
pub fn is_through(stages: &[Stage], now: &[Now], seats: &Seats) -> bool {
    let mut now = now.to_vec();
    loop {
        let steps = steps(stages, &now, seats);
        if steps.is_empty() {
            return conclusion(stages, &now, seats) == Some(Conclusion::Done);
        }
        // Each ends one stage more.
        for step in steps {
            let Step::End(at, StageState::Done, Why::Finished) = step else { return false };
            now[at].state = StageState::Done;
        }
    }
}

fn step(stages: &[Stage], all: &[Now], seats: &Seats, at: usize) -> Option<Step> {
    let (stage, now) = (&stages[at], &all[at]);
    match now.state {
        StageState::Waiting => match triggers(stage, all, at, seats) {
            Triggers::Open => None,
            Triggers::Lost(why) => Some(Step::End(at, StageState::Blocked, why)),
            Triggers::Met if stage.needs_approval && now.approved.is_none() => Some(Step::Ask(at)),
            Triggers::Met => Some(begin(stage, now, at)),
        },
        StageState::Approval => match (triggers(stage, all, at, seats), now.approved) {
            (Triggers::Met, Some(true)) => Some(begin(stage, now, at)),
            (Triggers::Met, _) => None,
            (Triggers::Open | Triggers::Lost(_), _) => Some(Step::Wait(at)),
        },
        StageState::Running => running(stage, now, at),
        StageState::Fixing => match now.fixes {
            Tally { open: 1.., .. } => None,
            Tally { lost: 1.., .. } => Some(Step::End(at, StageState::Failed, Why::Fixes)),
            _ => Some(Step::Begin(at)),
        },
        StageState::RollingBack => match now.rollback {
            None => Some(Step::Rollback(at)),
            Some(CommandState::Running) => None,
            Some(CommandState::Passed) => Some(Step::End(at, StageState::RolledBack, Why::Undone)),
            Some(CommandState::Failed | CommandState::Unknown) => {
                Some(Step::End(at, StageState::Failed, Why::Rollback))
            }
        },
        StageState::Failed if now.tasks.open + now.fixes.open > 0 => Some(Step::Reopen(at)),
        StageState::Blocked if !matches!(triggers(stage, all, at, seats), Triggers::Lost(_)) => {
            // One that was blocked because nobody did anything waits again only if somebody now does.
            let has_changed = all.iter().any(|other| other.state.is_active())
                || triggers(stage, all, at, seats) == Triggers::Met;
            has_changed.then_some(Step::Wait(at))
        }
        StageState::Failed
        | StageState::Blocked
        | StageState::Done
        | StageState::Refused
        | StageState::Unknown
        | StageState::RolledBack => None,
    }
}

fn begin(stage: &Stage, now: &Now, at: usize) -> Step {
    if stage.has_tasks && !now.is_worked { Step::Begin(at) } else { Step::Command(at) }
}

fn running(stage: &Stage, now: &Now, at: usize) -> Option<Step> {
    let fails = |why| Some(Step::End(at, StageState::Failed, why));
    if stage.has_tasks && !now.is_worked {
        match now.tasks {
            Tally { open: 1.., .. } => return None,
            Tally { lost: 1.., .. } => return fails(Why::Tasks),
            Tally { done: 0, .. } => return fails(Why::CalledOff),
            _ => {}
        }
        if stage.takes_findings && now.findings > 0 {
            let used = now.round.saturating_sub(now.counted_from);
            return if used >= stage.max_rounds { fails(Why::Rounds) } else { Some(Step::Fix(at)) };
        }
    }
    let ends = |state, why| Some(Step::End(at, state, why));
    match (stage.has_command, now.command) {
        (false, _) | (true, Some(CommandState::Passed)) => ends(StageState::Done, Why::Finished),
        (true, None) => Some(Step::Command(at)),
        (true, Some(CommandState::Running)) => None,
        (true, Some(CommandState::Failed)) if stage.rolls_back && !now.is_unbegun => Some(Step::Rollback(at)),
        (true, Some(CommandState::Failed)) => fails(Why::Command),
        (true, Some(CommandState::Unknown)) => ends(StageState::Unknown, Why::Unknown),
    }
}

fn triggers(stage: &Stage, all: &[Now], at: usize, seats: &Seats) -> Triggers {
    let needed: Vec<Triggers> = stage.all_of.iter().map(|trigger| come(trigger, all, at, seats)).collect();
    if let Some(lost) = needed.iter().find(|come| matches!(come, Triggers::Lost(_))) {
        return lost.clone();
    }
    let any: Vec<Triggers> = stage.any_of.iter().map(|trigger| come(trigger, all, at, seats)).collect();
    if !any.is_empty() && any.iter().all(|come| matches!(come, Triggers::Lost(_))) {
        return Triggers::Lost(Why::NoneOf);
    }
    let has_any = any.is_empty() || any.contains(&Triggers::Met);
    if has_any && needed.iter().all(|come| *come == Triggers::Met) { Triggers::Met } else { Triggers::Open }
}

fn come(trigger: &Trigger, all: &[Now], at: usize, seats: &Seats) -> Triggers {
    match trigger {
        Trigger::Stage(on) => match all.get(*on).map(|now| now.state) {
            Some(StageState::Done) => Triggers::Met,
            // What comes of it is said when it is over.
            Some(StageState::RollingBack) => Triggers::Open,
            Some(state) if !state.is_lost() => Triggers::Open,
            _ => Triggers::Lost(Why::Stage(*on)),
        },
        Trigger::Workers(_, workers) => {
            let tallies = || workers.iter().filter_map(|worker| seats.get(worker));
            let is_busy = tallies().any(|tally| tally.open > 0);
            if !is_busy && tallies().any(|tally| tally.done > 0) { Triggers::Met } else { Triggers::Open }
        }
        Trigger::Approval => match all.get(at).and_then(|now| now.approved) {
            Some(true) => Triggers::Met,
            Some(false) => Triggers::Lost(Why::NoneOf),
            None => Triggers::Open,
        },
    }
}

/// The stages that a stage waits for, near ones first, each once.
pub fn upstream(stages: &[Stage], at: usize) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let mut next = 0;
    let look = |of: usize, found: &mut Vec<usize>| {
        for trigger in stages.get(of).into_iter().flat_map(|stage| stage.all_of.iter().chain(&stage.any_of)) {
            if let Trigger::Stage(on) = trigger
                && !found.contains(on)
            {
                found.push(*on);
            }
        }
    };
    look(at, &mut found);
    while let Some(&of) = found.get(next) {
        look(of, &mut found);
        next += 1;
    }
    found
}

/// The first stage that waits for nothing: a plan's own tasks are its.
pub fn first(stages: &[Stage]) -> Option<usize> {
    stages.iter().position(|stage| stage.all_of.is_empty() && stage.any_of.is_empty())
}

#[cfg(test)]
mod tests;
