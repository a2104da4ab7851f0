//! The order of a plan's tasks: what can run together, what takes longest, and
//! which of two tasks goes first.

#[cfg(test)]
pub(super) mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::base::ids::TaskId;
use crate::base::sorting;
use crate::domain::plan::Plan;

/// The most cycles that are named; whoever mends these sees the rest.
const MAX_CYCLES: usize = 100;

/// Tasks that wait for each other, each for the next and the last for the first.
/// It starts with the task that comes first in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<TaskId>);

impl fmt::Display for Cycle {
    /// The whole cycle, its first task again at the end: `1 → 2 → 3 → 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for task in &self.0 {
            write!(f, "{task} → ")?;
        }
        self.0.first().map_or(Ok(()), |first| write!(f, "{first}"))
    }
}

impl std::error::Error for Cycle {}

/// What can run together: each wave needs only tasks of earlier waves. Within a
/// wave tasks stand in the order of the plan. Dependencies on tasks that the
/// plan does not have count as done.
///
/// # Errors
/// A cycle, if there is one.
pub fn waves(plan: &Plan) -> Result<Vec<Vec<TaskId>>, Cycle> {
    let dag = Dag::of(plan);
    let mut waves = Vec::new();
    for (task, level) in plan.tasks.iter().zip(dag.levels().ok_or_else(|| dag.first_cycle(plan))?) {
        if waves.len() <= level {
            waves.resize(level + 1, Vec::new());
        }
        waves[level].push(task.id.clone());
    }
    Ok(waves)
}

/// The longest chain of tasks that wait for one another, first task first; of
/// several the one whose tasks come first in the plan, decided from its end.
///
/// # Errors
/// A cycle, if there is one.
pub fn critical_path(plan: &Plan) -> Result<Vec<TaskId>, Cycle> {
    let dag = Dag::of(plan);
    let levels = dag.levels().ok_or_else(|| dag.first_cycle(plan))?;
    // The first of the highest: `max_by_key` would give the last.
    let highest = |tasks: &mut dyn Iterator<Item = usize>| {
        tasks.min_by_key(|&task| (std::cmp::Reverse(levels[task]), task))
    };
    let mut path = Vec::new();
    let mut next = highest(&mut (0..levels.len()));
    while let Some(task) = next {
        path.push(plan.tasks[task].id.clone());
        next = highest(&mut dag.depends_on[task].iter().copied());
    }
    path.reverse();
    Ok(path)
}

/// The dependencies of a plan by the positions of its tasks.
pub(super) struct Dag<'p> {
    /// The first task of every id.
    positions: HashMap<&'p str, usize>,
    /// What each task depends on, each once, less what the plan does not have.
    depends_on: Vec<Vec<usize>>,
}

impl<'p> Dag<'p> {
    pub(super) fn of(plan: &'p Plan) -> Self {
        let mut positions = HashMap::with_capacity(plan.tasks.len());
        for (position, task) in plan.tasks.iter().enumerate() {
            positions.entry(task.id.as_str()).or_insert(position);
        }
        let depends_on = plan.tasks.iter().map(|task| {
            let mut seen = HashSet::new();
            let known = task.depends_on.iter().filter_map(|id| positions.get(id.as_str()).copied());
            known.filter(|position| seen.insert(*position)).collect()
        });
        Self { depends_on: depends_on.collect(), positions }
    }

    /// The position of the first task called `id`.
    pub(super) fn position(&self, id: &TaskId) -> Option<usize> {
        self.positions.get(id.as_str()).copied()
    }

    pub(super) fn depends_on(&self, task: usize) -> &[usize] {
        &self.depends_on[task]
    }

    /// Lets `second` depend on `first`; `false` if it does already.
    pub(super) fn add(&mut self, first: usize, second: usize) -> bool {
        let is_new = !self.depends_on[second].contains(&first);
        if is_new {
            self.depends_on[second].push(first);
        }
        is_new
    }

    /// For each task the length of the longest chain before it (Kahn's algorithm);
    /// `None` if there is a cycle.
    pub(super) fn levels(&self) -> Option<Vec<usize>> {
        let mut dependents = vec![Vec::new(); self.depends_on.len()];
        let mut open: Vec<usize> = self.depends_on.iter().map(Vec::len).collect();
        for (task, depends_on) in self.depends_on.iter().enumerate() {
            for &before in depends_on {
                dependents[before].push(task);
            }
        }
        let mut levels = vec![0; self.depends_on.len()];
        let mut ready: Vec<usize> = (0..open.len()).filter(|&task| open[task] == 0).collect();
        let mut done = 0;
        while let Some(task) = ready.pop() {
            done += 1;
            for &after in &dependents[task] {
                levels[after] = levels[after].max(levels[task] + 1);
                open[after] -= 1;
                if open[after] == 0 {
                    ready.push(after);
                }
            }
        }
        (done == levels.len()).then_some(levels)
    }

    /// The distinct cycles that a walk along the dependencies meets, at least one
    /// in every knot of tasks and at most [`MAX_CYCLES`] in all, in the order of the
    /// plan. Each starts with its first task of the plan; every task depends on the next.
    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            /// On the walk, at this distance from its start.
            Open(usize),
            Done,
        }
        let mut marks = vec![Mark::New; self.depends_on.len()];
        let mut cycles = Vec::new();
        for start in 0..marks.len() {
            if marks[start] != Mark::New {
                continue;
            }
            marks[start] = Mark::Open(0);
            // The walk: each task with the number of its dependencies already followed.
            let mut walk = vec![(start, 0)];
            while let Some((task, followed)) = walk.last_mut() {
                let Some(&next) = self.depends_on[*task].get(*followed) else {
                    marks[*task] = Mark::Done;
                    walk.pop();
                    continue;
                };
                *followed += 1;
                match marks[next] {
                    Mark::New => {
                        marks[next] = Mark::Open(walk.len());
                        walk.push((next, 0));
                    }
                    Mark::Open(distance) if cycles.len() < MAX_CYCLES => {
                        let mut cycle: Vec<usize> = walk[distance..].iter().map(|(task, _)| *task).collect();
                        let first = (0..cycle.len()).min_by_key(|&i| cycle[i]).unwrap_or(0);
                        cycle.rotate_left(first);
                        cycles.push(cycle);
                    }
                    Mark::Open(_) | Mark::Done => {}
                }
            }
        }
        sorting::sort(&mut cycles);
        cycles
    }

    fn first_cycle(&self, plan: &Plan) -> Cycle {
        let cycle = self.cycles().into_iter().next().unwrap_or_default();
        Cycle(cycle.into_iter().map(|task| plan.tasks[task].id.clone()).collect())
    }

    /// Everything that `task` waits for, directly or not.
    pub(super) fn ancestors(&self, task: usize) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            open.extend(self.depends_on[task].iter().copied().filter(|&before| found.insert(before)));
        }
        found
    }

    /// For each task the number of its component (tasks in a common cycle share
    /// one); what a task depends on has a lower number, or the same. Tarjan's
    /// algorithm, on a stack of its own.
    fn components(&self) -> (Vec<usize>, usize) {
        const NEW: usize = usize::MAX;
        let size = self.depends_on.len();
        let (mut number, mut lowest, mut component) = (vec![NEW; size], vec![NEW; size], vec![NEW; size]);
        let (mut numbered, mut components) = (0, 0);
        let mut pending = Vec::new();
        for start in 0..size {
            if number[start] != NEW {
                continue;
            }
            let mut walk = vec![(start, 0)];
            while let Some((task, followed)) = walk.last_mut() {
                let task = *task;
                if *followed == 0 {
                    (number[task], lowest[task]) = (numbered, numbered);
                    numbered += 1;
                    pending.push(task);
                }
                if let Some(&next) = self.depends_on[task].get(*followed) {
                    *followed += 1;
                    if number[next] == NEW {
                        walk.push((next, 0));
                    } else if component[next] == NEW {
                        lowest[task] = lowest[task].min(number[next]);
                    }
                    continue;
                }
                walk.pop();
                if let Some((parent, _)) = walk.last() {
                    lowest[*parent] = lowest[*parent].min(lowest[task]);
                }
                if lowest[task] == number[task] {
                    while let Some(member) = pending.pop() {
                        component[member] = components;
                        if member == task {
                            break;
                        }
                    }
                    components += 1;
                }
            }
        }
        (component, components)
    }
}

/// Which of two tasks goes first, for all pairs: a bit for each, so 12 MB for
/// 10,000 tasks. Tasks in a common cycle count as ordered.
pub struct Order {
    component: Vec<usize>,
    /// For each component a row of bits: the components before it.
    before: Vec<u64>,
    /// Words of 64 bits in a row.
    width: usize,
}

impl Order {
    /// The order of the tasks of `plan`; tasks are named by their positions in it.
    pub fn of(plan: &Plan) -> Self {
        Self::of_dag(&Dag::of(plan))
    }

    pub(super) fn of_dag(dag: &Dag<'_>) -> Self {
        let (component, size) = dag.components();
        let width = size.div_ceil(64);
        let mut order = Self { component, before: vec![0; size * width], width };
        // Lower components first, so that the rows of all dependencies are complete.
        let mut tasks: Vec<usize> = (0..order.component.len()).collect();
        sorting::sort_by_key(&mut tasks, |&task| order.component[task]);
        for task in tasks {
            for &before in dag.depends_on(task) {
                order.inherit(order.component[task], order.component[before]);
            }
        }
        order
    }

    /// Whether `first` is done before `second` starts.
    pub fn is_before(&self, first: usize, second: usize) -> bool {
        self.has(self.component[second], self.component[first])
    }

    /// Whether one of the two waits for the other, directly or not.
    pub fn is_ordered(&self, a: usize, b: usize) -> bool {
        self.component[a] == self.component[b] || self.is_before(a, b) || self.is_before(b, a)
    }

    /// Lets `second` wait for `first`. The two must not be ordered yet, so no cycle comes of it.
    pub(super) fn add(&mut self, first: usize, second: usize) {
        let (first, second) = (self.component[first], self.component[second]);
        for row in 0..self.before.len().checked_div(self.width).unwrap_or(0) {
            if row == second || self.has(row, second) {
                self.inherit(row, first);
            }
        }
    }

    fn has(&self, row: usize, component: usize) -> bool {
        self.before[row * self.width + component / 64] & (1 << (component % 64)) != 0
    }

    /// Puts `first`, and all before it, before `row`.
    fn inherit(&mut self, row: usize, first: usize) {
        if row == first {
            return;
        }
        for word in 0..self.width {
            self.before[row * self.width + word] |= self.before[first * self.width + word];
        }
        self.before[row * self.width + first / 64] |= 1 << (first % 64);
    }
}
