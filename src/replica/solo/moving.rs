//! A replica that is held here no longer.

use tracing::error;

use super::Solo;

impl Solo {
    /// What the pass from image to roles does where the replica is taken away; the first one that knows all that was
    /// agreed before this process also deletes what an earlier one left.
    pub(super) fn give_up(&mut self, is_first_current: bool) {
        let (id, name) = (self.settings.id, self.settings.name.clone());
        if let Some(partition) = self.partition.take() {
            self.n_given_up += 1;
            self.doomed.extend(partition.retire());
            self.homes.forget(id, &name);
        } else if self.unopened.take().is_some() || is_first_current {
            self.n_given_up += 1;
            let home = self.home();
            if home.failure().is_none()
                && let Err(error) = home.delete(&name)
            {
                error!(partition = %name, %error, "its files could not be removed");
            }
            self.homes.forget(id, &name);
        }
    }

    /// Removes the folders of what was given up; a node does it beside everything else.
    pub fn remove_doomed(&mut self) {
        let doomed = std::mem::take(&mut self.doomed);
        if !doomed.is_empty()
            && let Err(error) = self.home().dir.remove_doomed(&doomed)
        {
            // The next start sweeps them away.
            error!(%error, "deleted logs could not be removed");
        }
    }

    /// How often this process deleted a log, or tried.
    pub fn n_given_up(&self) -> u64 {
        self.n_given_up
    }
}
