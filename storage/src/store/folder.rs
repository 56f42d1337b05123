//! A store's folder: one process at a time, one engine for life, and every name in it durable.
//!
//! Engines that keep files open their folder here first. Small files stand beside the engine's own: `LOCK`, held by
//! the running process and naming it; `FORMAT`, which says what made the folder and whether the making was finished;
//! and between a clean stop and the next start `CLOSED`, the seal of that stop. This file knows no engine; each brings its [`Format`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::StoreError;
use super::seal::{Seal, Witness};

const LOCK: &str = "LOCK";
const FORMAT: &str = "FORMAT";
const FORMAT_NEW: &str = "FORMAT.new";
const CLOSED: &str = "CLOSED";
const CLOSED_NEW: &str = "CLOSED.new";

/// What to do about damage, in words that end a sentence.
pub(super) const ADVICE: &str = "stop the server, keep a copy of the whole data folder as it is, and put a backup in \
                                 its place with `throughline restore`";

/// A process that was just killed may hold its locks for some milliseconds more.
pub(super) const LOCK_TRIES: u32 = 50;
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What makes a folder an engine's own. A folder is opened only by exactly the format that made it.
#[derive(Clone, Debug)]
pub(super) struct Format {
    /// The engine's name.
    pub(super) engine: &'static str,
    /// The version of the engine's files, and whatever else must never change in a folder's life.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// A locked folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    format: Format,
    /// Whether the engine's files have been made and are durable.
    pub(super) ready: bool,
    /// What the last batch did before a clean stop, if that was the last that happened.
    pub(super) witness: Option<Witness>,
    /// Locked until it is dropped.
    _lock: File,
}

impl Folder {
    /// Makes the folder if there is none, locks it and reads its format.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it, [`StoreError::Unsuitable`] if it is not this format's.
    pub(super) fn open(path: &Path, format: Format) -> Result<Self, StoreError> {
        create_durably(path)?;
        let lock = lock(path)?;
        let ready = match fs::read_to_string(path.join(FORMAT)) {
            Ok(found) => format.compare(path, &found)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                refuse_strangers(path)?;
                false
            }
            Err(error) => return Err(failed(path, &error)),
        };
        let mut folder = Self { path: path.to_owned(), format, ready, witness: None, _lock: lock };
        if ready {
            folder.compare_files()?;
        } else {
            folder.write_format("making")?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A name in the folder.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names in the folder.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        names(&self.path)
    }

    /// Removes whatever a making that did not come to its end left behind. Nothing was ever acknowledged from it.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        assert!(!self.ready, "only a folder that never became ready may be cleared");
        for name in self.names()?.iter().filter(|name| !is_ours(name)) {
            let path = self.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| failed(&path, &error))?;
        }
        self.sync()
    }

    /// Records that the engine's files are made. Before this, a restart makes them anew; after it, never.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        self.write_format("ready")?;
        self.ready = true;
        Ok(())
    }

    /// Compares the files with what the last clean stop wrote down, if that was the last that happened. From here on
    /// they may change; what the last batch did is still to be asked for.
    fn compare_files(&mut self) -> Result<(), StoreError> {
        let path = self.join(CLOSED);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&path, &error)),
        };
        let Some(seal) = std::str::from_utf8(&text).ok().and_then(Seal::read) else {
            tracing::warn!("{} cannot be read, so it is passed over", path.display());
            return Ok(());
        };
        for (name, bytes) in &seal.files {
            let path = self.join(name);
            let said = match fs::metadata(&path) {
                Ok(metadata) if metadata.len() == *bytes => continue,
                Ok(metadata) => {
                    format!("the file {name} had {bytes} bytes when it was closed and has {}", metadata.len())
                }
                Err(error) if error.kind() == ErrorKind::NotFound => format!("the file {name} is missing"),
                Err(error) => return Err(failed(&path, &error)),
            };
            return Err(damaged(&self.path, &said));
        }
        let without_files = Seal { files: vec![], witness: seal.witness };
        if self.write_durably(CLOSED, CLOSED_NEW, &without_files.text()).is_err() {
            // A full disk has room for less and not for more.
            self.remove(CLOSED)?;
        }
        self.witness = without_files.witness;
        Ok(())
    }

    /// Asks the opened engine for the last batch before the clean stop, if that was the last that happened.
    pub(super) fn ask_witness(
        &self,
        get: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), StoreError> {
        if let Some(witness) = &self.witness {
            witness.ask(&self.path, get)?;
        }
        self.remove(CLOSED)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.join(name);
        match fs::remove_file(&path) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Writes down how long these files are and what the last batch did. Called when nothing changes them any more.
    /// Where that fails, say on a full disk, nothing is lost but the comparison.
    pub(super) fn seal(&self, names: Vec<String>, witness: Option<Witness>) {
        if let Err(error) = self.try_to_seal(names, witness) {
            tracing::warn!(%error, "the folder is closed without a seal");
        }
    }

    fn try_to_seal(&self, names: Vec<String>, witness: Option<Witness>) -> Result<(), StoreError> {
        let mut files = Vec::new();
        for name in names {
            let path = self.join(&name);
            let bytes = fs::metadata(&path).map_err(|error| failed(&path, &error))?.len();
            files.push((name, bytes));
        }
        self.write_durably(CLOSED, CLOSED_NEW, &Seal { files, witness }.text())
    }

    /// Makes the folder's names durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        sync_folder(&self.path)
    }

    /// Bytes that the folder's files take on disk.
    pub(super) fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        bytes_on_disk(&self.path).map_err(|error| failed(&self.path, &error))
    }

    fn write_format(&self, state: &str) -> Result<(), StoreError> {
        self.write_durably(FORMAT, FORMAT_NEW, &self.format.text(state))
    }

    fn write_durably(&self, name: &str, new: &str, text: &str) -> Result<(), StoreError> {
        let new = self.join(new);
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&new, self.join(name))).map_err(|error| failed(&new, &error))?;
        self.sync()
    }
}

impl Format {
    fn text(&self, state: &str) -> String {
        let mut text = format!("store = throughline\nengine = {}\n", self.engine);
        for (name, value) in &self.fields {
            text += &format!("{name} = {value}\n");
        }
        text + &format!("state = {state}\n")
    }

    /// Whether the folder is ready.
    fn compare(&self, path: &Path, found: &str) -> Result<bool, StoreError> {
        let path = path.display();
        let value_of = |name: &str| {
            found
                .lines()
                .filter_map(|line| line.split_once(" = "))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let engine = [("engine", self.engine.to_owned())];
        for &(name, ref wanted) in engine.iter().chain(&self.fields) {
            match value_of(name) {
                Some(value) if value == wanted => {}
                Some(value) if name == "engine" => {
                    return Err(StoreError::Unsuitable(format!(
                        "{path} was made with engine {value} and cannot be opened with engine {wanted}: set \
                         storage.engine = \"{value}\", or take its content over into a new folder with `throughline \
                         journal export` and `throughline journal import`"
                    )));
                }
                Some(value) => {
                    return Err(StoreError::Unsuitable(format!(
                        "{path} was made with {name} {value} and cannot be opened with {name} {wanted}: use the \
                         program and the settings that made it, or a new folder"
                    )));
                }
                None => {
                    return Err(StoreError::Damaged(format!(
                        "{path}/{FORMAT} does not say its {name}; {ADVICE}"
                    )));
                }
            }
        }
        match value_of("state") {
            Some("ready") => Ok(true),
            Some("making") => Ok(false),
            // Only a making that was cut off may be started again: that clears the folder.
            _ => Err(StoreError::Damaged(format!("{path}/{FORMAT} does not say its state; {ADVICE}"))),
        }
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| failed(path, &error))
}

/// An operating system's refusal, with the path it concerns.
pub(super) fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", path.display()))
}

/// Damage that keeps an engine from opening its folder, with what the engine says of it.
pub(super) fn damaged(path: &Path, said: &str) -> StoreError {
    StoreError::Damaged(format!("{} cannot be opened: `{said}`; {ADVICE}", path.display()))
}

/// Makes the folder and those above it that are missing, each durable in its parent before the next is made.
///
/// The lowest that is there already is made durable too: whoever made it may have been killed before that.
fn create_durably(path: &Path) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for name in path.ancestors().filter(|name| !name.as_os_str().is_empty()) {
        if name.exists() {
            sync_parent(name, true)?;
            break;
        }
        missing.push(name);
    }
    for name in missing.into_iter().rev() {
        fs::create_dir_all(name).map_err(|error| failed(name, &error))?;
        sync_parent(name, false)?;
    }
    Ok(())
}

/// Makes a folder's own name durable.
fn sync_parent(path: &Path, was_there: bool) -> Result<(), StoreError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    match File::open(parent) {
        Ok(folder) => folder.sync_all().map_err(|error| failed(parent, &error)),
        // An administrator gave us a folder in one of theirs.
        Err(error) if was_there && error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(failed(parent, &error)),
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let name = path.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(|error| failed(&name, &error))?;
    for attempt in 1..=LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if attempt < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                // The holder writes its name right after it has the lock, so this is no earlier process.
                let holder = fs::read_to_string(&name).ok().map(|holder| holder.trim().to_owned());
                let holder = holder.filter(|holder| !holder.is_empty());
                return Err(StoreError::Locked { path: path.display().to_string(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&name, &error)),
        }
    }
    let written = file.set_len(0).and_then(|()| file.write_all(this_process().as_bytes()));
    written.map_err(|error| failed(&name, &error))?;
    Ok(file)
}

fn this_process() -> String {
    let program = std::env::current_exe().ok();
    let program =
        program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    format!("process {} ({})\n", std::process::id(), program.unwrap_or_else(|| "unknown".to_owned()))
}

/// A folder without a format must be empty: it may be someone's home.
fn refuse_strangers(path: &Path) -> Result<(), StoreError> {
    match names(path)?.iter().find(|name| !is_ours(name)) {
        None => Ok(()),
        Some(name) => Err(StoreError::Unsuitable(format!(
            "{} is not a store's folder: it holds {name} and no {FORMAT}; give an empty folder or a new one",
            path.display()
        ))),
    }
}

fn is_ours(name: &str) -> bool {
    [LOCK, FORMAT, FORMAT_NEW, CLOSED, CLOSED_NEW].contains(&name)
}

fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let names = fs::read_dir(path).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<_, _>>()
    });
    names.map_err(|error| failed(path, &error))
}

fn bytes_on_disk(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;

    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += bytes_on_disk(&entry.path())?,
            Ok(metadata) => bytes += metadata.blocks() * 512,
            Err(error) if error.kind() == ErrorKind::NotFound => {} // Removed by the engine meanwhile.
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
