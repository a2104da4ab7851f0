//! Finding which of several things that fail together is to blame.

/// Settles all items, in their order. `try_together` makes some neighbouring items good for all, or leaves
/// them and says why they fail together; one that fails alone is handed to `give_back` with that reason.
///
/// Each item is made good or given back exactly once, and where each fails or not by itself, at most
/// about `2·k·log₂ n` trials find `k` that fail among `n`.
pub fn settle<T, W, E>(
    items: &[T],
    try_together: &mut impl FnMut(&[T]) -> Result<Result<(), W>, E>,
    give_back: &mut impl FnMut(&T, W) -> Result<(), E>,
) -> Result<(), E> {
    if items.is_empty() {
        return Ok(());
    }
    let Err(why) = try_together(items)? else { return Ok(()) };
    if let [alone] = items {
        return give_back(alone, why);
    }
    let (front, back) = items.split_at(items.len() / 2);
    settle(front, try_together, give_back)?;
    settle(back, try_together, give_back)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// What became good, what was given back, and how many trials it took; bad items fail, and so do
    /// two of which both are in `clash` and one was made good already or is in the same trial.
    fn settled(items: &[u32], bad: &[u32], clash: &[u32]) -> (Vec<u32>, Vec<u32>, usize) {
        let good = std::cell::RefCell::new(Vec::new());
        let mut given_back = Vec::new();
        let mut trials = 0;
        settle(
            items,
            &mut |some: &[u32]| {
                trials += 1;
                let mut good = good.borrow_mut();
                let clashing = good.iter().chain(some).filter(|item| clash.contains(item)).count();
                if some.iter().any(|item| bad.contains(item)) || clashing > 1 {
                    return Ok::<_, Infallible>(Err(()));
                }
                good.extend_from_slice(some);
                Ok(Ok(()))
            },
            &mut |item, ()| {
                given_back.push(*item);
                Ok(())
            },
        )
        .unwrap();
        (good.into_inner(), given_back, trials)
    }

    #[test]
    fn only_what_fails_is_given_back() {
        for (items, bad, clash, good, given_back, trials) in [
            (&[][..], &[][..], &[][..], &[][..], &[][..], 0),
            (&[1, 2, 3, 4], &[], &[], &[1, 2, 3, 4], &[], 1),
            (&[1], &[1], &[], &[], &[1], 1),
            (&[1, 2, 3, 4], &[3], &[], &[1, 2, 4], &[3], 5),
            // The first of two that do not go together stays.
            (&[1, 2, 3, 4], &[], &[1, 4], &[1, 2, 3], &[4], 5),
        ] {
            let (good, given_back) = (good.to_vec(), given_back.to_vec());
            assert_eq!(settled(items, bad, clash), (good, given_back, trials), "{items:?} {bad:?} {clash:?}");
        }
    }

    proptest! {
        #[test]
        fn each_is_settled_once_and_in_order(count in 0_u32..40, bad in prop::collection::vec(0_u32..40, 0..6)) {
            let items: Vec<u32> = (0..count).collect();
            let (good, given_back, trials) = settled(&items, &bad, &[]);
            let expected = |is_bad: bool| {
                items.iter().copied().filter(|it| bad.contains(it) == is_bad).collect::<Vec<_>>()
            };
            prop_assert_eq!(&good, &expected(false));
            prop_assert_eq!(&given_back, &expected(true));
            let depth = usize::try_from(count.max(1).next_power_of_two().ilog2()).unwrap();
            prop_assert!(trials <= 1 + 2 * given_back.len() * depth, "{} trials", trials);
        }

        #[test]
        fn an_error_ends_it(at in 0_usize..8) {
            let mut trials = 0;
            let ended = settle(&[0; 8], &mut |_: &[u32]| {
                trials += 1;
                if trials > at { Err("broken") } else { Ok(Err(())) }
            }, &mut |_, ()| Ok(()));
            prop_assert_eq!(ended, Err("broken"));
        }
    }
}
