//! What an attempt or a question will take: what is said of it, else what the last ones took.

use super::Begins;
use crate::base::ids::ProviderName;
use crate::domain::budget::{Line, Measure, Money, expected};
use crate::domain::usage::Prices;
use crate::services::Error;
use crate::store::Tx;
use crate::sys::config::Config;
use crate::sys::config::resolved::ProviderKind;

/// Set aside for a provider's first attempts, before anything is known of it, as far as nothing else says how much:
/// one dollar.
const FIRST: Money = Money::from_micros(1_000_000);
/// The same in tokens.
const FIRST_TOKENS: u64 = 100_000;
/// Of a limit that is not so many times what is set aside for a first attempt, one begins, and others when it is known
/// what that took.
const FIRST_AT_ONCE: u64 = 20;
/// After so many that ended and told nothing none is waited for any more.
const SILENT: u64 = 3;
/// As many attempts are looked at to say what the next one will cost.
const LAST: usize = 20;

/// What an attempt is expected to take: what its task allows it, else what is configured, else the mean
/// of the provider's last ones.
pub(super) struct Expected {
    pub(super) money: u64,
    pub(super) tokens: u64,
    /// Nothing is known of it, and whatever is left does.
    is_unknown: bool,
    /// Hardly an attempt of the provider has ended, so not even whether it tells what it takes is known.
    is_first: bool,
    /// It is a question to an agent.
    is_question: bool,
    /// The configuration says what an attempt may take.
    is_configured: bool,
    /// The task said so; what is only expected is never more than a whole limit.
    is_said: bool,
}

impl Expected {
    /// What the task or the configuration says. Without a limit nothing else is set aside: nobody waits for it.
    pub(super) fn said(config: &Config, provider: &ProviderName, task_usd: Option<f64>) -> Self {
        let money = said(config, provider, task_usd).unwrap_or_default();
        Self {
            money,
            tokens: 0,
            is_unknown: false,
            is_first: false,
            is_question: false,
            is_configured: true,
            is_said: task_usd.is_some(),
        }
    }

    pub(super) fn of(
        tx: &Tx<'_>,
        config: &Config,
        provider: &ProviderName,
        task_usd: Option<f64>,
        begins: Begins,
    ) -> Result<Self, Error> {
        let is_question = begins == Begins::Question;
        let last = tx.last_costs(provider, is_question, LAST)?;
        let (money, tokens): (Vec<u64>, Vec<u64>) = last.into_iter().unzip();
        let said = said(config, provider, task_usd);
        let is_configured = said.is_some();
        let money = said.unwrap_or_else(|| expected(&money, FIRST.micros().unsigned_abs()));
        let is_unknown = tokens.is_empty();
        let is_first = is_unknown && !is_question && tx.ended_attempts(provider)? < SILENT;
        let tokens = expected(&tokens, FIRST_TOKENS);
        Ok(Self {
            money,
            tokens,
            is_unknown,
            is_first,
            is_question,
            is_configured,
            is_said: task_usd.is_some(),
        })
    }

    /// Whether what is wanted of a limit is a guess, with no attempt to go by.
    fn is_guess(&self, line: &Line) -> bool {
        match line.measure {
            Measure::DayTokens => self.is_unknown,
            _ => self.is_unknown && !self.is_configured,
        }
    }

    /// Whether one attempt has to show what one takes before others begin: nothing is known, and a limit is so small
    /// that several which cost more than is guessed would pass it together.
    pub(super) fn is_tried_first(&self, line: &Line) -> bool {
        let guess =
            if line.measure == Measure::DayTokens { FIRST_TOKENS } else { FIRST.micros().unsigned_abs() };
        self.is_first && self.is_guess(line) && line.limit / FIRST_AT_ONCE < guess
    }

    /// What is wanted of one limit.
    pub(super) fn wanted(&self, line: &Line) -> u64 {
        let is_guess = self.is_guess(line);
        let wanted = match line.measure {
            Measure::DayTokens => line.reserve(self.tokens),
            _ if self.is_said => self.money,
            _ => line.reserve(self.money),
        };
        // Beside others a guess may be too little; a question is not asked later instead.
        let does = is_guess && (line.reserved == 0 || self.is_question);
        if does { wanted.min(line.room()) } else { wanted }
    }
}

/// What an attempt may take as its task or the configuration says, in millionths.
fn said(config: &Config, provider: &ProviderName, task_usd: Option<f64>) -> Option<u64> {
    let facts = config.providers.get(provider);
    let is_free = |prices: Prices| prices.input_usd_per_mtok <= 0.0 && prices.output_usd_per_mtok <= 0.0;
    // A model of this machine that has no price needs none of anybody's money.
    if facts.is_some_and(|it| it.kind == ProviderKind::Ollama && it.prices.is_none_or(is_free)) {
        return Some(0);
    }
    let configured = || facts.and_then(|provider| provider.budget.usd_per_attempt);
    Some(Money::from_usd(task_usd.or_else(configured)?).micros().unsigned_abs())
}
