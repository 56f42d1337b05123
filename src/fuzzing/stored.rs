//! What the workflows keep, read from hostile bytes: events, states, activities.
//!
//! The first line says which, such as `conversation message_received 1`; the bytes follow.

use serde::{Serialize, de::DeserializeOwned};

use throughline_storage::codec;
use throughline_workflows::{
    access::Reads, agent::Agent, conversation::Conversation, credential::Credential, customer::Customer,
    directory::Directory, endpoint::Endpoint, operation::Operation, policy_book::PolicyBook,
    resolution::Resolution, schedule::Schedule, team::Team, workflow::Workflow,
};

/// Values that say nothing of themselves: the codec alone, and what the runtime keeps with it.
pub(super) fn values(bytes: &[u8]) {
    throughline_storage::fuzzing::value(bytes);
    throughline_actors::fuzzing::kept(bytes);
}

/// One event of a workflow, by its name and version.
pub(super) fn events(bytes: &[u8]) {
    let (line, content) = first_line(bytes);
    let mut words = line.split(' ');
    let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some(version) = words.next().and_then(|version| version.parse().ok()) else { return };
    of_kind(kind, &Event { name, version, content });
}

/// The state of a workflow, as a snapshot holds it, and an activity.
pub(super) fn states(bytes: &[u8]) {
    let (kind, content) = first_line(bytes);
    of_kind(kind, &State { content });
}

/// The first line, where it is text, and the bytes behind it.
fn first_line(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let line = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    (line, bytes.get(end + 1..).unwrap_or_default())
}

trait Look {
    fn at<W: Workflow>(&self);
}

fn of_kind(kind: &str, look: &impl Look) {
    match kind {
        Reads::KIND => look.at::<Reads>(),
        Agent::KIND => look.at::<Agent>(),
        Conversation::KIND => look.at::<Conversation>(),
        Credential::KIND => look.at::<Credential>(),
        Customer::KIND => look.at::<Customer>(),
        Directory::KIND => look.at::<Directory>(),
        Endpoint::KIND => look.at::<Endpoint>(),
        Operation::KIND => look.at::<Operation>(),
        PolicyBook::KIND => look.at::<PolicyBook>(),
        Resolution::KIND => look.at::<Resolution>(),
        Schedule::KIND => look.at::<Schedule>(),
        Team::KIND => look.at::<Team>(),
        _ => {}
    }
}

struct Event<'a> {
    name: &'a str,
    version: u16,
    content: &'a [u8],
}

impl Look for Event<'_> {
    fn at<W: Workflow>(&self) {
        let Ok(event) = decode::<W>(self.name, self.version, self.content) else { return };
        // Written in today's form under today's name, which is what a record would hold.
        let written = codec::encode(&event);
        let kind = W::event_type(&event);
        let again = decode::<W>(kind.name, kind.version, &written).expect("what was written is read");
        assert_eq!(codec::encode(&again), written, "an event survives being written");

        // Evolving is total: history is read whatever it says.
        let mut state = W::State::default();
        W::evolve(&mut state, &event);
        W::evolve(&mut state, &event);
        let _ = W::deadlines(&state);
        same::<W::State>(&codec::encode(&state));
        let _ = serde_json::to_value(&event).expect("an event can be shown");
    }
}

fn decode<W: Workflow>(name: &str, version: u16, bytes: &[u8]) -> Result<W::Event, codec::CodecError> {
    codec::decode_with(bytes, |reader| W::decode_event(name, version, reader))
}

struct State<'a> {
    content: &'a [u8],
}

impl Look for State<'_> {
    fn at<W: Workflow>(&self) {
        same::<W::State>(self.content);
        same::<W::Activity>(self.content);
        if let Ok(activity) = codec::decode::<W::Activity>(self.content) {
            let _ = W::lane(&activity);
            // An operator may edit what is to be done: it is shown as JSON and read from it.
            let shown = serde_json::to_value(&activity).expect("an activity can be shown");
            let edited: W::Activity = serde_json::from_value(shown).expect("and read as it was shown");
            assert_eq!(edited, activity, "an activity survives being shown");
        }
    }
}

/// What is read is written in a form that is read the same.
fn same<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(read) = codec::decode::<T>(bytes) {
        let written = codec::encode(&read);
        let again = codec::decode::<T>(&written).expect("what was written is read");
        assert_eq!(codec::encode(&again), written);
    }
}
