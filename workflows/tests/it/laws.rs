//! Laws that hold for any list of commands at any increasing times, for every workflow.

use std::{collections::BTreeSet, fmt::Debug, thread};

use proptest::{collection::vec, prelude::*};
use throughline_workflows::{
    access::Reads,
    agent::Agent,
    conversation::{Conversation, Deadline, Event, Purpose, State, Status, lifecycle, silence},
    credential::Credential,
    customer::Customer,
    directory::Directory,
    endpoint::Endpoint,
    message::Outbound,
    operation::Operation,
    policy::Policies,
    policy_book::PolicyBook,
    resolution::Resolution,
    scenario::person,
    schedule::Schedule,
    team::Team,
    time::{Span, Timestamp},
    views::{EventMeta, View, breaches::Breaches, inbox::Inbox, silence::Waiting},
    workflow::{By, Cause, CauseKind, Context, Decision, Workflow},
};
use uuid::Uuid;

use crate::commands::{self, Step, start};

/// Commands, each some minutes after the one before.
fn history<C: Debug>(command: impl Strategy<Value = C>) -> impl Strategy<Value = Vec<(u64, C)>> {
    let wait = prop_oneof![3 => 0_u64..30, 1 => 0_u64..20_000];
    vec((wait, command), 1..24)
}

/// As [`history`], long enough for messages to fail, fall back and be late.
fn long_history<C: Debug>(step: impl Strategy<Value = C>) -> impl Strategy<Value = Vec<(u64, C)>> {
    let wait = prop_oneof![3 => Just(0_u64), 3 => 0_u64..30, 1 => 0_u64..2_000];
    vec((wait, step), 1..60)
}

/// Whatever happens, with who does it.
fn obey<W: Workflow>(history: Vec<(u64, W::Command)>) -> Vec<W::Event> {
    let history = history.into_iter().enumerate();
    let steps = history.map(|(turn, (minutes, command))| (minutes, (command, turn % 2 == 1))).collect();
    obey_with::<W, _>(steps, |command, _, _, _| command, |_, _, _, _| ())
}

/// Gives every command twice and checks what must hold after each; answers all events.
///
/// `play` makes a command of a step, and may move the time and the policy; `check` sees the state before a turn, what
/// was decided, the state after, and when.
fn obey_with<W: Workflow, S>(
    history: Vec<(u64, (S, bool))>,
    play: impl Fn(S, &W::State, &mut Timestamp, &mut Policies) -> W::Command,
    mut check: impl FnMut(&W::State, &Decision<W>, &W::State, Timestamp),
) -> Vec<W::Event> {
    let mut policies = Policies::default();
    let (mut state, mut events, mut now) = (W::State::default(), Vec::new(), start());
    let mut story = Story(Vec::new());
    for (minutes, (step, by_person)) in history {
        now = now + Span::from_mins(minutes);
        let command = play(step, &state, &mut now, &mut policies);
        story.0.push(format!("{now} {}: {command:?}", if by_person { "person" } else { "engine" }));
        let by = if by_person { person("Grace") } else { By::engine() };
        let cx = Context::new(now, &policies, &by);
        serde_json::to_string(&command).expect("people are shown commands as JSON");
        let copy = bincode::serialize(&command).unwrap();
        assert_eq!(bincode::serialize(&bincode::deserialize::<W::Command>(&copy).unwrap()).unwrap(), copy);
        match W::decide(&state, command.clone(), &cx) {
            Ok(decision) => {
                let before = state.clone();
                story.0.extend(decision.events.iter().map(|event| format!("    {event:?}")));
                take::<W>(&mut state, &decision.events);
                check(&before, &decision, &state, now);
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

/// What must hold after every turn of a conversation.
fn keeps_its_promises(_before: &State, decision: &Decision<Conversation>, state: &State, now: Timestamp) {
    let Some(facts) = state.facts() else { return };
    let armed: BTreeSet<Deadline> =
        Conversation::deadlines(state).iter().map(|(deadline, _)| deadline).collect();
    let allowed = BTreeSet::from([Deadline::Fallback, Deadline::Uncertain, Deadline::Retry]);
    if facts.status == Status::Resolved {
        assert!(armed.is_subset(&allowed), "nothing is due in a resolved conversation, but {armed:?}");
    }
    // Whoever waits is not forgotten: the machine writes at a time, or tries again, or has words on their way.
    if let Some(clock) = silence::clock(facts) {
        let recalled = facts.sends.iter().any(|send| send.recalled_at.is_some());
        let ways = [Deadline::Update, Deadline::Fallback, Deadline::Retry];
        assert!(recalled || ways.iter().any(|way| armed.contains(way)), "forgotten: {clock:?}, {armed:?}");
        assert!(facts.silence.broken_for == Some(clock.since) || armed.contains(&Deadline::Silence));
    }
    let stale = [Purpose::Waiting, Purpose::Update, Purpose::WindowMissed];
    let open = facts.sends.open().filter(|send| stale.contains(&send.purpose)).count();
    assert!(open <= 1, "{open} updates on their way at once");
    for event in &decision.events {
        if let Some((message, purpose)) = queued(event) {
            assert!(!message.text.is_empty() || !message.attachments.is_empty(), "nothing is said");
            if message.automatic {
                assert!(message.to.can_answer(), "nobody reads {}", message.to);
                assert!(
                    !facts.standing.denied.contains(&message.channel) || *purpose == Purpose::Acknowledgement
                );
            }
            if stale.contains(purpose) {
                assert!(silence::clock(facts).is_some(), "nobody waits for {purpose}");
            }
        }
        if let Event::SlaBreached { at, due_at, detected_at, .. }
        | Event::SilenceBroken { at, due_at, detected_at, .. } = event
        {
            assert!(due_at <= at && at <= detected_at && *detected_at == now, "{event:?}");
        }
    }
    for activity in &decision.activities {
        assert!(Conversation::still_wanted(state, activity), "asked for and not wanted: {activity:?}");
    }
}

fn queued(event: &Event) -> Option<(&Outbound, &Purpose)> {
    match event {
        Event::MessageQueued { message, purpose, .. } => Some((message, purpose)),
        _ => None,
    }
}

/// What happened, told when a law is broken.
struct Story(Vec<String>);

impl Drop for Story {
    #[expect(clippy::print_stderr, reason = "a broken law is told with its story")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("The story so far:\n{}", self.0.join("\n"));
        }
    }
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

/// Whoever reads a list stops at the first row that is not shown, and passes over what does not concern it.
fn shows_what_it_says<V: View>(events: &[<V::Source as Workflow>::Event]) {
    let (by, cause) = (By::engine(), Cause { kind: CauseKind::Command, id: "c1".to_owned() });
    let (mut row, mut last_listed, mut first_unlisted) = (None, u64::MAX, None);
    for (event, version) in events.iter().zip(1..) {
        let meta = EventMeta {
            entity: Uuid::nil(),
            version,
            index: 0,
            seq: version,
            at: start(),
            by: &by,
            cause: &cause,
        };
        let before = row.clone();
        row = V::fold(row, event, &meta);
        assert!(V::concerns(event) || row == before, "{} is changed by {event:?}", V::NAME);
        let Some(row) = &row else { continue };
        if V::is_listed(row) {
            last_listed = last_listed.min(V::order(row));
        } else {
            first_unlisted = first_unlisted.max(Some(V::order(row)));
        }
    }
    assert!(first_unlisted < Some(last_listed), "a row that is not shown stands before one that is");
}

proptest! {
    // Its ways are many, and most defects were found on the rare ones.
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn any_conversation_obeys(history in long_history(commands::step())) {
        let events = obey_with::<Conversation, _>(history, Step::command, keeps_its_promises);
        let mut state = <Conversation as Workflow>::State::default();
        for event in &events {
            if let Event::StateChanged { from, to, by, .. } = event {
                prop_assert_eq!(Some(*from), state.facts().map(|facts| facts.status));
                prop_assert_eq!(lifecycle::destination(*from, *by), Some(*to), "only moves of the table");
            }
            Conversation::evolve(&mut state, event);
            let resolved = state.facts().is_some_and(|facts| facts.status == Status::Resolved);
            prop_assert_eq!(resolved, state.facts().is_some_and(|facts| facts.resolved_at.is_some()));
        }
        shows_what_it_says::<Waiting>(&events);
        shows_what_it_says::<Inbox>(&events);
        shows_what_it_says::<Breaches>(&events);
        // Every message to the customer has an id of its own.
        let ids: Vec<_> = events.iter().filter_map(queued).map(|(message, _)| message.message_id).collect();
        prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

}

proptest! {
    #[test]
    fn any_resolution_obeys(history in history(commands::resolution())) {
        obey::<Resolution>(history);
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
    #[test]
    fn any_directory_obeys(history in history(commands::directory())) {
        obey::<Directory>(history);
    }

    #[test]
    fn any_record_of_reads_obeys(history in history(commands::reads())) {
        obey::<Reads>(history);
    }

    #[test]
    fn any_policy_obeys(history in history(commands::policy_book())) {
        obey::<PolicyBook>(history);
    }

    #[test]
    fn any_endpoint_obeys(history in history(commands::endpoint())) {
        obey::<Endpoint>(history);
    }

    #[test]
    fn any_schedule_obeys(history in history(commands::schedule())) {
        obey::<Schedule>(history);
    }
}
