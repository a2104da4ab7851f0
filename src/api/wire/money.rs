//! What is told about money: budgets, what was spent by whom, and what is to be expected.

use super::CostBy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Money of one provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BudgetStatus {
    /// Which.
    pub provider: String,
    /// Spent this month.
    pub spent_usd: f64,
    /// Set aside for what runs.
    pub reserved_usd: f64,
    /// May be spent this month.
    pub limit_usd: Option<f64>,
    /// Spent today, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub today_usd: Option<f64>,
    /// May be spent in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_limit_usd: Option<f64>,
    /// Tokens used today, where they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub today_tokens: Option<u64>,
    /// Tokens that may be used in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_limit_tokens: Option<u64>,
    /// How much of the limit that is nearest to its end is spent, in hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// Why nothing more begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When that limit begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
    /// `ok`, `alert`, `over-budget` or `rate-limited`.
    pub state: String,
    /// Until when it is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// What was spent, in all projects: providers and their budgets are the machine's.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CostStatus {
    /// What the sums are of.
    pub by: CostBy,
    /// From when on. An attempt is counted when it began.
    pub since: String,
    /// All of it.
    pub total: CostLine,
    /// The sums: what cost most first, days and months in their order.
    pub cost: Vec<CostLine>,
    /// What this month will come to.
    pub forecast: ForecastStatus,
    /// What the same tokens would have cost with one provider alone, for each whose prices are known.
    pub savings: Vec<SavingStatus>,
    /// Of which day the listed prices are.
    pub prices_as_of: String,
}

/// A sum of costs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CostLine {
    /// Of what.
    pub name: String,
    /// Told by the agents, or priced by their tokens.
    pub usd: f64,
    /// Set aside for what runs.
    pub reserved_usd: f64,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens sent that a cache answered.
    pub cached_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Attempts and questions to agents.
    pub attempts: u64,
    /// Those of them whose cost nobody knows: they ended without telling it.
    pub untold: u64,
    /// May be spent this month, where the sum is a provider's of this month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_usd: Option<f64>,
    /// May be spent in a day, where the sum is a provider's of this month or of today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_limit_usd: Option<f64>,
    /// What is spent of that today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub today_usd: Option<f64>,
    /// How much of the month's limit is spent, else of the day's, in hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
}

/// What a month will come to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ForecastStatus {
    /// Spent so far.
    pub spent_usd: f64,
    /// The mean of the last days that cost something.
    pub per_day_usd: f64,
    /// Days after today.
    pub days_left: u32,
    /// What it will come to.
    pub total_usd: f64,
    /// How that was reckoned.
    pub how: String,
}

/// What one provider alone would have cost.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SavingStatus {
    /// Which.
    pub provider: String,
    /// The model whose listed prices are used; absent where prices are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it would have cost.
    pub would_usd: f64,
    /// How much more that is than was spent for the same tokens; negative where it is less.
    pub saved_usd: f64,
}
