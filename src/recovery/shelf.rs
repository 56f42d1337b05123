//! A folder of backups: which there are, what each adds to, and how a new one comes to stand there.
//!
//! An archive comes under a name of its own, `throughline-TIME-full.archive` or `throughline-TIME-added.archive`. While
//! it is written it has another, and it gets its own only once it has been read back and found whole. So what is on
//! the shelf is what was put there, unless the disk has changed it since.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{BufReader, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use throughline_storage::archive::{Archive, ArchiveError, Base, End, Header, read_end};
use throughline_workflows::time::Timestamp;

use super::folder::is_data_folder;

/// How an archive's name ends.
const ARCHIVE: &str = ".archive";
/// How a name ends under which one is being written.
const PARTIAL: &str = ".partial";
/// Held while one is being written.
const LOCK: &str = ".lock";
/// What a disk of its own has in its uppermost folder.
const LOST_AND_FOUND: &str = "lost+found";

/// An archive, by what its beginning and its end say of it. What is between them is not known to be sound.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) header: Header,
    pub(crate) end: End,
}

impl Kept {
    /// The archive in a file.
    ///
    /// # Errors
    /// If it cannot be read, or has no beginning or no end of an archive.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = || format!("{}", path.display());
        let file = File::open(path).with_context(shown)?;
        let metadata = file.metadata().with_context(shown)?;
        if metadata.is_dir() {
            bail!("{} is a folder, not an archive", path.display());
        }
        let read = || -> Result<(Header, End), ArchiveError> {
            let header = Archive::open(BufReader::new(&file))?.header().clone();
            Ok((header, read_end(&file)?))
        };
        let (header, end) = read().with_context(shown)?;
        Ok(Self { path: path.to_owned(), bytes: metadata.len(), header, end })
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.header.base.is_none()
    }

    /// When it was begun, by the clock of the server's machine.
    pub(crate) fn begun_at(&self) -> Timestamp {
        Timestamp::from_millis(self.header.begun_at_ms)
    }

    /// What another says that adds to this one.
    pub(crate) fn as_base(&self) -> Base {
        self.header.as_base(&self.end)
    }
}

/// What is on a shelf.
#[derive(Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    /// In the order in which they were begun.
    pub(crate) kept: Vec<Kept>,
    /// Files that are named like archives and are none, with the reason.
    pub(crate) broken: Vec<(String, String)>,
}

impl Shelf {
    /// What is in a folder.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be read.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut shelf = Self { path: path.to_owned(), kept: Vec::new(), broken: Vec::new() };
        for name in names(path)? {
            if !name.ends_with(ARCHIVE) {
                continue;
            }
            match Kept::read(&path.join(&name)) {
                Ok(kept) => shelf.kept.push(kept),
                Err(error) => shelf.broken.push((name, error.root_cause().to_string())),
            }
        }
        shelf.kept.sort_by_key(|kept| (kept.header.begun_at_ms, kept.end.head.seq));
        shelf.broken.sort();
        Ok(shelf)
    }

    /// The archives that `last` needs, from the full one on, `last` included.
    ///
    /// # Errors
    /// If one of them is not here.
    pub(crate) fn chain(&self, last: &Kept) -> anyhow::Result<Vec<Kept>> {
        let mut chain = vec![last.clone()];
        let mut seen = HashSet::from([last.path.clone()]);
        while let Some(base) = chain.last().and_then(|kept| kept.header.base.clone()) {
            let found =
                self.kept.iter().find(|kept| kept.as_base() == base && seen.insert(kept.path.clone()));
            let Some(found) = found else {
                let begun = Timestamp::from_millis(base.begun_at_ms);
                bail!(
                    "{} adds to the backup that was begun at {begun} and ends at seq {}, and that one is not \
                     whole in {}",
                    chain.last().map(Kept::name).unwrap_or_default(),
                    base.seq,
                    self.path.display()
                );
            };
            chain.push(found.clone());
        }
        chain.reverse();
        Ok(chain)
    }

    /// The newest archive that has all it needs.
    pub(crate) fn newest(&self) -> Option<&Kept> {
        self.kept.iter().rev().find(|kept| self.chain(kept).is_ok())
    }

    /// The archive that `at` asks for: the newest that was begun at or before a time, or the one of a name.
    ///
    /// # Errors
    /// If there is none, with those there are.
    pub(crate) fn at(&self, at: &str) -> anyhow::Result<&Kept> {
        let found = match at.parse::<Timestamp>() {
            Ok(time) => self.kept.iter().rev().find(|kept| kept.begun_at() <= time),
            Err(_) => self.kept.iter().find(|kept| [at, &format!("{at}{ARCHIVE}")].contains(&&*kept.name())),
        };
        found.ok_or_else(|| {
            let names: Vec<String> = self.kept.iter().map(Kept::name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            anyhow!("no backup in {} answers to --at {at}; there are: {names}", self.path.display())
        })
    }
}

/// What is in a folder for backups, which may still be missing: then nothing is, and it is not made yet.
///
/// # Errors
/// If something else is in it.
pub(crate) fn usable(path: &Path) -> anyhow::Result<Shelf> {
    if path.exists() {
        check(path)?;
        return Shelf::read(path);
    }
    Ok(Shelf { path: path.to_owned(), kept: Vec::new(), broken: Vec::new() })
}

/// A place on a shelf where an archive is being written. Dropped before it is put there, it leaves nothing.
pub(crate) struct Place {
    shelf: PathBuf,
    partial: PathBuf,
    pub(crate) file: File,
    put: bool,
    /// Nobody else writes to the shelf meanwhile.
    _lock: File,
}

impl Place {
    /// A place in a folder for backups, which is made where it is missing.
    ///
    /// # Errors
    /// If it is something else than a folder of backups, another writes to it, or the disk refuses.
    pub(crate) fn on(shelf: &Path) -> anyhow::Result<Self> {
        let shown = shelf.display();
        if shelf.exists() {
            check(shelf)?;
        } else {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(shelf);
            made.with_context(|| format!("{shown} cannot be made"))?;
            sync_parent(shelf)?;
        }
        let lock = lock(shelf)?;
        // What was cut off; nobody writes it any more.
        for name in names(shelf)?.iter().filter(|name| name.ends_with(PARTIAL)) {
            fs::remove_file(shelf.join(name)).with_context(|| format!("{shown}/{name}"))?;
        }
        let partial = shelf.join(format!(".{}{PARTIAL}", std::process::id()));
        let file = new_file(&partial)?;
        Ok(Self { shelf: shelf.to_owned(), partial, file, put: false, _lock: lock })
    }

    /// Where it is being written.
    pub(crate) fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn sync(&mut self) -> anyhow::Result<()> {
        self.file.flush().and_then(|()| self.file.sync_all()).context("the backup cannot be made durable")
    }

    /// Puts the archive on the shelf under its name, durably.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn put(mut self, header: &Header) -> anyhow::Result<PathBuf> {
        let begun = Timestamp::from_millis(header.begun_at_ms).to_string();
        let time: String = begun.chars().filter(|c| !['-', ':'].contains(c)).collect();
        let time = time.split('.').next().unwrap_or_default();
        let kind = if header.base.is_none() { "full" } else { "added" };
        let numbered = |number: u32| match number {
            1 => self.shelf.join(format!("throughline-{time}Z-{kind}{ARCHIVE}")),
            more => self.shelf.join(format!("throughline-{time}Z-{kind}-{more}{ARCHIVE}")),
        };
        let name = (1..).map(numbered).find(|name| !name.exists());
        let name = name.ok_or_else(|| anyhow!("no name is free"))?;
        fs::rename(&self.partial, &name).with_context(|| format!("{}", name.display()))?;
        self.put = true;
        sync_folder(&self.shelf)?;
        Ok(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.put {
            // What is left of it is removed by the next.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Keeps everybody else from writing to a shelf, for as long as what it answers is held.
///
/// # Errors
/// If another writes to it, or the disk refuses.
pub(crate) fn lock(shelf: &Path) -> anyhow::Result<File> {
    let shown = shelf.display();
    let file = shelf.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&file);
    let file = file.with_context(|| format!("{shown} cannot be written"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another backup is being written to {shown}"),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{shown}")),
    }
}

/// A new file that only its owner reads: it holds everything.
///
/// # Errors
/// If there is one of that name, or the disk refuses.
pub(crate) fn new_file(path: &Path) -> anyhow::Result<File> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    made.with_context(|| format!("{} cannot be made", path.display()))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// What the disk says.
pub(crate) fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("{} cannot be made durable", folder.display()))
}

/// Makes a name durable in the folder it stands in.
///
/// # Errors
/// What the disk says.
pub(crate) fn sync_parent(path: &Path) -> anyhow::Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

/// That backups may be put into a folder: it is no data folder, and nothing else is in it.
fn check(shelf: &Path) -> anyhow::Result<()> {
    let shown = shelf.display();
    if !shelf.is_dir() {
        bail!("{shown} is a file; backups go into a folder");
    }
    if is_data_folder(shelf) {
        bail!("{shown} is a data folder; backups go into a folder of their own");
    }
    let ours = |name: &str| {
        name.ends_with(ARCHIVE) || name.ends_with(PARTIAL) || [LOCK, LOST_AND_FOUND].contains(&name)
    };
    match names(shelf)?.into_iter().find(|name| !ours(name)) {
        None => Ok(()),
        Some(name) => bail!("{shown} holds {name}; backups go into a new or empty folder, or one of backups"),
    }
}

fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let shown = || format!("{} cannot be read", folder.display());
    let entries = fs::read_dir(folder).with_context(shown)?;
    entries.map(|entry| Ok(entry.with_context(shown)?.file_name().to_string_lossy().into_owned())).collect()
}
