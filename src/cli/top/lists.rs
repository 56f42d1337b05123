//! The lists between which one chooses: their columns, their rows, their order.

use serde_json::Value;
use throughline_workflows::time::Timestamp;

use super::{
    named::{Named, named, tenant_of},
    snapshot::{Need, Snapshot, moment, number, text},
};
use crate::cli::show::distance;

/// One of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum List {
    Needs,
    Actors,
    Activities,
    Timers,
    Silences,
    Letters,
}

/// How a column is ordered where it is chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Rank {
    Number(i128),
    Text(String),
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Row {
    pub(in crate::cli) cells: Vec<String>,
    /// By what it is ordered, a rank a column.
    pub(in crate::cli) ranks: Vec<Rank>,
    /// What Enter opens.
    pub(in crate::cli) entity: Option<Named>,
    /// What a cell may have no room for.
    pub(in crate::cli) why: String,
    /// What to type next.
    pub(in crate::cli) next: String,
}

/// A column: its title, how wide it is at most, and whether what is large comes first when it is chosen.
pub(in crate::cli) struct Column(
    pub(in crate::cli) &'static str,
    pub(in crate::cli) u16,
    pub(in crate::cli) bool,
);

/// The width of an id.
const ID: u16 = 36;

impl List {
    pub(in crate::cli) const ALL: [Self; 6] =
        [Self::Needs, Self::Actors, Self::Activities, Self::Timers, Self::Silences, Self::Letters];

    pub(in crate::cli) fn title(self) -> &'static str {
        match self {
            Self::Needs => "Needs attention",
            Self::Actors => "Actors",
            Self::Activities => "Activities",
            Self::Timers => "Timers",
            Self::Silences => "Silences",
            Self::Letters => "Dead letters",
        }
    }

    /// What is said where it is empty.
    pub(in crate::cli) fn empty(self) -> &'static str {
        match self {
            Self::Needs => "nothing needs attention",
            Self::Actors => "no entity is in memory",
            Self::Activities => "nothing waits to be done outside",
            Self::Timers => "no timer is armed",
            Self::Silences => "nobody waits",
            Self::Letters => "nothing was given up",
        }
    }

    pub(in crate::cli) fn columns(self) -> &'static [Column] {
        match self {
            Self::Needs => &[
                Column("what", 22, false),
                Column("when", 10, false),
                Column("why", 60, false),
                Column("id", 40, false),
            ],
            Self::Actors => &[
                Column("mail", 4, true),
                Column("restarts", 8, true),
                Column("kind", 12, false),
                Column("last command", 20, false),
                Column("when", 10, true),
                Column("version", 7, true),
                Column("id", ID, false),
            ],
            Self::Activities => &[
                Column("lane", 12, false),
                Column("tries", 5, true),
                Column("next try", 10, false),
                Column("asked", 10, false),
                Column("last error", 50, false),
                Column("id", 40, false),
            ],
            Self::Timers => &[
                Column("due", 12, false),
                Column("stuck", 5, true),
                Column("name", 22, false),
                Column("kind", 12, false),
                Column("paused", 6, true),
                Column("id", ID, false),
            ],
            Self::Silences => &[
                Column("silent", 8, true),
                Column("due", 12, false),
                Column("tenant", 12, false),
                Column("case", 12, false),
                Column("status", 17, false),
                Column("reachable", 9, false),
                Column("id", ID, false),
            ],
            Self::Letters => &[
                Column("at", 12, true),
                Column("kind", 9, false),
                Column("tries", 5, true),
                Column("reason", 60, false),
                Column("id", ID, false),
            ],
        }
    }

    /// The rows, in the order of the column that was chosen, or the list's own.
    pub(in crate::cli) fn rows(self, snapshot: &Snapshot, sort: Option<usize>) -> Vec<Row> {
        let now = snapshot.now();
        let of = |rows: &[Value], row: fn(&Value, Option<Timestamp>) -> Row| {
            rows.iter().map(|value| row(value, now)).collect::<Vec<_>>()
        };
        let mut rows = match self {
            Self::Needs => snapshot.needs().iter().map(|need| of_need(need, now)).collect(),
            Self::Actors => of(&snapshot.actors, of_actor),
            Self::Activities => of(&snapshot.activities, of_activity),
            Self::Timers => of(&snapshot.timers, of_timer),
            Self::Silences => of(&snapshot.silences, of_silence),
            Self::Letters => of(&snapshot.letters, of_letter),
        };
        if let Some((place, Column(_, _, large_first))) =
            sort.and_then(|place| Some((place, self.columns().get(place)?)))
        {
            rows.sort_by(|a, b| {
                let order = a.ranks.get(place).cmp(&b.ranks.get(place));
                if *large_first { order.reverse() } else { order }
            });
        }
        rows
    }
}

/// A cell and its rank.
fn word(text: String) -> (String, Rank) {
    (text.clone(), Rank::Text(text.to_lowercase()))
}

fn count(count: u64) -> (String, Rank) {
    (count.to_string(), Rank::Number(i128::from(count)))
}

fn when(at: Option<Timestamp>, now: Option<Timestamp>) -> (String, Rank) {
    let text = match (now, at) {
        (Some(now), Some(at)) => distance(now, at),
        (_, at) => at.map(|at| at.to_string()).unwrap_or_default(),
    };
    (text, Rank::Number(at.map_or(i128::MAX, |at| i128::from(at.as_millis()))))
}

fn row(cells: impl IntoIterator<Item = (String, Rank)>, entity: Option<Named>, next: String) -> Row {
    let (cells, ranks) = cells.into_iter().unzip();
    Row { cells, ranks, entity, why: String::new(), next }
}

fn of_need(need: &Need, now: Option<Timestamp>) -> Row {
    let urgency = (need.what.clone(), Rank::Number(need.urgency as i128));
    let cells = [urgency, when(need.at, now), word(need.why.clone()), word(need.id.clone())];
    Row { why: need.why.clone(), ..row(cells, need.entity.clone(), need.next.clone()) }
}

fn inspect(entity: Option<&Named>) -> String {
    entity.map(|entity| entity.inspect("")).unwrap_or_default()
}

fn of_actor(value: &Value, now: Option<Timestamp>) -> Row {
    let entity = named(value, "/kind", "/id");
    let cells = [
        count(number(value, "/mailbox_depth")),
        count(number(value, "/restarts")),
        word(text(value, "/kind")),
        word(text(value, "/last_command")),
        when(moment(value, "/last_command_at"), now),
        count(number(value, "/version")),
        word(text(value, "/id")),
    ];
    Row { why: text(value, "/last_failure"), ..row(cells, entity.clone(), inspect(entity.as_ref())) }
}

fn of_activity(value: &Value, now: Option<Timestamp>) -> Row {
    let id = text(value, "/id");
    let lane = Some(text(value, "/lane")).filter(|lane| !lane.is_empty());
    let cells = [
        word(lane.unwrap_or_else(|| text(value, "/kind"))),
        count(number(value, "/attempts")),
        when(moment(value, "/next_try_at"), now),
        when(moment(value, "/asked_at"), now),
        word(text(value, "/last_error")),
        word(id.clone()),
    ];
    let next = format!("throughline activities retry-now {id} --reason \"…\"");
    Row { why: text(value, "/last_error"), ..row(cells, named(value, "/kind", "/entity"), next) }
}

fn of_timer(value: &Value, now: Option<Timestamp>) -> Row {
    let entity = named(value, "/kind", "/id");
    let paused = value.get("paused") == Some(&Value::Bool(true));
    let cells = [
        when(moment(value, "/due_at"), now),
        count(number(value, "/stuck")),
        word(text(value, "/name")),
        word(text(value, "/kind")),
        (if paused { "paused" } else { "" }.to_owned(), Rank::Number(i128::from(paused))),
        word(text(value, "/id")),
    ];
    row(cells, entity.clone(), inspect(entity.as_ref()))
}

fn of_silence(value: &Value, now: Option<Timestamp>) -> Row {
    let id = text(value, "/conversation_id");
    let entity = Named { kind: "conversation".to_owned(), id: id.clone(), tenant: tenant_of(value) };
    let since = moment(value, "/waiting_since");
    let silent = number(value, "/silent_seconds");
    let (waited, _) = when(since, now);
    let reachable = value.get("reachable") != Some(&Value::Bool(false));
    let paused = value.get("paused") == Some(&Value::Bool(true));
    let status = if paused { "paused".to_owned() } else { text(value, "/status") };
    let cells = [
        (waited.trim_end_matches(" ago").to_owned(), Rank::Number(i128::from(silent))),
        when(moment(value, "/next_update_due_at"), now),
        word(text(value, "/tenant")),
        word(text(value, "/case_id")),
        word(status),
        (if reachable { "yes" } else { "NO" }.to_owned(), Rank::Number(i128::from(reachable))),
        word(id),
    ];
    row(cells, Some(entity.clone()), inspect(Some(&entity)))
}

fn of_letter(value: &Value, now: Option<Timestamp>) -> Row {
    let id = text(value, "/id");
    let entity = text(value, "/entity");
    let entity = entity.split_once('/').map(|(kind, id)| Named {
        kind: kind.to_owned(),
        id: id.to_owned(),
        tenant: Some(text(value, "/tenant")).filter(|tenant| !tenant.is_empty()),
    });
    let cells = [
        when(moment(value, "/at"), now),
        word(text(value, "/kind")),
        count(number(value, "/attempts")),
        word(text(value, "/reason")),
        word(id.clone()),
    ];
    let next = format!("throughline dead-letters show {id}");
    Row { why: text(value, "/reason"), ..row(cells, entity, next) }
}
