//! The `throughline` program: hands the command line and the environment to the library.

use std::process::ExitCode;

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    throughline::cli::run(std::env::args_os(), &throughline::config::process_environment())
}
