//! Panics inside an engine, turned into messages.
//!
//! An engine that meets damage may panic instead of returning an error. [`catch`] stops the panic at the seam and
//! hands back what it said; nothing is printed, so an operator reads our advice and not a bare backtrace. Panics
//! anywhere else are reported as before.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a call into an engine. The error is what a panic said, and where.
///
/// What the engine left half done stays so: the caller must not trust it with another write.
pub(super) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    keep_quiet_while_catching();
    let outer = CATCHING.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    CATCHING.set(outer);
    outcome.map_err(|_| SAID.take().unwrap_or_else(|| "a panic that said nothing".to_owned()))
}

/// The hook is the process's, so it is set once and passes on all it does not catch.
fn keep_quiet_while_catching() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let reported_before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                return reported_before(panic);
            }
            let said = panic.payload_as_str().unwrap_or("a panic").to_owned();
            // The file's name is enough to find it; its folder is that of the machine that built the program.
            let place = panic.location().map(|location| {
                let file = Path::new(location.file()).file_name().unwrap_or_default().to_string_lossy();
                format!(" ({file}:{})", location.line())
            });
            SAID.set(Some(said + &place.unwrap_or_default()));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_what_it_said() {
        let said = catch(|| -> () { panic!("page {} is missing", 7) }).unwrap_err();
        assert!(said.starts_with("page 7 is missing (panics.rs:"), "{said}");
        assert_eq!(catch(|| 7), Ok(7));
    }
}
