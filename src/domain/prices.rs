//! What well-known models cost, for agents that report tokens only and for comparisons.
//!
//! A configured price comes before this table; where neither knows the model, nothing is guessed.

use super::usage::Prices;

/// The day on which this table was last gone over.
pub const AS_OF: &str = "2026-11-27";

/// Where its figures come from.
pub const SOURCE: &str = "the list prices of Anthropic (as published by 2026-10-24) and OpenAI (Codex rate card, 2026-05-13), \
     standard tier, in dollars for a million tokens";

/// A model and its prices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Listed {
    /// As its maker calls it, without a date behind it.
    pub model: &'static str,
    /// What it costs.
    pub prices: Prices,
}

const fn row(model: &'static str, input: f64, cached: f64, written: f64, output: f64) -> Listed {
    let prices = Prices {
        input_usd_per_mtok: input,
        output_usd_per_mtok: output,
        cached_usd_per_mtok: cached,
        cache_write_usd_per_mtok: written,
    };
    Listed { model, prices }
}

/// Models whose price does not depend on how long a request is, and about whose price sources agree.
pub const TABLE: &[Listed] = &[
    row("claude-fable-5-1", 10.0, 0.25, 12.5, 50.0),
    row("claude-haiku-4-5", 1.0, 0.1, 1.25, 5.0),
    row("claude-opus-4", 15.0, 1.5, 18.75, 75.0),
    row("claude-opus-4-1", 15.0, 1.5, 18.75, 75.0),
    row("claude-opus-4-5", 5.0, 0.5, 6.25, 25.0),
    row("claude-opus-4-6", 5.0, 0.5, 6.25, 25.0),
    row("claude-opus-4-7", 5.0, 0.5, 6.25, 25.0),
    row("claude-opus-4-8", 5.0, 0.5, 6.25, 25.0),
    row("claude-opus-5", 5.0, 0.5, 6.25, 25.0),
    row("claude-opus-5-5", 4.0, 0.2, 5.0, 20.0),
    row("claude-sonnet-4", 3.0, 0.3, 3.75, 15.0),
    row("claude-sonnet-4-5", 3.0, 0.3, 3.75, 15.0),
    row("claude-sonnet-4-6", 3.0, 0.3, 3.75, 15.0),
    row("claude-sonnet-5", 2.0, 0.2, 2.5, 10.0),
    row("claude-sonnet-5-5", 2.0, 0.1, 2.5, 10.0),
    row("gpt-5", 1.25, 0.125, 1.25, 10.0),
    row("gpt-5-codex", 1.25, 0.125, 1.25, 10.0),
    row("gpt-5-mini", 0.25, 0.025, 0.25, 2.0),
    row("gpt-5.1", 1.25, 0.125, 1.25, 10.0),
    row("gpt-5.1-codex", 1.25, 0.125, 1.25, 10.0),
    row("gpt-5.1-codex-max", 1.25, 0.125, 1.25, 10.0),
    row("gpt-5.2", 1.75, 0.175, 1.75, 14.0),
    row("gpt-5.2-codex", 1.75, 0.175, 1.75, 14.0),
    row("gpt-5.3-codex", 1.75, 0.175, 1.75, 14.0),
    row("gpt-5.4", 2.5, 0.25, 2.5, 15.0),
    row("gpt-5.4-mini", 0.75, 0.075, 0.75, 4.5),
    row("gpt-5.5", 5.0, 0.5, 5.0, 30.0),
];

/// The prices of a model, as its maker or a router (`maker/model`) calls it, with or without the date
/// of its release behind it.
pub fn listed(model: &str) -> Option<Listed> {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let name = name.split('[').next().unwrap_or(&name);
    let name = without_date(name);
    TABLE.iter().copied().find(|listed| listed.model == name)
}

/// `gpt-5-2026-04-01` and `claude-opus-4-1-20250805` without the date.
fn without_date(name: &str) -> &str {
    let is_number =
        |part: &str, digits| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.rsplitn(4, '-').collect();
    match parts.as_slice() {
        [day, month, year, rest] if is_number(day, 2) && is_number(month, 2) && is_number(year, 4) => rest,
        [date, ..] if is_number(date, 8) => &name[..name.len() - 9],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_any_of_its_names_and_no_other_is_taken_for_it() {
        let found = |name| listed(name).map(|listed| listed.model);
        for (name, expected) in [
            ("gpt-5-codex", Some("gpt-5-codex")),
            ("openai/gpt-5.5", Some("gpt-5.5")),
            ("gpt-5-2026-04-01", Some("gpt-5")),
            ("claude-opus-4-1-20250805", Some("claude-opus-4-1")),
            ("Claude-Sonnet-5-5[1m]", Some("claude-sonnet-5-5")),
            ("gpt-5.6-sol", None),
            ("gpt-5-20", None),
            ("", None),
            ("-20250805", None),
        ] {
            assert_eq!(found(name), expected, "{name}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_a_cache_never_costs_more_than_asking() {
        assert!(TABLE.is_sorted_by(|a, b| a.model < b.model));
        for Listed { model, prices } in TABLE {
            let cached = prices.cached_usd_per_mtok;
            assert!(0.0 < cached && cached < prices.input_usd_per_mtok, "{model}");
            assert!(prices.input_usd_per_mtok < prices.output_usd_per_mtok, "{model}");
        }
    }
}
