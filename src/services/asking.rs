//! Asking an agent for an answer of a given form: the planner, the reviewer. It changes nothing.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::conductor::launching::{Assignment, kind_of, start};
use super::conductor::listening::{Watched, listen};
use super::project::Project;
use super::spending::{AT_CAP, questions};
use super::{Error, Session, local};
use crate::base::clock::Time;
use crate::base::ids::{ProviderName, WorkerName, random_tail};
use crate::domain::attempt::Outcome;
use crate::domain::budget::Money;
use crate::domain::health::Patience;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::usage::Usage;
use crate::store::events::NewEvent;
use crate::store::money::Cooldown;
use crate::sys::agent::{Event, Limit, LimitKind};
use crate::sys::config::Config;
use crate::sys::process::life::Life;
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

/// An answer that takes longer than this is not waited for, unless the question says otherwise.
pub const TIMEOUT_S: u64 = 900;
/// A limit of unknown length is taken to last this long.
pub const UNKNOWN_LIMIT_S: i64 = 5 * 60;
/// No plan of a provider's lasts longer than a month: whoever says so is not believed.
const LONGEST_LIMIT_S: i64 = 32 * 24 * 3600;
/// Who refuses again so soon after it said that it would not is left alone for twice as long, and so long at least.
const SOON_AGAIN_S: i64 = 60;
const SHORTEST_LIMIT_S: i64 = 10;
/// A provider that is found away again so soon is still away, and that was told.
const STILL_AWAY_S: i64 = 5 * 60;

/// A question to an agent.
#[derive(Debug)]
pub struct Question<'a> {
    /// What it is for, one word: `planner`, `review`.
    pub part: &'a str,
    /// The provider or worker that answers.
    pub who: &'a str,
    /// For which plan, and which task of it.
    pub of: questions::Of<'a>,
    /// The question.
    pub prompt: &'a str,
    /// The JSON schema of the answer.
    pub schema: &'a str,
    /// The folder in which it looks around.
    pub folder: &'a Path,
    /// The run's name, where somebody else is to find it; else one that nobody has yet.
    pub run: Option<String>,
    /// How long an answer is waited for, in seconds.
    pub timeout_s: u64,
}

/// The provider that a role's name means: a provider, or that of a worker.
pub fn provider_of(config: &Config, who: &str) -> Result<ProviderName, Refusal> {
    if let Some(worker) = config.workers.get(&WorkerName::new(who)) {
        return Ok(worker.provider.clone());
    }
    let name = ProviderName::new(who);
    if config.providers.contains_key(&name) {
        return Ok(name);
    }
    Err(Refusal::new(
        Code::NotFound,
        format!("there is no provider or worker {who}"),
        "kapell config show lists the providers",
    ))
}

/// Asks, and gives the answer as a JSON object, which is not checked against the schema; or, of an answer that is
/// none, what it was instead, for who asked may ask again.
pub fn ask(
    session: &Session,
    project: &Project,
    config: &Config,
    question: &Question<'_>,
) -> Result<Result<Value, Refusal>, Error> {
    let name = provider_of(config, question.who)?;
    let provider =
        config.providers.get(&name).ok_or_else(|| Error::Bug(format!("provider {name} vanished")))?;
    let store = session.store()?;
    if let Some(limited) =
        store.read(|tx| tx.cooldowns(Time::now()))?.into_iter().find(|it| it.provider == name)
    {
        return Err(Refusal::new(
            Code::RateLimited,
            format!("{name} refuses work until {}: {}", limited.until, limited.reason),
            "wait, or name another provider",
        )
        .into());
    }
    if let Some(why) = local::why_not(&session.house, provider) {
        cool_down(session, project, &name, &away(&why))?;
        let message = format!("{name} is away: {why}");
        return Err(Refusal::new(Code::RateLimited, message, "start it, or name another provider").into());
    }
    let run = question.run.clone().unwrap_or_else(|| format!("q-{}-{}", question.part, random_tail(8)));
    let run_dir = session.house.run_dir(&run);
    let asking = questions::asking(&run_dir);
    // Kept until the answer is recorded: as long as it is, nobody takes the question for one that was given up.
    let _asking = Life::take(&asking)
        .map_err(|error| Error::system(format!("cannot make {}", asking.display()), error))?;
    let cap = questions::ask(session, project, config, &name, question.of, &run)?;
    let assignment = Assignment {
        name: &run,
        of: (question.part, question.part),
        prompt: question.prompt,
        files: &[],
        worktree: question.folder,
        kept: &[],
        run_dir: &run_dir,
        budget_usd: cap.map(Money::usd),
        stop_at_usd: None,
        timeout_s: Some(question.timeout_s),
        answer_schema: Some(question.schema),
        wall: config.wall,
        relayed_in: None,
        caches: config.caches.as_deref(),
        environment: None,
    };
    start(session, provider, None, &assignment).inspect_err(|_| {
        // What did not start costs nothing.
        let _ = questions::answered(session, project, config, &name, question.of, &run, Usage::default());
    })?;
    let watched = Watched {
        name: &run,
        run_dir: &run_dir,
        kind: kind_of(provider),
        wants_answer: true,
        patience: config
            .rules
            .stuck_after_s
            .map(|seconds| Patience { stuck_after: Duration::from_secs(seconds), look: config.health.look }),
        is_new: true,
        line: None,
    };
    // Whoever gives up the call is not left with an agent that goes on for nobody.
    let stopping = run_dir.clone();
    session.cancel.on_cancel(move || {
        let _ = client::send(&stopping, Request::Stop { grace_ms: None });
    });
    // Noted as it comes: should this process die, what was told by then is not lost.
    let heard = listen(&watched, &mut |event: &Event| {
        if let Event::Usage(usage) = event {
            let usage = usage.priced(provider.prices);
            let noted = store.write(|tx| tx.note_spending(&run, usage));
            if let Err(error) = noted {
                tracing::warn!("the cost of {run} is not noted: {error}");
            }
        }
    })?;
    session.cancel.on_cancel(|| {});
    let mut usage = heard.report.usage.priced(provider.prices);
    // It ended by itself at what it was told that it may cost.
    let is_at_cap = |reason: &String| reason.contains(AT_CAP);
    let spent =
        cap.filter(|_| heard.outcome == Outcome::Failed && heard.reason.as_ref().is_some_and(is_at_cap));
    if let Some(cap) = spent {
        // Were less told, as if there were some left, it would be asked again at once, and end as soon.
        usage.usd = Some(usage.usd.unwrap_or_default().max(cap.usd()));
    }
    questions::answered(session, project, config, &name, question.of, &run, usage)?;
    tell_usage(session, project, question, &name, usage)?;
    if let Some(limit) = &heard.limit {
        cool_down(session, project, &name, limit)?;
    }
    if let Some(cap) = spent {
        let why = format!("what {name} may still cost of {cap} dollars is spent, and it did not answer");
        return Err(
            Refusal::new(Code::OverBudget, why, "wait, name another provider, or raise the budget").into()
        );
    }
    if heard.outcome != Outcome::Submitted && session.cancel.is_cancelled() {
        return Err(Refusal::new(
            Code::Conflict,
            format!("the question to {name} was called off before it answered"),
            "ask again and wait for it; a plan takes minutes to make",
        )
        .into());
    }
    if heard.outcome != Outcome::Submitted {
        let code = match heard.outcome {
            _ if heard.limit.is_some() => Code::RateLimited,
            // Its process was ended from outside: that says nothing of who was asked.
            Outcome::Interrupted => Code::Busy,
            _ => Code::Unsupported,
        };
        let why = heard.reason.unwrap_or_else(|| heard.outcome.as_str().to_owned());
        return Err(Refusal::new(
            code,
            format!("{name} gave no answer as {}: {why}", question.part),
            format!("its output is kept in {}", run_dir.display()),
        )
        .into());
    }
    let said = heard.report.text.unwrap_or_default();
    // Advice is for an agent to read, which needs no form.
    let advice = (question.part == "oracle" && !said.trim().is_empty()).then(|| json!({"advice": said}));
    Ok(heard.report.structured.or(advice).ok_or_else(|| {
        let mut said: String = said.chars().take(300).collect();
        if !said.is_empty() {
            said.insert_str(0, ": ");
        }
        Refusal::new(
            Code::Unsupported,
            format!("{name} answered as {}, but not with a JSON object{said}", question.part),
            format!("ask again, or name another provider; its output is kept in {}", run_dir.display()),
        )
    }))
}

/// The limit that a provider's server is away.
pub fn away(why: &str) -> Limit {
    Limit { kind: LimitKind::Unreachable, resets_at: None, message: why.to_owned() }
}

/// Leaves a provider alone as long as it said, for all projects.
pub fn cool_down(
    session: &Session,
    project: &Project,
    provider: &ProviderName,
    limit: &Limit,
) -> Result<(), Error> {
    let now = Time::now();
    let is_away = limit.kind == LimitKind::Unreachable;
    let unknown_s = if is_away { local::REST_S } else { UNKNOWN_LIMIT_S };
    let until = limit.resets_at.filter(|reset| *reset > now).unwrap_or_else(|| now.plus_seconds(unknown_s));
    let until = until.min(now.plus_seconds(LONGEST_LIMIT_S));
    session.store()?.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        let until = match tx.last_cooldown(provider)? {
            // It said that it would be over, and was not: asked over and over it would only be paid for that.
            Some((from, to)) if !is_away && to <= now && to > now.plus_seconds(-SOON_AGAIN_S) => {
                let longer = (to.millis_since(from) / 500).clamp(SHORTEST_LIMIT_S, UNKNOWN_LIMIT_S);
                until.max(now.plus_seconds(longer))
            }
            _ => until,
        };
        let mut before = tx.cooldowns(now.plus_seconds(-STILL_AWAY_S))?.into_iter();
        let is_told = is_away
            && before.any(|it| {
                it.provider == *provider && it.kind == limit.kind.as_str() && it.reason == limit.message
            });
        tx.cool_down(&Cooldown {
            provider: provider.clone(),
            kind: limit.kind.as_str().to_owned(),
            until,
            reason: limit.message.clone(),
        })?;
        if is_told {
            return Ok(());
        }
        // A longer one that stands is kept.
        let stands = tx.cooldowns(now)?.into_iter().find(|it| it.provider == *provider);
        let until = stands.map_or(until, |it| it.until);
        tx.append_event(
            &project.id,
            &NewEvent {
                kind: "provider.limited",
                text: format!("{provider} refuses work until {until}: {}", limit.message),
                data: Some(
                    serde_json::json!({"provider": provider.as_str(), "kind": limit.kind.as_str(), "until": until.to_string()})
                        .to_string(),
                ),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    })
}

fn tell_usage(
    session: &Session,
    project: &Project,
    question: &Question<'_>,
    provider: &ProviderName,
    usage: Usage,
) -> Result<(), Error> {
    session.store()?.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        tx.append_event(
            &project.id,
            &NewEvent {
                kind: "question.answered",
                plan: question.of.map(|(plan, _)| plan),
                task: question.of.and_then(|(_, task)| task),
                text: format!("{provider} was asked as {}", question.part),
                data: Some(
                    serde_json::json!({"provider": provider.as_str(), "usd": usage.usd, "tokens": usage.total_tokens()})
                        .to_string(),
                ),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    })
}
