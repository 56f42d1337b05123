//! One conversation, as the ledger and its events tell it.

use std::{collections::BTreeMap, fmt::Write as _};

use throughline_workflows::{
    conversation::{DeliveryStatus, Event, Purpose, Status},
    ids::MessageId,
    message::Channel,
    resolution,
    time::{Span, Timestamp},
};

use super::{
    super::{
        script::{Customer, Kind},
        simulation::{History, Told},
        world::Accepted,
    },
    MINUTE,
};

/// A message to the customer, as it was recorded.
pub(super) struct Queued {
    pub(super) at: Timestamp,
    /// When its words were first written.
    pub(super) written_at: Timestamp,
    pub(super) purpose: Purpose,
    pub(super) replaces: Option<MessageId>,
    pub(super) promises: Option<Timestamp>,
}

/// One conversation.
pub(super) struct Case<'h> {
    pub(super) history: &'h History,
    pub(super) index: usize,
    pub(super) told: &'h Told,
    /// What the customer heard, in order.
    pub(super) accepted: Vec<&'h Accepted>,
    pub(super) queued: BTreeMap<MessageId, Queued>,
    statuses: Vec<(Timestamp, Status)>,
    /// When the customer wrote themselves, by receipt; and when that was recorded.
    asked: Vec<(Timestamp, Timestamp)>,
}

impl<'h> Case<'h> {
    pub(super) fn new(history: &'h History, index: usize, told: &'h Told) -> Self {
        let mut accepted: Vec<_> = history.accepted.iter().filter(|one| one.customer == index).collect();
        accepted.sort_by_key(|one| one.at);
        let mut case = Self {
            history,
            index,
            told,
            accepted,
            queued: BTreeMap::new(),
            statuses: Vec::new(),
            asked: Vec::new(),
        };
        for recorded in &told.events {
            match &recorded.event {
                Event::Opened { at, .. } => case.statuses.push((*at, Status::Open)),
                Event::StateChanged { at, to, .. } => case.statuses.push((*at, *to)),
                Event::MessageReceived { at, message, .. } if !message.automatic => {
                    case.asked.push((message.received_at, *at));
                }
                Event::MessageQueued { at, message, purpose, replaces, promises, .. } => {
                    let before = replaces.and_then(|id| case.queued.get(&id));
                    let written_at = before.map_or(*at, |before| before.written_at);
                    let (at, purpose, replaces, promises) = (*at, *purpose, *replaces, *promises);
                    case.queued
                        .insert(message.message_id, Queued { at, written_at, purpose, replaces, promises });
                }
                _ => {}
            }
        }
        case
    }

    pub(super) fn customer(&self) -> &'h Customer {
        &self.history.world.script.customers[self.index]
    }

    /// How long a message may take that must get through: a minute for each channel that could fail.
    pub(super) fn patience(&self) -> Span {
        Span::from_millis(MINUTE.as_millis() * self.customer().channels.len() as u64)
    }

    /// Whether some channel takes what is sent to the customer all the time.
    pub(super) fn reaches(&self, without: Option<&Channel>, from: Timestamp, to: Timestamp) -> bool {
        self.customer().kind != Kind::NoReply
            && self.history.world.script.reaches(self.customer(), without, from, to)
    }

    pub(super) fn status_at(&self, at: Timestamp) -> Option<Status> {
        self.statuses.iter().rev().find(|(since, _)| *since <= at).map(|(_, status)| *status)
    }

    /// Whether it is our turn at `at`: by the status, or because our answer has not reached the customer.
    pub(super) fn waits_at(&self, at: Timestamp) -> bool {
        let Some(status) = self.status_at(at) else { return false };
        self.counts_at(at)
            && (status.waits_for_us() || (status == Status::AwaitingCustomer && self.unanswered_at(at)))
    }

    /// Whether the customer waits at `at`, did just before, or did in between.
    pub(super) fn waits_around(&self, at: Timestamp) -> bool {
        let waited = |(since, status): &(Timestamp, Status)| *since == at && status.waits_for_us();
        self.waits_at(at) || self.waits_at(at - Span::from_millis(1)) || self.statuses.iter().any(waited)
    }

    /// Whether there is somebody to be silent to.
    fn counts_at(&self, at: Timestamp) -> bool {
        let asked = self.customer().kind == Kind::Person && self.asked.iter().any(|(_, taken)| *taken <= at);
        let written = self.told.events.iter().any(|recorded| {
            matches!(&recorded.event, Event::MessageQueued { at: queued, message, .. } if !message.automatic && *queued <= at)
        });
        asked || written
    }

    /// Whether the customer has written something since the conversation was last resolved that no words of a person
    /// answer which have arrived.
    fn unanswered_at(&self, at: Timestamp) -> bool {
        let resolved =
            self.statuses.iter().rev().find(|(since, status)| *status == Status::Resolved && *since <= at);
        let open_since = resolved.map_or(Timestamp::default(), |(since, _)| *since);
        let answers =
            self.accepted.iter().filter(|said| !said.automatic && !said.unheard && said.holds_at(at));
        let written = answers
            .filter_map(|said| self.queued.get(&said.message_id))
            .map(|queued| queued.written_at)
            .max();
        self.asked.iter().any(|(received, taken)| {
            *taken <= at && *received > open_since && written.is_none_or(|written| written < *received)
        })
    }

    /// The last that the customer had heard before `this`.
    pub(super) fn heard_before(&self, this: &Accepted) -> Option<&'h Accepted> {
        let earlier = self.accepted.iter().take_while(|said| said.provider_id != this.provider_id);
        earlier.filter(|said| !said.unheard && said.holds_at(this.at)).last().copied()
    }

    /// What the customer heard after `this`, or at once with it.
    pub(super) fn heard_after(&self, this: &Accepted) -> impl Iterator<Item = &'h Accepted> {
        let later = self.accepted.iter().skip_while(|said| said.provider_id != this.provider_id).skip(1);
        later.filter(|said| !said.unheard).copied()
    }

    /// The messages that `this` stands for, one after the other, as far as a channel took them.
    pub(super) fn replaced(&self, this: &Accepted) -> impl Iterator<Item = &'h Accepted> {
        let mut chain = Vec::new();
        let mut next = self.queued.get(&this.message_id).and_then(|queued| queued.replaces);
        while let Some(id) = next {
            chain.extend(self.accepted.iter().filter(|said| said.message_id == id).copied());
            next = self.queued.get(&id).and_then(|queued| queued.replaces);
        }
        chain.into_iter()
    }

    /// Whether a notice was written before `this`, after what the customer had heard, and no channel took it: whoever
    /// could not be told that there is a case hears of it as soon as they can be reached.
    pub(super) fn answers_a_lost_notice(&self, this: &Accepted) -> bool {
        let heard_at = self.heard_before(this).map(|said| said.at);
        let Some(said) = self.queued.get(&this.message_id) else { return false };
        self.queued.iter().any(|(id, queued)| {
            let notice = matches!(
                queued.purpose,
                Purpose::Acknowledgement | Purpose::Escalation | Purpose::WindowMissed
            );
            let heard = |accepted: &&&Accepted| accepted.message_id == *id && !accepted.unheard;
            let lost = !self.accepted.iter().find(heard).is_some_and(|accepted| accepted.holds_at(this.at));
            notice && lost && queued.at <= said.at && Some(queued.at) >= heard_at
        })
    }

    /// Whether two acceptances came close together because each was under way when the other was asked for, which no
    /// engine can take back: the process died in between, or a channel came back in the very moment in which the next
    /// message took the place of the one before.
    pub(super) fn is_raced(&self, first: &Accepted, second: &Accepted) -> bool {
        let patience = self.patience();
        let came_back =
            self.history.downs.iter().any(|(_, up)| *up <= second.at && second.at.since(*up) <= patience);
        let superseded = self.told.events.iter().any(|recorded| {
            matches!(&recorded.event, Event::DeliveryChanged { at, message_id, status: DeliveryStatus::Superseded, .. }
                if *at == first.at && *message_id == first.message_id)
        });
        let asked_at = self.queued.get(&second.message_id).map_or(second.at, |queued| queued.at);
        (second.at.since(first.at) <= patience && came_back)
            || (superseded && asked_at <= first.at + patience)
    }

    /// Whether the process was down at some time within.
    pub(super) fn was_down(&self, from: Timestamp, to: Timestamp) -> bool {
        self.history.downs.iter().any(|(down, up)| *down <= to && from <= *up)
    }

    /// How often a window passed unmet.
    pub(super) fn windows_passed(&self) -> usize {
        let passed = |event: &resolution::Event| matches!(event, resolution::Event::WindowPassed { .. });
        self.told.cases.iter().flatten().filter(|recorded| passed(&recorded.event)).count()
    }

    /// All the moments at which something changes for the customer's waiting.
    pub(super) fn moments(&self) -> Vec<Timestamp> {
        let mut moments: Vec<_> = self.statuses.iter().map(|(at, _)| *at).collect();
        moments.extend(self.asked.iter().map(|(_, at)| *at));
        moments.extend(self.accepted.iter().filter(|said| !said.unheard).map(|said| said.at));
        moments.extend(self.accepted.iter().filter_map(|said| said.bounced_at));
        moments.extend(self.queued.values().map(|queued| queued.at));
        moments.push(self.history.ended_at);
        moments.sort();
        moments.dedup();
        moments
    }

    /// When the customer wrote what was recorded at `at`.
    pub(super) fn received(&self, at: Timestamp) -> Option<Timestamp> {
        self.asked.iter().filter(|(_, taken)| *taken == at).map(|(received, _)| *received).min()
    }

    /// What happened, a line each.
    pub(super) fn story(&self) -> String {
        let mut lines: Vec<(Timestamp, String)> = Vec::new();
        for recorded in &self.told.events {
            let line = match &recorded.event {
                Event::StateChanged { from, to, by, .. } => format!("{from} -> {to} ({by})"),
                Event::MessageReceived { message, .. } => format!("received by {}", message.channel),
                Event::MessageQueued { message, purpose, why, promises, replaces, fallback_at, .. } => {
                    format!(
                        "queued {} {purpose} by {} ({why}) promises {promises:?} replaces {replaces:?} next {fallback_at:?}: {}",
                        message.message_id, message.channel, message.text
                    )
                }
                Event::ClocksChanged { .. }
                | Event::SlaWarned { .. }
                | Event::SlaBreached { .. }
                | Event::Reminded { .. } => continue,
                Event::DeliveryChanged { message_id, status, .. } => {
                    format!("delivery {message_id} {status}")
                }
                Event::CaseKnown { facts, .. } => {
                    format!("case {} window {:?} missed {:?}", facts.status, facts.window, facts.missed)
                }
                other => format!("{other:?}").chars().take(220).collect(),
            };
            lines.push((recorded.at, line));
        }
        for said in &self.accepted {
            let by = if said.automatic { "machine" } else { "person" };
            let line = format!(
                "== {} took {} of the {by}'s{}; bounced {:?}",
                said.channel,
                said.message_id,
                if said.unheard { ", unheard" } else { "" },
                said.bounced_at
            );
            lines.push((said.at, line));
        }
        for (down, up) in &self.history.downs {
            lines.push((*down, format!("-- down until {up}")));
        }
        for outage in &self.history.world.script.outages {
            if self.customer().channels.contains_key(&outage.channel) {
                lines.push((outage.from, format!("-- {} fails until {}", outage.channel, outage.to)));
            }
        }
        for (channel, from) in &self.customer().refused {
            lines.push((*from, format!("-- {channel} refuses from now on")));
        }
        lines.sort_by_key(|(at, _)| *at);
        let mut story = format!("  {:?}\n", self.customer());
        for (at, line) in lines {
            let _ = writeln!(story, "  {at} {line}");
        }
        story
    }
}
