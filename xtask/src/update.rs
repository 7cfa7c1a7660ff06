//! `cargo xtask update`: another model into the slots of a board that runs.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use fewbit::progress::{Bar, Progress as _};
use fewbit_protocol::message::Refusal;

use crate::{
    board::Board,
    firmware,
    link::{Client, LinkError, Patience, line},
};

/// Arguments of `cargo xtask update`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The blob
    pub blob: PathBuf,
    /// Folder of `boards/`
    #[arg(long)]
    pub board: String,
    /// Serial port of the board, such as /dev/ttyACM0, or HOST:PORT of a server that passes bytes on
    #[arg(long, value_name = "PORT")]
    pub port: String,
    /// Seconds that erasing a slot may take
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// Sends the blob; it runs on the board when this returns.
///
/// # Errors
///
/// If the board has no slots, cannot be reached, or refuses the model.
pub fn task(args: &Args) -> Result<()> {
    let board = Board::load(&args.board)?;
    let slots = firmware::slots_of(&board)?;
    let blob =
        fs::read(&args.blob).with_context(|| format!("cannot read {}", args.blob.display()))?;
    let context = || format!("{} for {}", args.blob.display(), board.name);
    firmware::check(&board, &blob).with_context(context)?;
    let mut patience = Patience::default();
    if let Some(seconds) = args.timeout {
        patience.work = Duration::from_secs(seconds);
    }
    let mut client = Client::connect(line::open(&args.port)?, patience)?;
    if client.identity().board != board.name {
        bail!(
            "the firmware there is that of {}, not of {}",
            client.identity().board,
            board.name
        );
    }
    let mut bar = Bar::default();
    bar.begin(&board.name, blob.len());
    let mut before = 0;
    let stored = client.store(&blob, |sent| {
        // Starts anew where the board was reset.
        bar.advance(sent.saturating_sub(before));
        before = sent;
    });
    drop(bar);
    if let Err(error) = stored {
        let way = match &error {
            LinkError::Refused(Refusal::NoSlots) => {
                format!(
                    "flash it with `cargo xtask flash --slots --board {}`",
                    board.name
                )
            }
            LinkError::Refused(Refusal::OutOfRange) => {
                format!(
                    "a slot has {} bytes, 32 of them for its header",
                    slots.slot_bytes
                )
            }
            LinkError::Refused(Refusal::NotAModel) => {
                "the firmware has not the kernels, tables or arena for it; \
                 flash it once more with `--slots --room` and this blob"
                    .to_owned()
            }
            LinkError::Refused(Refusal::FlashFailed) => {
                "the flash could not be erased or written; is the part protected?".to_owned()
            }
            _ => return Err(error).with_context(context),
        };
        return Err(error).context(way).with_context(context);
    }
    say!(
        "stored  {} bytes; the model runs on {}",
        blob.len(),
        board.name
    )?;
    say!(
        "next    cargo xtask verify {} --board {} --port {}",
        args.blob.display(),
        board.name,
        args.port
    )?;
    Ok(())
}
