//! Which neighbouring segments become one: compaction would otherwise leave ever smaller ones. Pure.

use drave_protocol::ids::Offset;

/// What a segment adds to the one it goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) size: u64,
    pub(crate) index_size: u64,
}

/// Bounds of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) size: u64,
    pub(crate) index_size: u64,
}

/// How many of `segments` make the first group: the first one always, whatever its size.
pub(crate) fn first_group(segments: &[Weight], bounds: Bounds) -> usize {
    let Some(first) = segments.first() else {
        return 0;
    };
    let (mut size, mut index_size) = (0_u64, 0_u64);
    let mut fits = |segment: &Weight| {
        size = size.saturating_add(segment.size);
        index_size = index_size.saturating_add(segment.index_size);
        // Offsets in an index are 31 bits, relative to the segment's first.
        let span = segment.next_offset - first.base_offset;
        size <= bounds.size && index_size <= bounds.index_size && span <= i64::from(i32::MAX)
    };
    segments.iter().take_while(|it| fits(it)).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        size: 100,
        index_size: 10,
    };

    fn weights(rows: &[(i64, u64, u64)]) -> Vec<Weight> {
        let mut base_offset = Offset(0);
        let weight = |&(span, size, index_size): &(i64, u64, u64)| {
            let next_offset = base_offset + span;
            let weight = Weight {
                base_offset,
                next_offset,
                size,
                index_size,
            };
            base_offset = next_offset;
            weight
        };
        rows.iter().map(weight).collect()
    }

    #[test]
    fn segments_join_until_one_bound_is_met() {
        let huge = i64::from(i32::MAX);
        for (rows, n) in [
            (vec![], 0),
            (vec![(10, 40, 1), (10, 60, 1), (10, 1, 1)], 2),
            (vec![(10, 40, 5), (10, 10, 5), (10, 0, 1)], 2),
            (vec![(10, 0, 0), (10, 0, 0), (10, 0, 0)], 3),
            (vec![(huge, 1, 1), (1, 1, 1)], 1),
            (vec![(huge - 1, 1, 1), (1, 1, 1)], 2),
            (vec![(10, 400, 90), (10, 1, 1)], 1),
        ] {
            assert_eq!(first_group(&weights(&rows), BOUNDS), n, "{rows:?}");
        }
    }
}
