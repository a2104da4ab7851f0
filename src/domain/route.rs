//! Who gets a task: the rules that lead it to workers, and which of them may take it now.
//!
//! [`place`] asks the rules, one after the other, and needs nothing but the task and the
//! configuration; [`decide`] finds the seat, from what everybody does at this moment. The conductor
//! and `kapell route` call the same two.

mod order;
mod rules;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Time;
use crate::base::ids::{ProviderName, WorkerName};
use crate::base::sorting;
use crate::domain::plan::Complexity;
use crate::domain::share::Pool;

pub use order::ordered;
pub use rules::{Asked, Pick, Placed, Rule, Wish, place};

/// A worker as routing sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// Its name.
    pub worker: WorkerName,
    /// Its provider.
    pub provider: ProviderName,
    /// Attempts it may do at once.
    pub slots: u32,
    /// The hardest task its provider may get.
    pub capability: Complexity,
    /// It never gets a task.
    pub is_protected: bool,
    /// Its provider is configured, or its program was found.
    pub is_available: bool,
    /// What it needs and this machine does not have, with what to do about it.
    pub lacks: Option<String>,
    /// The environment that it works in.
    pub environment: Option<String>,
}

impl Seat {
    /// The environment that a task is done in by this worker: the task's, else its own.
    pub fn works_in<'a>(&'a self, needed: Option<&'a str>) -> Option<&'a str> {
        needed.or(self.environment.as_deref())
    }
}

/// Which member of a group gets the next task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Whoever has not begun anything for the longest.
    RoundRobin,
    /// Whoever does least now, then did least today.
    LeastLoaded,
    /// The first that can; the group works at one task at a time.
    Sequential,
}

/// Workers that share work.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Which member gets the next task.
    pub strategy: Strategy,
    /// Its workers, in their order.
    pub members: Vec<WorkerName>,
}

/// Where tasks for `auto` go when their text matches.
#[derive(Debug, Clone)]
pub struct Route {
    /// Found anywhere in the task's text.
    pub pattern: regex::Regex,
    /// Worker, group or provider.
    pub to: String,
}

/// A provider as it is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its name.
    pub name: ProviderName,
    /// Attempts it may do at once.
    pub max_parallel: u32,
    /// The hardest task it may get.
    pub capability: Complexity,
    /// Dollars for a million tokens, as far as known; only compared with others.
    pub price: Option<f64>,
    /// Whether a file names it; else its program was found.
    pub is_said: bool,
    /// What it needs and this machine does not have, with what to do about it.
    pub lacks: Option<String>,
}

/// Everybody there is, and the rules by which tasks find them: what the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// The workers.
    pub seats: BTreeMap<WorkerName, Seat>,
    /// The groups.
    pub groups: BTreeMap<String, Group>,
    /// The providers, by name.
    pub providers: BTreeMap<ProviderName, Provider>,
    /// In the order in which they are tried.
    pub routes: Vec<Route>,
    /// Who plays which part: a worker or a provider.
    pub roles: BTreeMap<String, String>,
    /// Environments by name.
    pub environments: BTreeSet<String>,
    /// Providers in the order in which they take over.
    pub chain: Vec<ProviderName>,
    /// Whether somebody wrote it: what is for anybody then goes to nobody that no file names, and what a limit of the
    /// chain keeps from it waits for the chain and the fallback.
    pub is_chain_said: bool,
    /// Takes over when all of the chain are limited.
    pub fallback: Option<ProviderName>,
}

/// What one worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Attempts it does now.
    pub busy: u32,
    /// Attempts it began today.
    pub today: u32,
    /// Grows with every attempt that anybody of the project begins; 0 for one who never did.
    pub turn: i64,
}

/// What everybody does at this moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Now {
    /// The workers that do or did something.
    pub loads: BTreeMap<WorkerName, Load>,
    /// Attempts each provider does, for all projects.
    pub providers: BTreeMap<ProviderName, u32>,
    /// How many of those are for other projects.
    pub elsewhere: BTreeMap<ProviderName, u32>,
    /// Providers that get nothing now, and why.
    pub limits: BTreeMap<ProviderName, Limit>,
    /// Providers whose first attempt is at work, and has to show what one takes before others begin.
    pub first: Vec<ProviderName>,
    /// Groups that work at one task at a time, and the task that each is at.
    pub taken: BTreeMap<String, String>,
    /// Tasks of such groups that are between two tries: nobody is at them, and their groups wait for their next.
    pub between: BTreeSet<String>,
    /// Workers that get nothing now, since their last attempts failed at once, and why.
    pub quarantined: BTreeMap<WorkerName, String>,
    /// Why nobody at all may begin anything: `slot`, `memory` or `load`, and on what.
    pub full: Option<(&'static str, String)>,
    /// Where that is for want of seats: which are taken, or left to others.
    pub taken_seats: Option<Pool>,
    /// Environments in which nothing can begin now, by their names in lower case, and why.
    pub shut: BTreeMap<String, Shut>,
}

/// Why nothing can begin in an environment, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// Somebody works in it, or left something there.
    ForNow(String),
    /// There is none, or none in which a worker could work.
    ForEver(String),
}

impl Now {
    /// Looks at the groups as a task does that is between two tries: its own next try is what they wait for.
    pub fn go_on(&mut self, task: &str) {
        if self.between.contains(task) {
            self.taken.retain(|_, at| !self.between.contains(at));
        }
    }

    /// Notes that nothing can begin in an environment.
    pub fn shut(&mut self, environment: &str, why: Shut) {
        self.shut.insert(environment.to_lowercase(), why);
    }
}

/// Why a provider gets nothing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// It refused work: until when, and why.
    RateLimited(Time, String),
    /// Its money is spent.
    OverBudget(String),
    /// The task wants more than may ever be spent.
    TooDear(String),
}

/// What became of the wish for a seat.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// This seat.
    Seat(Seat),
    /// None now: `rate-limit`, `budget`, `unhealthy`, `environment`, `slot`, `memory` or `load`, and on what.
    Wait {
        /// The reason as status names it.
        reason: &'static str,
        /// For what or whom.
        on: String,
    },
    /// None ever, as things are configured.
    Nobody(String),
}

/// A worker that was thought of, and why it does not get the task.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The worker.
    pub worker: WorkerName,
    /// Its provider.
    pub provider: ProviderName,
    /// It was not asked for: it takes over for those who are limited.
    pub takes_over: bool,
    /// Why not; none for who may have it.
    pub why_not: Option<WhyNot>,
}

/// Why a worker does not get a task.
#[derive(Debug, Clone, PartialEq)]
pub enum WhyNot {
    /// The task is too hard for its provider.
    Capability,
    /// Its provider had its tries.
    HadItsTries,
    /// This machine does not have what it needs.
    Lacks(String),
    /// Its provider is limited until then.
    RateLimited(Time, String),
    /// The money of its provider is spent.
    OverBudget(String),
    /// The task wants more than its provider may ever spend.
    TooDear(String),
    /// Its last attempts failed at once.
    Unhealthy(String),
    /// It works in another environment than the task is for.
    Elsewhere(String),
    /// There is no such environment as it would work in.
    Nowhere(String),
    /// Nothing can begin now in the environment that it would work in.
    Shut(String),
    /// It does as much as it may.
    Busy(String),
    /// It is free, and its provider does as much as that may.
    Crowded(String),
}

impl WhyNot {
    /// For people.
    pub fn text(&self) -> &str {
        match self {
            Self::Capability => "may not get tasks that hard (capability)",
            Self::HadItsTries => "had its tries at it",
            Self::Lacks(why)
            | Self::RateLimited(_, why)
            | Self::OverBudget(why)
            | Self::TooDear(why)
            | Self::Unhealthy(why)
            | Self::Elsewhere(why)
            | Self::Nowhere(why)
            | Self::Shut(why)
            | Self::Busy(why)
            | Self::Crowded(why) => why,
        }
    }

    /// Whether waiting cannot help.
    pub fn is_for_ever(&self) -> bool {
        matches!(
            self,
            Self::Capability
                | Self::HadItsTries
                | Self::Lacks(_)
                | Self::TooDear(_)
                | Self::Elsewhere(_)
                | Self::Nowhere(_)
        )
    }
}

/// So many of those who did not get a task are named with why.
const PASSED_OVER: usize = 3;

/// Who was thought of, in order, and who it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Everybody that was thought of, the preferred first.
    pub candidates: Vec<Candidate>,
    /// What came of it.
    pub choice: Choice,
}

/// What of a task the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Need<'a> {
    /// How hard it is.
    pub complexity: Complexity,
    /// Providers that failed this very task by being limited; they are taken last.
    pub avoid: &'a [ProviderName],
    /// Providers that had their tries at this very task.
    pub out: &'a [ProviderName],
    /// The environment that it is for, whoever does it.
    pub environment: Option<&'a str>,
}

/// Chooses among those that the rules led to. Who was asked for and is only busy is waited for;
/// others take over from those who are limited, whose money is spent, or who cannot do it.
pub fn decide(roster: &Roster, now: &Now, pick: &Pick, need: Need<'_>) -> Decision {
    if let Pick::Nobody(why) = pick {
        return Decision { candidates: Vec::new(), choice: Choice::Nobody(why.clone()) };
    }
    let (mut asked, reliefs) = ordered(roster, now, pick);
    // Of those who may, whoever works in the task's environment is there for it.
    if let Some(needed) = need.environment {
        let is_there = |own: &String| own.eq_ignore_ascii_case(needed);
        sorting::sort_by_key(&mut asked, |seat| !seat.environment.as_ref().is_some_and(is_there));
    }
    // A group that does one task at a time does so also through those who take over for its members.
    let is_taken = match pick {
        Pick::Group(name) => now.taken.get(name).map(|task| one_at_a_time(name, task)),
        _ => None,
    };
    let mut candidates: Vec<Candidate> = asked
        .iter()
        .map(|seat| (*seat, false))
        .chain(reliefs.iter().map(|seat| (*seat, true)))
        .map(|(seat, takes_over)| Candidate {
            worker: seat.worker.clone(),
            provider: seat.provider.clone(),
            takes_over,
            why_not: match need.out.contains(&seat.provider) {
                true => Some(WhyNot::HadItsTries),
                false => match (why_not(roster, now, seat, need), &is_taken) {
                    (Some(why), _) if why.is_for_ever() => Some(why),
                    (_, Some(taken)) => Some(WhyNot::Busy(taken.clone())),
                    (why, None) => why,
                },
            },
        })
        .collect();
    if *pick == Pick::Everybody && roster.is_chain_said {
        keep_to_the_chain(roster, &mut candidates, need);
    }
    let choice = match &now.full {
        Some((reason, on)) if candidates.iter().any(may_ever) => Choice::Wait { reason, on: on.clone() },
        _ => choose(roster, &candidates, need),
    };
    Decision { candidates, choice }
}

/// What those of the chain were refused, or are kept from by a limit, goes on along the chain and then to the
/// fallback, and to nobody else.
fn keep_to_the_chain(roster: &Roster, candidates: &mut Vec<Candidate>, need: Need<'_>) {
    let is_of_it = |it: &Candidate| it.takes_over || roster.chain.contains(&it.provider);
    let is_limited = |it: &Candidate| {
        matches!(it.why_not, Some(WhyNot::RateLimited(..) | WhyNot::OverBudget(_) | WhyNot::TooDear(_)))
    };
    let takes_over = !need.avoid.is_empty()
        || !need.out.is_empty()
        || candidates.iter().any(|it| is_of_it(it) && is_limited(it));
    if takes_over && candidates.iter().any(is_of_it) {
        candidates.retain(is_of_it);
    }
}

/// Why a worker got a task, for people: the rule that led to it, and who was thought of before it and why not.
pub fn why(placed: &Placed, decision: &Decision, chosen: &WorkerName) -> String {
    let rule = placed.asked.iter().find(|asked| asked.is_taken);
    let mut told = rule.map_or_else(String::new, |asked| format!("{}: {}", asked.rule.as_str(), asked.found));
    let before = decision.candidates.iter().take_while(|candidate| candidate.worker != *chosen);
    let passed: Vec<String> = before
        .filter_map(|candidate| Some(format!("{}: {}", candidate.worker, candidate.why_not.as_ref()?.text())))
        .collect();
    if let Some(last) = passed.get(..passed.len().min(PASSED_OVER)).filter(|passed| !passed.is_empty()) {
        let more = if passed.len() > PASSED_OVER { ", …" } else { "" };
        told.push_str(&format!("; not {}{more}", last.join(", not ")));
    }
    let takes_over = decision.candidates.iter().any(|it| it.worker == *chosen && it.takes_over);
    if takes_over {
        told.push_str("; it takes over");
    }
    told
}

fn one_at_a_time(group: &str, task: &str) -> String {
    format!("group {group} does one task at a time, and is at {task}")
}

/// Whether a worker may get the task now or later.
fn may_ever(candidate: &Candidate) -> bool {
    !candidate.why_not.as_ref().is_some_and(WhyNot::is_for_ever)
}

fn choose(roster: &Roster, candidates: &[Candidate], need: Need<'_>) -> Choice {
    let capable = || candidates.iter().filter(|it| may_ever(it));
    if capable().next().is_none() {
        return Choice::Nobody(match candidates.iter().find_map(|it| Some((it, it.why_not.as_ref()?))) {
            None if roster.seats.values().any(|seat| seat.is_protected) => {
                "all workers that it could go to are protected and never get a task".to_owned()
            }
            None => "no worker is configured or installed for it".to_owned(),
            Some((_, WhyNot::TooDear(why) | WhyNot::Nowhere(why))) => why.clone(),
            Some((first, WhyNot::Lacks(why))) => format!("{}: {why}", first.worker),
            Some((first, why)) => format!("{} {}", first.worker, why.text()),
        });
    }
    let (mut limited, mut spent, mut unhealthy, mut shut) = (None, None, None, None);
    let (mut full, mut crowded) = (None, None);
    for is_avoided in [false, true] {
        for takes_over in [false, true] {
            // Whoever was asked for and is only busy will be free before long.
            if takes_over && (full.is_some() || crowded.is_some() || shut.is_some()) {
                continue;
            }
            let tier = |it: &&Candidate| {
                it.takes_over == takes_over && need.avoid.contains(&it.provider) == is_avoided
            };
            for candidate in capable().filter(tier) {
                match &candidate.why_not {
                    None => {
                        if let Some(seat) = roster.seats.get(&candidate.worker) {
                            return Choice::Seat(seat.clone());
                        }
                    }
                    // The first that will be free is waited for.
                    Some(WhyNot::RateLimited(until, why)) => {
                        if limited.as_ref().is_none_or(|(earliest, _)| until < earliest) {
                            limited = Some((*until, why.clone()));
                        }
                    }
                    Some(WhyNot::OverBudget(why)) => drop(spent.get_or_insert_with(|| why.clone())),
                    Some(WhyNot::Unhealthy(why)) => drop(unhealthy.get_or_insert_with(|| why.clone())),
                    Some(WhyNot::Shut(why)) => drop(shut.get_or_insert_with(|| why.clone())),
                    Some(WhyNot::Busy(why)) => drop(full.get_or_insert_with(|| why.clone())),
                    Some(WhyNot::Crowded(why)) => drop(crowded.get_or_insert_with(|| why.clone())),
                    Some(
                        WhyNot::Capability
                        | WhyNot::HadItsTries
                        | WhyNot::Lacks(_)
                        | WhyNot::TooDear(_)
                        | WhyNot::Elsewhere(_)
                        | WhyNot::Nowhere(_),
                    ) => {}
                }
            }
        }
    }
    // A seat that becomes free comes sooner than a reset or a new month.
    let wait = |reason, on| Choice::Wait { reason, on };
    let waits = [
        // Where one is free, who is busy is not the reason.
        ("slot", crowded.or(full)),
        ("environment", shut),
        ("unhealthy", unhealthy),
        ("rate-limit", limited.map(|(_, why)| why)),
        ("budget", spent),
    ];
    let mut waits = waits.into_iter().filter_map(|(reason, on)| Some(wait(reason, on?)));
    waits.next().unwrap_or_else(|| Choice::Nobody("no worker may get it".to_owned()))
}

fn why_not(roster: &Roster, now: &Now, seat: &Seat, need: Need<'_>) -> Option<WhyNot> {
    if seat.capability < need.complexity {
        return Some(WhyNot::Capability);
    }
    let shut =
        seat.works_in(need.environment).and_then(|environment| now.shut.get(&environment.to_lowercase()));
    if let Some(Shut::ForEver(why)) = shut {
        return Some(WhyNot::Nowhere(why.clone()));
    }
    if let (Some(own), Some(needed)) = (&seat.environment, need.environment)
        && !own.eq_ignore_ascii_case(needed)
    {
        return Some(WhyNot::Elsewhere(format!("works in {own}, and the task is for {needed}")));
    }
    if let Some(lacks) = &seat.lacks {
        return Some(WhyNot::Lacks(lacks.clone()));
    }
    match now.limits.get(&seat.provider) {
        Some(Limit::RateLimited(until, why)) => return Some(WhyNot::RateLimited(*until, why.clone())),
        Some(Limit::OverBudget(why)) => return Some(WhyNot::OverBudget(why.clone())),
        Some(Limit::TooDear(why)) => return Some(WhyNot::TooDear(why.clone())),
        None => {}
    }
    if let Some(why) = now.quarantined.get(&seat.worker) {
        return Some(WhyNot::Unhealthy(why.clone()));
    }
    let taken = now.taken.iter().find(|(group, _)| {
        roster.groups.get(*group).is_some_and(|group| group.members.contains(&seat.worker))
    });
    if let Some((group, task)) = taken {
        return Some(WhyNot::Busy(one_at_a_time(group, task)));
    }
    if now.loads.get(&seat.worker).is_some_and(|load| load.busy >= seat.slots) {
        return Some(WhyNot::Busy(format!("{} is busy", seat.worker)));
    }
    if let Some(Shut::ForNow(why)) = shut {
        return Some(WhyNot::Shut(why.clone()));
    }
    if now.first.contains(&seat.provider) {
        let provider = &seat.provider;
        let why = format!(
            "what a task of {provider} takes is known when its first one has ended, and its budget is small"
        );
        return Some(WhyNot::Crowded(why));
    }
    let most = roster.providers.get(&seat.provider).map_or(u32::MAX, |provider| provider.max_parallel);
    let busy = now.providers.get(&seat.provider).copied().unwrap_or(0);
    (busy >= most).then(|| {
        let elsewhere = match now.elsewhere.get(&seat.provider).copied().unwrap_or(0) {
            0 => String::new(),
            others => format!(", {others} of them for other projects"),
        };
        let provider = &seat.provider;
        let why = format!("{provider} does as much at once as it may: {busy} of {most}{elsewhere}");
        WhyNot::Crowded(why)
    })
}
