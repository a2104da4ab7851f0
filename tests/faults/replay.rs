//! The state that the event log tells, rebuilt from nothing but its events.

use std::collections::BTreeMap;

use kapell::store::events::EventRow;
use serde_json::Value;

/// Plans, tasks, attempts and live claims, each by its id, with its state.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// State of each plan that an event told of.
    pub plans: BTreeMap<String, String>,
    /// State of each task that ever moved, by `PLAN/TASK`.
    pub tasks: BTreeMap<String, String>,
    /// State of each attempt, `finished: OUTCOME` with its outcome.
    pub attempts: BTreeMap<String, String>,
    /// Each live claim by its number: `KIND HOLDER MODE PATTERN`.
    pub claims: BTreeMap<i64, [String; 4]>,
}

impl State {
    /// Follows the events from the first. The error is an event that cannot follow those before it.
    pub fn replayed(events: &[EventRow]) -> Result<Self, String> {
        let mut state = Self::default();
        for event in events {
            state.follow(event).ok_or_else(|| format!("impossible: {event:?}\nafter {state:#?}"))?;
        }
        Ok(state)
    }

    fn follow(&mut self, event: &EventRow) -> Option<()> {
        let data: Value =
            event.data.as_deref().map(serde_json::from_str).transpose().ok()?.unwrap_or_default();
        let text = |key: &str| data[key].as_str().map(str::to_owned);
        match event.kind.as_str() {
            "plan.state" => {
                self.plans.insert(event.plan.clone()?, text("state")?);
            }
            "task.state" => {
                let id = format!("{}/{}", event.plan.as_deref()?, event.task.as_deref()?);
                let before = self.tasks.insert(id, text("to")?).unwrap_or_else(|| "waiting".to_owned());
                (before == text("from")?).then_some(())?;
            }
            "attempt.started" => {
                let is_new = self.attempts.insert(event.attempt.clone()?, "starting".to_owned()).is_none();
                is_new.then_some(())?;
            }
            "attempt.state" => {
                let attempt = self.attempts.get_mut(event.attempt.as_deref()?)?;
                (!attempt.starts_with("finished")).then_some(())?;
                *attempt = text("state")?;
            }
            "attempt.finished" | "attempt.outcome" => {
                let attempt = self.attempts.get_mut(event.attempt.as_deref()?)?;
                (attempt.starts_with("finished") == (event.kind == "attempt.outcome")).then_some(())?;
                *attempt = format!("finished: {}", text("outcome")?);
            }
            "claim.granted" => {
                let claim = [text("kind")?, event.holder.clone()?, text("mode")?, text("pattern")?];
                self.claims.insert(data["claim"].as_i64()?, claim).is_none().then_some(())?;
            }
            "claim.released" => {
                self.claims.remove(&data["claim"].as_i64()?)?;
            }
            "claim.handed-over" => {
                let (from, to) = (text("from")?, text("to")?);
                // Of a session its claims are named: another process of the same session keeps its own.
                let named = data["claims"].as_array();
                let is_meant = |id: i64, claim: &[String; 4]| match named {
                    Some(named) => named.iter().any(|named| named.as_i64() == Some(id)),
                    None => claim[0] == "attempt" && claim[1] == from,
                };
                for (id, claim) in &mut self.claims {
                    if is_meant(*id, claim) {
                        claim[1].clone_from(&to);
                    }
                }
            }
            _ => {}
        }
        Some(())
    }
}
