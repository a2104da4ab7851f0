use proptest::prelude::*;

use super::*;
use crate::domain::plan::Task;

/// A plan of tasks that own nothing: `1:2,3 2 3` is a task 1 that depends on 2 and 3.
pub(crate) fn plan(tasks: &str) -> Plan {
    let task = |text: &str| {
        let (id, depends_on) = text.split_once(':').unwrap_or((text, ""));
        let mut task = Task::new(TaskId::text(id), "work", Vec::new());
        task.depends_on = depends_on.split(',').filter(|id| !id.is_empty()).map(TaskId::text).collect();
        task
    };
    Plan { tasks: tasks.split_whitespace().map(task).collect(), ..Plan::default() }
}

fn joined(ids: &[TaskId]) -> String {
    ids.iter().map(TaskId::as_str).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(tasks: &str, expected_waves: &str, expected_path: &str) {
    let plan = plan(tasks);
    let waves: Vec<String> = waves(&plan).unwrap().iter().map(|wave| joined(wave)).collect();
    assert_eq!(waves.join(" | "), expected_waves, "{tasks}");
    assert_eq!(joined(&critical_path(&plan).unwrap()), expected_path, "{tasks}");
}

#[test]
fn waves_and_critical_paths() {
    check("", "", "");
    check("1", "1", "1");
    check("2 1", "2 1", "2");
    check("1 2:1 3:2", "1 | 2 | 3", "1 2 3");
    check("3:2 2:1 1", "1 | 2 | 3", "1 2 3");
    check("1 2:1 3:1 4:2,3", "1 | 2 3 | 4", "1 2 4");
    check("1 2 3:1 4:2", "1 2 | 3 4", "1 3");
    check("a b:a c d:c e:d", "a c | b d | e", "c d e");
    check("1 2:1,1,1 3:9,2", "1 | 2 | 3", "1 2 3");
    // Every task is in it once, whatever it is called.
    check("1 1 2:1", "1 1 | 2", "1 2");
}

#[test]
fn cycles_are_named_whole_and_once() {
    let cases = [
        ("1 2:1", vec![]),
        ("1:1", vec!["1 → 1"]),
        ("1:2 2:3 3:1", vec!["1 → 2 → 3 → 1"]),
        ("1:3 2:1 3:2", vec!["1 → 3 → 2 → 1"]),
        ("0:2 1:2 2:3 3:1", vec!["1 → 2 → 3 → 1"]),
        ("1:2 2:1 3:4 4:3", vec!["1 → 2 → 1", "3 → 4 → 3"]),
        ("1:2,3 2:1 3:1", vec!["1 → 2 → 1", "1 → 3 → 1"]),
        ("1:2,2 2:1,1", vec!["1 → 2 → 1"]),
        ("1:2,1 2:1", vec!["1 → 1", "1 → 2 → 1"]),
        ("1:2 2:3 3:2", vec!["2 → 3 → 2"]),
    ];
    for (tasks, expected) in cases {
        let plan = plan(tasks);
        let dag = Dag::of(&plan);
        let show = |cycle: Vec<usize>| {
            Cycle(cycle.into_iter().map(|task| plan.tasks[task].id.clone()).collect()).to_string()
        };
        assert_eq!(dag.cycles().into_iter().map(show).collect::<Vec<_>>(), expected, "{tasks}");
        assert_eq!(waves(&plan).err().map(|cycle| cycle.to_string()).as_deref(), expected.first().copied());
        assert_eq!(critical_path(&plan).is_err(), !expected.is_empty());
    }
}

#[test]
fn order_goes_through_others() {
    let plan = plan("1 2:1 3:2 4 5:4");
    let order = Order::of(&plan);
    assert!(order.is_before(0, 2) && !order.is_before(2, 0));
    assert!(order.is_ordered(2, 0) && order.is_ordered(0, 0));
    assert!(!order.is_ordered(0, 3) && !order.is_ordered(2, 4));
}

#[test]
fn tasks_in_a_cycle_count_as_ordered() {
    let plan = plan("1:2 2:3 3:1 4:1 5");
    let order = Order::of(&plan);
    assert!(order.is_ordered(0, 1) && order.is_ordered(1, 2) && order.is_ordered(2, 3));
    assert!(!order.is_ordered(0, 4) && !order.is_before(0, 0));
}

#[test]
fn added_order_is_passed_on() {
    let plan = plan("1 2:1 3 4:3");
    let mut order = Order::of(&plan);
    order.add(1, 2);
    assert!(order.is_before(0, 3) && order.is_before(1, 2) && !order.is_before(3, 0));
}

#[test]
fn ten_thousand_tasks_are_quick() {
    // A chain is the deepest there is: nothing here may recurse.
    let chain: Vec<String> =
        (0..10_000).map(|task| if task == 0 { "0".into() } else { format!("{task}:{}", task - 1) }).collect();
    let plan = plan(&chain.join(" "));
    assert_eq!(waves(&plan).unwrap().len(), 10_000);
    assert_eq!(critical_path(&plan).unwrap().len(), 10_000);
    assert!(Order::of(&plan).is_before(0, 9_999));
    let mut ring = plan;
    ring.tasks[0].depends_on.push(TaskId::text("9999"));
    assert_eq!(waves(&ring).expect_err("a ring").0.len(), 10_000);
}

#[test]
fn a_dense_knot_names_a_bounded_number_of_cycles() {
    let all: Vec<String> = (0..200).map(|task| task.to_string()).collect();
    let tasks: Vec<String> = all.iter().map(|task| format!("{task}:{}", all.join(","))).collect();
    let plan = plan(&tasks.join(" "));
    assert_eq!(Dag::of(&plan).cycles().len(), MAX_CYCLES);
}

/// Tasks in any order of the plan, each depending on some that come before it in another order.
pub(crate) fn any_dag() -> impl Strategy<Value = Plan> {
    let edges = prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..60);
    (1usize..30, edges).prop_flat_map(|(size, edges)| {
        let shuffled = Just((0..size).collect::<Vec<usize>>()).prop_shuffle();
        (shuffled, Just(edges)).prop_map(move |(shuffled, edges)| {
            let mut plan = plan(&(0..size).map(|task| format!("{task} ")).collect::<String>());
            for (a, b) in edges {
                let (a, b) = (a.index(size), b.index(size));
                if a != b {
                    let id = plan.tasks[shuffled[a.min(b)]].id.clone();
                    plan.tasks[shuffled[a.max(b)]].depends_on.push(id);
                }
            }
            plan
        })
    })
}

/// Whether `second` reaches `first` along its dependencies, the slow way.
fn reaches(dag: &Dag<'_>, second: usize, first: usize) -> bool {
    dag.depends_on(second).iter().any(|&before| before == first || reaches(dag, before, first))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn waves_hold_every_task_once_after_what_it_needs(plan in any_dag()) {
        let waves = waves(&plan).unwrap();
        let mut wave_of = HashMap::new();
        for (number, wave) in waves.iter().enumerate() {
            prop_assert!(!wave.is_empty());
            for id in wave {
                prop_assert!(wave_of.insert(id.clone(), number).is_none());
            }
        }
        prop_assert_eq!(wave_of.len(), plan.tasks.len());
        for task in &plan.tasks {
            let needed = task.depends_on.iter().map(|id| wave_of[id] + 1).max();
            prop_assert_eq!(wave_of[&task.id], needed.unwrap_or(0), "as early as can be");
        }
        let path = critical_path(&plan).unwrap();
        prop_assert_eq!(path.len(), waves.len());
        for step in path.windows(2) {
            let task = plan.tasks.iter().find(|task| task.id == step[1]).unwrap();
            prop_assert!(task.depends_on.contains(&step[0]));
        }
    }

    #[test]
    fn order_is_reachability(plan in any_dag()) {
        let dag = Dag::of(&plan);
        let order = Order::of(&plan);
        for a in 0..plan.tasks.len() {
            prop_assert_eq!(dag.ancestors(a), (0..plan.tasks.len()).filter(|&b| reaches(&dag, a, b)).collect());
            for b in 0..plan.tasks.len() {
                prop_assert_eq!(order.is_before(a, b), reaches(&dag, b, a));
            }
        }
    }

    /// With cycles too, where each task of one goes before the others and after them.
    #[test]
    fn order_is_reachability_in_any_graph(
        size in 1usize..12,
        edges in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..20),
    ) {
        let mut plan = plan(&(0..size).map(|task| format!("{task} ")).collect::<String>());
        for (a, b) in edges {
            let id = plan.tasks[a.index(size)].id.clone();
            plan.tasks[b.index(size)].depends_on.push(id);
        }
        let dag = Dag::of(&plan);
        let order = Order::of(&plan);
        let ancestors: Vec<_> = (0..size).map(|task| dag.ancestors(task)).collect();
        for a in 0..size {
            for b in 0..size {
                let (before, after) = (ancestors[b].contains(&a), ancestors[a].contains(&b));
                prop_assert_eq!(order.is_ordered(a, b), a == b || before || after);
                prop_assert_eq!(order.is_before(a, b), before && !after);
            }
        }
        prop_assert_eq!(dag.cycles().is_empty(), waves(&plan).is_ok());
    }

    #[test]
    fn closing_a_path_makes_a_cycle_that_is_found(plan in any_dag()) {
        let path = critical_path(&plan).unwrap();
        let mut plan = plan;
        let first = plan.tasks.iter().position(|task| task.id == path[0]).unwrap();
        plan.tasks[first].depends_on.push(path[path.len() - 1].clone());
        let cycle = waves(&plan).expect_err("a cycle").0;
        for (task, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
            let task = plan.tasks.iter().find(|other| other.id == *task).unwrap();
            prop_assert!(task.depends_on.contains(next));
        }
    }
}
