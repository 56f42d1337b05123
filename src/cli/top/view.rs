//! How the live view looks: from its state to a frame. Pure; a test draws it without a terminal.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph, Row as TableRow, Table, TableState, Wrap},
};
use serde_json::Value;
use throughline_workflows::time::Span as Time;

use super::{
    entity,
    lists::{Column, List, Row},
    snapshot::{Snapshot, moment, number, text},
    state::{Open, Top},
};
use crate::cli::show::{distance, short};

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().fg(Color::DarkGray);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// How many lines why and next may take, each.
const HINT_LINES: usize = 3;

/// Between two columns.
const SPACING: u16 = 2;

const KEYS: &[(&str, &str)] = &[
    ("1 to 6, Tab", "the lists"),
    ("↑ ↓ PgUp PgDn g G", "move"),
    ("Enter", "open the entity of the row: timers and their rules, activities, history, state"),
    ("Esc", "back; in a list, forget the filter"),
    ("s", "order by the next column; after the last, by urgency"),
    ("/", "filter: rows that contain the text; Enter keeps it, Esc forgets it"),
    ("q", "quit"),
];

/// Draws the whole.
pub(in crate::cli) fn draw(frame: &mut Frame<'_>, top: &Top) {
    let hints = hints(top);
    let width = usize::from(frame.area().width.max(1));
    let lines: usize = hints.iter().map(|hint| hint.chars().count().div_ceil(width).min(HINT_LINES)).sum();
    let hints_height = u16::try_from(lines).unwrap_or(1);
    let [head, tabs, body, hint, foot] = Layout::vertical([
        Constraint::Length(5),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(hints_height),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, top);
    match &top.open {
        Some(open) => draw_entity(frame, tabs, body, top, open),
        None => {
            draw_tabs(frame, tabs, top);
            draw_list(frame, body, top);
        }
    }
    let hints: Vec<Line<'_>> = hints.into_iter().map(|hint| Line::styled(hint, BOLD)).collect();
    frame.render_widget(Paragraph::new(hints).wrap(Wrap { trim: false }), hint);
    frame.render_widget(Paragraph::new(foot_of(top)).style(FAINT), foot);
    if top.help {
        draw_help(frame);
    }
}

/// Why what is chosen is as it is, in full, and what to type next about it.
fn hints(top: &Top) -> Vec<String> {
    let (why, next) = match &top.open {
        Some(open) => {
            let detail = open.detail.as_ref().and_then(|detail| detail.as_ref().ok());
            (String::new(), entity::next(&open.entity, detail))
        }
        None => {
            let chosen = top.rows().into_iter().nth(top.chosen());
            chosen.map(|row| (row.why, row.next)).unwrap_or_default()
        }
    };
    let hints = [("why:  ", why), ("next: ", next)].into_iter();
    hints.filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name}{text}")).collect()
}

fn foot_of(top: &Top) -> String {
    if top.typing {
        return format!("filter: {}▏", top.filter);
    }
    if top.open.is_some() {
        return "Esc back · ↑↓ move · ? keys · q quit".to_owned();
    }
    let order = top.sort().and_then(|place| top.list().columns().get(place)).map_or("urgency", |it| it.0);
    let filter =
        if top.filter.is_empty() { String::new() } else { format!(" · filter {:?} (Esc)", top.filter) };
    format!("Enter open · s order: {order} · / filter{filter} · ? keys · q quit")
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let mut lines = vec![title(top)];
    match &top.now {
        Some(snapshot) => lines.extend(figures(snapshot, top)),
        None if top.trouble.is_none() => lines.push(Line::from("asking the server …")),
        None => {}
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn title(top: &Top) -> Line<'static> {
    let mut spans = vec![Span::styled("throughline top", BOLD), Span::raw(format!(" · {}", top.server))];
    if let Some(trouble) = &top.trouble {
        spans.push(Span::styled(format!(" · {trouble}"), BAD));
    } else if let Some(snapshot) = &top.now {
        let uptime = short(Time::from_millis(number(&snapshot.status, "/uptime_ms")));
        spans.push(Span::raw(format!(" · {} · up {uptime}", text(&snapshot.status, "/now"))));
    }
    Line::from(spans)
}

/// A figure, in red where it is not as it should be.
fn figure(name: &str, value: String, bad: bool) -> Vec<Span<'static>> {
    let style = if bad { BAD } else { Style::new() };
    vec![Span::styled(format!("{name} "), FAINT), Span::styled(value, style), Span::raw("  ")]
}

fn figures(snapshot: &Snapshot, top: &Top) -> Vec<Line<'static>> {
    let status = &snapshot.status;
    let rates = top.rates();
    let rate = |rate: Option<f64>| rate.map_or("…".to_owned(), |rate| format!("{rate:.0}/s"));
    let latency = |path: &str| {
        let micros = |field: &str| number(status, &format!("{path}/{field}"));
        format!("{}/{} ms", millis(micros("p50_micros")), millis(micros("p99_micros")))
    };
    let n = |path: &str| number(status, path);
    let count = |name: &str, path: &str, bad: bool| figure(name, n(path).to_string(), bad && n(path) > 0);
    let lag = n("/timer_lag_ms");
    let mail: u64 = snapshot.actors.iter().map(|row| number(row, "/mailbox_depth")).sum();
    let first = [
        figure("commits", rate(rates.map(|rates| rates.commits)), false),
        figure("p50/p99", latency("/commits"), false),
        figure("webhooks", rate(rates.map(|rates| rates.webhooks)), false),
        figure("p50/p99", latency("/webhooks"), false),
        figure("events", rate(rates.map(|rates| rates.events)), false),
    ];
    // What should be nothing stands first: a narrow terminal cuts the end off.
    let second = [
        figure("timer lag", short(Time::from_millis(lag)), lag > 5_000),
        count("stuck", "/timers_stuck", true),
        count("dead", "/dead_letters", true),
        count("paused", "/paused_actors", true),
        count("restarts", "/restarts", true),
        count("inbox", "/commits/inbox_pending", false),
        figure("mail", mail.to_string(), false),
        count("queue", "/commits/queue_entries", false),
        count("actors", "/resident_actors", false),
    ];
    [first.concat(), second.concat(), owed(status), silence(snapshot)].map(Line::from).into()
}

/// Microseconds as milliseconds, with two digits of meaning.
fn millis(micros: u64) -> String {
    let millis = micros as f64 / 1e3;
    if millis < 10.0 { format!("{millis:.1}") } else { format!("{millis:.0}") }
}

/// What is owed to each channel, and how much of it fails.
fn owed(status: &Value) -> Vec<Span<'static>> {
    let channels = status.get("activities").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if channels.is_empty() {
        return figure("outside", "nothing is owed".to_owned(), false);
    }
    let mut spans = vec![Span::styled("outside ", FAINT)];
    for channel in channels {
        let (failing, pending) = (number(channel, "/failing"), number(channel, "/pending"));
        let name = text(channel, "/channel");
        let (said, style) = if failing > 0 {
            (format!("{name} {failing} of {pending} failing"), BAD)
        } else {
            (format!("{name} {pending}"), Style::new())
        };
        spans.extend([Span::styled(said, style), Span::raw("  ")]);
    }
    spans
}

fn silence(snapshot: &Snapshot) -> Vec<Span<'static>> {
    let Some(longest) = snapshot.status.get("longest_silence").filter(|longest| longest.is_object()) else {
        return figure("longest silence", "nobody waits".to_owned(), false);
    };
    let due = moment(longest, "/next_update_due_at");
    let (now, late) = (snapshot.now(), due.zip(snapshot.now()).is_some_and(|(due, now)| due < now));
    let case = Some(text(longest, "/case_id")).filter(|case| !case.is_empty());
    let whose = case.unwrap_or_else(|| text(longest, "/conversation_id"));
    let waited = short(Time::from_secs(number(longest, "/silent_seconds")));
    let due = due.zip(now).map(|(due, now)| distance(now, due)).unwrap_or_default();
    figure("longest silence", format!("{waited} {whose} (must hear {due})"), late)
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let mut spans = Vec::new();
    for ((place, list), count) in List::ALL.iter().enumerate().zip(top.counts()) {
        let name = list.title();
        // A narrow terminal keeps the numbers, which are keys and counts, and shortens the names.
        let narrow = area.width < 100;
        let name = if narrow { name.split(' ').next().unwrap_or(name) } else { name };
        let style = match (*list == top.list(), *list) {
            (true, _) => CHOSEN,
            (false, List::Needs | List::Letters) if count > 0 => BAD,
            (false, _) => Style::new(),
        };
        let tab = format!("{} {name} {count}", place + 1);
        let tab = if narrow { tab } else { format!(" {tab} ") };
        spans.extend([Span::styled(tab, style), Span::raw("  ")]);
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, top: &Top) {
    let (list, rows) = (top.list(), top.rows());
    if rows.is_empty() {
        let said = if top.now.is_none() {
            ""
        } else if top.filter.is_empty() {
            list.empty()
        } else {
            "no row contains what is filtered for"
        };
        frame.render_widget(Paragraph::new(format!("\n {said}")), area);
        return;
    }
    let columns = list.columns();
    let widths = widths(columns, &rows, usize::from(area.width));
    let heads = columns.iter().enumerate().map(|(place, Column(title, ..))| {
        if top.sort() == Some(place) { format!("{title}▾") } else { (*title).to_owned() }
    });
    let body = rows.iter().map(|row| TableRow::new(row.cells.clone()));
    let widths = widths.into_iter().map(|width| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
    let table = Table::new(body, widths)
        .header(TableRow::new(heads).style(FAINT))
        .column_spacing(SPACING)
        .row_highlight_style(CHOSEN);
    let mut state = TableState::new().with_selected(top.chosen());
    frame.render_stateful_widget(table, area, &mut state);
}

/// How wide each column is: as wide as what is in it, the first ones first, and what does not fit is left out.
fn widths(columns: &[Column], rows: &[Row], room: usize) -> Vec<usize> {
    let mut left = room;
    let width = |(place, Column(title, most, _)): (usize, &Column)| {
        let filled = rows.iter().filter_map(|row| row.cells.get(place)).map(|cell| cell.chars().count());
        let wanted = filled.max().unwrap_or(0).min(usize::from(*most)).max(title.chars().count() + 1);
        let given = wanted.min(left);
        left = left.saturating_sub(given + usize::from(SPACING));
        given
    };
    columns.iter().enumerate().map(width).collect()
}

fn draw_entity(frame: &mut Frame<'_>, tabs: Rect, body: Rect, top: &Top, open: &Open) {
    let name = format!(" {} {} ", open.entity.kind, open.entity.id);
    frame.render_widget(Paragraph::new(name).style(CHOSEN), tabs);
    let now = top.now.as_ref().and_then(Snapshot::now);
    let lines: Vec<Line<'_>> = match &open.detail {
        None => vec![Line::from("asking the server …")],
        Some(Err(trouble)) => vec![Line::styled(trouble.clone(), BAD)],
        Some(Ok(detail)) => entity::lines(detail, now)
            .into_iter()
            .map(|(heading, line)| {
                let bad = ["PAUSED", "STUCK", "crashed: "].iter().any(|word| line.contains(word));
                let style = match (heading, bad) {
                    (true, _) => BOLD,
                    (false, true) => BAD,
                    (false, false) => Style::new(),
                };
                Line::styled(line, style)
            })
            .skip(open.scroll)
            .collect(),
    };
    frame.render_widget(Paragraph::new(lines), body);
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let height = u16::try_from(KEYS.len() + 2).unwrap_or(10).min(area.height);
    let width = area.width.min(100);
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, what)| Line::from(vec![Span::styled(format!("{key:<20}"), BOLD), Span::raw(*what)]))
        .collect();
    frame.render_widget(Clear, place);
    let block = Block::new().borders(Borders::ALL).title(" keys ");
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
