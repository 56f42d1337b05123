//! A state is of the size of what is open, never of the history.

use throughline_workflows::{
    conversation::{Command, Conversation, Delivery, Event, NewMessage, Opening, State},
    ids::{MessageId, NoteId, OperationId},
    operation::{self, Operation},
    policy::Policies,
    scenario::{id, moment},
    time::{Span, Timestamp},
    workflow::{By, Context, Workflow},
};

use crate::fixtures;

fn tell<W: Workflow>(state: &mut W::State, command: W::Command, now: Timestamp) -> Vec<W::Event> {
    let (policies, by) = (Policies::default(), By::engine());
    let decision = W::decide(state, command, &Context::new(now, &policies, &by)).unwrap();
    decision.events.iter().for_each(|event| W::evolve(state, event));
    decision.events
}

/// Inbound, note, reply and its delivery, `rounds` times over.
fn after(rounds: u64) -> usize {
    let mut state = State::default();
    for round in 0..rounds {
        let now = moment("09:00") + Span::from_mins(round);
        let mut inbound = fixtures::mail();
        inbound.id = MessageId(id(10_000 + round));
        inbound.received_at = now;
        inbound.provider_message_id = format!("<{round:06}@example.com>");
        let receive = Command::Receive {
            conversation_id: fixtures::conversation(),
            inbound: Box::new(inbound),
            customer: fixtures::card(),
            opening: Some(Opening::default()),
        };
        for event in tell::<Conversation>(&mut state, receive, now) {
            if let Event::MessageQueued { message, .. } = event {
                settle(&mut state, message.message_id, now);
            }
        }
        let note_id = NoteId(id(20_000 + round));
        tell::<Conversation>(&mut state, Command::AddNote { note_id, text: "x".repeat(500) }, now);
        let message = NewMessage {
            id: MessageId(id(30_000 + round)),
            channel: None,
            text: "x".repeat(500),
            attachments: Vec::new(),
            agent_name: Some("x".repeat(50)),
        };
        let sent = message.id;
        tell::<Conversation>(&mut state, Command::Reply { message }, now);
        settle(&mut state, sent, now);
    }
    bincode::serialize(&state).unwrap().len()
}

fn settle(state: &mut State, message_id: MessageId, at: Timestamp) {
    let delivery = Delivery::Accepted { at, provider_message_id: Some("x".repeat(100)) };
    tell::<Conversation>(state, Command::RecordDelivery { message_id, delivery }, at);
}

#[test]
fn a_conversation_of_a_thousand_messages_is_as_small_as_one_of_twenty() {
    let (few, many) = (after(20), after(1_000));
    assert_eq!(few, many, "bytes of state");
    assert!(many < 6_000, "{many} bytes");
}

#[test]
fn a_record_of_a_thousand_operations_is_as_small_as_one_of_a_hundred() {
    let after = |rounds: u64| {
        let mut state = operation::State::default();
        for round in 0..rounds {
            let command = operation::Command::Record {
                operation_id: OperationId(id(round)),
                action: "dead_letter.retry".to_owned(),
                target: "x".to_owned(),
                reason: String::new(),
            };
            tell::<Operation>(&mut state, command, moment("09:00"));
        }
        bincode::serialize(&state).unwrap().len()
    };
    assert_eq!(after(100), after(1_000));
}
