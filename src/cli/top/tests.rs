//! The live view without a terminal: keys, lists, and what is drawn.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend};
use serde_json::json;

use super::{
    lists::List,
    snapshot::tests::{ADA, BOB, at_three},
    state::{Ask, Detail, Top},
    view,
};

fn looking() -> Top {
    let mut top = Top::new("http://127.0.0.1:8080".to_owned());
    top.learn(Ok(at_three()));
    top
}

fn press(top: &mut Top, keys: &str) -> Ask {
    let mut last = Ask::Nothing;
    for key in keys.chars() {
        let code = match key {
            '↵' => KeyCode::Enter,
            '⎋' => KeyCode::Esc,
            '⇥' => KeyCode::Tab,
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            '⌫' => KeyCode::Backspace,
            '⇟' => KeyCode::PageDown,
            letter => KeyCode::Char(letter),
        };
        last = top.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    last
}

fn drawn(top: &Top, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, top)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

fn contains(screen: &str, words: &[&str]) {
    for word in words {
        assert!(screen.contains(word), "{word}:\n{screen}");
    }
}

#[test]
fn a_stuck_case_stands_first_on_the_smallest_terminal_with_what_to_type() {
    let screen = drawn(&looking(), 80, 24);
    contains(
        &screen,
        &[
            "throughline top · http://127.0.0.1:8080 · 2026-11-21T03:00:00.000Z · up 10s",
            "timer lag 0s  stuck 1  dead 1  paused 1  restarts 2  inbox 3",
            "sms 2 of 3 failing  email 1",
            "longest silence 12h 10m TL-7K3M-9QX (must hear 10m ago)",
            "1 Needs 6",
            "TL-7K3M-9QX: promised to hear from us by",
            "failing: sms",
            "tried 5 times: 401",
            "Enter open · s order: urgency",
        ],
    );
    let first = screen.lines().position(|line| line.contains("TL-7K3M-9QX: promised")).unwrap();
    let letter = screen.lines().position(|line| line.contains("dead letter (inbound)")).unwrap();
    assert!(first < letter, "{screen}");
    contains(
        &screen,
        &[
            "why:  TL-7K3M-9QX: promised to hear from us by then, and did not",
            &format!("next: throughline inspect conversation {ADA}"),
        ],
    );
    let wide = drawn(&looking(), 120, 40);
    contains(&wide, &["1 Needs attention 6", ADA, "the parcel explodes"]);
}

#[test]
fn each_list_has_its_key_and_its_order() {
    let mut top = looking();
    for (key, list, words) in [
        ("2", List::Actors, ["RecordDelivery", "customer"]),
        ("3", List::Activities, ["401: authenticate", "email"]),
        ("4", List::Timers, ["update", "1h ago"]),
        ("5", List::Silences, ["globex", "12h 10m"]),
        ("6", List::Letters, ["the parcel explodes", "3h ago"]),
    ] {
        press(&mut top, key);
        assert_eq!(top.list(), list);
        contains(&drawn(&top, 120, 40), &words);
    }
    press(&mut top, "⇥");
    assert_eq!(top.list(), List::Needs);
    // By mail the fullest box comes first; after the last column the list has its own order again.
    press(&mut top, "2s");
    assert_eq!(top.rows()[0].cells[2], "customer");
    contains(&drawn(&top, 120, 40), &["mail▾", "s order: mail"]);
    press(&mut top, "sssssss");
    assert_eq!((top.sort(), top.rows()[0].cells[2].as_str()), (None, "conversation"));
}

#[test]
fn what_is_typed_filters_and_esc_forgets_it() {
    let mut top = looking();
    assert_eq!(press(&mut top, "/smq⌫s"), Ask::Nothing, "q is a letter here");
    assert!(top.typing && top.filter == "sms");
    contains(&drawn(&top, 80, 24), &["filter: sms"]);
    press(&mut top, "↵");
    assert_eq!((top.rows().len(), top.typing), (1, false));
    press(&mut top, "⎋");
    assert_eq!(top.rows().len(), 6);
    press(&mut top, "/nothing like it↵");
    contains(&drawn(&top, 80, 24), &["no row contains what is filtered for"]);
}

#[test]
fn an_entity_is_opened_read_and_left() {
    let mut top = looking();
    let Ask::Open(entity) = press(&mut top, "↓↓↓↵") else { panic!("nothing was opened") };
    assert_eq!((entity.kind.as_str(), entity.id.as_str()), ("conversation", ADA));
    contains(&drawn(&top, 80, 24), &["asking the server", &format!(" conversation {ADA}")]);
    let state = json!({
        "version": 9, "residency": "hot", "mailbox_depth": 1, "restarts": 0, "state": { "status": "escalated" },
        "timers": [{ "name": "silence", "due_at": "2026-11-21T02:50:00Z", "rule": "silence: updates.interval 12h since then" }],
        "pending_activities": [{
            "id": format!("{ADA}.4.0"), "lane": "sms", "attempts": 5, "last_error": "401: authenticate",
            "next_try_at": "2026-11-21T03:04:00Z",
        }],
    });
    let history = vec![
        json!({ "version": 9, "type": "sla_breached", "timestamp": "2026-11-21T02:50:00Z", "because": "timer: silence fell due" }),
    ];
    top.learn_of(&entity, Ok(Detail { state: state.clone(), history: history.clone() }));
    let screen = drawn(&top, 80, 24);
    contains(
        &screen,
        &[
            "timers (1)",
            "2026-11-21T02:50:00Z (10m ago)",
            "silence: updates.interval 12h since then",
            "tried 5 times, next 2026-11-21T03:04:00Z (in 4m)",
            "401: authenticate",
            "timer: silence fell due",
            "next: throughline activities retry-now",
        ],
    );
    press(&mut top, "⇟");
    contains(&drawn(&top, 80, 24), &["\"status\": \"escalated\""]);
    // What comes late is about what is looked at no more.
    assert_eq!(press(&mut top, "⎋"), Ask::Close);
    top.learn_of(&entity, Ok(Detail { state, history }));
    assert!(top.open.is_none());
    contains(&drawn(&top, 80, 24), &["1 Needs 6"]);
}

#[test]
fn rates_are_of_the_last_two_looks_and_a_restart_gives_none() {
    let mut top = looking();
    assert!(top.rates().is_none());
    contains(&drawn(&top, 80, 24), &["commits …"]);
    let mut later = at_three();
    later.status["uptime_ms"] = json!(12_000);
    later.status["commits"]["appends"] = json!(2_900);
    later.status["webhooks"]["taken"] = json!(700);
    top.learn(Ok(later));
    contains(&drawn(&top, 120, 40), &["commits 1200/s", "webhooks 300/s", "p50/p99 0.3/2.4 ms", "0.6/12 ms"]);
    let mut restarted = at_three();
    restarted.status["uptime_ms"] = json!(10);
    top.learn(Ok(restarted));
    assert!(top.rates().is_none());
}

#[test]
fn a_server_that_is_gone_is_told_and_what_it_said_last_stays() {
    let mut top = looking();
    top.learn(Err("no server answers".to_owned()));
    contains(&drawn(&top, 80, 24), &["no server answers", "TL-7K3M-9QX"]);
    top.learn(Ok(at_three()));
    assert!(!drawn(&top, 80, 24).contains("no server answers"));
}

#[test]
fn keys_are_explained_and_q_quits_from_everywhere() {
    let mut top = looking();
    press(&mut top, "?");
    contains(&drawn(&top, 80, 24), &["keys", "order by the next column", "open the entity"]);
    assert_eq!(press(&mut top, "x"), Ask::Nothing);
    assert!(!top.help);
    press(&mut top, "↵");
    assert_eq!(press(&mut top, "q"), Ask::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(top.press(interrupt), Ask::Quit);
}

#[test]
fn nothing_in_need_is_good_news_and_a_tiny_terminal_is_no_reason_to_fall_over() {
    let mut top = Top::new("http://127.0.0.1:8080".to_owned());
    contains(&drawn(&top, 80, 24), &["asking the server"]);
    top.learn(Ok(super::Snapshot { status: json!({ "now": "2026-11-21T03:00:00Z" }), ..Default::default() }));
    contains(&drawn(&top, 80, 24), &["nothing needs attention", "nobody waits", "nothing is owed"]);
    assert_eq!(press(&mut top, "↵↓G"), Ask::Nothing);
    for (width, height) in [(1, 1), (10, 3), (40, 8), (250, 80)] {
        drawn(&top, width, height);
        drawn(&looking(), width, height);
        press(&mut top, "?");
        drawn(&top, width, height);
        press(&mut top, "?");
    }
    assert!(BOB.len() == ADA.len());
}
