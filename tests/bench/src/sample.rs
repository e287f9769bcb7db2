//! What was measured, by load, system and round.

use std::collections::BTreeMap;

use crate::load::Figure;
use crate::system::System;

/// One load's figures in one round.
pub(crate) type Sample = BTreeMap<Figure, f64>;

#[derive(Debug, Default)]
pub(crate) struct Samples {
    by_load: BTreeMap<(&'static str, System), Vec<Sample>>,
}

impl Samples {
    pub(crate) fn add(&mut self, load: &'static str, system: System, sample: Sample) {
        self.by_load.entry((load, system)).or_default().push(sample);
    }

    /// This figure in every round that has it.
    pub(crate) fn of(&self, load: &'static str, system: System, figure: Figure) -> Vec<f64> {
        let rounds = self.by_load.get(&(load, system)).into_iter().flatten();
        rounds.filter_map(|it| it.get(&figure).copied()).collect()
    }

    pub(crate) fn n_rounds(&self) -> usize {
        self.by_load.values().map(Vec::len).max().unwrap_or(0)
    }
}
