//! The moment something went wrong: what may be there, and whether it is.

use crate::life::{Living, Model, Stored};

/// A model before and after the operation in which it happened; the same when it was in none.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) before: Model,
    pub(crate) after: Model,
}

impl Moment {
    pub(crate) fn quiet(model: Model) -> Self {
        Self {
            before: model.clone(),
            after: model,
        }
    }

    /// Whether what `living` holds may be left of either: all that was durable, then some of the
    /// rest in order, nothing that was cut or deleted before.
    pub(crate) fn check(&self, living: &Living) -> Result<(), String> {
        let Self { before, after } = self;
        let found = living.contents()?;
        living.check_times(&found)?;
        if !is_left_of(&found, before) && !is_left_of(&found, after) {
            return Err(format!(
                "found {found:?}, which is left neither of {before:?} nor {after:?}"
            ));
        }
        // A reset that was under way may have got anywhere.
        if after.batches.is_empty() && after.start > before.start {
            return Ok(());
        }
        let start = living.log.log_start_offset().0;
        let end = living.log.log_end_offset().0;
        let durable = before.synced.min(after.synced);
        if end < durable {
            return Err(format!("the log ends at {end}, {durable} was durable"));
        }
        let started = before.start.max(after.start);
        let first_needed = started.max(before.noted_start).max(after.noted_start);
        if start > first_needed && durable > first_needed {
            return Err(format!(
                "the log starts at {start}, {first_needed} was readable"
            ));
        }
        Ok(())
    }

    /// The model of what `living` holds now, after [`Self::check`] found nothing wrong.
    pub(crate) fn settled(&self, living: &Living) -> Result<Model, String> {
        let found = living.contents()?;
        let (start, end) = (
            living.log.log_start_offset().0,
            living.log.log_end_offset().0,
        );
        let holds = |it: &&&Model| is_left_of(&found, it);
        let all = [&self.after, &self.before];
        let mut model = (*all.iter().find(holds).ok_or("nobody foresaw this")?).clone();
        model.batches.retain(|it| it.next <= end);
        // What was deleted before it was durable may be unknown to the log: then so is who wrote it.
        let (known, synced) = (living.log.producer_states().last_records(), model.synced);
        let unknown = model.batches.iter().filter(|it| {
            let last = known.get(&it.header().producer_id).and_then(|it| it.offset);
            let is_known = last.is_some_and(|last| last.0 >= it.base);
            it.next > synced && it.next <= start && !is_known
        });
        let unknown: Vec<i64> = unknown.map(|it| it.base).collect();
        model.forgotten.extend(unknown);
        model.start = start;
        model.end = end;
        model.synced = living.log.recovery_point().0;
        model.take_over(&self.before, &self.after);
        Ok(model)
    }
}

/// Whether `found` may be what is left of `model`: a run of its batches, then some that were cut off
/// and came back.
fn is_left_of(found: &[Stored], model: &Model) -> bool {
    let is_run = |found: &[Stored], of: &[Stored]| {
        let Some(first) = found.first() else {
            return true;
        };
        let there = of.iter().position(|it| it == first);
        there.is_some_and(|at| of[at..].starts_with(found))
    };
    (0..=found.len()).any(|n_kept| {
        let (kept, back) = found.split_at(n_kept);
        let are_new = back.first().is_none_or(|it| it.base >= model.synced);
        are_new && is_run(kept, &model.batches) && is_run(back, &model.ghosts)
    })
}
