//! Views: one row for each entity, kept in an order, made from the feed and never the truth.
//!
//! A view has an index, in which rows stand newest first, and for each entity a pointer to where in that order its
//! row is. Where rows belong to somebody, a key for each says so. Rows change through [`crate::append::Append::rows`], in the commit that also moves the view's
//! checkpoint, so that a crash neither loses nor repeats a change. A view whose shape changes gets a new revision,
//! is made anew beside the old one, and the old one's rows are removed.

use uuid::Uuid;

use crate::append::{CommitError, RowChange};
use crate::claims::next_tenant;
use crate::damage::{Damage, ReadError};
use crate::journal::Journal;
use crate::keys;
use crate::wire;

pub(crate) const INDEX: u8 = b'i';
pub(crate) const POINTER: u8 = b'p';
pub(crate) const OWNED: u8 = b'o';

/// A view, in one of its revisions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    name: String,
    revision: u16,
}

/// One row of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its entity.
    pub entity: Uuid,
    /// Its place: higher ones come first.
    pub order: u64,
    /// Its content, in its author's encoding.
    pub bytes: Vec<u8>,
}

impl View {
    /// The view `name`, a short text without NUL bytes, in one of its revisions.
    #[must_use]
    pub fn new(name: impl Into<String>, revision: u16) -> View {
        View { name: name.into(), revision }
    }

    /// What makes `bytes` the row of an entity at `order`, given at which order its row is now.
    #[must_use]
    pub fn put(
        &self,
        tenant: &str,
        entity: Uuid,
        former: Option<u64>,
        order: u64,
        bytes: Vec<u8>,
    ) -> Vec<RowChange> {
        let mut changes = Vec::with_capacity(3);
        if former != Some(order) {
            changes.extend(former.map(|former| remove(self.index(tenant, former, entity))));
            changes.push(put(self.pointer(tenant, entity), order.to_be_bytes().to_vec()));
        }
        changes.push(put(self.index(tenant, order, entity), bytes));
        changes
    }

    /// What removes the row of an entity, given at which order it is now.
    #[must_use]
    pub fn remove(&self, tenant: &str, entity: Uuid, former: u64) -> Vec<RowChange> {
        vec![remove(self.index(tenant, former, entity)), remove(self.pointer(tenant, entity))]
    }

    /// What notes whose the row of an entity is, so that [`View::owned`] finds it.
    #[must_use]
    pub fn own(&self, tenant: &str, owner: Uuid, entity: Uuid) -> RowChange {
        put(self.ownership(tenant, owner, entity), Vec::new())
    }

    /// What takes back that the row of an entity is this owner's.
    #[must_use]
    pub fn disown(&self, tenant: &str, owner: Uuid, entity: Uuid) -> RowChange {
        remove(self.ownership(tenant, owner, entity))
    }

    /// The entities whose rows are this owner's, in the order of their ids.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or a key is damaged.
    pub fn owned(&self, journal: &Journal, tenant: &str, owner: Uuid) -> Result<Vec<Uuid>, ReadError> {
        let mut prefix = self.rows_of(tenant, OWNED);
        prefix.extend_from_slice(owner.as_bytes());
        let to = keys::after_prefix(prefix.clone());
        let (low, high) = keys::half_open(&prefix, &to);
        let owned = journal.rows(low, high).map(|pair| {
            let (key, _) = pair?;
            let entity = Uuid::from_slice(&key[prefix.len()..]);
            entity.map_err(|_| Damage::at(&key, "not the key of whose a row is").into())
        });
        owned.collect()
    }

    /// What notes that the view holds everything up to `seq`.
    #[must_use]
    pub fn reached(&self, seq: u64) -> RowChange {
        put(self.checkpoint_key(), wire::seal_number(seq))
    }

    /// Up to which `seq` the view holds everything; 0 for one that does not exist yet.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the checkpoint is damaged.
    pub fn checkpoint(&self, journal: &Journal) -> Result<u64, ReadError> {
        let key = self.checkpoint_key();
        let Some(value) = journal.row(&key)? else { return Ok(0) };
        wire::open_number(&value).map_err(|error| ReadError::undecodable(&key, error))
    }

    /// At which order the row of an entity is, if it has one.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the pointer is damaged.
    pub fn order(&self, journal: &Journal, tenant: &str, entity: Uuid) -> Result<Option<u64>, ReadError> {
        let key = self.pointer(tenant, entity);
        let Some(value) = journal.row(&key)? else { return Ok(None) };
        let order = value.try_into().map_err(|_| Damage::at(&key, "a pointer is 8 bytes"))?;
        Ok(Some(u64::from_be_bytes(order)))
    }

    /// The row of an entity, if it has one.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the pointer is damaged.
    pub fn row(&self, journal: &Journal, tenant: &str, entity: Uuid) -> Result<Option<Row>, ReadError> {
        // A change between the two reads may move the row; the pointer then says where to.
        for _ in 0..3 {
            let Some(order) = self.order(journal, tenant, entity)? else { return Ok(None) };
            if let Some(bytes) = journal.row(&self.index(tenant, order, entity))? {
                return Ok(Some(Row { entity, order, bytes }));
            }
        }
        Err(Damage::at(&self.pointer(tenant, entity), "it points to a row that is not there").into())
    }

    /// The rows after `after`, given by order and entity, from the newest on and at most `limit` of them.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or a key is damaged.
    pub fn page(
        &self,
        journal: &Journal,
        tenant: &str,
        after: Option<(u64, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let prefix = self.rows_of(tenant, INDEX);
        let from = match after {
            // The first key that can come after the given one.
            Some((order, entity)) => [&self.index(tenant, order, entity)[..], &[0]].concat(),
            None => prefix.clone(),
        };
        let to = keys::after_prefix(prefix.clone());
        let (low, high) = keys::half_open(&from, &to);
        journal
            .rows(low, high)
            .take(limit)
            .map(|pair| {
                let (key, bytes) = pair?;
                let damaged = || Damage::at(&key, "not a row's key");
                let (order, entity) = key[prefix.len()..].split_first_chunk().ok_or_else(damaged)?;
                let entity = Uuid::from_slice(entity).map_err(|_| damaged())?;
                Ok(Row { entity, order: !u64::from_be_bytes(*order), bytes })
            })
            .collect()
    }

    /// Removes this revision of the view, its checkpoint first, and answers how many keys its rows had. It
    /// goes in small commits; one that is cut short is simply done again.
    ///
    /// # Errors
    /// [`CommitError::Failed`] if the store fails.
    pub async fn erase(&self, journal: &Journal) -> Result<u64, CommitError> {
        // Without its checkpoint, a view that is half removed is made anew and never read as whole.
        journal.remove(vec![self.checkpoint_key()]).await?;
        let mut removed = 0;
        let mut after = vec![keys::ROWS];
        let failed = |error: ReadError| CommitError::Failed(error.to_string());
        while let Some(tenant) = next_tenant(journal.store(), &after).map_err(failed)? {
            let rows = keys::row(&tenant, &self.name, self.revision);
            removed += journal.remove_range(&rows, &keys::after_prefix(rows.clone())).await?;
            after = keys::after_prefix(keys::rows_of_tenant(&tenant));
        }
        Ok(removed)
    }

    fn rows_of(&self, tenant: &str, part: u8) -> Vec<u8> {
        let mut key = keys::row(tenant, &self.name, self.revision);
        key.push(part);
        key
    }

    fn index(&self, tenant: &str, order: u64, entity: Uuid) -> Vec<u8> {
        let mut key = self.rows_of(tenant, INDEX);
        // Inverted, so that the newest come first in key order.
        key.extend_from_slice(&(!order).to_be_bytes());
        key.extend_from_slice(entity.as_bytes());
        key
    }

    fn pointer(&self, tenant: &str, entity: Uuid) -> Vec<u8> {
        let mut key = self.rows_of(tenant, POINTER);
        key.extend_from_slice(entity.as_bytes());
        key
    }

    fn ownership(&self, tenant: &str, owner: Uuid, entity: Uuid) -> Vec<u8> {
        let mut key = self.rows_of(tenant, OWNED);
        key.extend_from_slice(owner.as_bytes());
        key.extend_from_slice(entity.as_bytes());
        key
    }

    fn checkpoint_key(&self) -> Vec<u8> {
        keys::setting(&format!("view/{}/{}", self.name, self.revision))
    }
}

fn put(key: Vec<u8>, value: Vec<u8>) -> RowChange {
    RowChange { key, value: Some(value) }
}

fn remove(key: Vec<u8>) -> RowChange {
    RowChange { key, value: None }
}
