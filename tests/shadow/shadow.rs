//! Power cuts for tests: what a folder would hold if the power had gone at the moment a process was killed.
//!
//! Included by path into the tests that need it. The use is always the same:
//!
//! 1. [`Shim::build`] compiles `shadow.c` with the machine's `cc`.
//! 2. [`Shadow::begin`] makes the shadow of a folder: all that is there now counts as durable.
//! 3. The process under test is started with [`Shim::preload`] applied, works in the folder, and is killed.
//! 4. [`Shadow::durable`] gives the folder as the power cut leaves it when nothing unsynced reached the disk,
//!    [`Shadow::mixture`] a folder in which each unsynced 4 KiB block is at random old or new, [`Shadow::powered`]
//!    what is left when only the process died. All are plain copies, to be opened and judged; the shadow itself is not touched and can give any number of mixtures.
//!
//! Folder and shadow must lie on one file system. How names and bytes become durable is told in `shadow.c`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Error, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

/// What the disk writes whole or not at all.
const BLOCK_BYTES: usize = 4096;

/// The compiled shim.
pub(crate) struct Shim {
    library: PathBuf,
}

/// A watched folder and its shadow.
pub(crate) struct Shadow {
    live: PathBuf,
    copy: PathBuf,
}

impl Shim {
    /// Compiles the shim into `target`, which is best `CARGO_TARGET_TMPDIR`.
    ///
    /// # Errors
    /// If there is no C compiler, or it complains.
    pub(crate) fn build(target: impl AsRef<Path>) -> Result<Self> {
        let target = target.as_ref();
        static BUILDS: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}-{}", std::process::id(), BUILDS.fetch_add(1, Ordering::Relaxed));
        let source = target.join(format!("shadow-{id}.c"));
        let made = target.join(format!("shadow-{id}.so"));
        let library = target.join("shadow.so");
        fs::create_dir_all(target)?;
        fs::write(&source, include_str!("shadow.c"))?;
        let compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-U_FORTIFY_SOURCE", "-o"])
            .args([&made, &source])
            .args(["-ldl", "-lpthread"])
            .output()?;
        fs::remove_file(&source)?;
        if !compiler.status.success() {
            return Err(Error::other(String::from_utf8_lossy(&compiler.stderr).into_owned()));
        }
        fs::rename(&made, &library)?; // Another test process may be loading the former one.
        Ok(Self { library })
    }

    /// Puts the shim into the process that `command` will start.
    pub(crate) fn preload(&self, command: &mut Command, shadow: &Shadow) {
        command.env("LD_PRELOAD", &self.library);
        command.env("SHADOW_LIVE", &shadow.live).env("SHADOW_COPY", &shadow.copy);
    }

    /// Like [`Shim::preload`], and lets the `nth` sync of a file in the folder fail; 1 is the first.
    pub(crate) fn preload_failing(&self, command: &mut Command, shadow: &Shadow, nth: u32) {
        self.preload(command, shadow);
        command.env("SHADOW_FAIL_SYNC", nth.to_string());
    }

    /// Like [`Shim::preload`], and lets the disk be full from the `nth` write to the folder on, for so many writes or
    /// for ever; 1 is the first.
    pub(crate) fn preload_full(&self, command: &mut Command, shadow: &Shadow, nth: u64, writes: Option<u64>) {
        self.preload(command, shadow);
        command.env("SHADOW_FULL_AT", nth.to_string());
        if let Some(writes) = writes {
            command.env("SHADOW_FULL_FOR", writes.to_string());
        }
    }
}

impl Shadow {
    /// Makes the shadow of `live` at `copy`, replacing any earlier one. What is in `live` counts as durable.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn begin(live: impl AsRef<Path>, copy: impl AsRef<Path>) -> Result<Self> {
        let shadow = Self { live: fs::canonicalize(live)?, copy: std::path::absolute(copy)? };
        remove(&shadow.copy)?;
        fs::create_dir_all(shadow.copy.join("inodes"))?;
        shadow.name_durably(Path::new(""))?;
        Ok(shadow)
    }

    /// Copies to `out` what is durable and nothing else.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn durable(&self, out: impl AsRef<Path>) -> Result<()> {
        remove(out.as_ref())?;
        copy_folder(&self.copy.join("tree"), out.as_ref())
    }

    /// Copies to `out` what the process left when only the process died.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn powered(&self, out: impl AsRef<Path>) -> Result<()> {
        remove(out.as_ref())?;
        copy_folder(&self.live, out.as_ref())
    }

    /// Copies to `out` what is durable, with a random part of what is not.
    ///
    /// Each 4 KiB block of a file that differs is old or new, each length and the names of each folder likewise. The
    /// names of one folder are old or new together, since file systems keep the order of such changes.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn mixture(&self, out: impl AsRef<Path>, seed: u64) -> Result<()> {
        remove(out.as_ref())?;
        self.mix_folder(Path::new(""), out.as_ref(), &mut Chance(seed))
    }

    fn name_durably(&self, relative: &Path) -> Result<()> {
        let live = self.live.join(relative);
        let tree = self.copy.join("tree").join(relative);
        fs::create_dir(&tree)?;
        for name in names(&live)? {
            let path = live.join(&name);
            if path.is_dir() {
                self.name_durably(&relative.join(&name))?;
            } else {
                let inode = self.inode(&path)?;
                copy_file(&path, &inode)?;
                fs::hard_link(&inode, tree.join(&name))?;
            }
        }
        Ok(())
    }

    fn mix_folder(&self, relative: &Path, out: &Path, chance: &mut Chance) -> Result<()> {
        let live = self.live.join(relative);
        let tree = self.copy.join("tree").join(relative);
        fs::create_dir_all(out)?;
        let new_names = live.is_dir() && (!tree.is_dir() || chance.coin());
        for name in names(if new_names { &live } else { &tree })? {
            let (live, tree, out) = (live.join(&name), tree.join(&name), out.join(&name));
            if live.is_dir() || tree.is_dir() {
                self.mix_folder(&relative.join(&name), &out, chance)?;
                continue;
            }
            let inode = if live.exists() { self.inode(&live)? } else { PathBuf::new() };
            if new_names {
                // Never synced: the durable part of it is nothing.
                let old = if inode.exists() { fs::read(&inode)? } else { Vec::new() };
                write_file(&out, &mix(&old, &fs::read(&live)?, chance))?;
            } else if inode.exists() && fs::metadata(&inode)?.ino() == fs::metadata(&tree)?.ino() {
                write_file(&out, &mix(&fs::read(&tree)?, &fs::read(&live)?, chance))?;
            } else {
                copy_file(&tree, &out)?; // Its bytes are another file's by now.
            }
        }
        Ok(())
    }

    /// Where the durable bytes of a file are kept; `shadow.c` forms the same name.
    fn inode(&self, path: &Path) -> Result<PathBuf> {
        let metadata = fs::symlink_metadata(path)?;
        let born =
            metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Ok(self.copy.join("inodes").join(format!(
            "{}-{}-{}",
            metadata.ino(),
            born.as_secs(),
            born.subsec_nanos()
        )))
    }
}

/// The bytes of a file whose unsynced blocks reached the disk by chance.
fn mix(old: &[u8], new: &[u8], chance: &mut Chance) -> Vec<u8> {
    let len = if old.len() == new.len() || chance.coin() { new.len() } else { old.len() };
    let mut mixed = vec![0; len];
    for (index, block) in mixed.chunks_mut(BLOCK_BYTES).enumerate() {
        let at = index * BLOCK_BYTES;
        let part = |bytes: &[u8]| {
            let from = at.min(bytes.len());
            let to = (at + BLOCK_BYTES).min(bytes.len());
            bytes[from..to].len().min(block.len())
        };
        let (old_len, new_len) = (part(old), part(new));
        let (old, new) = (&old[at.min(old.len())..][..old_len], &new[at.min(new.len())..][..new_len]);
        let chosen = if old == new || chance.coin() { new } else { old };
        block[..chosen.len()].copy_from_slice(chosen);
    }
    mixed
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for name in names(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() { copy_folder(&from, &to)? } else { copy_file(&from, &to)? }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    write_file(to, &fs::read(from)?)
}

/// Writes a file whose end, where there are only zeros, is a hole: logs are laid out long before they are written.
fn write_file(to: &Path, bytes: &[u8]) -> Result<()> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let used = bytes.chunks(ZEROS.len()).rposition(|chunk| *chunk != ZEROS[..chunk.len()]);
    let used = used.map_or(0, |last| (last + 1) * ZEROS.len()).min(bytes.len());
    fs::write(to, &bytes[..used])?;
    fs::OpenOptions::new().write(true).open(to)?.set_len(bytes.len() as u64)
}

fn names(folder: &Path) -> Result<BTreeSet<std::ffi::OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect() // Sorted, so that a seed tells all.
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

/// Chance from a seed: splitmix64, small and good enough to toss coins.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Heads or tails.
    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}
