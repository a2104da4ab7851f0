//! Deadlock: holders that wait for each other in a circle, so that none of them will ever get on.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Who waits for whom.
#[derive(Debug, Clone)]
pub struct WaitsFor<N> {
    edges: HashMap<N, Vec<N>>,
}

impl<N> Default for WaitsFor<N> {
    fn default() -> Self {
        Self { edges: HashMap::new() }
    }
}

impl<N: Clone + Eq + Hash> WaitsFor<N> {
    /// Notes that `who` gets on only after `other` does. Who waits for itself waits for nobody.
    pub fn add(&mut self, who: &N, other: &N) {
        if who != other {
            self.edges.entry(who.clone()).or_default().push(other.clone());
        }
    }

    /// Whom `who` waits for at once.
    pub fn of(&self, who: &N) -> &[N] {
        self.edges.get(who).map_or(&[], Vec::as_slice)
    }

    /// A shortest circle that `who` is in: `who` first, each waiting for the next, the last for
    /// `who`. `None`: somebody in front of `who` can get on.
    pub fn cycle(&self, who: &N) -> Option<Vec<N>> {
        // From whom each was reached, the nearest first.
        let mut reached: HashMap<&N, &N> = HashMap::new();
        let mut next = VecDeque::from([who]);
        while let Some(at) = next.pop_front() {
            for other in self.of(at) {
                if other == who {
                    let mut cycle = vec![at.clone()];
                    let mut back = at;
                    while back != who
                        && let Some(&before) = reached.get(back)
                    {
                        cycle.push(before.clone());
                        back = before;
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                if !reached.contains_key(other) {
                    reached.insert(other, at);
                    next.push_back(other);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn graph(edges: &[(u8, u8)]) -> WaitsFor<u8> {
        let mut graph = WaitsFor::default();
        for (who, other) in edges {
            graph.add(who, other);
        }
        graph
    }

    #[test]
    fn a_circle_of_any_length_is_named_from_who_asks() {
        type Case = (&'static [(u8, u8)], u8, Option<&'static [u8]>);
        let table: [Case; 8] = [
            (&[], 1, None),
            (&[(1, 1)], 1, None),
            (&[(1, 2), (2, 1)], 1, Some(&[1, 2])),
            (&[(1, 2), (2, 1)], 2, Some(&[2, 1])),
            (&[(1, 2), (2, 3), (3, 4), (4, 1)], 3, Some(&[3, 4, 1, 2])),
            // Of two circles the shorter; a circle in front that one is not part of is others' affair.
            (&[(1, 2), (2, 3), (3, 1), (2, 1)], 1, Some(&[1, 2])),
            (&[(1, 2), (2, 3), (3, 2)], 1, None),
            (&[(1, 2), (1, 3), (3, 1)], 1, Some(&[1, 3])),
        ];
        for (edges, who, expected) in table {
            assert_eq!(graph(edges).cycle(&who).as_deref(), expected, "{who} in {edges:?}");
        }
    }

    proptest! {
        #[test]
        fn a_circle_is_found_where_there_is_one_and_is_one(
            edges in prop::collection::vec((0..7u8, 0..7u8), 0..16), who in 0..7u8,
        ) {
            // Everybody that `who` waits for, however far in front.
            let mut before = [[false; 7]; 7];
            for (a, b) in &edges {
                before[*a as usize][*b as usize] |= a != b;
            }
            for k in 0..7 {
                for i in 0..7 {
                    for j in 0..7 {
                        before[i][j] |= before[i][k] && before[k][j];
                    }
                }
            }
            let cycle = graph(&edges).cycle(&who);
            prop_assert_eq!(cycle.is_some(), before[who as usize][who as usize]);
            if let Some(cycle) = cycle {
                prop_assert_eq!(cycle[0], who);
                for (at, one) in cycle.iter().enumerate() {
                    let next = cycle[(at + 1) % cycle.len()];
                    prop_assert!(edges.contains(&(*one, next)) && *one != next);
                    prop_assert!(!cycle[..at].contains(one), "{:?}", cycle);
                }
            }
        }

        #[test]
        fn who_is_refused_leaves_nobody_in_a_circle(
            waits in prop::collection::vec((0..7u8, 0..7u8), 0..24),
        ) {
            let mut granted = WaitsFor::default();
            for (who, other) in waits {
                let mut with = granted.clone();
                with.add(&who, &other);
                if with.cycle(&who).is_none() {
                    granted = with;
                }
            }
            for who in 0..7 {
                prop_assert_eq!(granted.cycle(&who), None);
            }
        }
    }
}
