//! In which order workers are thought of.

use super::rules::is_environment;
use super::{Load, Now, Pick, Roster, Seat, Strategy};
use crate::base::ids::{ProviderName, WorkerName};
use crate::base::sorting;

/// The workers that the rules led to, the preferred first, and those that take over from them. None
/// of them is protected.
pub fn ordered<'r>(roster: &'r Roster, now: &Now, pick: &Pick) -> (Vec<&'r Seat>, Vec<&'r Seat>) {
    let named = |names: &[WorkerName]| -> Vec<&'r Seat> {
        names.iter().filter_map(|name| roster.seats.get(name)).collect()
    };
    let (mut asked, mut reliefs): (Vec<&Seat>, Vec<&Seat>) = match pick {
        Pick::Workers(names) => (named(names), in_the_chain(roster)),
        Pick::Group(name) => (members(roster, now, name), in_the_chain(roster)),
        Pick::Provider(name) => (of_provider(roster, name), in_the_chain(roster)),
        Pick::Cheapest => (by_price(roster), Vec::new()),
        Pick::Everybody => (everybody(roster), of_fallback(roster)),
        Pick::Nobody(_) => (Vec::new(), Vec::new()),
    };
    asked.retain(|seat| !seat.is_protected);
    // What keeps one worker of a provider from it keeps the others too, unless it only crashes itself.
    let keeps = |other: &Seat, seat: &Seat| {
        other.worker == seat.worker
            || other.provider == seat.provider && !now.quarantined.contains_key(&other.worker)
    };
    reliefs.retain(|seat| !seat.is_protected && !asked.iter().any(|other| keeps(other, seat)));
    // Where nobody could have been asked, nobody takes over for them either.
    if asked.is_empty() && *pick != Pick::Everybody {
        reliefs.clear();
    }
    (asked, reliefs)
}

/// The members of a group by its strategy. What is equal stays in the order of the list.
fn members<'r>(roster: &'r Roster, now: &Now, name: &str) -> Vec<&'r Seat> {
    let Some(group) = roster.groups.get(name) else { return Vec::new() };
    let mut seats: Vec<&Seat> = group.members.iter().filter_map(|name| roster.seats.get(name)).collect();
    let load = |seat: &&Seat| now.loads.get(&seat.worker).copied().unwrap_or_default();
    match group.strategy {
        Strategy::RoundRobin => sorting::sort_by_key(&mut seats, |seat| load(seat).turn),
        Strategy::LeastLoaded => sorting::sort_by_key(&mut seats, |seat| {
            let Load { busy, today, turn } = load(seat);
            // One that may do several at once is as loaded as it is full.
            (u64::from(busy) * 1000 / u64::from(seat.slots.max(1)), today, turn)
        }),
        Strategy::Sequential => {}
    }
    seats
}

/// Workers of a provider by name. One that works in an environment of its own is there for that
/// first, so it comes last.
fn of_provider<'r>(roster: &'r Roster, provider: &ProviderName) -> Vec<&'r Seat> {
    let mut seats: Vec<&Seat> = roster.seats.values().filter(|seat| seat.provider == *provider).collect();
    sorting::sort_by_key(&mut seats, |seat| is_bound(roster, seat));
    seats
}

/// Whether a worker works in an environment: it says so, or is called after one.
fn is_bound(roster: &Roster, seat: &Seat) -> bool {
    let called = seat.worker.as_str().strip_suffix("_worker");
    seat.environment.is_some() || called.is_some_and(|name| is_environment(roster, name))
}

fn in_the_chain(roster: &Roster) -> Vec<&Seat> {
    let mut seats: Vec<&Seat> =
        roster.chain.iter().flat_map(|provider| of_provider(roster, provider)).collect();
    seats.extend(of_fallback(roster));
    seats
}

/// The workers of the fallback, which wait until all of the chain are limited.
fn of_fallback(roster: &Roster) -> Vec<&Seat> {
    let fallback = roster.fallback.as_ref().filter(|name| !roster.chain.contains(name));
    fallback.map(|name| of_provider(roster, name)).unwrap_or_default()
}

/// Whether a worker's provider is there, and may get what is for anybody: beside a chain that somebody wrote one that
/// was only found may not.
fn is_open(roster: &Roster, seat: &Seat) -> bool {
    let is_said = || roster.providers.get(&seat.provider).is_none_or(|provider| provider.is_said);
    seat.is_available && (!roster.is_chain_said || is_said())
}

/// Everybody whose provider is there: along the chain, then the others, without the fallback.
fn everybody(roster: &Roster) -> Vec<&Seat> {
    let rank = |seat: &Seat| {
        roster.chain.iter().position(|name| *name == seat.provider).unwrap_or(roster.chain.len())
    };
    let is_fallback = |seat: &Seat| {
        roster.fallback.as_ref() == Some(&seat.provider) && !roster.chain.contains(&seat.provider)
    };
    let mut seats: Vec<&Seat> =
        roster.seats.values().filter(|seat| is_open(roster, seat) && !is_fallback(seat)).collect();
    sorting::sort_by_key(&mut seats, |seat| (is_bound(roster, seat), rank(seat)));
    seats
}

/// Everybody, those of the cheapest provider first: by price where all prices are known, else the
/// less capable is taken for the cheaper.
fn by_price(roster: &Roster) -> Vec<&Seat> {
    let rank = |name: &ProviderName| roster.chain.iter().position(|other| other == name);
    let mut names: Vec<&ProviderName> =
        roster.seats.values().filter(|seat| is_open(roster, seat)).map(|seat| &seat.provider).collect();
    sorting::sort(&mut names);
    names.dedup();
    let facts = |name: &ProviderName| roster.providers.get(name);
    let price = |name: &ProviderName| facts(name).and_then(|provider| provider.price);
    let is_priced = names.iter().all(|name| price(name).is_some());
    sorting::sort_by(&mut names, |a, b| {
        let by_class = facts(a).map(|it| it.capability).cmp(&facts(b).map(|it| it.capability));
        let dollars = |name: &ProviderName| price(name).unwrap_or(f64::INFINITY);
        let by_price = dollars(a).total_cmp(&dollars(b));
        let by_rank = rank(a).unwrap_or(usize::MAX).cmp(&rank(b).unwrap_or(usize::MAX));
        let first = if is_priced { by_price.then(by_class) } else { by_class.then(by_price) };
        first.then(by_rank).then_with(|| a.cmp(b))
    });
    let mut seats: Vec<&Seat> = names.iter().flat_map(|name| of_provider(roster, name)).collect();
    sorting::sort_by_key(&mut seats, |seat| is_bound(roster, seat));
    seats
}
