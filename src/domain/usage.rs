//! What an attempt used: tokens and money.

/// Tokens and money of one attempt, as its agent reported them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Tokens sent, without those answered from a cache.
    pub input_tokens: u64,
    /// Tokens sent that a cache answered.
    pub cached_tokens: u64,
    /// Tokens written to a cache.
    pub cache_write_tokens: u64,
    /// Tokens received, reasoning included.
    pub output_tokens: u64,
    /// Money, where the agent tells it or a price is known.
    pub usd: Option<f64>,
}

/// Prices for agents that report tokens only, in dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// For tokens sent.
    pub input_usd_per_mtok: f64,
    /// For tokens received.
    pub output_usd_per_mtok: f64,
    /// For tokens sent that a cache answered.
    pub cached_usd_per_mtok: f64,
}

impl Usage {
    /// The sum of two parts of one attempt.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            usd: match (self.usd, other.usd) {
                (None, None) => None,
                (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
            },
        }
    }

    /// All tokens, for limits that are counted in tokens.
    pub fn total_tokens(self) -> u64 {
        self.input_tokens
            .saturating_add(self.cached_tokens)
            .saturating_add(self.cache_write_tokens)
            .saturating_add(self.output_tokens)
    }

    /// Fills in the money from a price table where the agent told none.
    #[must_use]
    pub fn priced(self, prices: Option<Prices>) -> Self {
        match (self.usd, prices) {
            (None, Some(prices)) => {
                let input = (self.input_tokens + self.cache_write_tokens) as f64 * prices.input_usd_per_mtok;
                let cached = self.cached_tokens as f64 * prices.cached_usd_per_mtok;
                let output = self.output_tokens as f64 * prices.output_usd_per_mtok;
                Self { usd: Some((input + cached + output) / 1e6), ..self }
            }
            _ => self,
        }
    }
}
