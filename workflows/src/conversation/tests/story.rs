//! A conversation over hours and days: commands are given, timers fire in order, and channels take messages, refuse
//! them, or say nothing.

use std::collections::BTreeMap;

use super::fixtures::*;
use crate::{
    activity::ConversationActivity,
    conversation::{
        Command, Conversation, Delivery, Event, Facts, NewMessage, Opening, Purpose, Rejection, State,
        case::{CaseOrder, EscalationRequest},
        clocks::Clocks,
        silence::{self, SilenceClock},
        standing::Standing,
    },
    ids::{CaseId, MessageId, ResolutionId},
    message::{Address, Channel, Inbound, Outbound},
    policy::{Policies, Policy},
    scenario::{id, moment, person},
    sla::{Clock, ClockKind},
    time::Timestamp,
    words::{IssueType, Severity},
    workflow::{ActivityError, By, Context, Workflow as _},
};

/// How a channel behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It takes every message at once.
    Good,
    /// It refuses every message at once.
    Refuses,
    /// Nothing is heard of what it was given.
    Silent,
    /// It says that it does not know.
    Unsure,
}

/// What has happened so far.
pub(super) struct Story {
    pub(super) state: State,
    pub(super) events: Vec<Event>,
    pub(super) sent: Vec<Outbound>,
    pub(super) orders: Vec<CaseOrder>,
    pub(super) policies: Policies,
    pub(super) now: Timestamp,
    lines: BTreeMap<Channel, Line>,
    keeps_recalls: bool,
    questions: u64,
}

/// A moment `days` after the day of all tests.
pub(super) fn on_day(days: u32, time: &str) -> Timestamp {
    moment(&format!("2026-03-{:02}T{time}:00Z", 2 + days))
}

impl Story {
    /// Ada writes an SMS at nine on a Monday, and it is taken at once.
    pub(super) fn begin() -> Self {
        Self::begin_under(Policy::default(), None)
    }

    pub(super) fn begin_under(policy: Policy, standing: Option<Standing>) -> Self {
        let mut story = Self::empty(policy);
        story.open(sms(1), standing);
        story
    }

    pub(super) fn empty(policy: Policy) -> Self {
        Self {
            state: State::default(),
            events: Vec::new(),
            sent: Vec::new(),
            orders: Vec::new(),
            policies: Policies::only(policy),
            now: moment("09:00"),
            lines: BTreeMap::new(),
            keeps_recalls: false,
            questions: 1,
        }
    }

    pub(super) fn open(&mut self, inbound: Inbound, standing: Option<Standing>) {
        let opening = Opening { standing: standing.map(Box::new), ..Opening::default() };
        let inbound = Box::new(Inbound { received_at: self.now, ..inbound });
        self.tell(Command::Receive {
            conversation_id: this(),
            inbound,
            customer: ada(),
            opening: Some(opening),
        });
    }

    /// Fires every timer due by `time`, in order, and goes there.
    pub(super) fn at(&mut self, time: &str) -> &mut Self {
        self.until(moment(time))
    }

    pub(super) fn until(&mut self, time: Timestamp) -> &mut Self {
        for _ in 0..2_000 {
            let next = Conversation::deadlines(&self.state).iter().min_by_key(|(_, due)| *due);
            let Some((deadline, due)) = next.filter(|(_, due)| *due <= time) else {
                assert!(self.now <= time, "the story goes forward");
                self.now = time;
                return self;
            };
            self.now = self.now.max(due);
            self.tell(Conversation::deadline_passed(deadline));
        }
        panic!("timers do not come to rest: {:?}", Conversation::deadlines(&self.state));
    }

    /// Goes to `time` without firing anything: the engine was down.
    pub(super) fn down_until(&mut self, time: Timestamp) -> &mut Self {
        self.now = time;
        self
    }

    pub(super) fn line(&mut self, channel: Channel, line: Line) -> &mut Self {
        self.lines.insert(channel, line);
        self
    }

    /// Words that are looked up are not found for the time being.
    pub(super) fn keep_recalls(&mut self) -> &mut Self {
        self.keeps_recalls = true;
        self
    }

    /// The engine gives a command.
    pub(super) fn tell(&mut self, command: Command) -> &mut Self {
        self.give(command, &By::engine()).unwrap();
        self
    }

    /// Grace gives a command.
    pub(super) fn grace(&mut self, command: Command) -> &mut Self {
        self.give(command, &person("Grace")).unwrap();
        self
    }

    pub(super) fn refused(&mut self, command: Command) -> Rejection {
        self.give(command, &person("Grace")).unwrap_err()
    }

    fn give(&mut self, command: Command, by: &By) -> Result<(), Rejection> {
        let cx = Context::new(self.now, &self.policies, by);
        let decision = Conversation::decide(&self.state, command.clone(), &cx)?;
        decision.events.iter().for_each(|event| Conversation::evolve(&mut self.state, event));
        let again = Conversation::decide(&self.state, command.clone(), &cx).unwrap();
        assert_eq!((again.events, again.activities), (Vec::new(), Vec::new()), "twice is once: {command:?}");
        self.events.extend(decision.events);
        for activity in decision.activities {
            self.perform(activity);
        }
        Ok(())
    }

    /// What a performer would do.
    fn perform(&mut self, activity: ConversationActivity) {
        if !Conversation::still_wanted(&self.state, &activity) {
            return;
        }
        match activity {
            ConversationActivity::Send(message) => {
                let message_id = message.message_id;
                let line = self.lines.get(&message.channel).copied().unwrap_or(Line::Good);
                self.sent.push(*message);
                match line {
                    Line::Good => self.accepted(message_id),
                    Line::Refuses => self.failed(message_id),
                    Line::Unsure => self.settled(message_id, Delivery::Uncertain { error: error() }),
                    Line::Silent => self,
                };
            }
            ConversationActivity::Recall { .. } if self.keeps_recalls => {}
            ConversationActivity::Recall { message_id } => {
                let written = self.events.iter().find_map(|event| match event {
                    Event::MessageQueued { message, by, .. } if message.message_id == message_id => {
                        Some((message.clone(), by.clone()))
                    }
                    _ => None,
                });
                let (original, by) = written.unwrap();
                self.tell(Command::Resend { original, by });
            }
            ConversationActivity::TellCase { order, .. } => self.orders.push(order),
        }
    }

    pub(super) fn settled(&mut self, message_id: MessageId, delivery: Delivery) -> &mut Self {
        self.tell(Command::RecordDelivery { message_id, delivery })
    }

    pub(super) fn accepted(&mut self, message_id: MessageId) -> &mut Self {
        let delivery =
            Delivery::Accepted { at: self.now, provider_message_id: Some(format!("p-{message_id}")) };
        self.settled(message_id, delivery)
    }

    pub(super) fn failed(&mut self, message_id: MessageId) -> &mut Self {
        self.settled(message_id, Delivery::Failed { error: error() })
    }

    /// Ada writes again.
    pub(super) fn ada_writes(&mut self) -> &mut Self {
        self.questions += 1;
        let inbound = Inbound { received_at: self.now, ..sms(self.questions) };
        self.tell(receive(inbound))
    }

    /// Grace answers with her `n`th message.
    pub(super) fn grace_replies(&mut self, n: u64) -> &mut Self {
        self.grace(Command::Reply { message: NewMessage { id: grace_message(n), ..new_message(1) } })
    }

    pub(super) fn facts(&self) -> &Facts {
        facts(&self.state)
    }

    pub(super) fn clocks(&self) -> &Clocks {
        &self.facts().clocks
    }

    pub(super) fn clock(&self, kind: ClockKind) -> &Clock {
        self.clocks().get(kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    pub(super) fn silence(&self) -> Option<SilenceClock> {
        silence::clock(self.facts())
    }

    /// Which clock was breached, due when, dated when.
    pub(super) fn breaches(&self) -> Vec<(ClockKind, Timestamp, Timestamp)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::SlaBreached { at, clock, due_at, .. } => Some((*clock, *due_at, *at)),
                _ => None,
            })
            .collect()
    }

    /// The times of the events that `wanted` picks.
    pub(super) fn times(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Timestamp> {
        self.events.iter().filter(|event| wanted(event)).map(Event::at).collect()
    }

    /// What the machine wrote: when, for what, by which channel.
    pub(super) fn machine(&self) -> Vec<(Timestamp, Purpose, Channel)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::MessageQueued { at, message, purpose, .. } if message.automatic => {
                    Some((*at, *purpose, message.channel.clone()))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn last_text(&self) -> &str {
        &self.sent.last().unwrap().text
    }
}

pub(super) fn grace_message(n: u64) -> MessageId {
    MessageId(id(700 + n))
}

pub(super) fn error() -> ActivityError {
    ActivityError { code: None, message: "no".to_owned() }
}

/// Ada as her record knows her: a telephone and a mailbox.
pub(super) fn two_channels() -> Standing {
    let addresses = vec![Address::phone("+15550123456"), Address::email("ada@example.com")];
    Standing { addresses, ..Standing::default() }
}

/// A request for the `n`th case.
pub(super) fn request(n: u64) -> EscalationRequest {
    EscalationRequest {
        resolution_id: ResolutionId(id(60 + n)),
        case_id: CaseId::of(ResolutionId(id(60 + n))),
        issue_type: IssueType::Technical,
        owning_team: "infra".to_owned(),
        severity: None,
        expected_by: None,
        summary: None,
    }
}

pub(super) fn escalate(n: u64) -> Command {
    Command::Escalate { request: Box::new(request(n)) }
}

pub(super) fn priority(severity: Severity) -> Command {
    Command::SetPriority { severity }
}
