//! Serves a script until it is told to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use manyworlds_upstream::{Script, Upstream};

/// A server that speaks like the APIs of models and answers by a script.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The script, a JSON file.
    #[arg(long)]
    script: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("scripted-model: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let script = match &arguments.script {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Script::read(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Script::default(),
    };
    let upstream = Upstream::listen(script, arguments.listen).await.map_err(|error| error.to_string())?;
    #[expect(clippy::print_stdout, reason = "whoever started it reads where it listens")]
    {
        println!("{{\"listening\":\"{}\"}}", upstream.url());
    }
    tokio::select! {
        () = upstream.ended() => Err("the server ended".to_owned()),
        signal = tokio::signal::ctrl_c() => signal.map_err(|error| error.to_string()),
    }
}
