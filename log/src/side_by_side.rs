//! The same work on many things at once, where each of them waits for the disk.
//!
//! For opening logs above all: most of it is waiting for syncs, and those that several threads wait for
//! share one commit of the file system's journal. Whoever calls waits until all is done.

use std::panic;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// More gain nothing: by then the disk is what is waited for.
const THREADS_MAX: usize = 16;

/// What `work` makes of each of `items`, in their order.
///
/// # Panics
/// When `work` does.
pub fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let n_threads = THREADS_MAX.min(items.len());
    if n_threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    let waiting = Mutex::new(items.into_iter().enumerate());
    let take = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    };
    let work_on = || {
        let mut done = Vec::new();
        while let Some((place, item)) = take() {
            done.push((place, work(item)));
        }
        done
    };
    let mut done = Vec::new();
    thread::scope(|scope| {
        let spawn = |_| {
            let thread = thread::Builder::new().name("side-by-side".to_owned());
            // Where no thread is to be had, those there are do its part.
            thread.spawn_scoped(scope, work_on).ok()
        };
        let others: Vec<_> = (1..n_threads).filter_map(spawn).collect();
        done = work_on();
        for other in others {
            let of_other = other.join();
            done.extend(of_other.unwrap_or_else(|panicked| panic::resume_unwind(panicked)));
        }
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let doubled = map((0..1_000).collect(), |it: usize| it * 2);
        assert_eq!(doubled, (0..1_000).map(|it| it * 2).collect::<Vec<_>>());
        assert_eq!(map(Vec::<u8>::new(), |it| it), [0_u8; 0]);
    }

    #[test]
    fn those_that_wait_wait_together() {
        let all = Barrier::new(THREADS_MAX);
        map(vec![(); THREADS_MAX], |()| {
            all.wait();
        });
    }
}
