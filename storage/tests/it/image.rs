//! Power cuts on a real file system: an ext4 image as it is at the moment of a kill, mounted again as after a cut.
//!
//! What the operating system had not yet written to the image is lost, as it is when the power goes. Mounting needs
//! rights that a test is seldom given; where they are missing the test says so and has tested nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use throughline_storage::store::Engine;

use crate::child::{Content, Running, child};
use crate::engines::{first_seed, on_every_engine, rounds};
use crate::shadow::Chance;

on_every_engine!(a_power_cut_on_a_real_file_system_takes_back_nothing);

const IMAGE_BYTES: u64 = 512 << 20;

#[expect(clippy::print_stdout, reason = "a test that has tested nothing says so")]
fn a_power_cut_on_a_real_file_system_takes_back_nothing(engine: Engine) {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (image, cut) = (place.path().join("disk"), place.path().join("cut"));
    if let Err(reason) =
        make(&image).and_then(|()| Mounted::mount(&image, place.path().join("try")).map(drop))
    {
        println!("skipped: no ext4 image can be made and mounted here: {reason}");
        return;
    }
    let seed = first_seed();
    let mut chance = Chance(seed);
    let mut expected = Content::new(engine, seed);
    let mut acknowledged = 0;
    for _ in 0..rounds(3) {
        let disk = Mounted::mount(&image, place.path().join("mounted")).unwrap();
        let writer = child("write", engine, &disk.at, seed, expected.last + 1);
        let lifetime = Duration::from_millis(150 + chance.below(350));
        let last = Running::start(writer).kill_after(lifetime).acknowledged().max(expected.last);
        // Taken while it is mounted, so that nothing is written back first.
        fs::copy(&image, &cut).unwrap();
        drop(disk);
        acknowledged += last - expected.last;
        expected.advance(last);
        {
            let disk = Mounted::mount(&cut, place.path().join("after")).unwrap();
            expected.open_and_compare(&disk.at);
        }
        fs::rename(&cut, &image).unwrap();
    }
    assert!(acknowledged > 0, "nothing was acknowledged: nothing was tested");
}

fn make(image: &Path) -> Result<(), String> {
    fs::File::create(image).and_then(|file| file.set_len(IMAGE_BYTES)).unwrap();
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
}

/// An image that is mounted until it is dropped.
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn mount(image: &Path, at: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&at).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&at))?;
        Ok(Self { at })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.at));
        if !std::thread::panicking() {
            unmounted.unwrap();
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
