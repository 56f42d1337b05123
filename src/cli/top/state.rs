//! What is looked at: the state of the live view, moved on by keys and by what the server says. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

use super::{
    lists::{List, Row},
    named::Named,
    snapshot::{Snapshot, number},
};

/// How far a page key moves.
const PAGE: usize = 10;

/// The live view.
#[derive(Debug, Default)]
pub(in crate::cli) struct Top {
    /// Which server is looked at.
    pub(in crate::cli) server: String,
    /// What it said last, and before that.
    pub(in crate::cli) now: Option<Snapshot>,
    before: Option<Snapshot>,
    /// Why it could not be asked last.
    pub(in crate::cli) trouble: Option<String>,
    list: usize,
    /// The row that is chosen, a place a list.
    chosen: [usize; List::ALL.len()],
    /// The column by which each list is ordered; its own order where there is none.
    sort: [Option<usize>; List::ALL.len()],
    pub(in crate::cli) filter: String,
    pub(in crate::cli) typing: bool,
    pub(in crate::cli) help: bool,
    pub(in crate::cli) open: Option<Open>,
}

/// An entity that is looked at closely.
#[derive(Debug)]
pub(in crate::cli) struct Open {
    pub(in crate::cli) entity: Named,
    pub(in crate::cli) detail: Option<Result<Detail, String>>,
    pub(in crate::cli) scroll: usize,
}

/// What the server says of one entity.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Detail {
    pub(in crate::cli) state: Value,
    /// Its newest events, the newest first.
    pub(in crate::cli) history: Vec<Value>,
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Ask {
    Nothing,
    Quit,
    /// Look at this entity, from now on.
    Open(Named),
    /// Look at the lists only.
    Close,
}

/// Rates between the last two looks, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct Rates {
    pub(in crate::cli) commits: f64,
    pub(in crate::cli) webhooks: f64,
    pub(in crate::cli) events: f64,
}

impl Top {
    pub(in crate::cli) fn new(server: String) -> Self {
        Self { server, ..Self::default() }
    }

    pub(in crate::cli) fn list(&self) -> List {
        List::ALL[self.list]
    }

    pub(in crate::cli) fn sort(&self) -> Option<usize> {
        self.sort[self.list]
    }

    /// The rows of the list that is shown, ordered and filtered.
    pub(in crate::cli) fn rows(&self) -> Vec<Row> {
        self.rows_of(self.list())
    }

    fn rows_of(&self, list: List) -> Vec<Row> {
        let Some(snapshot) = &self.now else { return Vec::new() };
        let place = List::ALL.iter().position(|it| *it == list).unwrap_or_default();
        let mut rows = list.rows(snapshot, self.sort[place]);
        let wanted = self.filter.to_lowercase();
        rows.retain(|row| row.cells.iter().any(|cell| cell.to_lowercase().contains(&wanted)));
        rows
    }

    /// How many rows each list has.
    pub(in crate::cli) fn counts(&self) -> [usize; List::ALL.len()] {
        List::ALL.map(|list| self.rows_of(list).len())
    }

    /// The row that is chosen, within what there is.
    pub(in crate::cli) fn chosen(&self) -> usize {
        self.chosen[self.list].min(self.rows().len().saturating_sub(1))
    }

    /// The server answered, or could not be asked.
    pub(in crate::cli) fn learn(&mut self, seen: Result<Snapshot, String>) {
        match seen {
            Ok(snapshot) => {
                self.before = self.now.replace(snapshot);
                self.trouble = None;
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    /// The server answered about an entity; what is not looked at any more is dropped.
    pub(in crate::cli) fn learn_of(&mut self, entity: &Named, detail: Result<Detail, String>) {
        if let Some(open) = self.open.as_mut().filter(|open| open.entity == *entity) {
            open.detail = Some(detail);
        }
    }

    /// Rates between the last two looks; none before the second, or where the server was started in between.
    pub(in crate::cli) fn rates(&self) -> Option<Rates> {
        let (before, now) = (self.before.as_ref()?, self.now.as_ref()?);
        let grown = |path: &str| {
            number(&now.status, path).checked_sub(number(&before.status, path)).map(|grown| grown as f64)
        };
        let seconds = grown("/uptime_ms").filter(|millis| *millis > 0.0)? / 1e3;
        Some(Rates {
            commits: grown("/commits/appends")? / seconds,
            webhooks: grown("/webhooks/taken")? / seconds,
            events: grown("/seq")? / seconds,
        })
    }

    /// A key was pressed.
    pub(in crate::cli) fn press(&mut self, key: KeyEvent) -> Ask {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Ask::Quit;
        }
        if self.typing {
            self.type_filter(key.code);
            return Ask::Nothing;
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') { Ask::Quit } else { Ask::Nothing };
        }
        match key.code {
            KeyCode::Char('q') => return Ask::Quit,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if self.open.is_some() => {
                self.open = None;
                return Ask::Close;
            }
            KeyCode::Up | KeyCode::Char('k') => self.go(|place, _| place.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.go(|place, last| (place + 1).min(last)),
            KeyCode::PageUp => self.go(|place, _| place.saturating_sub(PAGE)),
            KeyCode::PageDown => self.go(|place, last| (place + PAGE).min(last)),
            KeyCode::Home | KeyCode::Char('g') => self.go(|_, _| 0),
            KeyCode::End | KeyCode::Char('G') => self.go(|_, last| last),
            _ if self.open.is_some() => {}
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Enter | KeyCode::Right => return self.open(),
            KeyCode::Tab => self.list = (self.list + 1) % List::ALL.len(),
            KeyCode::BackTab => self.list = (self.list + List::ALL.len() - 1) % List::ALL.len(),
            KeyCode::Char(digit @ '1'..='6') => self.list = digit as usize - '1' as usize,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.sort_on(),
            _ => {}
        }
        Ask::Nothing
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }

    /// Moves within the entity that is open, or else within the list.
    fn go(&mut self, step: impl Fn(usize, usize) -> usize) {
        if let Some(open) = &mut self.open {
            let last = open.detail.as_ref().map_or(0, |detail| {
                detail.as_ref().map_or(0, |detail| super::entity::lines(detail, None).len().saturating_sub(1))
            });
            open.scroll = step(open.scroll.min(last), last);
            return;
        }
        let last = self.rows().len().saturating_sub(1);
        self.chosen[self.list] = step(self.chosen(), last);
    }

    fn open(&mut self) -> Ask {
        let Some(entity) = self.rows().into_iter().nth(self.chosen()).and_then(|row| row.entity) else {
            return Ask::Nothing;
        };
        self.open = Some(Open { entity: entity.clone(), detail: None, scroll: 0 });
        Ask::Open(entity)
    }

    /// The next column orders the list, and after the last one its own order does.
    fn sort_on(&mut self) {
        let columns = self.list().columns().len();
        let next = self.sort().map_or(0, |place| place + 1);
        self.sort[self.list] = (next < columns).then_some(next);
        self.chosen[self.list] = 0;
    }
}
