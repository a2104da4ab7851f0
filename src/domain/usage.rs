//! What an attempt used: tokens and money.

use super::budget::Money;

/// No attempt uses more tokens of one kind; what is more was reported wrongly. It is counted as this
/// much: a sum must not overflow, and too much is safer than nothing.
pub const MOST_TOKENS: u64 = 1_000_000_000;

/// No attempt costs more dollars. What is more is not counted at all: the books have no other way back from it,
/// and a provider with a budget would be left alone for the month.
pub const MOST_USD: f64 = 10_000.0;

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

/// Prices in dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// For tokens sent.
    pub input_usd_per_mtok: f64,
    /// For tokens received.
    pub output_usd_per_mtok: f64,
    /// For tokens sent that a cache answered.
    pub cached_usd_per_mtok: f64,
    /// For tokens sent that were written to a cache.
    pub cache_write_usd_per_mtok: f64,
}

impl Prices {
    /// What so many tokens cost. Dollars for a million tokens are millionths of a dollar for one.
    pub fn of(&self, used: &Usage) -> Money {
        let cost = |tokens: u64, price: f64| tokens as f64 * price;
        let micros = cost(used.input_tokens, self.input_usd_per_mtok)
            + cost(used.cached_tokens, self.cached_usd_per_mtok)
            + cost(used.cache_write_tokens, self.cache_write_usd_per_mtok)
            + cost(used.output_tokens, self.output_usd_per_mtok);
        Money::from_usd(micros / 1e6)
    }
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
                // However absurd the parts, the sum is a figure.
                (a, b) => Some((a.unwrap_or(0.0) + b.unwrap_or(0.0)).min(f64::MAX)),
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
            // Without tokens nothing was told either: free and unknown are not the same.
            (None, Some(prices)) if self.total_tokens() > 0 => {
                Self { usd: Some(prices.of(&self).usd()), ..self }
            }
            _ => self,
        }
    }

    /// The same without money that nothing can have cost, and with tokens cut down to the most that is counted.
    #[must_use]
    pub fn plausible(self) -> Self {
        Self {
            input_tokens: self.input_tokens.min(MOST_TOKENS),
            cached_tokens: self.cached_tokens.min(MOST_TOKENS),
            cache_write_tokens: self.cache_write_tokens.min(MOST_TOKENS),
            output_tokens: self.output_tokens.min(MOST_TOKENS),
            usd: self.usd.filter(|usd| (0.0..=MOST_USD).contains(usd)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICES: Prices = Prices {
        input_usd_per_mtok: 5.0,
        output_usd_per_mtok: 25.0,
        cached_usd_per_mtok: 0.5,
        cache_write_usd_per_mtok: 6.25,
    };

    #[test]
    fn money_is_filled_in_only_where_the_agent_told_tokens_and_none() {
        let told = Usage {
            input_tokens: 1000,
            cached_tokens: 2000,
            cache_write_tokens: 400,
            output_tokens: 100,
            usd: None,
        };
        assert_eq!(told.priced(Some(PRICES)).usd, Some(0.011));
        assert_eq!(told.priced(None).usd, None);
        assert_eq!(Usage { usd: Some(0.5), ..told }.priced(Some(PRICES)).usd, Some(0.5));
        assert_eq!(Usage::default().priced(Some(PRICES)).usd, None);
    }

    proptest! {
        #[test]
        fn no_figure_is_too_absurd_to_be_counted(tokens in any::<[u64; 4]>(), usd in any::<Option<f64>>(), price in any::<f64>()) {
            let [input_tokens, cached_tokens, cache_write_tokens, output_tokens] = tokens;
            let used = Usage { input_tokens, cached_tokens, cache_write_tokens, output_tokens, usd };
            let prices = Prices { input_usd_per_mtok: price, ..PRICES };
            let counted = used.priced(Some(prices)).plausible();
            prop_assert!(counted.total_tokens() <= 4 * MOST_TOKENS);
            prop_assert!(counted.usd.is_none_or(|usd| (0.0..=MOST_USD).contains(&usd)));
        }
    }
}
