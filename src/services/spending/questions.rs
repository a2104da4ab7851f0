//! Questions to agents cost as everything does, and so money is set aside for them too. Whoever asks may die: as
//! long as it lives it holds a lock in the folder of the question's run, and what was set aside for one that nobody
//! asks any more is let go of.

use std::path::{Path, PathBuf};

use super::{Begins, Wish, obstacle, reserve, tell_of, until, watch};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId, ProviderName, TaskId, WorkerName};
use crate::domain::budget::{Measure, Money};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::usage::Usage;
use crate::services::planning::rows::stored_plan;
use crate::services::project::Project;
use crate::services::{Error, House, Session, querying};
use crate::store::Tx;
use crate::store::money::Opening;
use crate::sys::config::Config;
use crate::sys::process::life;
use crate::sys::shim::client;

/// The file in the folder of a question's run whose lock is held by whoever asks.
const ASKING: &str = "asking";

/// The proof of life of whoever asks, for a run in that folder.
pub fn asking(run_dir: &Path) -> PathBuf {
    run_dir.join(ASKING)
}

/// For which plan a question is, and which task of it.
pub type Of<'a> = Option<(&'a PlanId, Option<&'a TaskId>)>;

/// The wish to ask, with what its plan may cost by now.
fn wish<'a>(
    tx: &Tx<'_>,
    project: &'a Project,
    provider: &'a ProviderName,
    of: Of<'a>,
) -> Result<Wish<'a>, Error> {
    let plan = match of {
        Some((plan, _)) => {
            let row = tx.plan(plan)?.ok_or_else(|| Error::Bug(format!("plan {plan} vanished")))?;
            Some((plan, stored_plan(&row, &[])?.budget_usd))
        }
        None => None,
    };
    let now = Time::now();
    Ok(Wish { project: &project.id, provider, plan, task_usd: None, begins: Begins::Question, now })
}

/// Begins a question to an agent, and sets aside what the last ones to it cost; of the first that is what is left,
/// and a dollar at most. What its program is to be told that it may cost.
///
/// # Errors
/// The provider's money is spent or set aside; the database fails.
pub fn ask(
    session: &Session,
    project: &Project,
    config: &Config,
    provider: &ProviderName,
    of: Of<'_>,
    run: &str,
) -> Result<Option<Money>, Error> {
    settle_the_dead(session)?;
    session
        .store()?
        .write(|tx| {
            project.ensure(tx)?;
            let wish = wish(tx, project, provider, of)?;
            if let Some(full) = obstacle(tx, config, &wish)? {
                tell_of(tx, &wish, &full)?;
                let hint = match full.stand.resets_at {
                    Some(at) => format!("wait until {at}, name another provider, or raise its budget"),
                    None => "resume the plan with a higher budget_usd".to_owned(),
                };
                return Ok(Err(Refusal::new(Code::OverBudget, full.why, hint)));
            }
            let reserve = reserve(tx, config, &wish)?;
            tx.open_spending(&Opening {
                id: run,
                project: &project.id,
                of,
                is_question: true,
                worker: &WorkerName::new(provider.as_str()),
                provider,
                started_at: wish.now,
                reserve,
            })?;
            Ok::<_, Error>(Ok(reserve.cap))
        })?
        .map_err(Error::from)
}

/// Why a provider is not asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYet {
    /// Why, in a sentence.
    pub why: String,
    /// When it may be asked; what is settled before, or a budget that is raised, may allow it sooner.
    pub until: Time,
    /// Why, where the plan's own money does not do, and nothing that runs can give any of it back: somebody has to
    /// decide.
    pub unpaid: Option<String>,
}

/// Why a provider that refused a question, for a limit or for its money, still does; `None`: it is asked at once.
///
/// # Errors
/// The database fails.
pub fn not_yet(
    tx: &Tx<'_>,
    config: &Config,
    project: &Project,
    provider: &ProviderName,
    of: Of<'_>,
) -> Result<Option<NotYet>, Error> {
    let now = Time::now();
    if let Some(limited) = tx.cooldowns(now)?.into_iter().find(|it| it.provider == *provider) {
        let why = format!("{provider} refuses work until {}: {}", limited.until, limited.reason);
        return Ok(Some(NotYet { why, until: limited.until, unpaid: None }));
    }
    let wish = wish(tx, project, provider, of)?;
    let Some(full) = obstacle(tx, config, &wish)? else { return Ok(None) };
    let is_unpaid = full.stand.line.measure == Measure::Plan && full.stand.line.reserved == 0;
    Ok(Some(NotYet {
        why: until(tx, &wish, &full.why, &full.stand)?,
        until: full.stand.resets_at.unwrap_or_else(|| now.next_day()),
        unpaid: is_unpaid.then_some(full.why),
    }))
}

/// Records what a question cost in the end.
///
/// # Errors
/// The database fails.
pub fn answered(
    session: &Session,
    project: &Project,
    config: &Config,
    provider: &ProviderName,
    of: Of<'_>,
    run: &str,
    usage: Usage,
) -> Result<(), Error> {
    session.store()?.write(|tx| -> Result<(), Error> {
        tx.note_spending(run, usage)?;
        tx.close_spending(run)?;
        watch(tx, config, &wish(tx, project, provider, of)?)?;
        Ok(())
    })
}

/// Lets go of what is set aside for what nobody can settle any more: a question whose asker and program are gone,
/// and an attempt without worker and conductor whose project is gone too. What was told of it by then is spent. Any
/// other attempt is settled by whoever goes on with its plan, or ends it.
///
/// # Errors
/// The database fails.
pub fn settle_the_dead(session: &Session) -> Result<(), Error> {
    let store = session.store()?;
    let since = Time::now().start_of_month();
    let dead = store.read(|tx| -> Result<Vec<String>, Error> {
        let mut dead = Vec::new();
        for (id, is_question) in tx.open_spendings(since)? {
            let is_dead = match is_question {
                true => is_asked_by_nobody(&session.house, &id),
                false => is_of_a_project_that_is_gone(tx, &id)?,
            };
            if is_dead {
                dead.push(id);
            }
        }
        Ok(dead)
    })?;
    if dead.is_empty() {
        return Ok(());
    }
    store.write(|tx| -> Result<(), Error> {
        for id in &dead {
            tx.close_spending(id)?;
            tracing::info!("nobody can settle {id} any more: what was set aside for it is free again");
        }
        Ok(())
    })
}

fn is_asked_by_nobody(house: &House, run: &str) -> bool {
    let run_dir = house.run_dir(run);
    !life::is_held(&asking(&run_dir)) && !client::is_alive(&run_dir)
}

fn is_of_a_project_that_is_gone(tx: &Tx<'_>, id: &str) -> Result<bool, Error> {
    let Some(attempt) = tx.attempt(&AttemptId::new(id))? else { return Ok(false) };
    let place = tx.projects()?.into_iter().find(|(project, ..)| *project == attempt.project);
    let is_gone = place.is_some_and(|(_, common_dir, _)| !Path::new(&common_dir).exists());
    Ok(is_gone && querying::is_unattended(tx, &attempt)?)
}
