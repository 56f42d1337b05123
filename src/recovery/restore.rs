//! A data folder made of a chain of archives: built beside its place, looked through, and put there whole.
//!
//! Until it stands in its place nothing that was there before has changed; what was built is removed where it is not
//! good. A place that is an empty folder already (a mounted disk) is built in from within, and the journal is put there
//! last.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use throughline_storage::{
    archive::FilePart,
    journal::Head,
    restore::take_in,
    verify::{Verified, Wanted, verify},
};

use super::{
    bars,
    folder::{self, BLOBS, JOURNAL},
    proof,
    shelf::{Kept, sync_folder, sync_parent},
};

/// The folders that an archive may put files into.
const FILE_FOLDERS: [&str; 2] = [BLOBS, "secrets"];

/// What was put in place.
#[derive(Debug)]
pub(crate) struct Restored {
    /// What looking through it found.
    pub(crate) found: Verified,
    /// Blobs and other files.
    pub(crate) files: u64,
}

/// That a data folder may be put at `target`: nothing is there, or an empty folder.
///
/// # Errors
/// What is there instead.
pub(crate) fn check_target(target: &Path) -> anyhow::Result<()> {
    let shown = target.display();
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                bail!("{shown} is there and is not empty; move it away first, nothing is written over")
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("{shown} is a file; a data folder is a folder")
        }
        Err(error) => Err(error).with_context(|| format!("{shown} cannot be read")),
    }
}

/// Makes a data folder of a chain that has been proved, the full archive first. With `despite_damage`, one that was
/// damaged when it was copied is put in place all the same.
///
/// # Errors
/// Whatever keeps it from being made; nothing has been put in place then.
pub(crate) async fn restore(
    chain: &[Kept],
    target: &Path,
    engine: &str,
    despite_damage: bool,
) -> anyhow::Result<Restored> {
    check_target(target)?;
    let within = target.exists();
    let beside = if within { target.to_owned() } else { parent(target) };
    fs::create_dir_all(&beside).with_context(|| format!("{} cannot be made", beside.display()))?;
    let built = tempfile::Builder::new()
        .prefix(".restoring-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(&beside);
    let built = built.with_context(|| format!("{} cannot be written", beside.display()))?;
    let restored = build(chain, built.path(), engine, despite_damage).await?;
    put(built, target, within)?;
    Ok(restored)
}

async fn build(chain: &[Kept], into: &Path, engine: &str, despite_damage: bool) -> anyhow::Result<Restored> {
    let store = folder::open_store(engine, &into.join(JOURNAL))?;
    let mut files = Files { root: into.to_owned(), open: None, count: 0 };
    let bar = bars::bytes("restoring", chain.iter().map(|kept| kept.bytes).sum());
    let (mut read, mut head) = (0, Head::default());
    for (at, kept) in chain.iter().enumerate() {
        let archive = proof::open(&kept.path)?;
        let mut take = |part: &FilePart| files.take(part);
        let mut progress = |bytes| bar.set_position(read + bytes);
        let end = take_in(archive, at + 1 == chain.len(), &*store, &mut take, &mut progress)
            .with_context(|| format!("{}", kept.path.display()))?;
        read += kept.bytes;
        head = end.head;
    }
    bar.finish_and_clear();
    files.finish()?;

    let bar = bars::counting("verifying");
    let has_blob = |name: &str| into.join(BLOBS).join(name).is_file();
    let wanted = Wanted { expect: None, has_blob: Some(&has_blob) };
    let found = verify(&*store, &wanted, &mut |keys| bar.set_position(keys));
    bar.finish_and_clear();
    ensure!(
        found.head == head,
        "the feed ends at seq {} instead of {}: the backup does not make what it was made of",
        found.head.seq,
        head.seq
    );
    if let Some(first) = found.damages.first().filter(|_| !despite_damage) {
        bail!(
            "what was copied was damaged already, in {} places, for example {first}; \
             --despite-damage restores it as it is",
            found.damaged
        );
    }
    // That a server can open it, and that the engine writes what it has for a quick start.
    let journal = folder::open_journal(store, into)?;
    journal.close().await.context("the store does not close")?;
    Ok(Restored { found, files: files.count })
}

/// Puts what was built into its place.
fn put(built: TempDir, target: &Path, within: bool) -> anyhow::Result<()> {
    let shown = || format!("{} cannot be put in place", target.display());
    sync_folder(built.path())?;
    if !within {
        fs::rename(built.path(), target).with_context(shown)?;
        // There is nothing left to remove.
        let _ = built.keep();
        return sync_parent(target);
    }
    let mut names: Vec<_> = fs::read_dir(built.path())
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())
        .with_context(shown)?;
    // With it the folder counts as one, so the rest comes first.
    names.sort_by_key(|name| name == JOURNAL);
    for name in names {
        fs::rename(built.path().join(&name), target.join(&name)).with_context(shown)?;
    }
    sync_folder(target)
}

fn parent(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Writes the files of archives.
struct Files {
    root: PathBuf,
    open: Option<(String, File)>,
    count: u64,
}

impl Files {
    fn take(&mut self, part: &FilePart) -> io::Result<()> {
        let path = self.root.join(checked(&part.name)?);
        if part.offset == 0 {
            self.close()?;
            let secret = !part.name.starts_with(BLOBS);
            if let Some(folder) = path.parent() {
                let mode = if secret { 0o700 } else { 0o755 };
                fs::DirBuilder::new().recursive(true).mode(mode).create(folder)?;
            }
            let mode = if secret { 0o600 } else { 0o644 };
            // One archive of a chain may bring a file again that another brought.
            self.count += u64::from(!path.exists());
            let file = OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&path)?;
            self.open = Some((part.name.clone(), file));
        }
        match &mut self.open {
            Some((name, file)) if *name == part.name => file.write_all(&part.bytes),
            _ => Err(io::Error::other("its beginning is missing")),
        }
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |(_, file)| file.sync_all())
    }

    /// Makes all of them durable, and their names.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.close().context("a file cannot be made durable")?;
        for folder in FILE_FOLDERS {
            let folder = self.root.join(folder);
            if folder.is_dir() {
                sync_all_folders(&folder)?;
            }
        }
        Ok(())
    }
}

fn sync_all_folders(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// A file's name in an archive, which must not lead anywhere else.
fn checked(name: &str) -> io::Result<&Path> {
    let parts: Vec<&str> = name.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && ![".", ".."].contains(part) && !part.contains(['\0', '\\']);
    let sound = parts.len() > 1 && FILE_FOLDERS.contains(&parts[0]) && parts.iter().all(plain);
    if sound { Ok(Path::new(name)) } else { Err(io::Error::other("not the name of a file of a data folder")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_in_an_archive_leads_out_of_the_folder() {
        for name in ["blobs/acme/1/1", "secrets/reply-token", "blobs/..."] {
            assert!(checked(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "blobs",
            "/etc/passwd",
            "blobs/../../etc",
            "blobs//x",
            "blobs/./x",
            "journal/db",
            "secrets/",
            "../blobs/x",
            "blobs/a\0b",
            "blobs\\x/y",
        ] {
            assert!(checked(name).is_err(), "{name}");
        }
    }
}
