//! What may be spent: asked before anything begins, set aside when it does, told when it is spent.

mod expecting;
pub mod questions;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use self::expecting::Expected;
use super::conductor::desk::Desk;
use super::conductor::launching::kind_of;
use super::conductor::listening::Heard;
use super::project::Project;
use super::{Error, Session, querying};
use crate::base::clock::Time;
use crate::base::ids::{PlanId, ProjectId, ProviderName};
use crate::domain::attempt::Outcome;
use crate::domain::budget::{Line, Measure, Money};
use crate::domain::conducting::PlanState;
use crate::domain::plan::Task;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::route::Limit;
use crate::domain::usage::{Prices, Usage};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::events::NewEvent;
use crate::store::money::{GroupBy, Reserve};
use crate::store::plans::PlanRow;
use crate::sys::agent::AgentKind;
use crate::sys::config::Config;
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

/// How Claude Code says that it ended at what it may cost.
pub const AT_CAP: &str = "error_max_budget_usd";
/// What mostly begins, in words.
const TASK: &str = "a task";
/// What is to begin: what the last ones of its kind took tells what it will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// An attempt at a task.
    Attempt,
    /// A question to an agent.
    Question,
}

/// Somebody's wish to spend.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// For which project.
    pub project: &'a ProjectId,
    /// Whose money it is.
    pub provider: &'a ProviderName,
    /// The plan it is for, and what that may cost.
    pub plan: Option<(&'a PlanId, Option<f64>)>,
    /// What the task allows an attempt.
    pub task_usd: Option<f64>,
    /// For what.
    pub begins: Begins,
    /// When.
    pub now: Time,
}

/// The wish to give a task to a provider.
pub fn wish<'a>(desk: &'a Desk, provider: &'a ProviderName, task: &Task) -> Wish<'a> {
    Wish {
        project: &desk.project.id,
        provider,
        plan: Some((&desk.plan_id, desk.plan().budget_usd)),
        task_usd: task.budget_usd,
        begins: Begins::Attempt,
        now: Time::now(),
    }
}

/// The task with the money that is left of its own after the tries before. Where nothing is, only a person's word
/// begins another try, and that has all of it again.
pub fn with_what_is_left<'t>(tx: &Tx<'_>, desk: &Desk, task: &'t Task) -> Result<Cow<'t, Task>, Error> {
    let Some(allowed) = task.budget_usd.map(Money::from_usd) else { return Ok(Cow::Borrowed(task)) };
    let left = left_of(allowed, tx.task_spent(&desk.plan_id, &task.id)?);
    if left == allowed {
        return Ok(Cow::Borrowed(task));
    }
    Ok(Cow::Owned(Task { budget_usd: Some(left.usd()), ..task.clone() }))
}

/// What another try at a task may take of all that it is allowed.
fn left_of(allowed: Money, spent: Money) -> Money {
    match allowed.less(spent) {
        Money::ZERO => allowed,
        left => left,
    }
}

/// A limit as it stands, and when its period began and ends.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    /// The limit.
    pub line: Line,
    /// When its period began.
    pub since: Time,
    /// When it begins anew; a plan's never does.
    pub resets_at: Option<Time>,
}

/// How a provider's limits stand.
pub fn stands(tx: &Tx<'_>, config: &Config, provider: &ProviderName, now: Time) -> Result<Vec<Stand>, Error> {
    let Some(budget) = config.providers.get(provider).map(|provider| provider.budget) else {
        return Ok(Vec::new());
    };
    let mut stands = Vec::new();
    if budget.usd_per_day.is_some() || budget.tokens_per_day.is_some() {
        let (since, until) = (now.start_of_day(), now.next_day());
        let standing = tx.standing(provider, since, until)?;
        let money =
            budget.usd_per_day.map(|usd| Line::of_money(Measure::Day, Money::from_usd(usd), &standing));
        let tokens = budget.tokens_per_day.map(|limit| Line::of_tokens(limit, &standing));
        let lines = money.into_iter().chain(tokens);
        stands.extend(lines.map(|line| Stand { line, since, resets_at: Some(until) }));
    }
    if let Some(usd) = budget.usd_per_month {
        let (since, until) = (now.start_of_month(), now.next_month());
        let standing = tx.standing(provider, since, until)?;
        let line = Line::of_money(Measure::Month, Money::from_usd(usd), &standing);
        stands.push(Stand { line, since, resets_at: Some(until) });
    }
    Ok(stands)
}

/// All limits that a wish must keep to, each with whose it is.
fn all_stands(tx: &Tx<'_>, config: &Config, wish: &Wish<'_>) -> Result<Vec<(String, Stand)>, Error> {
    let mut all = Vec::new();
    if let Some((plan, Some(usd))) = wish.plan {
        let line = Line::of_money(Measure::Plan, Money::from_usd(usd), &tx.plan_standing(plan)?);
        all.push((format!("plan {plan}"), Stand { line, since: Time::from_millis(0), resets_at: None }));
    }
    let own = stands(tx, config, wish.provider, wish.now)?;
    all.extend(own.into_iter().map(|stand| (wish.provider.to_string(), stand)));
    Ok(all)
}

/// The providers with a limit in dollars whose use of this month nobody can tell in dollars: they told none, and
/// their tokens have no price. With each, of how many tries that is so.
pub fn unpriced(tx: &Tx<'_>, config: &Config, now: Time) -> Result<Vec<(String, u64)>, Error> {
    let is_limited = |name: &str| {
        config.providers.get(&ProviderName::new(name)).is_some_and(|facts| {
            let budget = &facts.budget;
            facts.prices.is_none() && (budget.usd_per_month.is_some() || budget.usd_per_day.is_some())
        })
    };
    // Mostly every limit can be held, and nothing has to be added up for that.
    if !config.providers.keys().any(|name| is_limited(name.as_str())) {
        return Ok(Vec::new());
    }
    let costs = tx.costs(GroupBy::Provider, now.start_of_month(), now.next_month())?;
    let unknown = costs.into_iter().filter(|row| row.untold > 0 && row.spent == Money::ZERO);
    Ok(unknown.filter(|row| is_limited(&row.name)).map(|row| (row.name, row.untold)).collect())
}

/// Why a wish must wait, if so. That a limit is reached, or that what is left of it is too little for what is
/// wanted, is told, once in its period.
pub fn refusal(tx: &Tx<'_>, config: &Config, wish: &Wish<'_>) -> Result<Option<String>, Error> {
    let Some(full) = obstacle(tx, config, wish)? else { return Ok(None) };
    tell_of(tx, wish, &full)?;
    Ok(Some(until(tx, wish, &full.why, &full.stand)?))
}

/// Whether one attempt of a provider has to show what one takes before others begin: nothing is known of it yet, and a
/// limit of it or of the plan is small.
pub fn is_tried_first(tx: &Tx<'_>, config: &Config, wish: &Wish<'_>) -> Result<bool, Error> {
    let all = all_stands(tx, config, wish)?;
    if all.is_empty() {
        return Ok(false);
    }
    let expected = Expected::of(tx, config, wish.provider, wish.task_usd, wish.begins)?;
    Ok(all.iter().any(|(_, stand)| expected.is_tried_first(&stand.line)))
}

/// Tells that a limit is spent, or that what is left of it is too little, once in its period.
fn tell_of(tx: &Tx<'_>, wish: &Wish<'_>, full: &Obstacle) -> Result<(), Error> {
    let Obstacle { whose, stand, wanted, why } = full;
    // What is only set aside may be free again, and a wish beyond the whole limit says nothing of it.
    let is_spent = stand.line.is_reached() || *wanted <= stand.line.limit;
    if stand.line.reserved == 0 && is_spent {
        let word = if stand.line.is_reached() { Word::Reached } else { Word::Short };
        tell_once(tx, wish, whose, stand, word, why)?;
    }
    Ok(())
}

/// What keeps a provider from a wish, if anything does. What a task wants beyond all that its provider or
/// its plan may ever spend is not waited for.
pub fn limit(tx: &Tx<'_>, config: &Config, wish: &Wish<'_>) -> Result<Option<Limit>, Error> {
    if let Some(usd) = wish.task_usd {
        let wanted = Money::from_usd(usd).micros().unsigned_abs();
        let all = all_stands(tx, config, wish)?;
        let money = all.iter().filter(|(_, stand)| stand.line.measure != Measure::DayTokens);
        if let Some(why) =
            money.filter_map(|(whose, stand)| stand.line.is_too_little_for(whose, wanted)).next()
        {
            return Ok(Some(Limit::TooDear(why)));
        }
    }
    Ok(refusal(tx, config, wish)?.map(Limit::OverBudget))
}

/// Sets what a plan may cost from now on; what it costs so far is not taken back.
pub fn allow(session: &Session, project: &Project, plan: &PlanRow, usd: f64) -> Result<Money, Error> {
    let allowed = Money::from_usd(usd);
    if !usd.is_finite() || allowed <= Money::default() {
        return Err(Refusal::new(
            Code::Usage,
            format!("a plan cannot have a budget of {usd} dollars"),
            "name more than nothing, in dollars",
        )
        .into());
    }
    session.store()?.write(|tx| -> Result<(), Error> {
        let line = Line::of_money(Measure::Plan, allowed, &tx.plan_standing(&plan.id)?);
        if let Some(why) = line.refuses(&format!("plan {}", plan.id), TASK, 0) {
            return Err(Refusal::new(Code::OverBudget, why, "name more than that").into());
        }
        tx.set_plan_budget(&plan.id, allowed.usd())?;
        let who = &session.caller.holder.name;
        let text = format!("plan {}: it may cost {allowed} dollars, by {who}", plan.id);
        let data = Some(serde_json::json!({"budget_usd": allowed.usd()}).to_string());
        let event =
            NewEvent { kind: "budget.changed", plan: Some(&plan.id), text, data, ..NewEvent::default() };
        tx.append_event(&project.id, &event)?;
        Ok(())
    })?;
    Ok(allowed)
}

/// A plan whose own money is spent, as far as a task of it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Why, in a sentence.
    pub why: String,
    /// All of it is: no other task can begin either.
    pub wholly: bool,
}

/// Whether the plan's own money does not do for a task, whoever of those that are `able` does it, and nothing that
/// runs can give any of it back: it never begins anew.
pub fn plan_is_spent(
    tx: &Tx<'_>,
    desk: &Desk,
    task: &Task,
    able: &[ProviderName],
) -> Result<Option<Spent>, Error> {
    let Some(usd) = desk.plan().budget_usd else { return Ok(None) };
    let line = Line::of_money(Measure::Plan, Money::from_usd(usd), &tx.plan_standing(&desk.plan_id)?);
    if line.reserved > 0 {
        return Ok(None);
    }
    // Whoever would do it for the least.
    let mut least = u64::MAX;
    for provider in able {
        least = least
            .min(Expected::of(tx, &desk.config, provider, task.budget_usd, Begins::Attempt)?.wanted(&line));
    }
    let why = line.refuses(&format!("plan {}", desk.plan_id), TASK, least);
    Ok(why.map(|why| Spent { why, wholly: line.is_reached() }))
}

/// Pauses a plan whose own money does not do: no waiting brings more, and somebody has to decide.
///
/// # Errors
/// The database fails.
pub fn pause_unpaid(tx: &Tx<'_>, project: &ProjectId, id: &PlanId, why: &str) -> Result<(), Error> {
    if tx.plan(id)?.is_some_and(|row| row.state == PlanState::Running) {
        let why = format!(
            "budget: {why}; what landed stays. kapell resume {id} --budget-usd USD goes on with more, kapell cancel {id} ends it"
        );
        tx.set_plan_state(project, id, PlanState::Paused, Some(&why))?;
    }
    Ok(())
}

/// Why a provider gets nothing for a task that may take so much money, if so; of one that says nothing what is
/// expected. Nothing is recorded.
pub fn spent(
    tx: &Tx<'_>,
    config: &Config,
    project: &ProjectId,
    provider: &ProviderName,
    task_usd: Option<f64>,
) -> Result<Option<String>, Error> {
    let wish = Wish { project, provider, plan: None, task_usd, begins: Begins::Attempt, now: Time::now() };
    let obstacle = obstacle(tx, config, &wish)?;
    obstacle.map(|obstacle| until(tx, &wish, &obstacle.why, &obstacle.stand)).transpose()
}

/// A limit that a wish does not keep to.
struct Obstacle {
    /// Whose it is.
    whose: String,
    /// How it stands.
    stand: Stand,
    /// What was wanted of it.
    wanted: u64,
    /// Why it refuses that.
    why: String,
}

/// The first limit that a wish does not keep to.
fn obstacle(tx: &Tx<'_>, config: &Config, wish: &Wish<'_>) -> Result<Option<Obstacle>, Error> {
    let all = all_stands(tx, config, wish)?;
    if all.is_empty() {
        return Ok(None);
    }
    let expected = Expected::of(tx, config, wish.provider, wish.task_usd, wish.begins)?;
    Ok(all.into_iter().find_map(|(whose, stand)| {
        let wanted = expected.wanted(&stand.line);
        let what = if wish.begins == Begins::Question { "a question" } else { TASK };
        let why = stand.line.refuses(&whose, what, wanted)?;
        Some(Obstacle { whose, stand, wanted, why })
    }))
}

fn until(tx: &Tx<'_>, wish: &Wish<'_>, why: &str, stand: &Stand) -> Result<String, Error> {
    let until = match stand.resets_at {
        Some(at) => format!("{why}; anew at {at}"),
        None => format!("{why}; resumed with a higher budget_usd it goes on"),
    };
    let dead = match stand.line.reserved {
        0 => None,
        _ => querying::set_aside_for_the_dead(tx, wish.provider, wish.plan.map(|(plan, _)| plan))?,
    };
    Ok(match dead {
        Some(dead) => format!("{until}; {dead}"),
        None => until,
    })
}

/// Why a provider gets nothing more until one of `stands`, its limits, begins anew, and when that is.
/// What is only set aside may be free again before.
pub fn full(
    tx: &Tx<'_>,
    config: &Config,
    provider: &ProviderName,
    stands: &[Stand],
) -> Result<Option<(String, Option<Time>)>, Error> {
    if stands.is_empty() {
        return Ok(None);
    }
    let expected = Expected::of(tx, config, provider, None, Begins::Attempt)?;
    Ok(stands.iter().find_map(|stand| {
        let line = Line { reserved: 0, ..stand.line };
        // What runs now may cost less than is expected of the next, and than is set aside for it.
        if stand.line.reserved > 0 && !line.is_reached() {
            return None;
        }
        line.refuses(provider.as_str(), TASK, expected.wanted(&line)).map(|why| (why, stand.resets_at))
    }))
}

/// What is set aside for a wish that was not refused. In the same transaction nobody else can count on it.
pub fn reserve(tx: &Tx<'_>, config: &Config, wish: &Wish<'_>) -> Result<Reserve, Error> {
    let all = all_stands(tx, config, wish)?;
    let expected = match all.is_empty() {
        true => Expected::said(config, wish.provider, wish.task_usd),
        false => Expected::of(tx, config, wish.provider, wish.task_usd, wish.begins)?,
    };
    let (mut micros, mut tokens) = (None, None);
    let mut cap = wish.task_usd.map(Money::from_usd);
    let least = |of: &mut Option<u64>, wanted: u64| *of = Some(of.map_or(wanted, |it| it.min(wanted)));
    let money = |micros: u64| Money::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
    for (_, Stand { line, .. }) in &all {
        let wanted = expected.wanted(line);
        if line.measure == Measure::DayTokens {
            least(&mut tokens, wanted);
            continue;
        }
        least(&mut micros, wanted);
        // Its program may be able to end itself before the limit is passed.
        let room = money(line.room());
        cap = Some(cap.map_or(room, |cap| cap.min(room)));
    }
    Ok(Reserve {
        money: money(micros.unwrap_or(expected.money)),
        tokens: tokens.unwrap_or(expected.tokens),
        cap,
    })
}

/// Tells what limits are nearly or wholly spent, once in their periods. Gives why work that goes on must
/// end, if more is spent than may be.
pub fn watch(tx: &Tx<'_>, config: &Config, wish: &Wish<'_>) -> Result<Option<String>, Error> {
    let mut over = None;
    for (whose, stand) in &all_stands(tx, config, wish)? {
        let line = &stand.line;
        if line.is_alarming(config.failover.alert_at) {
            tell_once(tx, wish, whose, stand, Word::Alert, &line.tell(whose))?;
        }
        if line.spent > 0 && line.is_reached() {
            tell_once(tx, wish, whose, stand, Word::Reached, &line.tell(whose))?;
        }
        over = over.or_else(|| line.is_overspent(whose));
    }
    Ok(over)
}

/// What is told of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// The part of it is spent at which somebody wants to hear of it.
    Alert,
    /// What is left is too little for what was to begin; something smaller may.
    Short,
    /// All of it is spent.
    Reached,
}

impl Word {
    /// Its name in the record of what was told, which knows two.
    fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Short | Self::Reached => "reached",
        }
    }

    /// Of whom that is recorded: a limit with too little left can still be reached.
    fn key(self, whose: &str) -> String {
        match self {
            Self::Short => format!("{whose} short"),
            Self::Alert | Self::Reached => whose.to_owned(),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Alert => "budget.alert",
            Self::Short => "budget.short",
            Self::Reached => "budget.reached",
        }
    }
}

fn tell_once(
    tx: &Tx<'_>,
    wish: &Wish<'_>,
    whose: &str,
    stand: &Stand,
    word: Word,
    text: &str,
) -> Result<(), Error> {
    let line = &stand.line;
    if !tx.say_of_budget(&word.key(whose), line.measure, line.limit, stand.since, word.as_str())? {
        return Ok(());
    }
    let amount = |amount: u64| match line.measure {
        Measure::DayTokens => serde_json::json!(amount),
        _ => serde_json::json!(amount as f64 / 1e6),
    };
    let mut data = serde_json::json!({
        "measure": line.measure.as_str(), "limit": amount(line.limit), "spent": amount(line.spent),
        "resets_at": stand.resets_at.map(|at| at.to_string()),
    });
    if line.measure != Measure::Plan {
        data["provider"] = wish.provider.as_str().into();
    }
    let plan = wish.plan.map(|(plan, _)| plan).filter(|_| line.measure == Measure::Plan);
    let kind = word.kind();
    tx.append_event(
        wish.project,
        &NewEvent { kind, plan, text: text.to_owned(), data: Some(data.to_string()), ..NewEvent::default() },
    )?;
    Ok(())
}

/// Counts what a running attempt says that it costs.
pub struct Meter<'a> {
    desk: &'a Desk,
    attempt: &'a AttemptRow,
    prices: Option<Prices>,
    kind: Option<AgentKind>,
    noted: Option<(Instant, Money)>,
    stopped: Option<String>,
}

impl<'a> Meter<'a> {
    /// An agent that tells its figures all the time is noted this often, and whenever a cent was spent.
    const REST: Duration = Duration::from_millis(500);
    const CENT: Money = Money::from_micros(10_000);

    /// For one attempt.
    pub fn new(desk: &'a Desk, attempt: &'a AttemptRow) -> Self {
        let provider = desk.config.providers.get(&attempt.provider);
        Self {
            desk,
            attempt,
            prices: provider.and_then(|provider| provider.prices),
            kind: provider.map(kind_of),
            noted: None,
            stopped: None,
        }
    }

    /// Records what it used so far, and stops it where more is spent by now than may be.
    pub fn note(&mut self, usage: Usage) {
        let usage = usage.plausible().priced(self.prices);
        let spent = Money::from_usd(usage.usd.unwrap_or_default());
        let is_due = self
            .noted
            .is_none_or(|(at, noted)| at.elapsed() >= Self::REST || spent.less(noted) >= Self::CENT);
        if !is_due {
            return;
        }
        self.noted = Some((Instant::now(), spent));
        let (desk, attempt) = (self.desk, self.attempt);
        let over = desk.store().and_then(|store| {
            store.write(|tx| {
                tx.set_usage(&attempt.id, usage)?;
                watch(tx, &desk.config, &settling(desk, attempt))
            })
        });
        match over {
            // Claude Code and Codex tell what they cost when they are at their end.
            Ok(Some(why))
                if self.stopped.is_none()
                    && matches!(self.kind, Some(AgentKind::OpenCode | AgentKind::Command)) =>
            {
                self.stopped = Some(why);
                // Should it have ended, there is nothing to stop.
                let _ = client::send(attempt.run_dir.as_ref(), Request::Stop { grace_ms: None });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(attempt = %attempt.id, "its cost is not noted: {error}"),
        }
    }

    /// How its end is to be understood. Where a budget that is not the task's own ended it, another
    /// provider may go on, and it does not count as a try.
    pub fn judged(&self, mut heard: Heard, task: &Task) -> Heard {
        if let Some(why) = self.stopped.as_ref().filter(|_| heard.outcome == Outcome::Killed) {
            heard.outcome = Outcome::RateLimited;
            heard.reason = Some(format!("budget: {why}"));
            return heard;
        }
        let told = heard.reason.as_deref().unwrap_or_default();
        if heard.outcome == Outcome::Failed && told.contains(AT_CAP) {
            let told = told.lines().next().unwrap_or_default().to_owned();
            // Recording its end will meet the same error, and tell it.
            let Ok(given) = self.given(task) else { return heard };
            let (why, anothers) = given.judge();
            if let Some(cap) = anothers {
                heard.outcome = Outcome::RateLimited;
                // It says that it spent all of that. Were less told, as if there were some left, the next would
                // begin at once, and end as soon.
                let usage = heard.report.usage.priced(self.prices);
                let usd = usage.usd.unwrap_or_default().max(cap.usd());
                heard.report.usage = Usage { usd: Some(usd), ..usage };
            }
            heard.reason = Some(format!("budget: {why} ({told})"));
        }
        heard
    }

    fn given(&self, task: &Task) -> Result<Given, Error> {
        let budget = self.desk.config.providers.get(&self.attempt.provider).map(|it| it.budget);
        self.desk.store()?.read(|tx| {
            Ok(Given {
                cap: tx.cap(&self.attempt.id)?,
                own: match task.budget_usd.map(Money::from_usd) {
                    Some(allowed) => Some(left_of(allowed, tx.spent_before(&self.attempt.id)?)),
                    None => None,
                },
                has_plan: self.desk.plan().budget_usd.is_some(),
                has_provider: budget.is_some_and(|it| it.usd_per_day.is_some() || it.usd_per_month.is_some()),
            })
        })
    }
}

/// What an attempt's program was told that it may cost, and whose money that was.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    /// What it was told.
    cap: Option<Money>,
    /// What its task had left when it began.
    own: Option<Money>,
    /// Whether its plan has a budget.
    has_plan: bool,
    /// Whether its provider has one in dollars.
    has_provider: bool,
}

impl Given {
    /// Why a program ended at its budget; where another provider may go on without that counting as a try, what
    /// is spent of those limits.
    fn judge(self) -> (String, Option<Money>) {
        let Some(cap) = self.cap else { return ("it ended at one that Kapell did not set".to_owned(), None) };
        if self.own.is_some_and(|own| own <= cap) {
            return (format!("its task's budget of {cap} dollars is spent"), None);
        }
        let whose = match (self.has_plan, self.has_provider) {
            (true, true) => "what its plan and its provider may still cost",
            (true, false) => "what its plan may still cost",
            (false, _) => "what its provider may still cost",
        };
        (format!("{whose} of {cap} dollars is spent"), Some(cap))
    }
}

/// A wish that is being fulfilled; what it was is not asked any more. Its money is that of the day on
/// which it began.
fn settling<'a>(desk: &'a Desk, attempt: &'a AttemptRow) -> Wish<'a> {
    Wish {
        project: &desk.project.id,
        provider: &attempt.provider,
        plan: Some((&desk.plan_id, desk.plan().budget_usd)),
        task_usd: None,
        begins: Begins::Attempt,
        now: attempt.started_at,
    }
}

/// Tells what an attempt that has just ended means for the budgets.
pub fn settled(tx: &Tx<'_>, desk: &Desk, attempt: &AttemptRow) -> Result<(), Error> {
    watch(tx, &desk.config, &settling(desk, attempt))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_budget_ended_a_program_is_known() {
        let usd = Money::from_usd;
        for (cap, own, has_plan, has_provider, why, is_anothers) in [
            (Some(0.5), Some(0.5), false, true, "its task's budget of 0.50 dollars is spent", false),
            // The rest after the tries before.
            (Some(0.1), Some(0.1), false, false, "its task's budget of 0.10 dollars is spent", false),
            (Some(0.4), Some(0.5), false, true, "what its provider may still cost of 0.40", true),
            (Some(0.4), None, true, false, "what its plan may still cost of 0.40", true),
            (Some(0.4), None, true, true, "what its plan and its provider may still cost of 0.40", true),
            (None, None, false, false, "it ended at one that Kapell did not set", false),
        ] {
            let given = Given { cap: cap.map(usd), own: own.map(usd), has_plan, has_provider };
            let judged = given.judge();
            assert!(judged.0.starts_with(why), "{given:?}: {}", judged.0);
            assert_eq!(judged.1, given.cap.filter(|_| is_anothers), "{given:?}");
        }
    }
}
