//! The engines that keep a folder, by name: the one place that knows them all.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::fjall::FjallStore;
use super::sled::SledStore;
use super::{Store, StoreError};

/// An engine that keeps a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    /// The embedded tree `sled`, see [`SledStore`].
    #[default]
    Sled,
    /// The embedded log-structured tree `fjall`, see [`FjallStore`].
    Fjall,
}

/// How to open a folder, whatever the engine.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes that the engine may keep in memory of what is on disk and of what is on its way there, at least a
    /// mebibyte. The process takes more than this.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20 }
    }
}

impl Engine {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Sled, Self::Fjall];

    /// The engine's name, as it is configured and as it stands in a folder's `FORMAT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
        }
    }

    /// The engine of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// Opens a folder, making it if there is none.
    ///
    /// # Errors
    /// As [`SledStore::open`] and [`FjallStore::open`] say; among them [`StoreError::Unsuitable`] if another engine
    /// made the folder.
    pub fn open(self, path: impl AsRef<Path>, options: StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sled => Arc::new(SledStore::open(path, options)?),
            Self::Fjall => Arc::new(FjallStore::open(path, options)?),
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
