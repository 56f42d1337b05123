//! What was recorded of operators: each act once, none that was refused, none forgotten that was answered for.

use std::collections::{BTreeMap, BTreeSet};

use throughline_actors::{engine::Engine, stepper::audit::Recorded};
use throughline_workflows::{
    conversation::Conversation,
    operation::{Event, Operation},
    policy::settings::Settings,
    policy_book::{self, PolicyBook},
    time::Timestamp,
    words::SlaTier,
    workflow::{CauseKind, Workflow as _},
};
use uuid::Uuid;

use crate::{operators::Entity, script::Hours, witness::Told};

/// The operators' acts, as the records tell of them.
#[derive(Default)]
pub(crate) struct Operations {
    /// By reason: how often.
    recorded: BTreeMap<String, u32>,
    /// What operators were told to be done.
    pub(crate) done: BTreeSet<String>,
    /// What they were told to be refused.
    pub(crate) refused: BTreeSet<String>,
    /// From when to when an entity was paused; to none while it is.
    pauses: BTreeMap<Entity, Vec<(Timestamp, Option<Timestamp>)>>,
    /// When something that an entity asked for was given up at somebody's word.
    skips: BTreeMap<Uuid, Vec<Timestamp>>,
    /// Dead letters whose work was put back.
    pub(crate) put_back: usize,
    /// Since when which hours hold for a tenant's clocks, version by version.
    pub(crate) hours: BTreeMap<String, Vec<(Timestamp, Hours)>>,
}

impl Operations {
    /// Reads a record, if it is about operators; `held` are the entities whose operators know them to be paused.
    pub(crate) fn read(
        &mut self,
        engine: &Engine,
        record: &Recorded,
        held: &BTreeSet<Entity>,
        broken: &mut Vec<String>,
    ) -> Result<(), String> {
        let stream = &record.stream;
        if let Some(entity) = held.iter().find(|held| held.is(&stream.tenant, &stream.kind, stream.entity)) {
            let cause = engine.caused_by(record)?;
            let of_its_own = cause.id.starts_with(&stream.entity.to_string());
            if matches!(cause.kind, CauseKind::Timer | CauseKind::Webhook)
                || cause.kind == CauseKind::Activity && !of_its_own
            {
                broken.push(format!("{entity} is paused and took a turn, caused by {cause:?}"));
            }
        }
        if stream.kind == PolicyBook::KIND {
            for event in engine.recorded::<PolicyBook>(record)? {
                self.changed(&stream.tenant, &event)?;
            }
        }
        if stream.kind == Operation::KIND {
            for event in engine.recorded::<Operation>(record)? {
                self.acted(engine, &stream.tenant, event)?;
            }
        }
        Ok(())
    }

    fn changed(&mut self, tenant: &str, event: &policy_book::Event) -> Result<(), String> {
        let policy_book::Event::PolicyChanged { at, settings, .. } = event;
        let settings: Settings = serde_json::from_str(settings).map_err(|error| error.to_string())?;
        let tier = settings.sla.tiers.get(&SlaTier::Standard);
        let hours = Hours::named(tier.and_then(|tier| tier.calendar.as_deref()));
        self.hours.entry(tenant.to_owned()).or_default().push((*at, hours));
        if let Some((_, reason)) = settings.name.split_once(", ") {
            *self.recorded.entry(reason.to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn acted(&mut self, engine: &Engine, tenant: &str, event: Event) -> Result<(), String> {
        let Event::Acted { at, action, target, reason, .. } = event;
        *self.recorded.entry(reason.unwrap_or_default()).or_default() += 1;
        match action.as_str() {
            "actor.pause" => self.pauses.entry(named(engine, tenant, &target)?).or_default().push((at, None)),
            "actor.resume" => {
                let pauses = self.pauses.entry(named(engine, tenant, &target)?).or_default();
                let open = pauses.last_mut().filter(|(_, until)| until.is_none());
                open.ok_or_else(|| format!("{target} was resumed and was not paused"))?.1 = Some(at);
            }
            "activity.skip" => {
                self.skipped(target.strip_prefix("activity/").unwrap_or_default(), at)?;
            }
            "dead_letter.retry" => self.put_back += 1,
            _ => {}
        }
        Ok(())
    }

    /// Something that was about to be done was given up at somebody's word.
    pub(crate) fn skipped(&mut self, activity: &str, at: Timestamp) -> Result<(), String> {
        let entity = activity.split('.').next().and_then(|id| id.parse().ok());
        self.skips.entry(entity.ok_or("an activity without an entity")?).or_default().push(at);
        Ok(())
    }

    /// Whether something was skipped that is no conversation's: a provider's report may be among it.
    pub(crate) fn may_have_skipped_reports(&self, conversations: &BTreeMap<Uuid, Told>) -> bool {
        self.skips.keys().any(|entity| !conversations.contains_key(entity))
    }

    /// What cannot be of what was answered.
    pub(crate) fn broken(&self) -> Vec<String> {
        let twice = self.recorded.iter().filter(|(_, times)| **times > 1);
        let twice = twice.map(|(reason, times)| format!("{reason} was done {times} times"));
        let is_there = |reason: &&String| self.recorded.contains_key(*reason);
        let lost = self.done.iter().filter(|reason| !is_there(reason));
        let lost = lost.map(|reason| format!("{reason} was done and is not recorded"));
        let refused = self.refused.iter().filter(is_there);
        twice
            .chain(lost)
            .chain(refused.map(|reason| format!("{reason} was refused and is recorded")))
            .collect()
    }

    /// The entities that are paused.
    pub(crate) fn paused(&self) -> impl Iterator<Item = &Entity> {
        let is_open = |pauses: &Vec<(Timestamp, Option<Timestamp>)>| matches!(pauses.last(), Some((_, None)));
        self.pauses.iter().filter(move |(_, pauses)| is_open(pauses)).map(|(entity, _)| entity)
    }

    /// When nothing could be sent in a conversation at somebody's word: while it was paused, and for as long as it takes
    /// to try again what was skipped.
    pub(crate) fn silenced(
        &self,
        id: Uuid,
        again: throughline_workflows::time::Span,
    ) -> Vec<(Timestamp, Timestamp)> {
        let of_this =
            self.pauses.iter().filter(|(entity, _)| (entity.kind, entity.id) == (Conversation::KIND, id));
        let forever = Timestamp::from_millis(u64::MAX / 4);
        let paused = of_this.flat_map(|(_, pauses)| pauses).map(|(from, to)| (*from, to.unwrap_or(forever)));
        let skips = self.skips.get(&id).into_iter().flatten().map(|at| (*at, *at + again));
        paused.chain(skips).collect()
    }
}

fn named(engine: &Engine, tenant: &str, target: &str) -> Result<Entity, String> {
    let (kind, id) = target.split_once('/').ok_or_else(|| format!("{target} names no entity"))?;
    let kind = engine.kind(kind).map_err(|error| error.to_string())?;
    let tenant = tenant.parse().map_err(|_| format!("{tenant} is no tenant"))?;
    Ok(Entity { tenant, kind, id: id.parse().map_err(|_| format!("{target} names no entity"))? })
}
