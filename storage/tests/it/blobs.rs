//! Blobs are there before they are named, and gone when nobody came to name them.

use std::time::Duration;

use throughline_storage::append::Append;
use throughline_storage::blobs::{BlobError, Blobs};
use throughline_storage::store::memory::MemoryStore;

use crate::world::*;

#[tokio::test]
async fn a_blob_is_read_as_it_was_stored_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/on/demand");
    let blobs = Blobs::open(&path).unwrap();
    blobs.put("acme/1/0", vec![7; 100_000].into()).await.unwrap();
    blobs.put("acme/1/1", "first".into()).await.unwrap();
    blobs.put("acme/1/1", "second".into()).await.unwrap();
    let blobs = Blobs::open(&path).unwrap();
    assert_eq!(blobs.get("acme/1/0").await.unwrap().len(), 100_000);
    assert_eq!(blobs.get("acme/1/1").await.unwrap(), "second");
    assert!(matches!(blobs.get("acme/1/2").await, Err(BlobError::Missing(name)) if name == "acme/1/2"));
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    for name in
        ["", "a", "a/b", "a/b/c/d", "a//c", "/a/b/c", "a/b/c/", "a/../c", "../../etc", "a/./c", "a/b/c\0"]
    {
        assert!(matches!(blobs.put(name, "x".into()).await, Err(BlobError::Name(_))), "{name:?}");
        assert!(matches!(blobs.get(name).await, Err(BlobError::Name(_))), "{name:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_sweep_takes_what_is_old_and_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let journal = open(&MemoryStore::new());
    for name in ["acme/1/0", "acme/1/1", "other/1/0"] {
        blobs.put(name, name.into()).await.unwrap();
    }
    let named = Append { blobs: vec!["acme/1/1".into()], ..Append::default() };
    journal.commit(named).await.unwrap();
    assert_eq!(blobs.sweep(&journal, Duration::from_secs(3600)).await.unwrap(), 0, "all are young");
    for name in ["acme/1/0", "acme/1/1", "other/1/0"] {
        let file = std::fs::File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    assert_eq!(blobs.sweep(&journal, Duration::from_secs(3600)).await.unwrap(), 2);
    assert_eq!(blobs.get("acme/1/1").await.unwrap(), "acme/1/1");
    assert!(blobs.get("acme/1/0").await.is_err());
}
