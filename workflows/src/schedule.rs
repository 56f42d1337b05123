//! A schedule: a report or a sweep that runs by itself, at the moments that a cron expression names.
//!
//! | command | state | events (and what else) |
//! |---|---|---|
//! | `Configure` | none, stopped, or with another plan | `Planned` with the next moment |
//! | | the same plan | nothing |
//! | `Stop` | planned | `Stopped` |
//! | `Run` (the timer) | due | `Ran` with the next moment, which is after now: what a downtime missed runs once; the work as an activity |
//! | `Finish` | that run is open | `Finished` with the figures |
//! | `Fail` | that run is open | `Failed` |

pub mod cron;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

pub use crate::record::Rejection;
use crate::{
    ids::ScheduleId,
    record::checked_name,
    time::Timestamp,
    topic::Topic,
    words::words,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, Workflow},
};

/// Runs that are open at once and remembered; the outcome of an older one is of no use.
const OPEN_MAX: usize = 16;

/// The workflow of one schedule.
#[derive(Clone, Copy, Debug)]
pub struct Schedule;

words! {
    /// What a schedule does.
    Work, "a work" {
        /// Tells who waits for us.
        ReportSilence = "report.silence",
        /// Tells how many conversations stand how, and what waits for a person.
        ReportSummary = "report.summary",
        /// Removes files that nothing names.
        SweepBlobs = "sweep.blobs",
        /// Removes what was only kept to recognise repetitions, once it is old.
        SweepClaims = "sweep.claims",
        /// Tells how many promises were not kept in time in the day before, by clock.
        ReportBreaches = "report.breaches",
    }
}

/// What runs, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The schedule's name.
    pub name: String,
    /// The cron expression, as [`cron`] reads it.
    pub cron: String,
    /// The time zone in which it is read.
    pub timezone: String,
    /// What is done.
    pub work: Work,
}

/// An order to one schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// This is its plan from now on.
    Configure {
        /// Its id.
        schedule_id: ScheduleId,
        /// The plan.
        plan: Box<Plan>,
    },
    /// It runs no more.
    Stop,
    /// It is due.
    Run,
    /// A run is done.
    Finish {
        /// The moment at which it was due.
        due: Timestamp,
        /// What it counted, by name.
        figures: BTreeMap<String, u64>,
    },
    /// A run was given up.
    Fail {
        /// The moment at which it was due.
        due: Timestamp,
        /// Why.
        error: ActivityError,
    },
}

/// A fact about one schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It has a plan.
    Planned {
        /// When.
        at: Timestamp,
        /// Its id.
        id: ScheduleId,
        /// The plan.
        plan: Box<Plan>,
        /// When it runs next; never, where the expression names no moment that is still to come.
        next_due: Option<Timestamp>,
    },
    /// It runs no more.
    Stopped {
        /// When.
        at: Timestamp,
    },
    /// It ran.
    Ran {
        /// When.
        at: Timestamp,
        /// The moment at which it was due; later ones that a downtime missed are left out.
        due: Timestamp,
        /// When it runs next.
        next_due: Option<Timestamp>,
    },
    /// A run is done.
    Finished {
        /// When.
        at: Timestamp,
        /// The moment at which it was due.
        due: Timestamp,
        /// The schedule's name.
        name: String,
        /// What was done.
        work: Work,
        /// What it counted, by name.
        figures: BTreeMap<String, u64>,
    },
    /// A run was given up.
    Failed {
        /// When.
        at: Timestamp,
        /// The moment at which it was due.
        due: Timestamp,
        /// The schedule's name.
        name: String,
        /// Why.
        error: ActivityError,
    },
}

/// What a schedule asks of the world: its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perform {
    /// What is to be done.
    pub work: Work,
    /// The moment at which it was due.
    pub due: Timestamp,
}

/// The timers of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// It is due.
    Run,
}

/// A schedule's state; nothing before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    plan: Option<Box<Plan>>,
    next_due: Option<Timestamp>,
    last_ran: Option<Timestamp>,
    /// Runs whose work is not done, by the moment at which they were due.
    open: BTreeSet<Timestamp>,
}

impl State {
    /// The plan; none before the first and after it was stopped.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    /// When it runs next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }
}

impl Workflow for Schedule {
    const KIND: &'static str = "schedule";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = Perform;
    type Deadline = Deadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let at = cx.now;
        match command {
            Command::Configure { plan, .. } if state.plan() == Some(&*plan) => Ok(Decision::nothing()),
            Command::Configure { schedule_id, mut plan } => {
                plan.name = checked_name("name", &plan.name)?;
                let next_due = cron::next(&plan.cron, &plan.timezone, at)
                    .map_err(|error| Rejection::invalid(error.field(), error.to_string()))?;
                if state.plan() == Some(&*plan) {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(Event::Planned { at, id: schedule_id, plan, next_due }))
            }
            Command::Stop if state.plan.is_some() => Ok(Decision::event(Event::Stopped { at })),
            Command::Stop => Ok(Decision::nothing()),
            Command::Run => Ok(run(state, cx)),
            Command::Finish { due, figures } => Ok(match open_run(state, due) {
                Some(Plan { name, work, .. }) => {
                    let (name, work) = (name.clone(), *work);
                    Decision::event(Event::Finished { at, due, name, work, figures })
                }
                None => Decision::nothing(),
            }),
            Command::Fail { due, error } => Ok(match open_run(state, due) {
                Some(plan) => Decision::event(Event::Failed { at, due, name: plan.name.clone(), error }),
                None => Decision::nothing(),
            }),
        }
    }

    fn evolve(state: &mut State, event: &Event) {
        match event {
            Event::Planned { plan, next_due, .. } => {
                state.plan = Some(plan.clone());
                state.next_due = *next_due;
            }
            Event::Stopped { .. } => *state = State { last_ran: state.last_ran, ..State::default() },
            Event::Ran { at, due, next_due } => {
                state.next_due = *next_due;
                state.last_ran = Some(*at);
                state.open.insert(*due);
                while state.open.len() > OPEN_MAX {
                    state.open.pop_first();
                }
            }
            Event::Finished { due, .. } | Event::Failed { due, .. } => {
                state.open.remove(due);
            }
        }
    }

    fn deadlines(state: &State) -> Deadlines<Deadline> {
        let mut due = Deadlines::new();
        if let Some(next) = state.next_due {
            due.arm(Deadline::Run, next);
        }
        due
    }

    fn rule(state: &State, deadline: Deadline) -> Option<String> {
        let plan = state.plan()?;
        match deadline {
            Deadline::Run => {
                Some(format!("schedule {}: cron \"{}\" in {}", plan.name, plan.cron, plan.timezone))
            }
        }
    }

    fn deadline_passed(deadline: Deadline) -> Command {
        match deadline {
            Deadline::Run => Command::Run,
        }
    }

    fn activity_failed(activity: &Perform, error: &ActivityError) -> Option<Command> {
        Some(Command::Fail { due: activity.due, error: error.clone() })
    }

    fn event_type(event: &Event) -> EventType {
        let name = match event {
            Event::Planned { .. } => "planned",
            Event::Stopped { .. } => "stopped",
            Event::Ran { .. } => "ran",
            Event::Finished { .. } => "finished",
            Event::Failed { .. } => "failed",
        };
        EventType { name, version: 1 }
    }

    fn topic(event: &Event) -> Option<&'static str> {
        match event {
            Event::Finished { .. } => Some(Topic::AutomationExecuted.as_str()),
            Event::Failed { .. } => Some(Topic::Error.as_str()),
            Event::Planned { .. } | Event::Stopped { .. } | Event::Ran { .. } => None,
        }
    }
}

fn run(state: &State, cx: &Context<'_>) -> Decision<Schedule> {
    let (Some(plan), Some(due)) = (state.plan(), state.next_due.filter(|due| *due <= cx.now)) else {
        return Decision::nothing();
    };
    // A plan is checked before it is kept; should a later version read it otherwise, it rests.
    let next_due = cron::next(&plan.cron, &plan.timezone, cx.now).ok().flatten();
    Decision::event(Event::Ran { at: cx.now, due, next_due }).activity(Perform { work: plan.work, due })
}

fn open_run(state: &State, due: Timestamp) -> Option<&Plan> {
    state.plan().filter(|_| state.open.contains(&due))
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("run"),
        }
    }
}

/// Why a text is not the name of a schedule's timer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a timer of a schedule: run")]
pub struct DeadlineError(String);

impl FromStr for Deadline {
    type Err = DeadlineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "run" => Ok(Self::Run),
            _ => Err(DeadlineError(text.to_owned())),
        }
    }
}
