//! Laws that hold for any list of commands at any increasing times, for every workflow.

use std::fmt::Debug;

use proptest::{collection::vec, prelude::*};
use throughline_workflows::{
    agent::Agent,
    conversation::{Conversation, Event, Status, lifecycle},
    credential::Credential,
    customer::Customer,
    operation::Operation,
    policy::Policies,
    scenario::person,
    team::Team,
    time::{Span, Timestamp},
    workflow::{By, Context, Workflow},
};

use crate::commands::{self, start};

/// Commands, each some minutes after the one before.
fn history<C: Debug>(command: impl Strategy<Value = C>) -> impl Strategy<Value = Vec<(u64, C)>> {
    let wait = prop_oneof![3 => 0_u64..30, 1 => 0_u64..20_000];
    vec((wait, command), 1..24)
}

/// Gives every command twice and checks what must hold after each; answers all events.
fn obey<W: Workflow>(history: Vec<(u64, W::Command)>) -> Vec<W::Event> {
    let policies = Policies::default();
    let (mut state, mut events, mut now) = (W::State::default(), Vec::new(), start());
    for (turn, (minutes, command)) in history.into_iter().enumerate() {
        now = now + Span::from_mins(minutes);
        let by = if turn % 2 == 0 { By::engine() } else { person("Grace") };
        let cx = Context::new(now, &policies, &by);
        serde_json::to_string(&command).expect("people are shown commands as JSON");
        let copy = bincode::serialize(&command).unwrap();
        assert_eq!(bincode::serialize(&bincode::deserialize::<W::Command>(&copy).unwrap()).unwrap(), copy);
        match W::decide(&state, command.clone(), &cx) {
            Ok(decision) => {
                take::<W>(&mut state, &decision.events);
                events.extend(decision.events);
                let again = W::decide(&state, command, &cx).expect("a command that was taken is taken again");
                assert_eq!((again.events, again.activities), (Vec::new(), Vec::new()), "twice is once");
            }
            Err(rejection) => {
                assert_eq!(W::decide(&state, command, &cx).err(), Some(rejection), "refused twice alike");
            }
        }
        timers_come_to_rest::<W>(&state, now, &policies);
    }
    let mut replayed = W::State::default();
    take::<W>(&mut replayed, &events);
    assert_eq!(replayed, state, "a replay gives the live state");
    let encoded = bincode::serialize(&state).unwrap();
    assert_eq!(bincode::deserialize::<W::State>(&encoded).unwrap(), state, "a snapshot gives the state");
    serde_json::to_string(&state).expect("people are shown states as JSON");
    events
}

fn take<W: Workflow>(state: &mut W::State, events: &[W::Event]) {
    for event in events {
        let bytes = bincode::serialize(event).unwrap();
        assert_eq!(bincode::deserialize::<W::Event>(&bytes).unwrap(), *event, "an event reads back");
        serde_json::to_string(event).expect("people are shown events as JSON");
        W::evolve(state, event);
    }
}

/// After a deadline's command, at its due time or later, the timer no longer is armed for then or before.
fn timers_come_to_rest<W: Workflow>(state: &W::State, now: Timestamp, policies: &Policies) {
    for (deadline, due) in W::deadlines(state).iter() {
        for fired_at in [due.max(now), due.max(now) + Span::from_hours(100)] {
            let mut after = state.clone();
            let by = By::engine();
            let cx = Context::new(fired_at, policies, &by);
            let decision =
                W::decide(&after, W::deadline_passed(deadline), &cx).expect("a timer is not refused");
            decision.events.iter().for_each(|event| W::evolve(&mut after, event));
            let stuck = W::deadlines(&after).iter().find(|(it, due)| *it == deadline && *due <= fired_at);
            assert_eq!(stuck, None, "{deadline} still armed for {due}");
        }
    }
}

proptest! {
    #[test]
    fn any_conversation_obeys(history in history(commands::conversation())) {
        let events = obey::<Conversation>(history);
        let mut state = <Conversation as Workflow>::State::default();
        for event in &events {
            if let Event::StateChanged { from, to, by, .. } = event {
                prop_assert_eq!(Some(*from), state.facts().map(|facts| facts.status));
                prop_assert_eq!(lifecycle::destination(*from, *by), Some(*to), "only moves of the table");
            }
            Conversation::evolve(&mut state, event);
            let resolved = state.facts().is_some_and(|facts| facts.status == Status::Resolved);
            prop_assert_eq!(resolved, state.facts().is_some_and(|facts| facts.resolved_at.is_some()));
            prop_assert!(!resolved || Conversation::deadlines(&state).iter().next().is_none());
        }
    }

    #[test]
    fn any_customer_obeys(history in history(commands::customer())) {
        obey::<Customer>(history);
    }

    #[test]
    fn any_agent_obeys(history in history(commands::agent())) {
        obey::<Agent>(history);
    }

    #[test]
    fn any_team_obeys(history in history(commands::team())) {
        obey::<Team>(history);
    }

    #[test]
    fn any_credential_obeys(history in history(commands::credential())) {
        obey::<Credential>(history);
    }

    #[test]
    fn any_operation_obeys(history in history(commands::operation())) {
        obey::<Operation>(history);
    }
}
