//! The server's process, as the operating system sees it.

use std::{path::Path, time::Duration};

use throughline::bench::Server;
use throughline_storage::store::Engine;

/// The token of the server's administrator.
pub(crate) const TOKEN: &str = "an-admin-token-for-benchmarks";

/// Starts the program that was built with the benchmarks.
pub(crate) async fn start(folder: &Path, engine: Engine) -> Server {
    let program = Path::new(env!("CARGO_BIN_EXE_throughline"));
    Server::start(program, folder, engine, TOKEN).await.expect("a server that starts")
}

/// Stops it as an operator would, and waits for its end.
pub(crate) async fn stop(server: Server) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid(&server)).expect("a process"));
    let pid = pid.expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal sent");
    server.ended().await.expect("its end");
}

/// Resident memory in MiB.
pub(crate) fn memory(server: &Server) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid(server))).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// What its threads have spent on all cores.
pub(crate) fn processor_time(server: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid(server))).unwrap_or_default();
    // After the name, which may hold anything: the 12th and 13th field are ticks of program and system.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn pid(server: &Server) -> u32 {
    server.pid().expect("a running server")
}
