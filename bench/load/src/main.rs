//! The program: reads the command line, runs, prints one JSON object.

use std::io::{self, Write};
use std::process::ExitCode;

use sluice_load::cli::{self, Command, Job};
use sluice_load::record::Recorder;
use sluice_load::run;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Print(text)) => say(text),
        Ok(Command::Run(job)) => match carry_out(&job) {
            Ok(text) => say(&text),
            Err(message) => complain(&message, 1),
        },
        Err(message) => complain(&message, 2),
    }
}

fn carry_out(job: &Job) -> Result<String, String> {
    let mut recorder = match &job.record {
        None => None,
        Some((path, detail)) => Some(
            Recorder::create(path, detail.clone())
                .map_err(|e| format!("cannot write the record {}: {e}", path.display()))?,
        ),
    };
    let counts =
        run::run(&job.plan, recorder.as_mut()).map_err(|e| format!("the run failed: {e}"))?;
    if let Some(recorder) = recorder {
        recorder.finish().map_err(|e| format!("cannot write the record: {e}"))?;
    }
    if counts.connects == 0 {
        let at: Vec<String> = job.plan.targets.iter().map(|t| t.address.to_string()).collect();
        return Err(format!("no connection could be made to {}", at.join(", ")));
    }
    Ok(format!("{}\n", counts.to_json()))
}

/// Prints; a reader that went away is no reason to fail loudly.
fn say(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(message: &str, status: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "sluice-load: {message}");
    ExitCode::from(status)
}
