//! Contenders do the same work in turns of a few milliseconds, so that what disturbs one disturbs all.
//!
//! A round begins everybody anew and adds up everybody's turns; of the rounds the median counts. A ratio
//! is taken round by round: the first contender's time by this one's, so 1 is as quick as the first, and
//! the range says how far to believe it. The last ratio is that of the processor's time of the thread whose turn
//! it is: without what it waits for.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// One turn of the work.
pub(crate) type Turn<'a> = Box<dyn FnMut() + 'a>;

pub(crate) struct Contender<'a> {
    name: &'a str,
    begin: Box<dyn FnMut() -> Turn<'a> + 'a>,
}

impl<'a> Contender<'a> {
    /// `begin` makes ready for a round, and is not timed; nor is dropping what it gives.
    pub(crate) fn new(name: &'a str, begin: impl FnMut() -> Turn<'a> + 'a) -> Self {
        Self {
            name,
            begin: Box::new(begin),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Length {
    pub(crate) n_rounds: usize,
    pub(crate) n_turns: usize,
    pub(crate) bytes_per_turn: usize,
}

/// Prints a line for each contender.
pub(crate) fn run(title: &str, length: Length, mut contenders: Vec<Contender<'_>>) {
    let (mut rounds, mut rounds_on_cpu) = (Vec::new(), Vec::new());
    for n_round in 0..length.n_rounds {
        let mut turns: Vec<Turn<'_>> = contenders.iter_mut().map(|it| (it.begin)()).collect();
        let mut spent = vec![Duration::ZERO; turns.len()];
        let mut on_cpu = spent.clone();
        for n_turn in 0..length.n_turns {
            for at in 0..turns.len() {
                let who = (at + n_turn + n_round) % turns.len();
                let (began, began_on_cpu) = (Instant::now(), on_cpu_so_far());
                turns[who]();
                spent[who] += began.elapsed();
                on_cpu[who] += on_cpu_so_far().saturating_sub(began_on_cpu);
            }
        }
        rounds.push(spent);
        rounds_on_cpu.push(on_cpu);
    }
    println!("  {title}");
    let bytes = (length.n_turns * length.bytes_per_turn) as f64;
    for (at, contender) in contenders.iter().enumerate() {
        let mut rates = of_rounds(&rounds, |spent| bytes / 1e6 / spent[at].as_secs_f64());
        let ratio = |spent: &[Duration]| spent[0].as_secs_f64() / spent[at].as_secs_f64();
        let mut ratios = of_rounds(&rounds, ratio);
        let on_cpu = median(&mut of_rounds(&rounds_on_cpu, ratio));
        let (name, rate, ratio) = (contender.name, median(&mut rates), median(&mut ratios));
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        println!(
            "    {name:<28} {rate:>9.0} MB/s   {ratio:.2} ({low:.2}..{high:.2})   cpu {on_cpu:.2}"
        );
    }
}

fn on_cpu_so_far() -> Duration {
    // The kernel adds up when it schedules.
    thread::yield_now();
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let on_cpu = stat.split_whitespace().next().unwrap();
    Duration::from_nanos(on_cpu.parse().unwrap())
}

fn of_rounds(rounds: &[Vec<Duration>], what: impl Fn(&[Duration]) -> f64) -> Vec<f64> {
    rounds.iter().map(|it| what(it)).collect()
}

/// Also sorts them.
pub(crate) fn median(of: &mut [f64]) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of[of.len() / 2]
}
