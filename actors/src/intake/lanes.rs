//! Lanes: what has been read from the inbox, in the order of each customer, and what of it waits for paused entities.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{Hash, Hasher},
};

use throughline_workflows::{ids::TenantId, message::Inbound};

use super::InboxItem;

/// A lane: hash of tenant and first address.
pub(super) type Lane = u64;

/// One message that has been read from the inbox.
pub(super) struct Queued {
    pub(super) number: u64,
    pub(super) tenant: TenantId,
    pub(super) item: InboxItem,
}

/// What has been read from the inbox and is not done.
#[derive(Default)]
pub(super) struct Lanes {
    queues: HashMap<Lane, VecDeque<Queued>>,
    /// Lanes with work of which none is under way.
    idle: VecDeque<Lane>,
    /// Messages in all queues and under way.
    pub(super) held: usize,
    /// Lanes whose first message is for a paused entity, each with that message's number. What is in them stays in the
    /// inbox, takes no memory, and is read again after the next change of pauses.
    pub(super) parked: HashMap<Lane, u64>,
}

impl Lanes {
    pub(super) fn push(&mut self, queued: Queued) {
        let lane = lane_of(&queued.tenant, &queued.item.inbound);
        if self.parked.contains_key(&lane) {
            return;
        }
        self.held += 1;
        let queue = self.queues.entry(lane).or_insert_with(|| {
            self.idle.push_back(lane);
            VecDeque::new()
        });
        queue.push_back(queued);
    }

    /// The next message of a lane that is idle; the lane is busy from now on.
    pub(super) fn next(&mut self) -> Option<(Lane, Queued)> {
        let lane = self.idle.pop_front()?;
        let queued = self.queues.get_mut(&lane)?.pop_front()?;
        Some((lane, queued))
    }

    pub(super) fn done(&mut self, lane: Lane) {
        self.held -= 1;
        if self.queues.get(&lane).is_some_and(|queue| !queue.is_empty()) {
            self.idle.push_back(lane);
        } else {
            self.queues.remove(&lane);
        }
    }

    /// The message `number`, which was under way, is for a paused entity: it and what follows it wait in the inbox.
    pub(super) fn park(&mut self, lane: Lane, number: u64) {
        let queued = self.queues.remove(&lane).map_or(0, |queue| queue.len());
        self.held -= 1 + queued;
        self.parked.insert(lane, number);
    }

    /// Lets the parked lanes go on: what must be read again, if anything.
    pub(super) fn unpark(&mut self, reached: u64) -> Option<Again> {
        let first = self.parked.values().min()?;
        let from = first.saturating_sub(1);
        let lanes = std::mem::take(&mut self.parked).into_keys().collect();
        Some(Again { from, up_to: reached, lanes })
    }
}

/// A part of the inbox that is read a second time, for the lanes that were parked.
pub(super) struct Again {
    /// Read up to here.
    pub(super) from: u64,
    /// Beyond this number nothing was read before.
    pub(super) up_to: u64,
    pub(super) lanes: HashSet<Lane>,
}

pub(super) fn lane_of(tenant: &TenantId, inbound: &Inbound) -> Lane {
    let mut hasher = std::hash::DefaultHasher::new();
    (tenant, inbound.from.first()).hash(&mut hasher);
    hasher.finish()
}
