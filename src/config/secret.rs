//! Secrets: given as text, as the name of an environment variable, or as the path of a file; never shown.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use rand::RngCore as _;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

use super::Environment;

/// A secret and its older versions, newest first. Neither `Debug` nor `Display` shows a value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    sources: Vec<Source>,
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Source {
    Text(String),
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// A secret of one value.
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { sources: vec![Source::Text(text.clone())], values: vec![text] }
    }

    /// A secret that the environment variable `name` holds, if it is set.
    pub fn from_variable(name: impl Into<String>) -> Self {
        Self { sources: vec![Source::Env(name.into())], values: Vec::new() }
    }

    /// Whether there is a value at all.
    pub fn is_set(&self) -> bool {
        !self.values.is_empty()
    }

    /// The newest value, with which to sign.
    pub fn newest(&self) -> Option<&str> {
        self.values.first().map(String::as_str)
    }

    /// Every value, newest first, against which to verify.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }

    /// The file that is to hold it, where it is given as one file.
    pub(super) fn file(&self) -> Option<&Path> {
        match self.sources.as_slice() {
            [Source::File(path)] => Some(path),
            _ => None,
        }
    }

    /// Whether nothing was said about it at all.
    pub(super) fn is_absent(&self) -> bool {
        self.sources.is_empty()
    }

    /// Fetches the values. A variable that is not set gives none.
    ///
    /// # Errors
    /// What is wrong with a source, in words: a file that cannot be read, or an empty value.
    pub(super) fn resolve(&mut self, environment: &Environment) -> Result<(), String> {
        self.values.clear();
        for source in &self.sources {
            match source {
                Source::Text(text) if text.trim().is_empty() => {
                    return Err("is empty; leave the key out if there is no secret".to_owned());
                }
                Source::Text(text) => self.values.push(text.clone()),
                Source::Env(name) => {
                    let given = environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
                    self.values.extend(given.map(str::to_owned));
                }
                Source::File(path) => {
                    let text = fs::read_to_string(path)
                        .map_err(|error| format!("names the file {}: {error}", path.display()))?;
                    if text.trim().is_empty() {
                        return Err(format!("names the file {}, which is empty", path.display()));
                    }
                    self.values.push(text.trim().to_owned());
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "set" } else { "not set" })?;
        for source in &self.sources {
            match source {
                Source::Text(_) => {}
                Source::Env(name) => write!(f, ", variable {name}")?,
                Source::File(path) => write!(f, ", file {}", path.display())?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sources = deserializer.deserialize_any(SourceVisitor { list_allowed: true })?;
        Ok(Self { sources, values: Vec::new() })
    }
}

/// Reads one source or, at the top, a list of them.
struct SourceVisitor {
    list_allowed: bool,
}

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Vec<Source>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(vec![Source::Text(text.to_owned())])
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let source = match map.next_entry::<String, String>()? {
            Some((key, name)) if key == "env" => Source::Env(name),
            Some((key, path)) if key == "file" => Source::File(path.into()),
            _ => return Err(de::Error::custom("expected env or file")),
        };
        match map.next_key::<String>()? {
            None => Ok(vec![source]),
            Some(_) => Err(de::Error::custom("expected env or file, and nothing beside it")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        if !self.list_allowed {
            return Err(de::Error::custom("a list inside a list"));
        }
        let mut sources = Vec::new();
        while let Some(one) = items.next_element::<One>()? {
            sources.extend(one.0);
        }
        Ok(sources)
    }
}

struct One(Vec<Source>);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor { list_allowed: false }).map(Self)
    }
}

/// The key that signs reply tokens, from the file at `path`; made there if there is none.
///
/// The file holds 32 random bytes in hexadecimal and is readable by its owner only. It appears complete or not
/// at all, two processes that start at once read the same key, and a key that was answered outlasts a power cut.
///
/// # Errors
/// The folder or the file cannot be made or read, or the file is empty.
pub fn ensure_reply_token_key(path: &Path) -> io::Result<Secret> {
    let folder = or_here(path.parent());
    let (key_was_there, folder_was_there) = (path.try_exists()?, folder.try_exists()?);
    if !key_was_there {
        make_key(path, folder)?;
    }
    // The names of the key and of its folder. Whoever made them may have been killed, or be about to do this too.
    sync_folder(folder, key_was_there)?;
    sync_folder(or_here(folder.parent()), folder_was_there)?;
    let text = fs::read_to_string(path)?;
    if text.trim().is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is empty", path.display())));
    }
    Ok(Secret { sources: vec![Source::File(path.to_owned())], values: vec![text.trim().to_owned()] })
}

/// The folder above a path, which is not written where it is the process's own.
fn or_here(folder: Option<&Path>) -> &Path {
    folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the name in a folder durable that is there now, and that may have been there before.
fn sync_folder(folder: &Path, was_there: bool) -> io::Result<()> {
    match fs::File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // An administrator gave us a key in a folder of theirs.
        Err(error) if was_there && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

fn make_key(path: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let text = HEXLOWER.encode(&bytes);
    // A temporary file is made readable by its owner only, and keeps that when it gets its name.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // Another process was quicker; its key is the key.
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(failed) => Err(failed.error),
    }
}
