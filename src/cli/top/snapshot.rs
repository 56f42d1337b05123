//! What a server said of itself at one moment, and what of it is in need of somebody.
//!
//! Pure: answers of the API go in, rows come out. Nothing here knows a terminal.

use serde_json::{Value, json};
use throughline_workflows::time::{Span, Timestamp};

use super::named::{Named, named, tenant_of};
use crate::cli::show::plain;

/// How long before a promise falls due it is told as pressing: the machine's own margin.
const PRESSING: Span = Span::from_mins(30);

/// The answers of one look at the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) struct Snapshot {
    pub(in crate::cli) status: Value,
    pub(in crate::cli) actors: Vec<Value>,
    pub(in crate::cli) paused: Vec<Value>,
    pub(in crate::cli) activities: Vec<Value>,
    pub(in crate::cli) timers: Vec<Value>,
    pub(in crate::cli) silences: Vec<Value>,
    pub(in crate::cli) letters: Vec<Value>,
}

/// How urgent something is: what comes first is looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Urgency {
    /// A customer was promised to hear from us, and did not.
    Broken,
    /// Work was given up.
    GivenUp,
    /// A timer has no effect.
    Stuck,
    /// A provider does not take what it is given.
    Failing,
    /// A promise is about to be broken, or cannot be kept.
    Pressing,
    /// Somebody paused it.
    Paused,
    /// It crashed.
    Restarting,
}

/// One thing that is in need of somebody.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Need {
    pub(in crate::cli) urgency: Urgency,
    /// In a word or two.
    pub(in crate::cli) what: String,
    /// Since when, or by when.
    pub(in crate::cli) at: Option<Timestamp>,
    pub(in crate::cli) entity: Option<Named>,
    /// What it is known by, where that is no entity.
    pub(in crate::cli) id: String,
    pub(in crate::cli) why: String,
    /// What to type next.
    pub(in crate::cli) next: String,
}

impl Need {
    /// For programs.
    pub(in crate::cli) fn to_json(&self) -> Value {
        json!({
            "what": self.what, "at": self.at, "id": self.id, "why": self.why, "next": self.next,
            "kind": self.entity.as_ref().map(|entity| &entity.kind),
            "entity": self.entity.as_ref().map(|entity| &entity.id),
        })
    }
}

/// A field as text; nothing where it is not there.
pub(in crate::cli) fn text(row: &Value, path: &str) -> String {
    row.pointer(path).map(plain).unwrap_or_default()
}

/// A field as a number; 0 where it is not there.
pub(in crate::cli) fn number(row: &Value, path: &str) -> u64 {
    row.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

/// How often something was tried, in words.
pub(in crate::cli) fn tried(tries: u64) -> String {
    match tries {
        0 => "not tried yet".to_owned(),
        1 => "tried once".to_owned(),
        _ => format!("tried {tries} times"),
    }
}

/// A field as a time.
pub(in crate::cli) fn moment(row: &Value, path: &str) -> Option<Timestamp> {
    row.pointer(path)?.as_str()?.parse().ok()
}

/// Whether the figures tell of an activity that was tried in vain.
pub(super) fn is_failing(status: &Value) -> bool {
    let channels = status.get("activities").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    channels.iter().any(|channel| number(channel, "/failing") > 0)
}

/// Whether the figures tell of a timer without effect.
pub(super) fn has_stuck(status: &Value) -> bool {
    number(status, "/timers_stuck") > 0
}

impl Snapshot {
    /// The server's time.
    pub(in crate::cli) fn now(&self) -> Option<Timestamp> {
        moment(&self.status, "/now")
    }

    /// What is in need of somebody, the most urgent first, and among equals what has waited longest.
    pub(in crate::cli) fn needs(&self) -> Vec<Need> {
        let mut needs: Vec<Need> = self.silences.iter().filter_map(|row| self.of_silence(row)).collect();
        needs.extend(self.letters.iter().map(of_letter));
        needs.extend(self.timers.iter().filter(|row| number(row, "/stuck") > 0).map(of_timer));
        let failing = self.activities.iter().filter(|row| !text(row, "/last_error").is_empty());
        needs.extend(failing.map(of_activity));
        needs.extend(self.paused.iter().map(of_pause));
        needs.extend(self.actors.iter().filter(|row| number(row, "/restarts") > 0).map(of_restart));
        needs.sort_by_key(|need| (need.urgency, need.at));
        needs
    }

    fn of_silence(&self, row: &Value) -> Option<Need> {
        let now = self.now()?;
        let due = moment(row, "/next_update_due_at");
        let reachable = row.get("reachable") != Some(&Value::Bool(false));
        let is_paused = row.get("paused") == Some(&Value::Bool(true));
        let (urgency, what, why) = match due {
            Some(due) if due < now => {
                let why = if is_paused {
                    "promised to hear from us by then; it is paused"
                } else if reachable {
                    "promised to hear from us by then, and did not"
                } else {
                    "no channel is left by which they can be reached"
                };
                (Urgency::Broken, "silence", why)
            }
            _ if !reachable => {
                (Urgency::Pressing, "unreachable", "no channel is left by which they can be reached")
            }
            Some(due) if due.since(now) <= PRESSING => {
                let why = if is_paused {
                    "must hear from us by then, and it is paused"
                } else {
                    "must hear from us by then"
                };
                (Urgency::Pressing, "silence due", why)
            }
            _ => return None,
        };
        let case = text(row, "/case_id");
        let id = text(row, "/conversation_id");
        let entity = Named { kind: "conversation".to_owned(), id: id.clone(), tenant: tenant_of(row) };
        let next = if is_paused { entity.resume() } else { entity.inspect("") };
        let why = if case.is_empty() { why.to_owned() } else { format!("{case}: {why}") };
        Some(Need { urgency, what: what.to_owned(), at: due, entity: Some(entity), id, why, next })
    }
}

fn of_letter(row: &Value) -> Need {
    let id = text(row, "/id");
    let entity = text(row, "/entity");
    let entity = entity.split_once('/').map(|(kind, id)| Named {
        kind: kind.to_owned(),
        id: id.to_owned(),
        tenant: tenant_of(row),
    });
    Need {
        urgency: Urgency::GivenUp,
        what: format!("dead letter ({})", text(row, "/kind")),
        at: moment(row, "/at"),
        entity,
        next: format!("throughline dead-letters show {id}"),
        id,
        why: text(row, "/reason"),
    }
}

fn of_timer(row: &Value) -> Need {
    let (entity, id) = (named(row, "/kind", "/id"), text(row, "/id"));
    Need {
        urgency: Urgency::Stuck,
        what: "stuck timer".to_owned(),
        at: moment(row, "/due_at"),
        next: entity.as_ref().map(|entity| entity.inspect(" --history")).unwrap_or_default(),
        entity,
        why: format!("{} fired {} times without effect", text(row, "/name"), number(row, "/stuck")),
        id,
    }
}

fn of_activity(row: &Value) -> Need {
    let id = text(row, "/id");
    let lane = text(row, "/lane");
    let where_to = if lane.is_empty() { text(row, "/kind") } else { lane };
    let tries = number(row, "/attempts");
    Need {
        urgency: Urgency::Failing,
        what: format!("failing: {where_to}"),
        at: moment(row, "/asked_at"),
        entity: named(row, "/kind", "/entity"),
        why: format!("{}: {}", tried(tries), text(row, "/last_error")),
        next: format!("throughline activities retry-now {id} --reason \"…\""),
        id,
    }
}

fn of_pause(row: &Value) -> Need {
    let (entity, id) = (named(row, "/kind", "/id"), text(row, "/id"));
    Need {
        urgency: Urgency::Paused,
        what: "paused".to_owned(),
        at: moment(row, "/paused/since"),
        next: entity.as_ref().map(Named::resume).unwrap_or_default(),
        entity,
        why: format!("by {}: {}", text(row, "/paused/by/name"), text(row, "/paused/reason")),
        id,
    }
}

fn of_restart(row: &Value) -> Need {
    let (entity, id) = (named(row, "/kind", "/id"), text(row, "/id"));
    Need {
        urgency: Urgency::Restarting,
        what: format!("restarted {}×", number(row, "/restarts")),
        at: moment(row, "/last_command_at"),
        next: entity.as_ref().map(|entity| entity.inspect(" --history")).unwrap_or_default(),
        entity,
        why: text(row, "/last_failure"),
        id,
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;

    pub(in crate::cli) const ADA: &str = "019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11";
    pub(in crate::cli) const BOB: &str = "019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c22";

    /// A server at three in the morning.
    pub(in crate::cli) fn at_three() -> Snapshot {
        Snapshot {
            status: json!({
                "now": "2026-11-21T03:00:00.000Z", "uptime_ms": 10_000, "seq": 900, "timer_lag_ms": 0,
                "timers_stuck": 1, "resident_actors": 12, "restarts": 2, "paused_actors": 1, "dead_letters": 1,
                "activities": [{ "channel": "sms", "pending": 3, "failing": 2 }, { "channel": "email", "pending": 1, "failing": 0 }],
                "longest_silence": {
                    "tenant": "default", "conversation_id": ADA, "case_id": "TL-7K3M-9QX", "silent_seconds": 43_800,
                    "waiting_since": "2026-11-20T14:50:00.000Z", "next_update_due_at": "2026-11-21T02:50:00.000Z",
                },
                "webhooks": { "taken": 100, "p50_micros": 570, "p99_micros": 12_000 },
                "commits": { "appends": 500, "p50_micros": 300, "p99_micros": 2_400, "queue_entries": 1, "inbox_pending": 3 },
            }),
            actors: vec![
                json!({ "kind": "conversation", "id": ADA, "mailbox_depth": 1, "version": 9, "last_command": "RecordDelivery", "restarts": 0 }),
                json!({ "kind": "customer", "id": BOB, "mailbox_depth": 4, "version": 2, "restarts": 2, "last_failure": "a panic" }),
            ],
            paused: vec![json!({
                "kind": "conversation", "id": BOB, "residency": "passive",
                "paused": { "since": "2026-11-21T01:00:00Z", "by": { "name": "Grace" }, "reason": "a loop" },
            })],
            activities: vec![
                json!({
                    "id": format!("{ADA}.4.0"), "kind": "conversation", "entity": ADA, "lane": "sms", "attempts": 5,
                    "last_error": "401: authenticate", "asked_at": "2026-11-21T02:10:00Z", "next_try_at": "2026-11-21T03:04:00Z",
                }),
                json!({
                    "id": format!("{BOB}.7.0"), "kind": "conversation", "entity": BOB, "lane": "email", "attempts": 0,
                    "asked_at": "2026-11-21T02:59:59Z", "next_try_at": "2026-11-21T03:00:00Z",
                }),
            ],
            timers: vec![json!({
                "kind": "conversation", "id": BOB, "name": "update", "due_at": "2026-11-21T02:00:00Z",
                "fire_at": "2026-11-21T03:05:00Z", "stuck": 7,
            })],
            silences: vec![
                json!({
                    "tenant": "default", "conversation_id": ADA, "status": "escalated", "case_id": "TL-7K3M-9QX", "paused": false,
                    "waiting_since": "2026-11-20T14:50:00.000Z", "silent_seconds": 43_800,
                    "next_update_due_at": "2026-11-21T02:50:00.000Z", "reachable": true,
                }),
                json!({
                    "tenant": "globex", "conversation_id": BOB, "status": "open", "reachable": true, "paused": false,
                    "waiting_since": "2026-11-20T21:00:00.000Z", "silent_seconds": 21_600,
                    "next_update_due_at": "2026-11-21T09:00:00.000Z",
                }),
            ],
            letters: vec![json!({
                "id": "019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c33", "kind": "inbound", "at": "2026-11-21T00:00:00Z",
                "reason": "the parcel explodes",
            })],
        }
    }

    #[test]
    fn the_most_urgent_comes_first_each_with_what_to_type_next() {
        let needs = at_three().needs();
        let told: Vec<_> = needs.iter().map(|need| (need.urgency, need.what.as_str())).collect();
        assert_eq!(
            told,
            [
                (Urgency::Broken, "silence"),
                (Urgency::GivenUp, "dead letter (inbound)"),
                (Urgency::Stuck, "stuck timer"),
                (Urgency::Failing, "failing: sms"),
                (Urgency::Paused, "paused"),
                (Urgency::Restarting, "restarted 2×"),
            ]
        );
        assert_eq!(needs[0].next, format!("throughline inspect conversation {ADA}"));
        assert_eq!(needs[3].next, format!("throughline activities retry-now {ADA}.4.0 --reason \"…\""));
        assert!(needs[3].why.contains("401"), "{needs:?}");
    }

    #[test]
    fn the_figures_say_whether_to_look_for_what_stands_behind_others() {
        let status = at_three().status;
        assert!(is_failing(&status) && has_stuck(&status));
        let well =
            json!({ "timers_stuck": 0, "activities": [{ "channel": "sms", "pending": 9, "failing": 0 }] });
        assert!(!is_failing(&well) && !has_stuck(&well));
    }

    #[test]
    fn a_promise_that_is_kept_needs_nobody_and_one_that_cannot_be_does() {
        let now = "2026-11-21T03:00:00.000Z";
        let of = |row: Value| {
            let snapshot =
                Snapshot { status: json!({ "now": now }), silences: vec![row], ..Snapshot::default() };
            snapshot.needs().first().map(|need| (need.urgency, need.what.clone()))
        };
        assert_eq!(of(json!({ "next_update_due_at": "2026-11-21T09:00:00Z", "reachable": true })), None);
        let soon = of(json!({ "next_update_due_at": "2026-11-21T03:20:00Z", "reachable": true }));
        assert_eq!(soon, Some((Urgency::Pressing, "silence due".to_owned())));
        let nowhere = of(json!({ "next_update_due_at": "2026-11-21T09:00:00Z", "reachable": false }));
        assert_eq!(nowhere, Some((Urgency::Pressing, "unreachable".to_owned())));
        assert!(Snapshot::default().needs().is_empty());
    }

    #[test]
    fn what_to_type_names_another_tenant_and_not_the_operators_own() {
        let of = |tenant: &str, paused: bool| {
            let row = json!({
                "tenant": tenant, "conversation_id": ADA, "next_update_due_at": "2026-11-21T02:00:00Z",
                "reachable": true, "paused": paused,
            });
            let status = json!({ "now": "2026-11-21T03:00:00.000Z" });
            let snapshot = Snapshot { status, silences: vec![row], ..Snapshot::default() };
            snapshot.needs()[0].next.clone()
        };
        assert_eq!(of("default", false), format!("throughline inspect conversation {ADA}"));
        assert_eq!(of("globex", false), format!("throughline inspect conversation {ADA} --tenant globex"));
        let resume = format!("throughline actors resume conversation {ADA} --tenant globex --reason \"…\"");
        assert_eq!(of("globex", true), resume);
    }
}
