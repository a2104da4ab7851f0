//! Judging on request: an attempt, a task, a plan, or a working tree that Kapell did not make.
//! It runs in a process of its own, so that no door is kept waiting or needed.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Case, GATES, Judgement, judge};
use crate::base::ids::{AttemptId, ConductorId, PlanId, TaskId, random_tail};
use crate::base::paths::RepoPath;
use crate::domain::pattern::PatternSet;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::domain::verdict::Verdict;
use crate::services::asking::provider_of;
use crate::services::conductor::concluding::construct_work;
use crate::services::conductor::desk::{Desk, effective_rules};
use crate::services::conductor::saving;
use crate::services::project::Project;
use crate::services::{Error, Session, claiming, dispatching, ground, landing, owning, steering};
use crate::store::attempts::AttemptRow;
use crate::store::conductors::RunRow;
use crate::sys::config::ecosystem;
use crate::sys::git::change::Change;
use crate::sys::git::read::{self, Head};
use crate::sys::git::{Repository, Worktree, construct, discover, refs, snapshot};
use crate::sys::process::life::Life;
use crate::sys::process::spawn;

/// What is to be judged. It travels to the judging process as JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Question {
    /// These attempts of a plan.
    #[serde(default)]
    pub attempts: Vec<String>,
    /// A working tree, whose name need not be text.
    #[serde(default)]
    pub path: Option<OsString>,
    /// What may have changed in it; everything if not told.
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    /// Only these gates.
    #[serde(default)]
    pub gates: Option<Vec<String>>,
    /// Provider of the review gate.
    #[serde(default)]
    pub review: Option<String>,
    /// Land what is approved.
    #[serde(default)]
    pub land: bool,
    /// The merge of this plan's work with its target, which lands if it is good.
    #[serde(default)]
    pub merge: Option<String>,
}

/// What came of it, kept as the run's result.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answer {
    /// `approved`, `rejected` or `error`; none if nothing could be judged.
    pub verdict: Option<String>,
    /// The gates: name, outcome, why, path of the evidence, milliseconds.
    pub gates: Vec<(String, String, String, Option<String>, u64)>,
    /// What was changed.
    pub changed: Vec<String>,
    /// What was changed outside the claim.
    pub outside_claim: Vec<String>,
    /// Commit and branch, if it landed.
    pub landed: Option<(String, String)>,
    /// Why nothing could be judged.
    pub reason: Option<String>,
}

/// Refuses gates that do not exist.
pub fn check_gates(gates: Option<&[String]>) -> Result<(), Refusal> {
    if gates.is_some_and(<[String]>::is_empty) {
        let hint = format!("leave it out for all of them, or name some: {}", GATES.join(", "));
        return Err(Refusal::new(Code::Usage, "gates names none, so nothing would be judged", hint));
    }
    match gates.unwrap_or_default().iter().find(|gate| !GATES.contains(&gate.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Refusal::new(
            Code::Usage,
            format!("there is no gate {unknown}"),
            format!("the gates are {}", GATES.join(", ")),
        )),
    }
}

/// The attempts that a plan, one of its tasks, or an attempt's own id means: those that left something.
pub fn attempts_of(
    session: &Session,
    project: &Project,
    plan: Option<&str>,
    task: Option<&TaskId>,
    attempt: Option<&str>,
) -> Result<Vec<AttemptRow>, Error> {
    let store = session.store()?;
    let nothing = |what: String| {
        Refusal::new(Code::Conflict, format!("{what} has submitted nothing yet"), "wait for it with status")
    };
    if let Some(id) = attempt {
        let row = store.read(|tx| tx.attempt(&AttemptId::new(id)))?;
        let row = row.ok_or_else(|| {
            Refusal::new(
                Code::NotFound,
                format!("there is no attempt {id}"),
                "status with scope task lists them",
            )
        })?;
        if row.project != project.id {
            // Its gates would run in this project, and its work land here.
            let place = store.read(|tx| tx.project(&row.project))?;
            let folder = place.map(|(place, top)| top.unwrap_or(place)).unwrap_or_default();
            let typed = shell_words::quote(&folder);
            return Err(Refusal::new(
                Code::NotAllowed,
                format!("attempt {id} belongs to another project, {folder}"),
                format!("judge it there: kapell -C {typed} judge --attempt {id}"),
            )
            .with("project", &folder)
            .into());
        }
        return match row.snapshot {
            Some(_) => Ok(vec![row]),
            None => Err(nothing(format!("attempt {id}")).into()),
        };
    }
    let plan = dispatching::find_plan(session, project, plan.unwrap_or_default())?;
    let found = store.read(|tx| -> Result<Vec<AttemptRow>, Error> {
        let mut found = Vec::new();
        for light in tx.task_lights(&plan.id)? {
            if task.is_some_and(|task| *task != light.id) {
                continue;
            }
            found.extend(
                tx.attempts_at(&plan.id, &light.id)?.pop().filter(|attempt| attempt.snapshot.is_some()),
            );
        }
        Ok(found)
    })?;
    if let Some(task) = task
        && store.read(|tx| tx.task(&plan.id, task))?.is_none()
    {
        let message = format!("plan {} has no task {task}", plan.id);
        return Err(Refusal::new(Code::NotFound, message, "status with scope plan lists them").into());
    }
    match task {
        _ if !found.is_empty() => Ok(found),
        None => Err(nothing(format!("plan {}", plan.id)).into()),
        Some(task) => {
            let state = store.read(|tx| tx.task(&plan.id, task))?.map_or("gone", |row| row.state.as_str());
            let message = format!("task {task} of plan {} is {state}, and has submitted nothing", plan.id);
            Err(Refusal::new(Code::Conflict, message, "status --scope task tells why, and what was tried")
                .into())
        }
    }
}

/// Starts judging and gives the run's id at once.
pub fn start(
    session: &Session,
    project: &Project,
    question: &Question,
    plan: Option<&PlanId>,
) -> Result<String, Error> {
    refuse_nonsense(session, project, question)?;
    let house = &session.house;
    let id = format!("r-{}", random_tail(8));
    let alive = house.life_file(&format!("run-{id}"));
    session.store()?.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        tx.insert_run(
            &project.id,
            &RunRow {
                id: id.clone(),
                kind: "judge".to_owned(),
                plan: plan.map(|plan| plan.as_str().to_owned()),
                attempt: question.attempts.first().cloned(),
                state: "running".to_owned(),
                result: None,
                alive: Some(alive.to_string_lossy().into_owned()),
            },
        )?;
        Ok(())
    })?;
    let text = serde_json::to_string(question).map_err(|error| Error::Bug(error.to_string()))?;
    let log = house.root.join("log").join(format!("{id}.log"));
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::system(format!("cannot make {}", folder.display()), error))?;
    }
    let environment =
        house.environment.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>();
    let args = ["conduct".into(), "--judge".into(), id.clone().into(), text.into()];
    spawn::detach(&house.program, &args, &session.folder, environment, &log, || {})
        .map_err(|error| Error::system("cannot start the judge", std::io::Error::other(error)))?;
    Ok(id)
}

/// Refuses at once what cannot be judged: by a reviewer that nobody knows, a tree that is in no repository, and
/// paths that cannot be in it.
fn refuse_nonsense(session: &Session, project: &Project, question: &Question) -> Result<(), Error> {
    if let Some(who) = question.review.as_deref().filter(|who| *who != "none") {
        provider_of(&session.config_at_work(project)?, who)?;
    }
    let Some(path) = question.path.as_ref().map(Path::new) else { return Ok(()) };
    let repository = repository_of(path)?;
    if let Some(paths) = &question.paths {
        let tree = Worktree::of_checkout(&repository).map_err(Error::from_git)?;
        claiming::patterns(Some(tree.path.as_path()), paths)?;
    }
    Ok(())
}

fn repository_of(path: &Path) -> Result<Repository, Error> {
    discover(path).map_err(|error| {
        Refusal::new(Code::Unsupported, error.to_string(), "judge a folder that is in a git repository")
            .into()
    })
}

/// Judges, in the process that [`start`] started, and records what came of it.
pub fn carry_out(session: &Session, id: &str, question: &Question) -> Result<(), Error> {
    let life = Life::take(&session.house.life_file(&format!("run-{id}")))
        .map_err(|error| Error::system("cannot lock the run", error))?;
    if life.is_none() {
        return Ok(());
    }
    let (state, answer) = match answer(session, id, question) {
        Ok(answer) => ("done", answer),
        Err(error) => {
            let why = match &error {
                Error::Refused(refusal) => format!("{}; {}", refusal.message, refusal.hint),
                other => other.to_string(),
            };
            ("failed", Answer { reason: Some(why), ..Answer::default() })
        }
    };
    let text = serde_json::to_string(&answer).map_err(|error| Error::Bug(error.to_string()))?;
    let project = session.project()?;
    session.store()?.write(|tx| -> Result<(), Error> {
        if tx.finish_run(id, state, &text)? {
            tx.append_event(
                &project.id,
                &crate::store::events::NewEvent {
                    kind: "run.finished",
                    text: format!("run {id}: {}", answer.verdict.as_deref().unwrap_or("failed")),
                    ..Default::default()
                },
            )?;
        }
        Ok(())
    })
}

fn answer(session: &Session, id: &str, question: &Question) -> Result<Answer, Error> {
    match (&question.merge, &question.path) {
        (Some(plan), _) => of_merge(session, id, &PlanId::new(plan)),
        (None, Some(path)) => of_tree(session, id, Path::new(path), question),
        (None, None) => of_attempts(session, id, question),
    }
}

/// Proves the merge of a plan's work with its target, and lands it.
fn of_merge(session: &Session, id: &str, plan: &PlanId) -> Result<Answer, Error> {
    let began = Instant::now();
    let desk = desk(session, plan)?;
    let evidence = session.house.run_dir(&format!("j-{id}")).join("evidence");
    std::fs::create_dir_all(&evidence).map_err(|error| Error::system("cannot make the run folder", error))?;
    let merged = landing::prove_and_bring(&desk, id, &evidence)?;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let gate = |outcome: &str, why: String, file: Option<String>| {
        vec![("landing".to_owned(), outcome.to_owned(), why, file, took)]
    };
    Ok(match merged {
        Ok(brought) => {
            let row = desk.row()?;
            let done = steering::tell_landed(session, &desk.project, &row, &brought)?;
            Answer {
                verdict: Some(Verdict::Approved.as_str().to_owned()),
                gates: gate("pass", done.message, None),
                landed: Some((brought.commit.to_string(), brought.branch)),
                ..Answer::default()
            }
        }
        Err(why) => {
            let file = evidence.join("landing.txt");
            std::fs::write(&file, &why).map_err(|error| Error::system("cannot keep the evidence", error))?;
            let first = why.lines().next().unwrap_or_default().to_owned();
            Answer {
                verdict: Some(Verdict::Rejected.as_str().to_owned()),
                gates: gate("fail", first, Some(file.to_string_lossy().into_owned())),
                ..Answer::default()
            }
        }
    })
}

/// What a conductor of the plan has before it, for a judge.
fn desk(session: &Session, plan: &PlanId) -> Result<Desk, Error> {
    let project = session.project()?;
    let config = session.config_at_work(&project)?;
    let git = ground::git(&session.house, &project)?;
    let fencing = session.store()?.read(|tx| tx.fencing(plan))?;
    Desk::new(session.clone(), project, config, git, plan.clone(), ConductorId::new("c-judge"), fencing)
}

/// Judges a working tree as it is, against its own last commit.
fn of_tree(session: &Session, id: &str, path: &Path, question: &Question) -> Result<Answer, Error> {
    let session = session.in_folder(path);
    let project = session.project()?;
    let config = session.config(&project)?;
    let repository = repository_of(path)?;
    let git = ground::git(&session.house, &project)?;
    let base = match read::head(&git)? {
        Head::Branch { commit: Some(commit), .. } | Head::Detached(commit) => commit,
        Head::Branch { commit: None, .. } => {
            return Err(Refusal::new(
                Code::Unsupported,
                "the repository has no commit yet",
                "make a first one",
            )
            .into());
        }
    };
    let tree = Worktree::of_checkout(&repository).map_err(Error::from_git)?;
    let evidence = session.house.run_dir(&format!("j-{id}"));
    std::fs::create_dir_all(&evidence).map_err(|error| Error::system("cannot make the run folder", error))?;
    let reference = format!("refs/kapell/judged/{id}");
    let expected = refs::read(&git, &reference)?;
    let request = snapshot::Request {
        tree: &tree,
        base: &base,
        reference: &reference,
        expected: expected.as_ref(),
        message: &format!("kapell: judged as {id}"),
        scratch: &evidence,
        keeps_base: true,
        largest: snapshot::LARGEST_FILE,
        is_exact: false,
    };
    let saved = snapshot::snapshot(&git, &request).map_err(Error::from_git)?;
    let owned = match &question.paths {
        Some(paths) => Some(PatternSet::new(claiming::patterns(project.top.as_deref(), paths)?)),
        None => None,
    };
    let outside: Vec<(RepoPath, String)> = saved
        .changed
        .iter()
        .filter(|change| owned.as_ref().is_some_and(|owned| !owned.contains(&change.path)))
        .map(|change| (change.path.clone(), "is not among the paths".to_owned()))
        .collect();
    let keep = |change: &Change| !outside.iter().any(|(path, _)| *path == change.path);
    let work =
        construct::construct(&git, &saved, &keep, "kapell: judged", &evidence).map_err(Error::from_git)?;
    let found = ecosystem::find(project.top()?);
    let mut rules = effective_rules(&[&config.rules], &found);
    rules.review = question.review.clone().or(rules.review);
    let case = Case {
        session: &session,
        project: &project,
        config: &config,
        git: &git,
        ecosystem: &found,
        name: id.to_owned(),
        ignored: &[],
        unowned: &[],
        text: "the change in this working tree".to_owned(),
        snapshot: &saved,
        outside: &outside,
        work,
        tests: None,
        rules,
        specs: &[],
        is_spec: false,
        is_open: false,
        delegated: Vec::new(),
        only: question.gates.clone(),
        evidence: evidence.join("evidence"),
        of: None,
        waits: None,
    };
    let judgement = judge(&case)?;
    let mut answer = Answer { verdict: Some(judgement.verdict.as_str().to_owned()), ..Answer::default() };
    answer.add(&judgement, "");
    answer.changed = saved.changed.iter().map(|change| change.path.to_string()).collect();
    answer.outside_claim = outside.iter().map(|(path, _)| path.to_string()).collect();
    Ok(answer)
}

fn of_attempts(session: &Session, id: &str, question: &Question) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    let mut verdicts = Vec::new();
    let several = question.attempts.len() > 1;
    for attempt in &question.attempts {
        let row = session.store()?.read(|tx| tx.attempt(&AttemptId::new(attempt)))?;
        let row = row.ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("there is no attempt {attempt}"), "status lists them")
        })?;
        let (judgement, changed, outside) = one_attempt(session, id, &row, question)?;
        let of = if several { format!("task {}: ", row.task) } else { String::new() };
        answer.add(&judgement, &of);
        answer.changed.extend(changed);
        answer.outside_claim.extend(outside);
        verdicts.push(judgement.verdict);
        let task = session.store()?.read(|tx| tx.task(&row.plan, &TaskId::text(&row.task)))?;
        if let Some(commit) = task.and_then(|task| task.committed) {
            let branch = landing::integration_branch(&row.plan);
            answer.landed = Some((commit, branch.trim_start_matches("refs/heads/").to_owned()));
        }
    }
    let verdict = [Verdict::Rejected, Verdict::Error].into_iter().find(|verdict| verdicts.contains(verdict));
    answer.verdict = Some(verdict.unwrap_or(Verdict::Approved).as_str().to_owned());
    Ok(answer)
}

fn one_attempt(
    session: &Session,
    id: &str,
    row: &AttemptRow,
    question: &Question,
) -> Result<(Judgement, Vec<String>, Vec<String>), Error> {
    let desk = desk(session, &row.plan)?;
    let task = desk.task(&TaskId::text(&row.task))?;
    let task = session.store()?.read(|tx| owning::task_of(tx, row, task))?;
    let saved = saving::saved_again(&desk, row, &task)?
        .ok_or_else(|| Error::Bug(format!("the tree of {} is gone", row.id)))?;
    let work = construct_work(&desk, row, &task, &saved)?;
    let plan = desk.plan();
    let mut case = crate::services::conductor::concluding::case(&desk, row, &task, &saved, work, &plan)?;
    // A name of its own: the conductor may judge the same attempt at this moment.
    case.name = format!("{id}-{}", row.id);
    case.evidence = session.house.run_dir(&format!("j-{id}-{}", row.id)).join("evidence");
    case.only = question.gates.clone();
    // Whoever asked is told at once that a reviewer cannot be asked.
    case.waits = None;
    if question.review.is_some() {
        case.rules.review = question.review.clone();
    }
    let judgement = judge(&case)?;
    let is_whole = question.gates.is_none();
    session.store()?.write(|tx| -> Result<(), Error> {
        let state = tx.task(&row.plan, &task.id)?.map(|task| task.state);
        let is_open = matches!(state, Some(TaskState::Failed | TaskState::Rejected));
        // A judgement by some gates only tells; one by all of them is the newest word on the attempt.
        if is_whole && (is_open || state == Some(TaskState::Done)) {
            tx.set_verdict(&row.id, judgement.verdict, &judgement.gates)?;
        }
        if is_whole && is_open && question.land && judgement.verdict == Verdict::Approved {
            tx.want_task(&row.plan, &task.id, true)?;
            if tx.move_task(
                &desk.project.id,
                &row.plan,
                &task.id,
                TaskState::Approved,
                Some("judged again"),
            )? {
                dispatching::go_on(tx, &desk.project.id, &row.plan)?;
            }
        }
        Ok(())
    })?;
    let needs_landing = session
        .store()?
        .read(|tx| tx.task(&row.plan, &task.id))?
        .is_some_and(|task| task.state == TaskState::Approved);
    if needs_landing {
        dispatching::ensure_conductor(session, &desk.project, &row.plan, false)?;
    }
    let changed = saved.snapshot.changed.iter().map(|change| change.path.to_string()).collect();
    let outside = saved.outside.iter().map(|(path, _)| path.to_string()).collect();
    Ok((judgement, changed, outside))
}

impl Answer {
    fn add(&mut self, judgement: &Judgement, of: &str) {
        self.gates.extend(judgement.gates.iter().map(|gate| {
            (
                gate.name.clone(),
                gate.outcome.as_str().to_owned(),
                format!("{of}{}", gate.why),
                gate.evidence.clone(),
                gate.duration_ms,
            )
        }));
    }
}
