//! Beginning again: what backups are kept as, whether they can be trusted, and how a data folder is made of them.
//!
//! Backups stand on a *shelf*, a folder of archives ([`shelf`]). One that stands by itself is *full*; one that adds to
//! another needs that one, and so on down to a full one: a *chain*. A chain is *proved* by reading all of it
//! ([`proof`]), before anything is made of it and after anything is added to it. A data folder is made beside the place
//! where it shall be, looked through, and put there whole ([`restore`]). Folders that no server holds are opened in
//! [`folder`] and nowhere else.

pub(crate) mod bars;
pub(crate) mod folder;
pub(crate) mod proof;
pub(crate) mod pruning;
pub(crate) mod restore;
pub(crate) mod shelf;
