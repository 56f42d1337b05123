//! The `throughline` program: hands the command line and the environment to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline::cli::run(std::env::args_os(), &throughline::config::process_environment())
}
