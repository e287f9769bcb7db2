//! A broker's calls to the controller beside its heartbeats: ISR changes and replicas it cannot use.
//! One at a time, with a deadline; an answer counts once the broker's own image shows it.

use std::sync::Arc;

use drave::cluster::rpc::{PeerReply, PeerRequest, PeerResponse};
use drave::replica::solo::Proposed;
use drave_protocol::ids::MetadataOffset;
use drave_raft::ConnectionId;

use super::World;
use super::event::{Altered, Event, Over, ToBroker, ToController};
use super::network::{CONTROLLER, place};

const DEADLINE_US: u64 = 2_000_000;
const RETRY_AFTER_US: u64 = 50_000;

pub(crate) enum Link {
    Calling {
        call: u64,
        what: Calling,
    },
    /// Answered, and waiting for the image to show it.
    Seeing {
        call: u64,
        applied: MetadataOffset,
        proposed: Proposed,
        answers: Altered,
    },
    Resting {
        again: Option<Proposed>,
    },
}

impl Link {
    /// Whether this call is still under way.
    pub(crate) fn is_of(&self, asked: u64) -> bool {
        match self {
            Self::Calling { call, .. } | Self::Seeing { call, .. } => *call == asked,
            Self::Resting { .. } => false,
        }
    }
}

pub(crate) enum Calling {
    Alter(Proposed),
    Report,
}

impl World {
    pub(crate) fn call_controller(&mut self, broker: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        if process.link.is_some() {
            return;
        }
        let applied = process.applied;
        let call = process.solo.proposals().map(|(proposed, request)| {
            let what = Calling::Alter(proposed);
            (what, PeerRequest::AlterPartition(request))
        });
        let image = Arc::clone(self.quorum.image(applied));
        let Some(process) = self.process(broker) else {
            return;
        };
        let report = || {
            let report = process.solo.offline_report(&image)?;
            Some((Calling::Report, PeerRequest::ReportOffline(report)))
        };
        if let Some((what, request)) = call.or_else(report) {
            self.call(broker, what, request);
        }
    }

    fn call(&mut self, broker: usize, what: Calling, request: PeerRequest) {
        let call = self.id();
        let Some(life) = self.life(broker) else {
            return;
        };
        let Some(process) = self.process(broker) else {
            return;
        };
        process.link = Some(Link::Calling { call, what });
        if let Some(reign) = process.controller {
            let what = ToController::Asked {
                from: broker,
                life,
                connection: ConnectionId(call),
                over: Over::Link { call },
                request,
            };
            let event = Event::Controller { reign, what };
            self.send((place(broker), CONTROLLER), 0, event);
        }
        let what = ToBroker::LinkTimeout { call };
        self.after(DEADLINE_US, Event::Broker { broker, life, what });
    }

    pub(crate) fn link_answer(&mut self, broker: usize, call: u64, reply: PeerReply) {
        let Some(process) = self.process(broker) else {
            return;
        };
        let what = match process.link.take() {
            Some(Link::Calling { call: open, what }) if open == call => what,
            other => {
                process.link = other;
                return;
            }
        };
        match (what, reply.response) {
            (Calling::Alter(proposed), PeerResponse::AlterPartition(Ok(answers))) => {
                process.link = Some(Link::Seeing {
                    call,
                    applied: reply.applied,
                    proposed,
                    answers,
                });
                self.link_sees(broker);
            }
            (Calling::Alter(proposed), _) => self.rest_link(broker, Some(proposed)),
            (Calling::Report, _) => self.rest_link(broker, None),
        }
    }

    /// An answer is handed over when the image shows what it speaks of.
    pub(crate) fn link_sees(&mut self, broker: usize) {
        let now = self.instant(broker + 1);
        let Some(process) = self.process(broker) else {
            return;
        };
        let is_seen = |it: &Link| matches!(it, Link::Seeing { applied, .. } if applied.0 <= process.applied as u64);
        if !process.link.as_ref().is_some_and(is_seen) {
            return;
        }
        if let Some(Link::Seeing {
            proposed, answers, ..
        }) = process.link.take()
            && let Some(again) = process.solo.decided(proposed, &answers, now)
        {
            self.rest_link(broker, Some(again));
        }
    }

    pub(crate) fn link_timeout(&mut self, broker: usize, timed_out: u64) {
        let Some(process) = self.process(broker) else {
            return;
        };
        let again = match process.link.take() {
            Some(Link::Calling { call, what }) if call == timed_out => match what {
                Calling::Alter(proposed) => Some(proposed),
                Calling::Report => None,
            },
            Some(Link::Seeing { call, proposed, .. }) if call == timed_out => Some(proposed),
            other => {
                process.link = other;
                return;
            }
        };
        self.rest_link(broker, again);
    }

    fn rest_link(&mut self, broker: usize, again: Option<Proposed>) {
        let Some(life) = self.life(broker) else {
            return;
        };
        if let Some(process) = self.process(broker) {
            process.link = Some(Link::Resting { again });
        }
        let what = ToBroker::LinkRetry;
        self.after(RETRY_AFTER_US, Event::Broker { broker, life, what });
    }

    pub(crate) fn link_retry(&mut self, broker: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        match process.link.take() {
            Some(Link::Resting { again }) => {
                if let Some(again) = again {
                    process.solo.propose_again(again);
                }
            }
            other => process.link = other,
        }
    }
}
