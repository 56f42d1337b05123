//! The storage crate's integration tests, as one binary: linking it once is most of the price.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, in its helpers too")]

#[path = "it/backup.rs"]
mod backup;
#[path = "it/blobs.rs"]
mod blobs;
#[path = "it/child.rs"]
mod child;
#[path = "it/claims.rs"]
mod claims;
#[path = "it/commit.rs"]
mod commit;
#[path = "it/conformance.rs"]
mod conformance;
#[path = "it/crash.rs"]
mod crash;
#[path = "it/damage.rs"]
mod damage;
#[path = "it/disk.rs"]
mod disk;
#[path = "it/engines.rs"]
mod engines;
#[path = "it/everything.rs"]
mod everything;
#[path = "it/failure.rs"]
mod failure;
#[path = "it/files.rs"]
mod files;
#[path = "it/fjall.rs"]
mod fjall;
#[path = "it/image.rs"]
mod image;
#[path = "it/memory.rs"]
mod memory;
#[path = "it/model.rs"]
mod model;
#[path = "it/pressure.rs"]
mod pressure;
#[path = "it/reading.rs"]
mod reading;
#[path = "it/recovery.rs"]
mod recovery;
#[path = "../../tests/shadow/shadow.rs"]
mod shadow;
#[path = "it/sled.rs"]
mod sled;
#[path = "it/verify.rs"]
mod verify;
#[path = "it/views.rs"]
mod views;
#[path = "it/world.rs"]
mod world;
