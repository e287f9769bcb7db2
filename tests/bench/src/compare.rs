//! Medians and ratios.

use crate::load::{Aim, Figure, Load};
use crate::sample::Samples;
use crate::system::System;

/// One figure of one load: drave without fsync and with, Kafka, and the ratios.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) load: &'static Load,
    pub(crate) figure: Figure,
    pub(crate) medians: [Option<f64>; 3],
    /// Of the rounds' ratios, drave without fsync by Kafka: median, smallest, largest.
    pub(crate) ratio: Option<[f64; 3]>,
    /// The same with fsync.
    pub(crate) ratio_synced: Option<[f64; 3]>,
    pub(crate) aim: Option<f64>,
}

impl Row {
    pub(crate) fn is_met(&self) -> Option<bool> {
        let (aim, [ratio, ..]) = (self.aim?, self.ratio?);
        Some(if self.figure.is_gain() {
            ratio >= aim
        } else {
            ratio <= aim
        })
    }
}

pub(crate) fn rows(load: &'static Load, samples: &Samples) -> Vec<Row> {
    let figures = [
        Figure::ReadySeconds,
        Figure::MbPerSecond,
        Figure::RequestsPerSecond,
        Figure::CpuSecondsPerGb,
        Figure::MachineCpuSecondsPerGb,
        Figure::P99Ms,
        Figure::P999Ms,
        Figure::RssMb,
        Figure::RssAddedMb,
        Figure::CreateSeconds,
        Figure::RestartSeconds,
    ];
    let of = |figure| System::ALL.map(|system| samples.of(load.name, system, figure));
    let row = |figure| {
        let [plain, synced, kafka] = of(figure);
        let aim = load.aims.iter().find(|it: &&Aim| it.figure == figure);
        Row {
            load,
            figure,
            ratio: ratio(&plain, &kafka),
            ratio_synced: ratio(&synced, &kafka),
            medians: [plain, synced, kafka].map(median),
            aim: aim.map(|it| it.ratio),
        }
    };
    let is_there = |row: &Row| row.medians.iter().any(Option::is_some);
    figures.into_iter().map(row).filter(is_there).collect()
}

/// Round by round, so that what slows one round down slows both sides of its ratio.
fn ratio(ours: &[f64], theirs: &[f64]) -> Option<[f64; 3]> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    let least = ratios.iter().copied().reduce(f64::min)?;
    let most = ratios.iter().copied().reduce(f64::max)?;
    Some([median(ratios)?, least, most])
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine that got half as fast between the rounds changes neither ratio.
        assert_eq!(
            ratio(&[200.0, 100.0], &[100.0, 50.0]),
            Some([2.0, 2.0, 2.0])
        );
        assert_eq!(ratio(&[], &[1.0]), None);
    }
}
