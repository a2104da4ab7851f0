//! Sorting, small: the standard library's is six kilobytes of the program for each type that is sorted, and
//! nothing here is sorted so often that this would be felt.

use std::cmp::Ordering;

/// Sorted maps and sets of what an iterator gives.
pub trait Gather: Iterator + Sized {
    /// As `collect`, one after the other: that sorts all of them first, in code of its own for each type.
    fn gather<All: Default + Extend<Self::Item>>(self) -> All {
        let mut all = All::default();
        all.extend(self);
        all
    }
}

impl<Items: Iterator> Gather for Items {}

/// Sorts, and leaves what is equal in its order.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let order = order_of(items.len(), &mut |one, other| compare(&items[one], &items[other]));
    arrange(order, &mut |one, other| items.swap(one, other));
}

/// Sorts by what is found of each, and leaves what is equal in its order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Sorts, and leaves what is equal in its order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// The places of `count` items in the order in which they belong.
fn order_of(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|one, other| compare(*one, *other));
    order
}

/// Brings items into that order by swapping two at a time.
fn arrange(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        let mut place = start;
        // Each circle of places is gone round once; what is in its place leads to itself.
        while order[place] != start {
            let from = order[place];
            swap(place, from);
            order[place] = place;
            place = from;
        }
        order[place] = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn it_is_the_standard_librarys_order(items in proptest::collection::vec((0_u8..6, 0_u32..1000), 0..60)) {
            let (mut own, mut standard) = (items.clone(), items.clone());
            sort_by_key(&mut own, |item| item.0);
            standard.sort_by_key(|item| item.0);
            assert_eq!(own, standard);
            let (mut own, mut standard) = (items.clone(), items.clone());
            sort_by(&mut own, |one, other| other.cmp(one));
            standard.sort_by(|one, other| other.cmp(one));
            assert_eq!(own, standard);
            let (mut own, mut standard) = (items.clone(), items);
            sort(&mut own);
            standard.sort();
            assert_eq!(own, standard);
        }
    }
}
