//! A process that commits batches and is killed, starved or lied to by its disk; and what must be left of its work.
//!
//! The child is this very binary, started again with one of the ignored tests below as its only work. It says of each
//! batch that it was acknowledged; whoever started it compares what the folder holds with what the batches up to that
//! one make.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use throughline_storage::store::{Batch, Engine, Store, StoreError, StoreOptions};

use crate::shadow::Chance;

const FOLDER: &str = "FAULT_TEST_FOLDER";
const ENGINE: &str = "FAULT_TEST_ENGINE";
const SEED: &str = "FAULT_TEST_SEED";
const FIRST: &str = "FAULT_TEST_FIRST";

/// The key under which each batch leaves its number.
pub(crate) const LAST: &[u8] = b"last";

/// Little memory, so that much of what an engine does later happens in a short life.
fn options() -> StoreOptions {
    StoreOptions { cache_bytes: 6 << 20 }
}

#[test]
#[ignore = "work of a child"]
fn write() {
    let Some((store, seed, first)) = open_as_child() else { return };
    for number in first.. {
        store.commit(batch(seed, number)).unwrap();
        acknowledge(number);
    }
}

/// Writes until the disk fails, and then looks whether the store behaves as one that was failed by its disk. Some
/// failures concern only what an engine can do without, and then it ends after a while.
#[test]
#[ignore = "work of a child"]
fn write_until_it_fails() {
    let Some((store, seed, first)) = open_as_child() else { return };
    let mut last = first - 1;
    let failed = (first..first + 150).any(|number| match store.commit(batch(seed, number)) {
        Ok(()) => {
            acknowledge(number);
            last = number;
            false
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Io(_)), "{error}");
            true
        }
    });
    if !failed {
        return say("ended");
    }
    say("failed");
    for _ in 0..3 {
        assert!(matches!(store.commit(batch(seed, 1)), Err(StoreError::Poisoned(_))));
    }
    // An engine may refuse to be read after its own write has failed; what it does answer must be right.
    if let Ok(found) = store.get(LAST) {
        let found = found.map_or(0, |found| number_of(&found));
        assert!(found == last || found == last + 1, "{found} is read, {last} was written");
    }
    assert!(matches!(store.close(), Err(StoreError::Poisoned(_))), "closing does not pretend");
    say("ended");
}

/// Opens the folder, says so and waits to be killed.
#[test]
#[ignore = "work of a child"]
fn open_only() {
    say("opening");
    let Some(_store) = open_as_child() else { return };
    say("opened");
    loop {
        std::thread::park();
    }
}

/// None when somebody runs the ignored tests by hand.
fn open_as_child() -> Option<(Arc<dyn Store>, u64, u64)> {
    let folder = folder()?;
    let number = |name| std::env::var(name).unwrap().parse().unwrap();
    let engine = Engine::named(&std::env::var(ENGINE).unwrap()).unwrap();
    match engine.open(folder.join("store"), options()) {
        Ok(store) => Some((store, number(SEED), number(FIRST))),
        Err(error) => {
            say(&format!("refused: {error}"));
            None
        }
    }
}

/// The folder that a child works in, if this is one.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

pub(crate) fn acknowledge(number: u64) {
    say(&format!("acknowledged {number}"));
}

/// Before the line there is an end of one, since the test runner writes there too.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{what}").and_then(|()| out.flush()).unwrap();
}

/// A child that does one of the works above, on `folder/store`.
pub(crate) fn child(work: &str, engine: Engine, folder: &Path, seed: u64, first: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let work = if work.contains("::") { work.to_owned() } else { format!("child::{work}") };
    command.args([&work, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(ENGINE, engine.name());
    command.env(SEED, seed.to_string()).env(FIRST, first.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running child, whose words are read as it speaks.
pub(crate) struct Running {
    child: Child,
    said: Receiver<String>,
    lines: Vec<String>,
    reader: JoinHandle<()>,
}

/// How a child ended, and what it had said.
pub(crate) struct Ended {
    pub(crate) lines: Vec<String>,
    pub(crate) errors: String,
    pub(crate) succeeded: bool,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, said) = mpsc::channel();
        // A line that a kill cut short has no end, and is none.
        let reader = std::thread::spawn(move || {
            let lines = output.split(b'\n').map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(String::from_utf8_lossy(&line).into_owned())));
        });
        Self { child, said, lines: Vec::new(), reader }
    }

    /// Waits until it has said this. Whether it did, before it ended.
    pub(crate) fn wait_for(&mut self, line: &str) -> bool {
        for said in self.said.iter() {
            let found = said == line;
            self.lines.push(said);
            if found {
                return true;
            }
        }
        false
    }

    /// Kills it after so long, at no moment of its own choosing.
    pub(crate) fn kill_after(mut self, lifetime: Duration) -> Ended {
        std::thread::sleep(lifetime);
        let ended = self.child.try_wait().unwrap();
        self.child.kill().unwrap();
        let end = self.end();
        assert!(ended.is_none(), "the child ended by itself: {}", end.told());
        end
    }

    /// Waits until it has ended by itself, which takes no more than a minute.
    pub(crate) fn end_by_itself(mut self) -> Ended {
        for _ in 0..6_000 {
            if self.child.try_wait().unwrap().is_some() {
                return self.end();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().unwrap();
        let end = self.end();
        panic!("the child hangs: {}", end.told());
    }

    fn end(mut self) -> Ended {
        let end = self.child.wait_with_output().unwrap();
        self.reader.join().unwrap();
        self.lines.extend(self.said.try_iter());
        Ended {
            lines: self.lines,
            errors: String::from_utf8_lossy(&end.stderr).into_owned(),
            succeeded: end.status.success(),
        }
    }
}

impl Ended {
    /// The last batch that was acknowledged, 0 if none.
    pub(crate) fn acknowledged(&self) -> u64 {
        let numbers = self.lines.iter().filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
        numbers.max().unwrap_or(0)
    }

    /// The end of what it said, for whoever has to find out.
    pub(crate) fn told(&self) -> String {
        let last = self.lines.len().saturating_sub(12);
        format!("{:?}\n{}", &self.lines[last..], self.errors)
    }

    pub(crate) fn said(&self, beginning: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(beginning))
    }
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// The n-th batch of a seed: new keys, changed ones, removed ones, and its own number.
pub(crate) fn batch(seed: u64, number: u64) -> Batch {
    let mut chance = Chance(seed ^ number.wrapping_mul(0x1000_0001));
    let mut batch = Batch::default();
    let group = 1 + chance.below(128);
    let longest = if chance.below(3) == 0 { 20_000 } else { 1_000 };
    for index in 0..group {
        let len = 100 + chance.below(longest - 100);
        let value = format!("{number} {index} ").into_bytes().into_iter().cycle().take(len as usize);
        match chance.below(8) {
            0 => batch.put(format!("new {number:08} {index}"), value.collect::<Vec<_>>()),
            1 => batch.remove(format!("slot {:03}", chance.below(400))),
            _ => batch.put(format!("slot {:03}", chance.below(400)), value.collect::<Vec<_>>()),
        }
    }
    batch.put(LAST, number.to_be_bytes());
    batch
}

/// What a folder must hold after the batches up to `last`.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) engine: Engine,
    pub(crate) seed: u64,
    pub(crate) last: u64,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Content {
    pub(crate) fn new(engine: Engine, seed: u64) -> Self {
        Self { engine, seed, last: 0, pairs: BTreeMap::new() }
    }

    pub(crate) fn advance(&mut self, to: u64) {
        for (key, value) in (self.last + 1..=to).flat_map(|number| batch(self.seed, number).changes) {
            match value {
                Some(value) => self.pairs.insert(key, value),
                None => self.pairs.remove(&key),
            };
        }
        self.last = to;
    }

    /// Opens what is left. It must hold exactly the batches that were acknowledged, or one more: the one that was
    /// being committed.
    pub(crate) fn open_and_compare(&mut self, root: &Path) {
        let (engine, seed, acknowledged) = (self.engine, self.seed, self.last);
        let store = engine.open(root.join("store"), options()).unwrap_or_else(|error| {
            panic!("after batch {acknowledged} of seed {seed}: {error}");
        });
        let last = store.get(LAST).unwrap().map_or(0, |last| number_of(&last));
        assert!(
            last == acknowledged || last == acknowledged + 1,
            "{acknowledged} batches were acknowledged, {last} are there (seed {seed})"
        );
        self.advance(last);
        let mut found = store.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap);
        for (key, value) in &self.pairs {
            let same = found.next().is_some_and(|found| found.0 == *key && found.1 == *value);
            assert!(same, "{} is not as batch {last} of seed {seed} left it", String::from_utf8_lossy(key));
        }
        assert!(found.next().is_none(), "something is there that batch {last} had not left");
        drop(found);
        store.close().unwrap();
    }
}
