//! Any interleaving of appends equals doing them one after the other, as a model that fits on a page does them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use throughline_storage::append::*;
use throughline_storage::journal::Journal;
use throughline_storage::store::memory::MemoryStore;

use crate::world::*;

/// An append in small numbers, so that most of them meet another.
#[derive(Clone, Debug)]
struct Step {
    stream: u128,
    /// How far from the version the stream is at; mostly none.
    off: u64,
    events: Option<u32>,
    claims: Vec<(u8, u64, u8, u8, u8)>,
    consume: Option<Item>,
    arm: Option<u64>,
    disarm: Option<u64>,
    pending: Option<u64>,
    inbox: usize,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Timer(u64),
    Activity(u64),
    Inbox(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let item = prop_oneof![
        (0..4_u64).prop_map(Item::Timer),
        (0..4_u64).prop_map(Item::Activity),
        (1..9_u64).prop_map(Item::Inbox)
    ];
    let claim = (0..2_u8, 0..4_u64, 0..4_u8, 0..3_u8, 0..3_u8);
    (
        (0..3_u128, prop_oneof![9 => Just(0), 1 => 1..3_u64], prop::option::weighted(0.7, 0..3_u32)),
        prop::collection::vec(claim, 0..3),
        prop::option::weighted(0.3, item),
        (prop::option::weighted(0.3, 0..4_u64), prop::option::weighted(0.2, 0..4_u64)),
        prop::option::weighted(0.3, 0..4_u64),
        prop_oneof![3 => Just(0_usize), 1 => 1..3_usize],
    )
        .prop_map(|((stream, off, events), claims, consume, (arm, disarm), pending, inbox)| Step {
            stream,
            off,
            events,
            claims,
            consume,
            arm,
            disarm,
            pending,
            inbox,
        })
}

/// What one after the other comes to.
#[derive(Clone, Debug, Default)]
struct Model {
    seq: u64,
    inbox_last: u64,
    streams: BTreeMap<u128, Vec<[u8; 32]>>,
    /// By key and, for those that have one, week.
    claims: BTreeMap<(u8, Option<u64>), Vec<u8>>,
    timers: BTreeSet<u64>,
    activities: BTreeSet<u64>,
    inbox: BTreeSet<u64>,
}

/// Week 0 of a step is a permanent claim; the others are weeks.
fn claim_request((key, week, how, owner, former): (u8, u64, u8, u8, u8)) -> ClaimRequest {
    let name = format!("key {key}");
    let key = if week == 0 { permanent(&name) } else { periodic(&name, (100 + week) * WEEK_MS) };
    let (owner, former) = (vec![owner], vec![former]);
    let change = match how {
        0 => ClaimChange::Take { owner },
        1 => ClaimChange::TakeOnce { owner },
        2 => ClaimChange::TakeFrom { owner, former },
        _ => ClaimChange::Release { owner },
    };
    ClaimRequest { key, change }
}

impl Model {
    /// What the journal is handed. Its author knows where the stream will be, as an actor does.
    fn append(&self, step: &Step) -> Append {
        let hashes = self.streams.get(&step.stream).cloned().unwrap_or_default();
        let previous = hashes.last().copied().unwrap_or_default();
        let expected = hashes.len() as u64 + step.off;
        let consume = step.consume.map(|item| match item {
            Item::Timer(moment) => PendingKey::Timer(timer(1, moment).key),
            Item::Activity(moment) => PendingKey::Activity(activity(1, moment, 0).key),
            Item::Inbox(number) => PendingKey::Inbox(number),
        });
        Append {
            record: step.events.map(|events| record_after(previous, &stream(step.stream), expected, events)),
            consume: consume.into_iter().collect(),
            claims: step.claims.iter().copied().map(claim_request).collect(),
            disarm: step.disarm.map(|moment| timer(1, moment).key).into_iter().collect(),
            arm: step.arm.map(|moment| timer(1, moment)).into_iter().collect(),
            activities: step.pending.map(|moment| activity(1, moment, 0)).into_iter().collect(),
            inbox: vec![NewInboxEntry { tenant: "acme".into(), bytes: vec![7] }; step.inbox],
            ..Append::default()
        }
    }

    fn apply(&mut self, step: &Step) -> Result<Committed, CommitError> {
        let mut next = self.clone();
        let gone = match step.consume {
            Some(Item::Timer(moment)) => !next.timers.remove(&moment),
            Some(Item::Activity(moment)) => !next.activities.remove(&moment),
            Some(Item::Inbox(number)) => !next.inbox.remove(&number),
            None => false,
        };
        if gone {
            return Err(CommitError::AlreadyDone);
        }
        let hashes = next.streams.entry(step.stream).or_default();
        let (actual, expected) = (hashes.len() as u64, hashes.len() as u64 + step.off);
        let mut version = 0;
        if let Some(events) = step.events {
            if step.off != 0 {
                return Err(CommitError::Conflict { expected, actual });
            }
            let previous = hashes.last().copied().unwrap_or_default();
            hashes.push(record_after(previous, &stream(step.stream), expected, events).hash);
            version = expected + 1;
            next.seq += u64::from(events);
        }
        for (index, claim) in step.claims.iter().enumerate() {
            next.claim(*claim).map_err(|owner| CommitError::ClaimTaken { index, owner })?;
        }
        if let Some(moment) = step.disarm {
            next.timers.remove(&moment);
        }
        next.timers.extend(step.arm);
        next.activities.extend(step.pending);
        let inbox: Vec<u64> = (0..step.inbox as u64).map(|count| next.inbox_last + 1 + count).collect();
        next.inbox.extend(&inbox);
        next.inbox_last += inbox.len() as u64;
        *self = next;
        Ok(Committed { version, seq: self.seq, inbox })
    }

    fn held(&self, key: u8, week: u64) -> Option<&Vec<u8>> {
        match week {
            0 => self.claims.get(&(key, None)),
            week => self.claims.get(&(key, Some(week))).or_else(|| self.claims.get(&(key, Some(week - 1)))),
        }
    }

    fn claim(&mut self, (key, week, how, owner, former): (u8, u64, u8, u8, u8)) -> Result<(), Vec<u8>> {
        let held = self.held(key, week).cloned();
        let here = (key, Some(week).filter(|week| *week > 0));
        let (owner, former) = (vec![owner], vec![former]);
        let take = match (how, held) {
            (3, Some(held)) if held == owner => {
                self.claims.remove(&here);
                self.claims.retain(|at, _| week == 0 || *at != (key, Some(week - 1)));
                false
            }
            (3, _) => false,
            (_, None) => true,
            (0 | 2, Some(held)) if held == owner => false,
            (2, Some(held)) if held == former => true,
            (_, Some(held)) => return Err(held),
        };
        if take {
            self.claims.insert(here, owner);
        }
        Ok(())
    }

    /// Whether the journal holds exactly this.
    fn is_in(&self, journal: &Journal) {
        assert_eq!(journal.head().seq, self.seq);
        for number in 0..3 {
            let hashes = self.streams.get(&number).cloned().unwrap_or_default();
            let stored: Vec<_> =
                journal.records(&stream(number), ..).map(|record| record.unwrap().hash).collect();
            assert_eq!(stored, hashes);
            assert_eq!(journal.version(&stream(number)).unwrap(), hashes.len() as u64);
            assert_eq!(journal.verify_stream(&stream(number)).unwrap().records, hashes.len() as u64);
        }
        for key in 0..2 {
            for week in 0..4 {
                let claim = claim_request((key, week, 0, 0, 0)).key;
                assert_eq!(journal.claim(&claim).unwrap().as_ref(), self.held(key, week));
            }
        }
        let timers = journal.timers(None, u64::MAX, 100).unwrap();
        assert!(timers.iter().map(|timer| timer.key.fire_at_ms).eq(self.timers.iter().copied()));
        let activities = journal.activities(None, u64::MAX, 100).unwrap();
        assert!(
            activities.iter().map(|activity| activity.key.ready_at_ms).eq(self.activities.iter().copied())
        );
        let inbox = journal.inbox(0, 1000).unwrap();
        assert!(inbox.iter().map(|entry| entry.number).eq(self.inbox.iter().copied()));
        assert_eq!(journal.stats().inbox_pending, self.inbox.len() as u64);
        let verified = journal.verify_feed().unwrap();
        assert_eq!(verified.head, journal.head());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_interleaving_equals_one_after_the_other(
        bursts in prop::collection::vec(prop::collection::vec(step(), 1..12), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::new();
            let journal = open(&store);
            let mut model = Model::default();
            for burst in bursts {
                let mut appends = Vec::new();
                let mut expected = Vec::new();
                for step in &burst {
                    appends.push(model.append(step));
                    expected.push(model.apply(step));
                }
                let answers = futures::future::join_all(submit(&journal, appends).await).await;
                assert_eq!(answers, expected);
            }
            model.is_in(&journal);
            model.is_in(&open(&store.reopen()));
        });
    }
}
