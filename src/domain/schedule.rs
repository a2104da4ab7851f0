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

/// One thing to do; tasks are named by position.
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
    /// The judge said no and attempts are left; it may be tried again.
    TryAgain(usize),
    /// It may start now, if claims, a seat and money are there.
    Start(usize),
}

/// Priority grows by one for each of these that a task waits, so that nothing starves.
const AGEING_MS: i64 = 10 * 60 * 1000;

/// The next steps. Starts come last, in the order in which tasks should get what is
/// free: by priority, then by age, then as the plan has them.
pub fn steps(tasks: &[TaskView]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut ready = Vec::new();
    for (position, task) in tasks.iter().enumerate().filter(|(_, task)| task.is_wanted) {
        let lost = task.depends_on.iter().copied().find(|&on| is_lost(tasks[on].state));
        let open = task.depends_on.iter().any(|&on| tasks[on].state != TaskState::Done);
        match task.state {
            TaskState::Waiting | TaskState::Ready if lost.is_some() => {
                steps.extend(lost.map(|on| Step::Block { task: position, on }));
            }
            TaskState::Waiting if !open => {
                steps.push(Step::MakeReady(position));
                ready.push(position);
            }
            TaskState::Ready if open => steps.push(Step::MakeWait(position)),
            TaskState::Ready => ready.push(position),
            TaskState::Rejected => {
                steps.push(Step::TryAgain(position));
                ready.push(position);
            }
            TaskState::Blocked if lost.is_none() => steps.push(Step::MakeWait(position)),
            _ => {}
        }
    }
    ready.sort_by_key(|&position| {
        let task = &tasks[position];
        let aged = i64::from(task.priority) + task.waited_ms.max(0) / AGEING_MS;
        (std::cmp::Reverse(aged), position)
    });
    steps.extend(ready.into_iter().map(Step::Start));
    steps
}

/// Where the plan comes to rest, once nothing more can happen by itself.
pub fn conclusion(tasks: &[TaskView]) -> Option<PlanState> {
    let wanted = || tasks.iter().filter(|task| task.is_wanted);
    if !steps(tasks).is_empty() || wanted().any(|task| task.state.is_active()) {
        return None;
    }
    if wanted().any(|task| matches!(task.state, TaskState::Failed | TaskState::Blocked)) {
        Some(PlanState::Failed)
    } else if tasks.iter().all(|task| matches!(task.state, TaskState::Done | TaskState::Cancelled))
        && tasks.iter().any(|task| task.state == TaskState::Done)
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
        use Step::{Block, MakeReady, MakeWait, Start, TryAgain};
        let table: &[(&[TaskView], &[Step])] = &[
            (&[task(Waiting, &[]), task(Waiting, &[0])], &[MakeReady(0), Start(0)]),
            (&[task(Done, &[]), task(Waiting, &[0])], &[MakeReady(1), Start(1)]),
            (&[task(Running, &[]), task(Waiting, &[0])], &[]),
            (&[task(Failed, &[]), task(Waiting, &[0]), task(Waiting, &[1])], &[Block { task: 1, on: 0 }]),
            (&[task(Blocked, &[]), task(Waiting, &[0])], &[MakeWait(0), Block { task: 1, on: 0 }]),
            (&[task(Ready, &[]), task(Blocked, &[0])], &[MakeWait(1), Start(0)]),
            (&[task(Rejected, &[])], &[TryAgain(0), Start(0)]),
            (&[task(Done, &[]), task(Cancelled, &[])], &[]),
        ];
        for (tasks, expected) in table {
            assert_eq!(steps(tasks), *expected, "{tasks:?}");
        }
    }

    #[test]
    fn the_urgent_and_the_old_come_first() {
        let mut tasks = vec![task(Ready, &[]), task(Ready, &[]), task(Ready, &[])];
        tasks[1].priority = 9;
        tasks[2].waited_ms = 5 * AGEING_MS;
        assert_eq!(steps(&tasks), [Step::Start(2), Step::Start(1), Step::Start(0)]);
    }

    #[test]
    fn a_plan_rests_only_when_nothing_moves() {
        let mut unwanted = task(Waiting, &[]);
        unwanted.is_wanted = false;
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
        ];
        for (tasks, expected) in table {
            assert_eq!(conclusion(tasks), *expected, "{tasks:?}");
        }
    }
}
