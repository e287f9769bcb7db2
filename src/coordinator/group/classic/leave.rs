//! Leaving, one or many at once, by member or by instance.

use super::members::ClassicGroup;
use crate::coordinator::decision::{Decision, TimerChange};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::context::Context;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaver {
    /// Empty: whoever is the instance.
    pub member_id: String,
    pub instance_id: Option<String>,
    pub reason: Option<String>,
}

impl ClassicGroup {
    pub fn leave(
        &mut self,
        leaver: &Leaver,
        cx: &Context,
        out: &mut Decision<()>,
    ) -> Result<(), GroupError> {
        let id = match &leaver.instance_id {
            Some(instance) if leaver.member_id.is_empty() => {
                let holder = self.static_members.get(instance).cloned();
                holder.ok_or_else(|| self.unknown(instance))?
            }
            _ => leaver.member_id.clone(),
        };
        if leaver.instance_id.is_none() && self.pending_members.remove(&id) {
            let key = self.timer_of(&id);
            out.timers.push(TimerChange::Cancel { key });
            self.complete_join_if_all_came(cx, out);
            return Ok(());
        }
        self.known(&id, leaver.instance_id.as_deref())?;
        self.remove(&id, cx, out);
        Ok(())
    }
}
