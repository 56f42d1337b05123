//! Log lines: what is written to standard error, for people or for programs.
//!
//! One line an event, whatever the event says. A panic is an event like any other, so that one caught inside a turn
//! reads as a log line and not as a bare backtrace.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal as _},
    panic::{self, PanicHookInfo},
};

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

use crate::config::{Log, LogFormat};

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directives cannot be read.
    #[error("{text:?} is not a level or a list of directives such as info,throughline=debug: {reason}")]
    Filter {
        /// What was given.
        text: String,
        /// What the reader of directives says.
        reason: String,
    },
    /// Something in this process logs already.
    #[error("logging has already begun in this process")]
    Begun,
}

/// Begins to log as `log` says; `rust_log` goes before its filter where it is given and not empty.
///
/// # Errors
/// The filter cannot be read, or logging has already begun.
pub fn start(log: &Log, rust_log: Option<&str>) -> Result<(), TelemetryError> {
    let text = rust_log.filter(|text| !text.trim().is_empty()).unwrap_or(&log.filter);
    let filter = EnvFilter::try_new(text)
        .map_err(|error| TelemetryError::Filter { text: text.to_owned(), reason: error.to_string() })?;
    let base = fmt().with_env_filter(filter).with_writer(io::stderr);
    let begun = match log.format {
        LogFormat::Text => base.with_ansi(io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => base.json().flatten_event(true).with_span_list(false).finish().try_init(),
    };
    begun.map_err(|_| TelemetryError::Begun)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = one_line(info.payload_as_str().unwrap_or("a panic without words"));
    let location = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            let backtrace = backtrace.to_string();
            tracing::error!(panic.location = %location, panic.backtrace = ?backtrace, "panic: {message}");
        }
        _ => tracing::error!(panic.location = %location, "panic: {message}"),
    }
}

fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Page {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_panic_is_one_line_that_says_where() {
        let page = Page::default();
        let subscriber = fmt().with_ansi(false).with_writer(page.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let before = panic::take_hook();
            panic::set_hook(Box::new(log_panic));
            let outcome = panic::catch_unwind(|| panic!("a turn\nthat fails"));
            panic::set_hook(before);
            assert!(outcome.is_err());
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let line = text.lines().find(|line| line.contains("panic: a turn; that fails")).unwrap();
        assert!(line.contains("ERROR") && line.contains("telemetry.rs"), "{text}");
    }

    #[test]
    fn directives_that_cannot_be_read_are_shown() {
        let error = start(&Log::default(), Some("throughline=loud")).unwrap_err().to_string();
        assert!(error.contains("throughline=loud"), "{error}");
    }
}
