//! The port through which activities reach the world. The edge implements it; the engine only asks.

use std::{fmt, future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use throughline_storage::{codec, journal::Journal};
use throughline_workflows::{
    ids::TenantId,
    time::{Span, Timestamp},
    workflow::{ActivityError, Workflow},
};
use uuid::Uuid;

use crate::{
    engine::Engine,
    order::{AnyCommand, EntityRef, panic_text},
    rehydrate,
};

/// Performs what a workflow's decisions ask of the world.
pub trait Performer<W: Workflow>: Send + Sync + 'static {
    /// Performs one activity. It may be asked again with the same [`Attempt::id`] after a crash, so the id is the
    /// idempotency key for whoever takes one.
    fn perform(
        &self,
        activity: W::Activity,
        attempt: Attempt,
    ) -> impl Future<Output = Outcome<W::Command>> + Send;

    /// Whether a try may begin now, and what a lost answer would mean. Asked right before every try, so what it
    /// counts (a rate, a probe of a provider that was down) is counted once a try.
    fn admit(&self, _activity: &W::Activity, _attempt: &Attempt) -> Admission {
        Admission::Keyed
    }

    /// An operator says that what stood in the way of an activity is mended: the next try need not wait for it.
    fn mended(&self, _activity: &W::Activity, _tenant: &TenantId) {}
}

/// Whether a try may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may, and it may be made again after a crash: whoever is asked knows the activity's id, or asking twice does
    /// no harm.
    Keyed,
    /// It may, but whoever is asked cannot tell a repetition: that it begins is made durable first, and should the
    /// process end before the answer is, the activity is [`Outcome::Uncertain`] and not performed again.
    Unkeyed,
    /// Not yet. This is no try: it uses up none of them.
    NotNow {
        /// When to ask again.
        after: Span,
        /// Why, for people.
        why: String,
    },
}

/// The performer of workflows that ask nothing of the world.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPerformer;

impl<W: Workflow> Performer<W> for NoPerformer {
    async fn perform(&self, _activity: W::Activity, _attempt: Attempt) -> Outcome<W::Command> {
        Outcome::Refused(ActivityError {
            code: None,
            message: format!("nothing performs the activities of {}", W::KIND),
        })
    }
}

/// Which activity, and which try.
#[derive(Clone)]
pub struct Attempt {
    /// The tenant.
    pub tenant: TenantId,
    /// The entity that asked.
    pub entity: Uuid,
    /// `ENTITY.VERSION.INDEX`, the same on every try; an edited retry appends `.2`.
    pub id: String,
    /// Which try, from 1.
    pub number: u32,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// The engine's time.
    pub now: Timestamp,
    /// Joins everything that one message or request led to.
    pub correlation: Uuid,
    /// The engine that asks: to read what happened, and to tell entities something.
    pub engine: Engine,
}

/// A command to another entity, which is the outcome of an activity: that entity's commit settles it.
#[derive(Clone)]
pub struct HandOver {
    kind: &'static str,
    id: Uuid,
    command: AnyCommand,
}

impl HandOver {
    /// The command to the entity `id` of the workflow `W`, of the same tenant.
    pub fn to<W: Workflow>(id: Uuid, command: W::Command) -> Self {
        Self { kind: W::KIND, id, command: Arc::new(command) }
    }

    /// The entity that is told, and what.
    pub(crate) fn unpack(self, tenant: &TenantId) -> (EntityRef, AnyCommand) {
        (EntityRef { tenant: tenant.clone(), kind: self.kind, id: self.id }, self.command)
    }
}

impl fmt::Debug for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a command to {} {}", self.kind, self.id)
    }
}

/// How a try ended.
#[derive(Clone, Debug)]
pub enum Outcome<C> {
    /// It is done, and this command tells the entity; none where the entity need not know.
    Done(Option<C>),
    /// It is a command to another entity. What that entity refuses is settled too: it has no use for it.
    HandOver(HandOver),
    /// It may work later: after the span, or when the retry policy says.
    Retry {
        /// How long the world asked us to wait.
        after: Option<Span>,
        /// What went wrong.
        error: ActivityError,
    },
    /// It will never work.
    Refused(ActivityError),
    /// The world was asked, and nobody knows whether it did it. The workflow decides what follows.
    Uncertain(ActivityError),
}

/// A workflow's performer, of whichever workflow.
pub(crate) trait AnyPerformer: Send + Sync {
    /// Performs the encoded activity; a panic in the performer is a failed try.
    fn perform(&self, activity: Vec<u8>, attempt: Attempt) -> BoxFuture<'_, Outcome<AnyCommand>>;
    /// Whether a try of the encoded activity may begin.
    fn admit(&self, activity: &[u8], attempt: &Attempt) -> Admission;
    /// What stood in the way of the encoded activity is mended.
    fn mended(&self, activity: &[u8], tenant: &TenantId);
    /// The command that tells the entity that nobody knows whether the activity was done.
    fn uncertain(&self, activity: &[u8], error: &ActivityError) -> Option<AnyCommand>;
    /// Whether the entity, as its journal has it now, still wants the activity to be performed.
    fn still_wanted(&self, journal: &Journal, entity: &EntityRef, activity: &[u8]) -> Result<bool, String>;
    /// The command that tells the entity that the activity was given up.
    fn given_up(&self, activity: &[u8], error: &ActivityError) -> Option<AnyCommand>;
    /// The activity as JSON, for people.
    fn show(&self, activity: &[u8]) -> serde_json::Value;
    /// An activity that a person edited as JSON, encoded.
    fn edited(&self, activity: &serde_json::Value) -> Result<Vec<u8>, String>;
}

/// The code of an error that is a performer's panic.
pub(crate) const PANICKED: &str = "panic";

/// `P` performing for `W`.
pub(crate) struct PerformerOf<W, P> {
    pub(crate) performer: P,
    pub(crate) of: std::marker::PhantomData<fn() -> W>,
}

impl<W: Workflow, P: Performer<W>> AnyPerformer for PerformerOf<W, P> {
    fn perform(&self, activity: Vec<u8>, attempt: Attempt) -> BoxFuture<'_, Outcome<AnyCommand>> {
        Box::pin(async move {
            let activity = match codec::decode::<W::Activity>(&activity) {
                Ok(activity) => activity,
                Err(error) => return Outcome::Refused(unreadable(&error.to_string())),
            };
            match AssertUnwindSafe(self.performer.perform(activity, attempt)).catch_unwind().await {
                Ok(Outcome::Done(command)) => {
                    Outcome::Done(command.map(|command| -> AnyCommand { Arc::new(command) }))
                }
                Ok(Outcome::HandOver(command)) => Outcome::HandOver(command),
                Ok(Outcome::Retry { after, error }) => Outcome::Retry { after, error },
                Ok(Outcome::Refused(error)) => Outcome::Refused(error),
                Ok(Outcome::Uncertain(error)) => Outcome::Uncertain(error),
                Err(panic) => Outcome::Retry {
                    after: None,
                    error: ActivityError { code: Some(PANICKED.to_owned()), message: panic_text(&*panic) },
                },
            }
        })
    }

    fn admit(&self, activity: &[u8], attempt: &Attempt) -> Admission {
        // What cannot be read is refused by the try itself.
        codec::decode::<W::Activity>(activity)
            .map_or(Admission::Keyed, |activity| self.performer.admit(&activity, attempt))
    }

    fn mended(&self, activity: &[u8], tenant: &TenantId) {
        if let Ok(activity) = codec::decode::<W::Activity>(activity) {
            self.performer.mended(&activity, tenant);
        }
    }

    fn uncertain(&self, activity: &[u8], error: &ActivityError) -> Option<AnyCommand> {
        let activity = codec::decode::<W::Activity>(activity).ok()?;
        W::activity_uncertain(&activity, error).map(|command| -> AnyCommand { Arc::new(command) })
    }

    fn still_wanted(&self, journal: &Journal, entity: &EntityRef, activity: &[u8]) -> Result<bool, String> {
        let activity = codec::decode::<W::Activity>(activity).map_err(|error| error.to_string())?;
        Ok(W::still_wanted(&rehydrate::load::<W>(journal, entity, None)?.state, &activity))
    }

    fn given_up(&self, activity: &[u8], error: &ActivityError) -> Option<AnyCommand> {
        let activity = codec::decode::<W::Activity>(activity).ok()?;
        W::activity_failed(&activity, error).map(|command| -> AnyCommand { Arc::new(command) })
    }

    fn show(&self, activity: &[u8]) -> serde_json::Value {
        codec::decode::<W::Activity>(activity)
            .ok()
            .and_then(|activity| serde_json::to_value(activity).ok())
            .unwrap_or(serde_json::Value::Null)
    }

    fn edited(&self, activity: &serde_json::Value) -> Result<Vec<u8>, String> {
        serde_json::from_value::<W::Activity>(activity.clone())
            .map(|activity| codec::encode(&activity))
            .map_err(|error| error.to_string())
    }
}

fn unreadable(error: &str) -> ActivityError {
    ActivityError { code: Some("unreadable".to_owned()), message: error.to_owned() }
}

/// An activity's id, safe in file names and headers.
pub(crate) fn activity_id(entity: &EntityRef, version: u64, index: u32, edited: bool) -> String {
    let edited = if edited { ".2" } else { "" };
    format!("{}.{version}.{index}{edited}", entity.id)
}
