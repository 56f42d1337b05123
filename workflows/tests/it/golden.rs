//! The encoded bytes of states and events, kept in `tests/golden/` as hexadecimal text.
//!
//! * `KIND/events/NAME.vN.hex`: an event as a journal somewhere holds it. It must decode for ever; the newest
//!   version of each must also be what is written today.
//! * `KIND/state.rN.hex`: a state as a snapshot holds it. Other bytes need another `STATE_REVISION`.
//!
//! A file is never overwritten. A new event, version or revision has no file yet: run once with
//! `GOLDEN=write` in the environment and commit what appears.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
};

use bincode::Options as _;
use data_encoding::HEXLOWER;
use throughline_workflows::{
    access::Reads,
    agent::Agent,
    conversation::{Conversation, Event, Purpose},
    credential::Credential,
    customer::{self, Customer, CustomerPatch},
    directory::Directory,
    endpoint::Endpoint,
    operation::Operation,
    policy_book::PolicyBook,
    resolution::Resolution,
    scenario::moment,
    schedule::Schedule,
    team::Team,
    workflow::Workflow,
};

use crate::fixtures::Fixture;

fn folder<W: Workflow>() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", W::KIND].iter().collect()
}

/// Compares with the file; writes it where there is none and that is wanted.
fn is_kept(path: &PathBuf, bytes: &[u8], advice: &str) {
    let found = hex(bytes);
    match fs::read_to_string(path) {
        Ok(kept) => assert_eq!(kept, found, "{} holds other bytes: {advice}", path.display()),
        Err(_) if env::var("GOLDEN").as_deref() == Ok("write") => {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, found).unwrap();
        }
        Err(error) => panic!("{}: {error}; run once with GOLDEN=write", path.display()),
    }
}

fn hex(bytes: &[u8]) -> String {
    let lines: Vec<_> = bytes.chunks(32).map(|line| HEXLOWER.encode(line)).collect();
    lines.join("\n") + "\n"
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    HEXLOWER.decode(digits.as_bytes()).unwrap()
}

fn decoded<W: Workflow>(name: &str, version: u16, bytes: &[u8]) -> W::Event {
    let options = bincode::DefaultOptions::new().with_fixint_encoding();
    let mut deserializer = bincode::Deserializer::from_slice(bytes, options);
    W::decode_event(name, version, &mut deserializer).unwrap()
}

fn keeps_its_bytes<W: Fixture>() {
    let mut state = W::State::default();
    let mut written = BTreeSet::new();
    for event in W::events() {
        let kind = W::event_type(&event);
        let path = folder::<W>().join("events").join(format!("{}.v{}.hex", kind.name, kind.version));
        let encoded = bincode::serialize(&event).unwrap();
        is_kept(&path, &encoded, "an event's shape never changes; give the new one another version");
        assert_eq!(decoded::<W>(kind.name, kind.version, &encoded), event);
        assert!(written.insert(kind.name), "{} has two fixtures", kind.name);
        W::evolve(&mut state, &event);
    }
    let path = folder::<W>().join(format!("state.r{}.hex", W::STATE_REVISION));
    is_kept(&path, &bincode::serialize(&state).unwrap(), "raise STATE_REVISION");
    old_events_decode::<W>();
}

fn old_events_decode<W: Workflow>() {
    for file in fs::read_dir(folder::<W>().join("events")).unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let (name, version) = stem.split_once(".v").unwrap();
        let event = decoded::<W>(name, version.parse().unwrap(), &bytes(&fs::read_to_string(&path).unwrap()));
        assert_eq!(W::event_type(&event).name, name, "{}", path.display());
    }
}

#[test]
fn conversations_keep_their_bytes() {
    keeps_its_bytes::<Conversation>();
}

/// Version 1 did not say what a message was for: a person's was an answer, a machine's an acknowledgement.
#[test]
fn a_message_queued_before_purposes_were_recorded_becomes_an_answer_or_an_acknowledgement() {
    let path = folder::<Conversation>().join("events").join("message_queued.v1.hex");
    let mut stored = bytes(&fs::read_to_string(path).unwrap());
    let newest = Conversation::events().into_iter().find_map(|event| match event {
        Event::MessageQueued { at, by, message, why, .. } => Some((at, by, message, why)),
        _ => None,
    });
    let (at, by, mut message, why) = newest.unwrap();
    // The last byte but the four of `why` says whether the machine wrote it.
    let automatic = stored.len() - 5;
    for (flag, purpose) in [(true, Purpose::Acknowledgement), (false, Purpose::Reply)] {
        stored[automatic] = u8::from(flag);
        message.automatic = flag;
        let meant = Event::MessageQueued {
            at,
            by: by.clone(),
            message: message.clone(),
            why,
            purpose,
            replaces: None,
            promises: None,
            fallback_at: None,
        };
        assert_eq!(decoded::<Conversation>("message_queued", 1, &stored), meant);
    }
}

#[test]
fn another_event_under_the_name_of_an_old_one_is_damage() {
    let options = bincode::DefaultOptions::new().with_fixint_encoding();
    let woken = bincode::serialize(&Event::Woken { at: moment("09:00") }).unwrap();
    let mut deserializer = bincode::Deserializer::from_slice(&woken, options);
    assert!(Conversation::decode_event("message_queued", 1, &mut deserializer).is_err());
}

#[test]
fn resolutions_keep_their_bytes() {
    keeps_its_bytes::<Resolution>();
}

#[test]
fn customers_keep_their_bytes() {
    keeps_its_bytes::<Customer>();
}

/// Version 1 knew neither quiet hours nor consent, and could not take a channel away.
#[test]
fn a_profile_changed_before_quiet_hours_changes_what_it_did() {
    let path = folder::<Customer>().join("events").join("profile_changed.v1.hex");
    let old = decoded::<Customer>("profile_changed", 1, &bytes(&fs::read_to_string(path).unwrap()));
    let newest = Customer::events().into_iter().find_map(|event| match event {
        customer::Event::ProfileChanged { at, change } => Some((at, change)),
        _ => None,
    });
    let (at, change) = newest.unwrap();
    let change = CustomerPatch { quiet_hours: None, consent: BTreeMap::new(), ..*change };
    assert_eq!(old, customer::Event::ProfileChanged { at, change: Box::new(change) });
}

#[test]
fn agents_keep_their_bytes() {
    keeps_its_bytes::<Agent>();
}

#[test]
fn teams_keep_their_bytes() {
    keeps_its_bytes::<Team>();
}

#[test]
fn credentials_keep_their_bytes() {
    keeps_its_bytes::<Credential>();
}

#[test]
fn operations_keep_their_bytes() {
    keeps_its_bytes::<Operation>();
}

#[test]
fn directories_keep_their_bytes() {
    keeps_its_bytes::<Directory>();
}

#[test]
fn records_of_reads_keep_their_bytes() {
    keeps_its_bytes::<Reads>();
}

#[test]
fn policies_keep_their_bytes() {
    keeps_its_bytes::<PolicyBook>();
}

#[test]
fn endpoints_keep_their_bytes() {
    keeps_its_bytes::<Endpoint>();
}

#[test]
fn schedules_keep_their_bytes() {
    keeps_its_bytes::<Schedule>();
}
