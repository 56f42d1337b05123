//! Given, when, then: a test of a workflow that reads as a sentence (feature "testing").
//!
//! ```
//! use throughline_workflows::{agent::*, ids::AgentId, scenario::{Scenario, id, moment}};
//!
//! let ada = AgentProfile::new("Ada");
//! Scenario::<Agent>::given([])
//!     .at("09:00")
//!     .when(Command::Create { agent_id: AgentId(id(1)), profile: Box::new(ada.clone()) })
//!     .then([Event::Created { at: moment("09:00"), id: AgentId(id(1)), profile: Box::new(ada) }]);
//! ```
//!
//! Every accepted command is sent a second time behind the test's back, and must then change nothing: commands are
//! safe to receive twice, and no test has to say so.

use uuid::Uuid;

use crate::{
    policy::{Policies, Policy},
    time::Timestamp,
    workflow::{By, ByKind, Claim, Context, Decision, Workflow},
};

/// What has happened, and under which circumstances the command will come.
#[derive(Debug)]
pub struct Scenario<W: Workflow> {
    state: W::State,
    now: Timestamp,
    by: By,
    policies: Policies,
    aside: fn(&W::Event) -> bool,
}

/// What came of the command.
#[derive(Debug)]
pub struct Outcome<W: Workflow> {
    result: Result<Decision<W>, W::Rejection>,
    state: W::State,
    aside: fn(&W::Event) -> bool,
}

impl<W: Workflow> Scenario<W> {
    /// A workflow to which these events have happened. It is nine in the morning, and the engine asks.
    pub fn given(events: impl IntoIterator<Item = W::Event>) -> Self {
        let mut state = W::State::default();
        for event in events {
            W::evolve(&mut state, &event);
        }
        Self {
            state,
            now: moment("09:00"),
            by: By::engine(),
            policies: Policies::default(),
            aside: |_| false,
        }
    }

    /// The time of the command: see [`moment`].
    #[must_use]
    pub fn at(mut self, time: &str) -> Self {
        self.now = moment(time);
        self
    }

    /// Who gives the command.
    #[must_use]
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    /// The tenant's settings.
    #[must_use]
    pub fn under(mut self, policy: Policy) -> Self {
        self.policies = Policies::only(policy);
        self
    }

    /// Leaves these events out of what [`Outcome::then`] compares: those that another scenario is about.
    #[must_use]
    pub fn aside(mut self, aside: fn(&W::Event) -> bool) -> Self {
        self.aside = aside;
        self
    }

    /// Gives the command.
    ///
    /// # Panics
    /// If the command, once accepted, changes something when it comes again.
    pub fn when(mut self, command: W::Command) -> Outcome<W> {
        let cx = Context::new(self.now, &self.policies, &self.by);
        let result = W::decide(&self.state, command.clone(), &cx);
        if let Ok(decision) = &result {
            for event in &decision.events {
                W::evolve(&mut self.state, event);
            }
            match W::decide(&self.state, command, &cx) {
                Ok(again) => assert!(
                    again.events.is_empty() && again.activities.is_empty(),
                    "the same command a second time must change nothing, but did {:?}",
                    again.events
                ),
                Err(rejection) => panic!("the same command a second time was refused: {rejection}"),
            }
        }
        Outcome { result, state: self.state, aside: self.aside }
    }
}

impl<W: Workflow> Outcome<W> {
    /// Exactly these events are facts.
    ///
    /// # Panics
    /// If they are not.
    pub fn then(self, events: impl IntoIterator<Item = W::Event>) -> Self {
        let expected: Vec<_> = events.into_iter().collect();
        let events: Vec<_> =
            self.decision().events.iter().filter(|event| !(self.aside)(event)).cloned().collect();
        assert_eq!(events, expected, "events");
        self
    }

    /// The world is asked for exactly this.
    ///
    /// # Panics
    /// If it is not.
    pub fn then_activities(self, activities: impl IntoIterator<Item = W::Activity>) -> Self {
        let expected: Vec<_> = activities.into_iter().collect();
        assert_eq!(self.decision().activities, expected, "activities");
        self
    }

    /// Exactly these unique keys are taken or given up.
    ///
    /// # Panics
    /// If they are not.
    pub fn then_claims(self, claims: impl IntoIterator<Item = Claim>) -> Self {
        let expected: Vec<_> = claims.into_iter().collect();
        assert_eq!(self.decision().claims, expected, "claims");
        self
    }

    /// The command was accepted and changed nothing.
    ///
    /// # Panics
    /// If it changed something or was refused.
    pub fn then_nothing(self) -> Self {
        self.then([]).then_activities([]).then_claims([])
    }

    /// The command was refused for this reason.
    ///
    /// # Panics
    /// If it was accepted, or refused for another.
    pub fn then_rejected(self, expected: W::Rejection) -> Self {
        match &self.result {
            Err(rejection) => assert_eq!(*rejection, expected, "rejection"),
            Ok(decision) => panic!("expected to be refused ({expected}), but it did {:?}", decision.events),
        }
        self
    }

    /// Exactly these timers are armed afterwards.
    ///
    /// # Panics
    /// If they are not.
    pub fn then_armed(self, timers: impl IntoIterator<Item = (W::Deadline, Timestamp)>) -> Self {
        let armed: Vec<_> = W::deadlines(&self.state).iter().collect();
        assert_eq!(armed, timers.into_iter().collect::<Vec<_>>(), "timers");
        self
    }

    /// The decision itself, for what is said more shortly by looking at it.
    ///
    /// # Panics
    /// If the command was refused.
    pub fn decision(&self) -> &Decision<W> {
        match &self.result {
            Ok(decision) => decision,
            Err(rejection) => panic!("the command was refused: {rejection}"),
        }
    }

    /// Why the command was refused; none if it was accepted.
    pub fn rejection(&self) -> Option<&W::Rejection> {
        self.result.as_ref().err()
    }

    /// The state after the command.
    pub fn state(&self) -> &W::State {
        &self.state
    }
}

/// A moment: `09:00` or `09:00:30` of the day on which all tests happen, or a whole RFC 3339 time.
///
/// # Panics
/// If the text is neither.
pub fn moment(text: &str) -> Timestamp {
    let seconds = if text.len() == 5 { ":00" } else { "" };
    let of_the_day = format!("2026-03-02T{text}{seconds}Z");
    match text.parse().or_else(|_| of_the_day.parse()) {
        Ok(at) => at,
        Err(error) => panic!("{text:?} is neither 09:00 nor an RFC 3339 time: {error}"),
    }
}

/// The `n`th id of a test. It has the form of a UUIDv7.
pub fn id(n: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(n))
}

/// A person of ours.
pub fn person(name: &str) -> By {
    By { kind: ByKind::Person, id: Some(id(900)), name: Some(name.to_owned()), via: Some("api".to_owned()) }
}
