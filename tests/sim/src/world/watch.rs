//! Looks at a replica after every step at its broker, and tells the oracle what changed.

use drave_protocol::ids::Offset;

use crate::history::Fact;

use drave::replica::solo::View;

use super::World;
use super::leading::batches_of;
use super::node_id;

impl World {
    pub(crate) fn watch(&mut self, broker: usize) {
        self.look_for_beginning(broker);
        let node = node_id(broker);
        let Some(process) = self.process(broker) else {
            return;
        };
        let Some(view) = process.solo.view() else {
            return;
        };
        let before = process.view;
        if before == Some(view) {
            return;
        }
        process.view = Some(view);
        let (n_opened, _) = process.solo.n_opened();
        let is_reopened = n_opened > process.n_opened_seen && process.n_opened_seen > 0;
        process.n_opened_seen = n_opened;
        if is_reopened && self.brokers[broker].is_known {
            let may_lose = false;
            self.tell(&Fact::Stopped { node, may_lose });
            self.brokers[broker].is_known = false;
        }
        let Some(process) = self.process(broker) else {
            return;
        };
        process.has_moved |= before.is_none_or(|it| {
            it.log_end_offset != view.log_end_offset
                || it.leads != view.leads
                || it.leader_epoch != view.leader_epoch
                || it.is_offline != view.is_offline
                || it.log_start_offset != view.log_start_offset
        });
        if !self.brokers[broker].is_known {
            self.opened(broker, view.log_start_offset);
        }
        let starts = |it: View| {
            (
                it.log_start_offset,
                it.noted_log_start,
                it.first_segment_offset,
            )
        };
        if before.map(starts) != Some(starts(view)) {
            let (to, noted, origin) = starts(view);
            self.tell(&Fact::LogStart {
                node,
                to,
                noted,
                origin,
            });
        }
        self.log_moved(broker, &view);
        if before.map(|it| it.recovery_point) != Some(view.recovery_point) {
            let upto = view.recovery_point;
            self.tell(&Fact::Synced { node, upto });
        }
        let led_before = before.is_some_and(|it| it.leads && it.leader_epoch == view.leader_epoch);
        if view.leads && !led_before {
            self.tally.elections += 1;
            let leader_epoch = view.leader_epoch;
            self.tell(&Fact::TookLead { node, leader_epoch });
        }
        let marked = before.map(|it| (it.high_watermark, it.leads));
        if marked != Some((view.high_watermark, view.leads)) && !view.is_offline {
            self.tell(&Fact::HighWatermark {
                node,
                leads: view.leads,
                partition_epoch: view.partition_epoch,
                to: view.high_watermark,
            });
        }
    }

    /// Whether it deleted its log, or began it anew; also where that broke off.
    pub(crate) fn look_for_beginning(&mut self, broker: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        let n_given_up = process.solo.n_given_up();
        if n_given_up > process.n_given_up_seen {
            process.n_given_up_seen = n_given_up;
            process.view = None;
            let node = node_id(broker);
            self.tell(&Fact::GivenUp { node });
            self.brokers[broker].is_known = false;
        }
        let Some(process) = self.process(broker) else {
            return;
        };
        let (_, n_begun_anew) = process.solo.n_opened();
        if n_begun_anew > process.n_begun_anew_seen {
            process.n_begun_anew_seen = n_begun_anew;
            self.lost_log = self.lost_log.filter(|it| *it != broker);
            let node = node_id(broker);
            self.tell(&Fact::BegunAnew { node });
            self.brokers[broker].is_known = false;
        }
    }

    fn opened(&mut self, broker: usize, start: Offset) {
        let node = node_id(broker);
        let Some(process) = self.process(broker) else {
            return;
        };
        let batches = batches_of(&process.solo.records_from(Offset::ZERO));
        let entries = process.solo.leader_epochs();
        self.brokers[broker].seen.clone_from(&batches);
        self.brokers[broker].is_known = true;
        self.tell(&Fact::Opened {
            node,
            start,
            batches,
        });
        self.tell(&Fact::Epochs { node, entries });
    }

    /// Batches come, or are cut off; what was let go of is not looked at.
    fn log_moved(&mut self, broker: usize, view: &View) {
        let node = node_id(broker);
        let (start, end) = (view.log_start_offset, view.log_end_offset);
        let seen = &mut self.brokers[broker].seen;
        seen.retain(|it| it.last >= start);
        let known_end = seen.last().map_or(start, |it| it.last + 1);
        if end < known_end {
            seen.retain(|it| it.last < end);
            self.tell(&Fact::Truncated { node, to: end });
            let entries = self.process(broker).map(|it| it.solo.leader_epochs());
            let entries = entries.unwrap_or_default();
            self.tell(&Fact::Epochs { node, entries });
        } else if end > known_end {
            let records = self
                .process(broker)
                .map(|it| it.solo.records_from(known_end))
                .unwrap_or_default();
            for batch in batches_of(&records) {
                self.brokers[broker].seen.push(batch);
                self.tell(&Fact::Stored { node, batch });
            }
        }
    }
}
