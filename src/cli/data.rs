//! The data folder that a command opens itself.

use std::path::PathBuf;

use clap::Args;
use throughline_storage::store::Engine;

use crate::{
    config::{Loaded, StorageEngine},
    recovery::folder::DataFolder,
};

/// Which data folder.
#[derive(Debug, Args)]
pub(super) struct Data {
    /// The data folder; otherwise storage.path of the configuration. No server may hold it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Which engine a data folder is made with.
#[derive(Debug, Args)]
pub(super) struct NewEngine {
    /// The storage engine to make it with; otherwise storage.engine of the configuration
    #[arg(long, value_parser = Engine::ALL.map(Engine::name))]
    engine: Option<String>,
}

impl Data {
    /// The folder's path; `config` is read only where it must be.
    ///
    /// # Errors
    /// If the configuration must be read and cannot be.
    pub(super) fn path(&self, config: impl FnOnce() -> anyhow::Result<Loaded>) -> anyhow::Result<PathBuf> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(config()?.config.storage.path),
        }
    }

    /// The folder, which must be there.
    ///
    /// # Errors
    /// What is there instead, or that the configuration cannot be read.
    pub(super) fn folder(
        &self,
        config: impl FnOnce() -> anyhow::Result<Loaded>,
    ) -> anyhow::Result<DataFolder> {
        DataFolder::at(&self.path(config)?)
    }
}

impl NewEngine {
    /// Its name. With a folder of its own, a command does without a configuration that can be read.
    ///
    /// # Errors
    /// If the configuration must be read and cannot be.
    pub(super) fn name(
        &self,
        data: &Data,
        config: impl FnOnce() -> anyhow::Result<Loaded>,
    ) -> anyhow::Result<String> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let engine = match config() {
            Ok(loaded) => loaded.config.storage.engine,
            Err(_) if data.data.is_some() => StorageEngine::default(),
            Err(error) => return Err(error),
        };
        Ok(engine.engine().name().to_owned())
    }
}
