//! The disk by itself: append and `fdatasync`, nothing else.

use std::{fs::File, io::Write};

use throughline::bench::rate;
use throughline_actors::clock::Stopwatch;

use crate::folder;

/// Bytes of one record in every comparison.
pub(crate) const RECORD: usize = 300;

/// Records a second when `batch` of them share a sync.
pub(crate) fn raw(batch: usize, batches: usize) -> f64 {
    let folder = folder("raw");
    let mut file = File::create(folder.path().join("raw")).expect("a file");
    let record = vec![7; RECORD * batch];
    let watch = Stopwatch::start();
    for _ in 0..batches {
        file.write_all(&record).expect("room on the disk");
        file.sync_data().expect("a disk that syncs");
    }
    rate(batch * batches, watch.elapsed())
}
