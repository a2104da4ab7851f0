//! Tasks that own the same path with no order between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use crate::domain::pattern::{IsFile, Pattern, overlap_of};
use crate::domain::plan::Plan;
use crate::domain::plan::dag::{Dag, Order};
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode, Problems};

/// A file pattern of a plan: the position of its task, and its own among the task's files.
pub(super) type Owner = (usize, usize);

/// The patterns of tasks by their leads. Two patterns can overlap only if the lead
/// of one is a prefix of the other's, so whom a pattern may meet is found without
/// looking at all others: above it in as many steps as its lead has segments (and
/// there are lengths of leads that end within a name), and below it in one stretch
/// of the sorted leads.
#[derive(Default)]
pub(super) struct Index<'p> {
    owners: BTreeMap<&'p str, Vec<(Owner, &'p Pattern)>>,
    /// The lengths of leads that end within a name.
    ragged: BTreeSet<usize>,
}

impl<'p> Index<'p> {
    /// All patterns of `plan`.
    pub(super) fn of(plan: &'p Plan) -> Self {
        let mut index = Self::default();
        for (position, task) in plan.tasks.iter().enumerate() {
            for (file, pattern) in task.files.iter().enumerate() {
                index.insert(pattern, (position, file));
            }
        }
        index
    }

    fn insert(&mut self, pattern: &'p Pattern, owner: Owner) {
        let lead = pattern.lead();
        if !lead.is_empty() && !lead.ends_with('/') {
            self.ragged.insert(lead.len());
        }
        self.owners.entry(lead).or_default().push((owner, pattern));
    }

    /// Everything that may overlap a pattern.
    pub(super) fn related(&self, pattern: &Pattern) -> Vec<Owner> {
        let lead = pattern.lead();
        // A lead is ASCII, and is empty, ends with a slash or has one of the lengths.
        let whole = std::iter::once(0).chain(lead.match_indices('/').map(|(at, _)| at + 1));
        let ragged = self.ragged.range(..lead.len()).copied().filter(|&end| !lead[..end].ends_with('/'));
        let ends = whole.chain(ragged).filter(|&end| end < lead.len());
        let above = ends.filter_map(|end| self.owners.get(&lead[..end]));
        let from_lead = self.owners.range::<str, _>((Bound::Included(lead), Bound::Unbounded));
        let below = from_lead.take_while(|(other, _)| other.starts_with(lead)).map(|(_, owners)| owners);
        let near = above.chain(below).flatten();
        near.filter(|(_, other)| !pattern.is_surely_apart(other)).map(|(owner, _)| *owner).collect()
    }
}

/// Two tasks that own `witness`, the earlier of the plan first.
struct Overlap {
    first: Owner,
    second: Owner,
    witness: String,
}

/// Calls `meet` with the overlap of every two tasks that have one and no order
/// between them, for each task with those before it in the plan, the nearest
/// first, until it breaks. `meet` may add to the order.
fn each_unordered(
    plan: &Plan,
    dag: &Dag<'_>,
    is_file: &IsFile<'_>,
    mut meet: impl FnMut(Overlap, &mut Order) -> ControlFlow<()>,
) {
    let mut index = Index::default();
    // Most plans have no two tasks that could meet.
    let mut order = None;
    for (second, task) in plan.tasks.iter().enumerate() {
        if dag.position(&task.id) != Some(second) {
            // A second task of the same id has no order that could be told.
            continue;
        }
        let mut near: Vec<(Owner, usize)> = Vec::new();
        for (file, pattern) in task.files.iter().enumerate() {
            near.extend(index.related(pattern).into_iter().map(|owner| (owner, file)));
        }
        near.sort_unstable_by_key(|((first, theirs), file)| (Reverse(*first), *theirs, *file));
        for group in near.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let order = order.get_or_insert_with(|| Order::of_dag(dag));
            let ((first, _), _) = group[0];
            if order.is_ordered(first, second) {
                continue;
            }
            let met = group.iter().find_map(|&((_, theirs), file)| {
                let witness = overlap_of(&plan.tasks[first].files[theirs], &task.files[file], is_file)?;
                Some(Overlap { first: (first, theirs), second: (second, file), witness })
            });
            if met.is_some_and(|met| meet(met, order).is_break()) {
                return;
            }
        }
        for (file, pattern) in task.files.iter().enumerate() {
            index.insert(pattern, (second, file));
        }
    }
}

/// Adds an error for every overlap.
pub(super) fn report(
    plan: &Plan,
    places: &Places,
    dag: &Dag<'_>,
    is_file: &IsFile<'_>,
    problems: &mut Problems,
) {
    each_unordered(plan, dag, is_file, |met, _| {
        let (first, second) = (&plan.tasks[met.first.0].id, &plan.tasks[met.second.0].id);
        let message =
            format!("tasks {first} and {second} both own {}, and nothing says which goes first", met.witness);
        let mut hint = format!(
            "give the path to one of them, let one wait (\"depends_on\" of {second}: {first}), or plan with on_overlap \"serialize\""
        );
        if let Some(path) = may_become_a_folder(plan, &met) {
            hint.push_str(&format!(
                "; {path} is no file yet and could become a folder: once it is there they do not meet"
            ));
        }
        problems.add(placed(Problem::error(ProblemCode::Overlap, message, hint), &met, plan, places));
        if problems.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
}

/// Lets tasks that own the same path wait for each other, the later of the plan
/// for the earlier, until no two are left that could run at once. The new
/// dependencies are only between tasks that had no order, so no cycle comes of
/// them. Every one is told as a warning.
pub fn serialize(plan: &mut Plan, places: &Places, is_file: &IsFile<'_>) -> Vec<Problem> {
    let mut problems = Problems::default();
    let mut added = Vec::new();
    each_unordered(plan, &Dag::of(plan), is_file, |met, order| {
        order.add(met.first.0, met.second.0);
        added.push((met.first.0, met.second.0));
        let (first, second) = (&plan.tasks[met.first.0].id, &plan.tasks[met.second.0].id);
        let problem = Problem::warning(
            ProblemCode::Overlap,
            format!("tasks {first} and {second} both own {}, so {second} waits for {first}", met.witness),
            "for work at the same time, give each task files of its own",
        );
        problems.add(placed(problem, &met, plan, places));
        ControlFlow::Continue(())
    });
    for (first, second) in added {
        let first = plan.tasks[first].id.clone();
        plan.tasks[second].depends_on.push(first);
    }
    problems.into_vec()
}

/// The bare path of the two that meet below it only, where they would not meet were it a file.
fn may_become_a_folder<'p>(plan: &'p Plan, met: &Overlap) -> Option<&'p str> {
    let own = |(position, file): Owner| &plan.tasks[position].files[file];
    let (first, second) = (own(met.first), own(met.second));
    let bare = [first, second].into_iter().find(|it| it.is_bare() && it.literal_path().contains('.'))?;
    let path = bare.literal_path();
    overlap_of(first, second, &|other| other == path).is_none().then_some(path)
}

fn placed(problem: Problem, met: &Overlap, plan: &Plan, places: &Places) -> Problem {
    let place = |(position, file): Owner| places.item(Part::Task(position), "files", file);
    problem
        .of(&plan.tasks[met.second.0].id)
        .about(met.witness.as_str())
        .at(place(met.second))
        .related(place(met.first))
}
