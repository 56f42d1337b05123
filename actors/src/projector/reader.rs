//! Lists as they are read: a page of one, one row of one, and waiting until it shows one's own write.

use std::{cmp::Reverse, time::Duration};

use throughline_storage::{codec, journal::Journal, projections};
use throughline_workflows::{ids::TenantId, views::View};
use tokio::sync::watch;
use uuid::Uuid;

use crate::runner::Runner;

/// Reads lists. The only way from the edge to a projection.
#[derive(Clone)]
pub struct Views {
    journal: Journal,
    projected: watch::Receiver<u64>,
    runner: Runner,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R> {
    /// The rows of the page, in order.
    pub items: Vec<R>,
    /// How many rows there are on all pages.
    pub total: usize,
}

/// Why a list cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ViewError {
    /// The list has not caught up with the asked `seq` in time.
    #[error("the list has reached {reached}, not yet {wanted}")]
    Behind {
        /// Where the list is.
        reached: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// The rows cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl Views {
    pub(crate) fn new(journal: Journal, projected: watch::Receiver<u64>, runner: Runner) -> Self {
        Self { journal, projected, runner }
    }

    /// How far the lists are.
    pub fn reached(&self) -> u64 {
        *self.projected.borrow()
    }

    /// Returns once the lists show everything up to `seq`.
    ///
    /// # Errors
    /// [`ViewError::Behind`] if they do not within `patience`.
    pub async fn wait_for(&self, seq: u64, patience: Duration) -> Result<(), ViewError> {
        let mut projected = self.projected.clone();
        let waited = self.runner.timeout(patience, projected.wait_for(|reached| *reached >= seq)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ViewError::Behind { reached: self.reached(), wanted: seq }),
        }
    }

    /// Listed rows that `wanted` keeps, in the view's order, `skip` of them passed over and at most `take` returned.
    ///
    /// # Errors
    /// [`ViewError::Unreadable`] if the store cannot be read.
    pub async fn page<V: View>(
        &self,
        tenant: &TenantId,
        skip: usize,
        take: usize,
        wanted: impl Fn(&V::Row) -> bool + Send + 'static,
    ) -> Result<Page<V::Row>, ViewError> {
        let (journal, tenant) = (self.journal.clone(), tenant.clone());
        let page = move || {
            let view = projections::View::new(V::NAME, V::REVISION);
            let mut page = Page { items: Vec::new(), total: 0 };
            let mut after = None;
            loop {
                let window = view.page(&journal, tenant.as_str(), after, 1024).map_err(unreadable)?;
                let Some(last) = window.last() else { return Ok(page) };
                after = Some((last.order, last.entity));
                for stored in window {
                    let row = codec::decode_row::<V::Row>(&stored.bytes).map_err(unreadable)?;
                    if !V::is_listed(&row) {
                        return Ok(page);
                    }
                    if wanted(&row) {
                        if page.total >= skip && page.items.len() < take {
                            page.items.push(row);
                        }
                        page.total += 1;
                    }
                }
            }
        };
        self.runner.read(page).await.map_err(ViewError::Unreadable)?
    }

    /// The first listed rows in the view's order, at most `most` of them. No more are read than that.
    ///
    /// # Errors
    /// [`ViewError::Unreadable`] if the store cannot be read.
    pub fn first<V: View>(&self, tenant: &TenantId, most: usize) -> Result<Vec<V::Row>, ViewError> {
        let view = projections::View::new(V::NAME, V::REVISION);
        let rows = view.page(&self.journal, tenant.as_str(), None, most).map_err(unreadable)?;
        let rows = rows.iter().map(|row| codec::decode_row(&row.bytes).map_err(unreadable));
        rows.filter(|row| row.as_ref().map_or(true, V::is_listed)).collect()
    }

    /// The listed rows that are somebody's, in the view's order. No others are read.
    ///
    /// # Errors
    /// [`ViewError::Unreadable`] if the store cannot be read.
    pub async fn owned<V: View>(&self, tenant: &TenantId, owner: Uuid) -> Result<Vec<V::Row>, ViewError> {
        let (views, tenant) = (self.clone(), tenant.clone());
        let read = move || {
            let view = projections::View::new(V::NAME, V::REVISION);
            let mut rows = Vec::new();
            for entity in view.owned(&views.journal, tenant.as_str(), owner).map_err(unreadable)? {
                rows.extend(views.row::<V>(&tenant, entity)?.filter(V::is_listed));
            }
            rows.sort_by_key(|row| Reverse(V::order(row)));
            Ok(rows)
        };
        self.runner.read(read).await.map_err(ViewError::Unreadable)?
    }

    /// One entity's row.
    ///
    /// # Errors
    /// [`ViewError::Unreadable`] if the store cannot be read.
    pub fn row<V: View>(&self, tenant: &TenantId, entity: Uuid) -> Result<Option<V::Row>, ViewError> {
        projections::View::new(V::NAME, V::REVISION)
            .row(&self.journal, tenant.as_str(), entity)
            .map_err(unreadable)?
            .map(|row| codec::decode_row(&row.bytes).map_err(unreadable))
            .transpose()
    }
}

fn unreadable(error: impl std::fmt::Display) -> ViewError {
    ViewError::Unreadable(error.to_string())
}
