//! The committer without its thread: for a simulation in which everything happens on one, in the order of a seed.
//!
//! The checks, the batch, the answers and their order are those of [`Committer`](super::Committer). Only when a group
//! begins, how much of what waits it takes, and when it becomes durable is said from outside, so that a process can end
//! at every point between.

use super::{Begun, Committer};

/// A committer that writes when it is told to.
pub struct SteppedCommitter {
    committer: Committer,
    begun: Option<Begun>,
}

impl SteppedCommitter {
    pub(crate) fn new(committer: Committer) -> Self {
        Self { committer, begun: None }
    }

    /// Appends that wait for their group.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.committer.shared.queue.size().0
    }

    /// Whether a group was begun whose appends have not been answered.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Hands the oldest appends that wait, at most `most`, to the store: from now on readers see them.
    ///
    /// # Panics
    /// If the group before has not ended: there is one at a time.
    pub fn begin(&mut self, most: usize) {
        assert!(self.begun.is_none(), "one group at a time");
        let jobs = self.committer.shared.queue.group_now(most);
        if !jobs.is_empty() {
            self.begun = Some(self.committer.begin(jobs));
        }
    }

    /// Answers those whose group was begun. Whoever steps makes it durable before.
    pub fn end(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.committer.end(begun);
        }
    }
}
