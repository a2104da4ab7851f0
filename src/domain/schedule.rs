//! What a conductor does next, decided from where every task is.

use crate::domain::conducting::PlanState;
use crate::domain::task::TaskState;

/// A task as the schedule sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// Where it is.
    pub state: TaskState,
    /// Whether it was dispatched.
    pub is_wanted: bool,
    /// Positions of the tasks it depends on.
    pub depends_on: Vec<usize>,
    /// 0 to 10, 10 first.
    pub priority: u8,
    /// Milliseconds since it came into its state.
    pub waited_ms: i64,
}

/// One thing to do before anything starts; tasks are named by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// All that it depends on is done.
    MakeReady(usize),
    /// What it depends on is open again.
    MakeWait(usize),
    /// Something it depends on will not be done.
    Block {
        /// The task.
        task: usize,
        /// What it depends on.
        on: usize,
    },
}

/// Priority grows by one for each of these that a task waits, so that nothing starves.
pub const AGEING_MS: i64 = 10 * 60 * 1000;

/// Classes of priority: from which number on, and how long such a task may wait at most. What is
/// urgent starts at once, the usual within a day, the rest within a week.
pub const DEADLINES: [(u8, i64); 3] = [(8, 0), (4, 24 * 3600 * 1000), (0, 7 * 24 * 3600 * 1000)];

/// How long a task of that priority may wait.
pub fn patience_ms(priority: u8) -> i64 {
    DEADLINES.iter().find(|(from, _)| priority >= *from).map_or(0, |(_, patience)| *patience)
}

/// The next steps of tasks that depend on others.
pub fn steps(tasks: &[TaskView]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (position, task) in tasks.iter().enumerate().filter(|(_, task)| task.is_wanted) {
        if !matches!(task.state, TaskState::Waiting | TaskState::Ready | TaskState::Blocked) {
            continue;
        }
        let lost = task.depends_on.iter().copied().find(|&on| is_lost(tasks[on].state));
        let open = task.depends_on.iter().any(|&on| tasks[on].state != TaskState::Done);
        match (task.state, lost) {
            (TaskState::Waiting | TaskState::Ready, Some(on)) => {
                steps.push(Step::Block { task: position, on });
            }
            (TaskState::Waiting, None) if !open => steps.push(Step::MakeReady(position)),
            (TaskState::Ready, None) if open => steps.push(Step::MakeWait(position)),
            (TaskState::Blocked, None) => steps.push(Step::MakeWait(position)),
            _ => {}
        }
    }
    steps
}

/// Whether a task may start, if claims, a seat and money are there.
pub fn may_start(task: &TaskView) -> bool {
    // What the judge refused is tried again while attempts are left.
    task.is_wanted && matches!(task.state, TaskState::Ready | TaskState::Rejected)
}

/// The foremost of the tasks that may start and that fit: by priority, which grows with waiting, then as the
/// plan has them.
pub fn first(tasks: &[TaskView], fits: impl Fn(usize) -> bool) -> Option<usize> {
    let mut foremost = None;
    for (at, task) in tasks.iter().enumerate().filter(|(_, task)| may_start(task)) {
        let rank = rank(at, task);
        // Whether it fits is asked only of what would come first: that costs more than its rank.
        if foremost.as_ref().is_none_or(|best| rank < *best) && fits(at) {
            foremost = Some(rank);
        }
    }
    foremost.map(|(_, at)| at)
}

/// The foremost `most` of them, in their order.
pub fn foremost(tasks: &[TaskView], most: usize, fits: impl Fn(usize) -> bool) -> Vec<usize> {
    let fitting = tasks.iter().enumerate().filter(|(at, task)| may_start(task) && fits(*at));
    let mut ranks: Vec<_> = fitting.map(|(at, task)| rank(at, task)).collect();
    if ranks.len() > most && most > 0 {
        ranks.select_nth_unstable(most - 1);
    }
    ranks.truncate(most);
    ranks.sort_unstable();
    ranks.into_iter().map(|(_, at)| at).collect()
}

fn rank(position: usize, task: &TaskView) -> (std::cmp::Reverse<i64>, usize) {
    (std::cmp::Reverse(i64::from(task.priority) + task.waited_ms.max(0) / AGEING_MS), position)
}

/// Where the plan comes to rest, once nothing more can happen by itself.
pub fn conclusion(tasks: &[TaskView]) -> Option<PlanState> {
    let wanted = || tasks.iter().filter(|task| task.is_wanted);
    if wanted().any(|task| task.state.is_active() || may_start(task)) || !steps(tasks).is_empty() {
        return None;
    }
    if wanted().any(|task| matches!(task.state, TaskState::Failed | TaskState::Blocked)) {
        Some(PlanState::Failed)
    } else if tasks.iter().all(|task| match task.state {
        TaskState::Done => true,
        // Called off with its whole plan it is not wanted any more, and the plan did not come to its end.
        TaskState::Cancelled => task.is_wanted,
        _ => false,
    }) && tasks.iter().any(|task| task.state == TaskState::Done)
    {
        Some(PlanState::Done)
    } else {
        Some(PlanState::Stopped)
    }
}

fn is_lost(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Blocked | TaskState::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskState::{Blocked, Cancelled, Done, Failed, Ready, Rejected, Running, Waiting};

    fn task(state: TaskState, depends_on: &[usize]) -> TaskView {
        TaskView { state, is_wanted: true, depends_on: depends_on.to_vec(), priority: 5, waited_ms: 0 }
    }

    #[test]
    fn a_chain_goes_on_or_is_blocked() {
        use Step::{Block, MakeReady, MakeWait};
        let table: &[(&[TaskView], &[Step], &[usize])] = &[
            (&[task(Waiting, &[]), task(Waiting, &[0])], &[MakeReady(0)], &[]),
            (&[task(Done, &[]), task(Waiting, &[0])], &[MakeReady(1)], &[]),
            (&[task(Running, &[]), task(Waiting, &[0])], &[], &[]),
            (
                &[task(Failed, &[]), task(Waiting, &[0]), task(Waiting, &[1])],
                &[Block { task: 1, on: 0 }],
                &[],
            ),
            (&[task(Blocked, &[]), task(Waiting, &[0])], &[MakeWait(0), Block { task: 1, on: 0 }], &[]),
            (&[task(Ready, &[]), task(Blocked, &[0])], &[MakeWait(1)], &[0]),
            (&[task(Rejected, &[])], &[], &[0]),
            (&[task(Done, &[]), task(Cancelled, &[])], &[], &[]),
        ];
        for (tasks, expected, startable) in table {
            assert_eq!(steps(tasks), *expected, "{tasks:?}");
            assert_eq!(foremost(tasks, 9, |_| true), *startable, "{tasks:?}");
        }
    }

    #[test]
    fn the_urgent_and_the_old_come_first() {
        let mut tasks = vec![task(Ready, &[]), task(Ready, &[]), task(Ready, &[]), task(Ready, &[])];
        tasks[1].priority = 9;
        tasks[2].waited_ms = 5 * AGEING_MS;
        assert_eq!(foremost(&tasks, 9, |_| true), [2, 1, 0, 3]);
        assert_eq!(foremost(&tasks, 2, |_| true), [2, 1]);
        assert_eq!(foremost(&tasks, 0, |_| true), [0_usize; 0]);
        assert_eq!(first(&tasks, |at| at != 2), Some(1));
        assert_eq!(first(&tasks, |_| false), None);
    }

    #[test]
    fn the_urgent_may_not_wait_and_the_rest_may_a_week() {
        const DAY: i64 = 24 * 3600 * 1000;
        let table =
            [(10, 0), (9, 0), (8, 0), (7, DAY), (5, DAY), (4, DAY), (3, 7 * DAY), (2, 7 * DAY), (0, 7 * DAY)];
        for (priority, patience) in table {
            assert_eq!(patience_ms(priority), patience, "{priority}");
        }
    }

    #[test]
    fn a_plan_rests_only_when_nothing_moves() {
        let mut unwanted = task(Waiting, &[]);
        unwanted.is_wanted = false;
        let mut called_off = task(Cancelled, &[]);
        called_off.is_wanted = false;
        let table: &[(&[TaskView], Option<PlanState>)] = &[
            (&[task(Done, &[]), task(Done, &[])], Some(PlanState::Done)),
            (&[task(Done, &[]), task(Running, &[])], None),
            (&[task(Done, &[]), task(Ready, &[])], None),
            (&[task(Done, &[]), task(Failed, &[])], Some(PlanState::Failed)),
            (&[task(Failed, &[]), task(Waiting, &[0])], None),
            (&[task(Failed, &[]), task(Blocked, &[0])], Some(PlanState::Failed)),
            (&[task(Done, &[]), task(Cancelled, &[])], Some(PlanState::Done)),
            (&[task(Cancelled, &[])], Some(PlanState::Stopped)),
            (&[task(Done, &[]), unwanted], Some(PlanState::Stopped)),
            (&[task(Done, &[]), called_off], Some(PlanState::Stopped)),
        ];
        for (tasks, expected) in table {
            assert_eq!(conclusion(tasks), *expected, "{tasks:?}");
        }
    }
}
