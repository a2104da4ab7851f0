//! The rules that lead a task to workers, in their order: the target that it names, the environment
//! that its text names, the routes, its role, its cost class; then everybody.

use super::{Roster, Seat};
use crate::base::ids::{ProviderName, WorkerName};
use crate::domain::plan::Complexity;

/// One of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The task says who.
    Target,
    /// The task or its text names an environment.
    Environment,
    /// A route matches its text.
    Route,
    /// Its role is played by somebody.
    Role,
    /// It is simple, so the cheapest does it.
    Complexity,
    /// Everybody along the failover chain.
    Chain,
}

/// A rule that was asked, and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The rule.
    pub rule: Rule,
    /// Whether it decided.
    pub is_taken: bool,
    /// What it found, or why it was passed over.
    pub found: String,
}

/// Whom the rules lead to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pick {
    /// These workers, in this order.
    Workers(Vec<WorkerName>),
    /// A member of the group.
    Group(String),
    /// A worker of the provider.
    Provider(ProviderName),
    /// Whoever costs least.
    Cheapest,
    /// Whoever is free.
    Everybody,
    /// Nobody, and why.
    Nobody(String),
}

/// What of a task the rules look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// What is to be done.
    pub text: &'a str,
    /// Whom it names; `auto` is nobody.
    pub target: Option<&'a str>,
    /// Its role.
    pub role: Option<&'a str>,
    /// Its environment.
    pub environment: Option<&'a str>,
    /// How hard it is.
    pub complexity: Complexity,
    /// It owns no files: perhaps an answer is all that is wanted.
    pub is_open: bool,
}

/// Whom the rules lead to, and each rule that was asked on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The rules, in their order, up to the one that decided.
    pub asked: Vec<Asked>,
    /// Whom they lead to.
    pub pick: Pick,
}

impl Rule {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Environment => "environment",
            Self::Route => "route",
            Self::Role => "role",
            Self::Complexity => "complexity",
            Self::Chain => "chain",
        }
    }
}

/// Asks the rules. What comes of it depends on the task and the configuration alone.
pub fn place(roster: &Roster, wish: &Wish<'_>) -> Placed {
    let mut asked = Vec::new();
    if let Some(target) = wish.target.filter(|target| *target != "auto") {
        let (pick, found) = by_target(roster, target);
        asked.push(Asked { rule: Rule::Target, is_taken: true, found });
        return Placed { asked, pick };
    }
    asked.push(passed(Rule::Target, "the target is auto"));
    type Find = fn(&Roster, &Wish<'_>) -> Result<(Pick, String), String>;
    let rules: [(Rule, Find); 4] = [
        (Rule::Environment, by_environment),
        (Rule::Route, by_route),
        (Rule::Role, by_role),
        (Rule::Complexity, by_complexity),
    ];
    for (rule, find) in rules {
        match find(roster, wish) {
            Ok((pick, found)) => {
                asked.push(Asked { rule, is_taken: true, found });
                return Placed { asked, pick };
            }
            Err(why) => asked.push(passed(rule, why)),
        }
    }
    let chain: Vec<&str> = roster.chain.iter().map(ProviderName::as_str).collect();
    let found = match chain.as_slice() {
        [] => "whoever is free".to_owned(),
        chain => format!("whoever is free, along {}", chain.join(", ")),
    };
    asked.push(Asked { rule: Rule::Chain, is_taken: true, found });
    Placed { asked, pick: Pick::Everybody }
}

fn passed(rule: Rule, found: impl Into<String>) -> Asked {
    Asked { rule, is_taken: false, found: found.into() }
}

/// What a name means: a worker before a group before a provider, and whether anybody may have work by it.
fn named(roster: &Roster, name: &str) -> Result<(Pick, String), String> {
    let worker = WorkerName::new(name);
    if let Some(seat) = roster.seats.get(&worker) {
        if seat.is_protected {
            return Err(format!("worker {name} is protected and never gets a task"));
        }
        return Ok((Pick::Workers(vec![worker]), format!("worker {name}")));
    }
    let may = |seats: Vec<&Seat>, what: &str, lacks: Option<&String>| match seats.as_slice() {
        [] => Err(match lacks {
            Some(lacks) => format!("{what} {name} has no worker: {lacks}"),
            None => format!("{what} {name} has no worker; give it one in kapell.toml, or name another"),
        }),
        seats if seats.iter().all(|seat| seat.is_protected) => {
            Err(format!("all workers of {what} {name} are protected and never get a task"))
        }
        _ => Ok(format!("{what} {name}")),
    };
    if let Some(group) = roster.groups.get(name) {
        let members = group.members.iter().filter_map(|member| roster.seats.get(member)).collect();
        return may(members, "group", None).map(|found| (Pick::Group(name.to_owned()), found));
    }
    let provider = ProviderName::new(name);
    if let Some(known) = roster.providers.get(&provider) {
        let seats = roster.seats.values().filter(|seat| seat.provider == provider).collect();
        return may(seats, "provider", known.lacks.as_ref()).map(|found| (Pick::Provider(provider), found));
    }
    Err(format!("nothing is called {name}"))
}

fn by_target(roster: &Roster, target: &str) -> (Pick, String) {
    let found = match (named(roster, target), roster.roles.get(target)) {
        (Err(_), Some(player)) => {
            named(roster, player).map(|(pick, found)| (pick, format!("{found}, which plays {target}")))
        }
        (found, _) => found,
    };
    match found {
        Ok((pick, found)) => (pick, format!("the task names {found}")),
        Err(why) => (Pick::Nobody(why.clone()), why),
    }
}

/// Whether a name is that of an environment. `review_worker` is no worker of an environment called
/// review, unless there is one.
pub(super) fn is_environment(roster: &Roster, name: &str) -> bool {
    name.ends_with(|c: char| c.is_ascii_digit())
        || roster.environments.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The workers of an environment: those bound to it, else the one that is called after it.
fn of_environment(roster: &Roster, name: &str) -> Vec<WorkerName> {
    let bound = roster.seats.values().filter(|seat| {
        seat.environment.as_ref().is_some_and(|environment| environment.eq_ignore_ascii_case(name))
    });
    let mut names: Vec<WorkerName> = bound.map(|seat| seat.worker.clone()).collect();
    if is_environment(roster, name) {
        let called = format!("{name}_worker");
        let called = roster.seats.keys().find(|worker| worker.as_str().eq_ignore_ascii_case(&called));
        if let Some(called) = called.filter(|worker| !names.contains(worker)) {
            names.push(called.clone());
        }
    }
    names
}

fn by_environment(roster: &Roster, wish: &Wish<'_>) -> Result<(Pick, String), String> {
    let words = wish.text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
    // Whatever a text speaks of, a task that names its environment is for that one.
    let words = words.map(|word| word.trim_matches(['.', '-'])).filter(|_| wish.environment.is_none());
    let mut why = "no environment is named that has a worker".to_owned();
    for word in wish.environment.into_iter().chain(words).filter(|word| !word.is_empty()) {
        let names = of_environment(roster, word);
        let free: Vec<WorkerName> = names
            .iter()
            .filter(|name| roster.seats.get(*name).is_some_and(|seat| !seat.is_protected))
            .cloned()
            .collect();
        if let Some(first) = free.first() {
            let found = format!("{word} is the environment of worker {first}");
            return Ok((Pick::Workers(free), found));
        }
        if let Some(name) = names.first() {
            why = format!("{word} is the environment of worker {name}, which is protected");
        }
    }
    Err(why)
}

fn by_route(roster: &Roster, wish: &Wish<'_>) -> Result<(Pick, String), String> {
    let mut why = match roster.routes.len() {
        0 => "there are no routes".to_owned(),
        1 => "the route does not match".to_owned(),
        count => format!("none of {count} routes matches"),
    };
    for (index, route) in roster.routes.iter().enumerate() {
        if !route.pattern.is_match(wish.text) {
            continue;
        }
        let which = format!("route {} ({})", index + 1, route.pattern);
        match named(roster, &route.to) {
            Ok((pick, found)) => return Ok((pick, format!("{which} leads to {found}"))),
            Err(nobody) => why = format!("{which} matches, but {nobody}"),
        }
    }
    Err(why)
}

fn by_role(roster: &Roster, wish: &Wish<'_>) -> Result<(Pick, String), String> {
    let (role, why) = match wish.role {
        Some(role) => (role, ""),
        None if wish.is_open && roster.roles.contains_key(LIBRARIAN) && is_question(wish.text) => {
            (LIBRARIAN, "it asks and owns nothing: ")
        }
        None => return Err("the task has no role".to_owned()),
    };
    let Some(player) = roster.roles.get(role) else {
        return Err(format!("nobody plays the part of {role}"));
    };
    let (pick, found) = named(roster, player).map_err(|why| format!("{role} is {player}, but {why}"))?;
    Ok((pick, format!("{why}{role} is played by {found}")))
}

/// Answers questions about the code base.
const LIBRARIAN: &str = "librarian";

/// Whether a text asks for an answer and for nothing else: it begins like a question and ends like one.
/// `Can you fix this?` is a request in disguise.
fn is_question(text: &str) -> bool {
    const ASKING: [&str; 29] = [
        "how", "where", "what", "which", "why", "who", "whose", "when", "is", "are", "was", "were", "does",
        "do", "did", "has", "have", "had", "can", "could", "should", "may", "must", "will", "would", "wo",
        "wie", "warum", "welche",
    ];
    let text = text.trim();
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let asks = words.next().is_some_and(|word| ASKING.iter().any(|asking| word.eq_ignore_ascii_case(asking)));
    let is_request =
        words.next().is_some_and(|word| ["you", "we", "i"].iter().any(|who| word.eq_ignore_ascii_case(who)))
            || text.to_lowercase().contains("please");
    asks && !is_request && text.ends_with('?')
}

fn by_complexity(roster: &Roster, wish: &Wish<'_>) -> Result<(Pick, String), String> {
    match wish.complexity {
        Complexity::Simple if roster.seats.values().any(|seat| !seat.is_protected && seat.is_available) => {
            let is_priced = roster
                .seats
                .values()
                .filter(|seat| seat.is_available)
                .all(|seat| roster.providers.get(&seat.provider).is_some_and(|it| it.price.is_some()));
            let by = if is_priced { "price" } else { "capability, as not all prices are known" };
            Ok((Pick::Cheapest, format!("it is simple: the cheapest first, by {by}")))
        }
        Complexity::Simple => Err("it is simple, but there is nobody".to_owned()),
        Complexity::Normal => Err("it is no simple task, so the cheapest need not be looked for".to_owned()),
        Complexity::Complex => Err("it is complex: only the most capable may get it".to_owned()),
    }
}
