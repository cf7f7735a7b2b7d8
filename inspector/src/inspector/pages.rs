//! Long lists, a page at a time: sorted without keeping more than what is shown and what comes before it.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Rows of a page.
pub(crate) const ROWS: usize = 50;
/// The last page that may be asked for: what is on the next one is found by searching.
pub(crate) const PAGE_MAX: usize = 199;

/// A row in its place: by what it is sorted by, and then by its number.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Placed<K, R: Ord> {
    key: K,
    row: R,
}

/// The rows of a page, and how many rows there are on all of them. `key` is largest for what comes first.
pub(crate) fn page<R: Ord, K: Ord>(
    rows: impl Iterator<Item = R>,
    page: usize,
    key: impl Fn(&R) -> K,
) -> (Vec<R>, usize) {
    let page = page.min(PAGE_MAX);
    let kept = (page + 1) * ROWS;
    let mut heap = BinaryHeap::with_capacity(ROWS + 1);
    let mut total = 0;
    for row in rows {
        total += 1;
        heap.push(Reverse(Placed { key: key(&row), row }));
        if heap.len() > kept {
            heap.pop();
        }
    }
    let sorted = heap.into_sorted_vec();
    let rows = sorted.into_iter().skip(page * ROWS).map(|Reverse(placed)| placed.row).collect();
    (rows, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_in_a_row_have_all_rows_in_order() {
        let rows: Vec<u32> = (0..175).map(|n| n * 97 % 175).collect();
        let mut seen = Vec::new();
        for at in 0..4 {
            let (shown, total) = page(rows.iter().copied(), at, |row| *row);
            assert_eq!((total, shown.len()), (175, if at < 3 { ROWS } else { 25 }));
            seen.extend(shown);
        }
        assert_eq!(seen, (0..175).rev().collect::<Vec<_>>());
        assert!(page(rows.iter().copied(), usize::MAX, |row| *row).0.is_empty());
    }
}
