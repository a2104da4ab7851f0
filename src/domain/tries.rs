//! How often a task is tried, and by whose agents: up to the limit by those that it went to, then as often by
//! the next provider of the chain, then it is a person's.

use crate::base::ids::ProviderName;
use crate::base::sorting;

/// Whether there is another try after these: the providers that are left out of it, those that had their tries.
/// `None`: it is a person's now. `counted` are the providers of the tries that count, in order; `most` is how
/// many each has; `able` are those that could go on.
pub fn next(counted: &[ProviderName], most: usize, able: &[ProviderName]) -> Option<Vec<ProviderName>> {
    let most = most.max(1);
    let whole = counted.len() / most;
    let before = &counted[..whole * most];
    // A round that went to somebody who had tries before was begun on a person's word, for one try.
    let is_due = |round: usize| round == 0 || !counted[..round * most].contains(&counted[round * most]);
    let goes_on = match counted.len() % most {
        0 => counted.is_empty() || is_due(whole - 1) && able.iter().any(|it| !counted.contains(it)),
        _ => is_due(whole),
    };
    goes_on.then(|| {
        let mut left_out: Vec<ProviderName> = before.to_vec();
        sorting::sort(&mut left_out);
        left_out.dedup();
        left_out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_tries_and_then_a_person_decides() {
        let names = |text: &str| text.chars().map(|c| ProviderName::new(c.to_string())).collect::<Vec<_>>();
        let table = [
            ("", "ab", Some("")),
            ("a", "ab", Some("")),
            ("aa", "ab", Some("a")),
            ("aa", "a", None),
            ("aa", "", None),
            ("aab", "ab", Some("a")),
            ("aabb", "ab", None),
            ("aabb", "abc", Some("ab")),
            ("aabbc", "abc", Some("ab")),
            // Of a group with agents of two providers neither has more than all of them together.
            ("ab", "ab", None),
            ("ab", "abc", Some("ab")),
            // Tried again on a person's word: once.
            ("aaa", "a", None),
            ("aabba", "ab", None),
            ("aaaa", "ab", None),
        ];
        for (counted, able, expected) in table {
            let found = next(&names(counted), 2, &names(able));
            assert_eq!(found, expected.map(names), "{counted} with {able}");
        }
        assert_eq!(next(&names("a"), 0, &names("a")), None);
    }
}
