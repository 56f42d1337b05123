//! A data folder that no server holds: opened as it is, and never made.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, anyhow, bail};
use throughline_actors::{clock::Clock, engine::EngineBuilder, offline::Offline, performer::NoPerformer};
use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions},
    store::{Engine, Store, StoreError, StoreOptions},
};
use throughline_workflows::time::Timestamp;

use crate::app;

/// Where a data folder keeps its journal, its blobs and its keys.
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const BLOBS: &str = "blobs";

/// The file that says which engine made a journal's folder.
const FORMAT: &str = "FORMAT";

/// The file that whoever opens it holds.
const LOCK: &str = "LOCK";

/// A data folder.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
}

impl DataFolder {
    /// The data folder at `path`, which must be one.
    ///
    /// # Errors
    /// What is there instead.
    pub(crate) fn at(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("there is no folder {shown}; name the data folder with --data or storage.path")
            }
            Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
            Ok(found) if !found.is_dir() => bail!("{shown} is a file, not a data folder"),
            Ok(_) => {}
        }
        if !is_data_folder(path) {
            bail!("{shown} is not a data folder: it has no {JOURNAL}/{FORMAT}");
        }
        Ok(Self { path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a blob of this name.
    pub(crate) fn has_blob(&self, name: &str) -> bool {
        self.path.join(BLOBS).join(name).is_file()
    }

    /// Opens the store with the engine that made it.
    ///
    /// # Errors
    /// If a server holds it, the engine is none of this program's, or it cannot be read.
    pub(crate) fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let journal = self.path.join(JOURNAL);
        let format = fs::read_to_string(journal.join(FORMAT))
            .with_context(|| format!("{} cannot be read", journal.join(FORMAT).display()))?;
        let engine = format.lines().find_map(|line| line.strip_prefix("engine = "));
        let engine = engine.ok_or_else(|| anyhow!("{}/{FORMAT} names no engine", journal.display()))?;
        self.must_be_ours(&journal)?;
        open_store(engine, &journal)
    }

    /// That this user may write there: an engine writes even for whoever only reads.
    fn must_be_ours(&self, journal: &Path) -> anyhow::Result<()> {
        let lock = fs::OpenOptions::new().write(true).open(journal.join(LOCK));
        match lock.map_err(|error| error.kind()) {
            Err(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => bail!(
                "{} may not be written to by this user, and an engine writes even for whoever only reads; run it as \
                 the user who runs the server, or on a copy",
                self.path.display()
            ),
            // Whatever else is the matter the engine says better.
            _ => Ok(()),
        }
    }
}

/// Whether there is a data folder at `path`.
pub(crate) fn is_data_folder(path: &Path) -> bool {
    path.join(JOURNAL).join(FORMAT).is_file()
}

/// Opens a journal's folder with an engine, making it where there is none.
///
/// # Errors
/// If a server holds it, there is no such engine, or it cannot be read.
pub(crate) fn open_store(engine: &str, journal: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let known = || Engine::ALL.map(Engine::name).join(", ");
    let engine = Engine::named(engine)
        .ok_or_else(|| anyhow!("this program has no storage engine {engine:?}; it has {}", known()))?;
    let opened = engine.open(journal, StoreOptions::default());
    opened.map_err(|error| match error {
        StoreError::Locked { .. } => anyhow!("{error}; stop the server first"),
        error => anyhow!("{} cannot be opened: {error}", journal.display()),
    })
}

/// The journal in a store, for a tool.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn open_journal(store: Arc<dyn Store>, folder: &Path) -> anyhow::Result<Journal> {
    let options =
        JournalOptions { folder: Some(folder.to_owned()), min_free: 0, ..JournalOptions::default() };
    Journal::open(store, options).context("the journal cannot be read")
}

/// A journal with the workflows and views of the server, and no engine.
///
/// # Errors
/// If the folder of blobs cannot be opened.
pub(crate) fn offline(journal: Journal, folder: &Path) -> anyhow::Result<Offline> {
    let blobs = Blobs::open(folder.join(BLOBS)).context("the folder of blobs cannot be opened")?;
    let clock = Clock::manual(Timestamp::from_millis(journal.head().at_ms));
    let builder = EngineBuilder::new(journal, Arc::new(blobs), clock);
    Ok(app::workflows(builder, NoPerformer, NoPerformer, NoPerformer).offline())
}

/// The files that are the folder's secrets, as backups name them.
///
/// # Errors
/// If they cannot be read.
pub(crate) fn secrets(folder: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let entries = match fs::read_dir(folder.join("secrets")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() && metadata.len() <= SECRET_BYTES_MAX {
            let name = format!("secrets/{}", entry.file_name().to_string_lossy());
            files.push((name, fs::read(entry.path())?));
        }
    }
    files.sort();
    Ok(files)
}

/// Keys are small.
const SECRET_BYTES_MAX: u64 = 64 << 10;
