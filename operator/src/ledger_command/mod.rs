//! `manyworlds-operator ledger`: looks after the ledger's tables and moves a ledger from one store to another.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use manyworlds_ledger::migrations::{self, SchemaState};
use manyworlds_ledger::{LedgerError, TransferredTable, rows, transfer};

/// Exit code of `check` where the tables are not those of this version.
pub const BEHIND: u8 = 3;

/// Looks after the ledger
#[derive(Args)]
pub struct LedgerArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring the tables to this version; the operator does it by itself when it starts
    Up(Store),
    /// Take every table back, and every row with it
    Down {
        #[command(flatten)]
        store: Store,
        /// Go on although there are rows
        #[arg(long)]
        delete_rows: bool,
    },
    /// Say how the tables stand; ends with 3 where they are not those of this version
    Check(Store),
    /// Move a ledger into another, empty store, and verify the count of every table and the sums of money and tokens
    Migrate {
        /// The ledger that is moved; it is only read, and no operator may use it
        #[arg(long, env = "MANYWORLDS_LEDGER_FROM", hide_env_values = true, value_name = "URL")]
        from: String,
        /// The store that it is moved into; its tables are made where there are none
        #[arg(long, env = "MANYWORLDS_LEDGER_TO", hide_env_values = true, value_name = "URL")]
        to: String,
    },
}

#[derive(Args)]
struct Store {
    /// The ledger: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`
    #[arg(long, env = "MANYWORLDS_LEDGER", hide_env_values = true)]
    url: String,
}

/// The reason for which a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the ledger has {0} rows, and all of them would be lost; say --delete-rows to go on")]
    WouldLose(i64),
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// Carries out a command, and returns the exit code: 0 when it did what it was asked, 1 when it did not, [`BEHIND`].
///
/// # Errors
///
/// When no runtime can be started, or the command fails.
pub fn run(arguments: LedgerArguments) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(carry_out(arguments.action, &mut io::stdout().lock()))?)
}

async fn carry_out(action: Action, output: &mut impl Write) -> Result<ExitCode, CommandError> {
    match action {
        Action::Up(Store { url }) => tell(output, &migrations::up(&url).await?)?,
        Action::Check(Store { url }) => {
            let state = migrations::check(&url).await?;
            tell(output, &state)?;
            if !state.pending.is_empty() {
                return Ok(ExitCode::from(BEHIND));
            }
        }
        Action::Down { store: Store { url }, delete_rows } => {
            let has_tables = !migrations::check(&url).await?.applied.is_empty();
            let lost = if has_tables { rows(&url).await? } else { 0 };
            if lost > 0 && !delete_rows {
                return Err(CommandError::WouldLose(lost));
            }
            tell(output, &migrations::down(&url).await?)?;
        }
        Action::Migrate { from, to } => {
            let state = migrations::check(&from).await?;
            if !state.pending.is_empty() {
                return Err(LedgerError::Schema(format!("{} steps have not been applied", state.pending.len())).into());
            }
            migrations::up(&to).await?;
            list(output, &transfer(&from, &to).await?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(output: &mut impl Write, state: &SchemaState) -> io::Result<()> {
    let (applied, pending) = (state.applied.len(), state.pending.len());
    match (applied, pending) {
        (_, 0) => writeln!(output, "the tables are those of this version; {applied} of {applied} steps are applied"),
        (0, _) => writeln!(output, "there are no tables; 0 of {pending} steps are applied"),
        _ => writeln!(output, "the tables are older; {applied} of {} steps are applied", applied + pending),
    }
}

fn list(output: &mut impl Write, moved: &[TransferredTable]) -> io::Result<()> {
    for TransferredTable { table, rows } in moved {
        writeln!(output, "{table}: {rows} rows")?;
    }
    writeln!(output, "counts and sums are the same in both; set the operator's ledger to the new URL before it starts")
}
