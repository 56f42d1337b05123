//! Scenarios of a conversation: each row of its tables, and what is refused.

mod delivery;
mod fixtures;
mod lifecycle;
mod receiving;
mod replies;
mod threading;
mod work;
