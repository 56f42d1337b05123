//! What is counted by topic: events, inbound messages, breaches, since the start of the process.

use std::collections::BTreeMap;

use serde_json::Value;
use throughline_actors::{
    engine::Engine,
    outside::{OutsideEvent, Window},
};
use throughline_workflows::topic::Topic;
use tokio::sync::Mutex;

use crate::performers::Sends;

/// Events read in one go.
const WINDOW: usize = 4096;
/// Windows read for one scrape at most; what is left is counted by the next ones.
const WINDOWS_MAX: usize = 64;

/// Counts since the start of the process.
#[derive(Default)]
pub(in crate::http) struct Tally {
    /// What channels were given to send.
    pub(super) sends: Sends,
    counted: Mutex<Counted>,
}

/// What the feed up to a `seq` held.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) reached: u64,
    pub(super) events: BTreeMap<&'static str, u64>,
    pub(super) inbound: BTreeMap<String, u64>,
    pub(super) breaches: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts what happens after `seq`.
    pub(in crate::http) fn new(seq: u64, sends: Sends) -> Self {
        let counted = Counted { reached: seq, ..Counted::default() };
        Self { sends, counted: Mutex::new(counted) }
    }

    /// The counts, with what has happened since they were last asked for.
    pub(super) async fn counted(&self, engine: &Engine) -> Result<Counted, String> {
        let mut counted = self.counted.lock().await;
        for _ in 0..WINDOWS_MAX {
            let Window { events, reached } = engine.outside(None, counted.reached, WINDOW, |_| true).await?;
            if reached == counted.reached {
                break;
            }
            counted.reached = reached;
            events.iter().for_each(|event| counted.count(event));
        }
        Ok(counted.clone())
    }
}

impl Counted {
    fn count(&mut self, event: &OutsideEvent) {
        *self.events.entry(event.topic).or_default() += 1;
        let detail = |name: &str| event.body.pointer(&format!("/details/{name}")).and_then(Value::as_str);
        match event.topic.parse() {
            Ok(Topic::MessageReceived) => {
                let channel = detail("channel").unwrap_or("unknown").to_owned();
                *self.inbound.entry(channel).or_default() += 1;
            }
            Ok(Topic::SlaBreached) => {
                let clock = detail("clock").unwrap_or("unknown").to_owned();
                *self.breaches.entry(clock).or_default() += 1;
            }
            _ => {}
        }
    }
}
