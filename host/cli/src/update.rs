//! `fewbit update`: replaces the model in the slots of a running board.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use fewbit::progress::Progress as _;
use fewbit_device::{
    board::Board,
    firmware,
    link::{Client, LinkError, Patience, line},
};
use fewbit_protocol::message::{Refusal, Seal};
use fewbit_signed::{Update, digest, sign};

use crate::{Bar, Environment, update_key};

/// Arguments of `update`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Blob to send
    pub blob: PathBuf,
    /// Board: a folder of `boards/`
    #[arg(long)]
    pub board: String,
    /// Serial port of the board, such as /dev/ttyACM0, or HOST:PORT of a server that forwards bytes
    #[arg(long, value_name = "PORT")]
    pub port: String,
    /// Sign the update with this secret key, for firmware that requires signatures
    #[arg(long, value_name = "FILE", requires = "model_version")]
    pub key: Option<PathBuf>,
    /// Version of the signed update, at least 1: higher than that of every earlier one
    #[arg(long, value_name = "NUMBER", requires = "key", value_parser = clap::value_parser!(u32).range(1..))]
    pub model_version: Option<u32>,
    /// Product in the signature, if the firmware was built for another name than the board's
    #[arg(long, value_name = "NAME", requires = "key")]
    pub product: Option<String>,
    /// Time limit for erasing a slot, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// Signature of an update, and the data that it covers.
struct Signed {
    version: u32,
    digest: [u8; fewbit_signed::DIGEST_BYTES],
    signature: [u8; fewbit_signed::SIGNATURE_BYTES],
}

impl Signed {
    /// Signs the blob if a key was given.
    fn new(args: &Args, board: &Board, blob: &[u8]) -> Result<Option<Self>> {
        let (Some(key), Some(version)) = (&args.key, args.model_version) else {
            return Ok(None);
        };
        let secret = update_key::read_secret(key)?;
        let digest = digest(blob);
        let update = Update {
            product: args.product.as_deref().unwrap_or(&board.name),
            version,
            length: u32::try_from(blob.len()).context("the blob is too long")?,
            digest: &digest,
        };
        let signature = sign(&secret, &update).context("the product's name is too long")?;
        Ok(Some(Self {
            version,
            digest,
            signature,
        }))
    }

    fn seal(&self) -> Seal<'_> {
        Seal {
            version: self.version,
            digest: &self.digest,
            signature: &self.signature,
        }
    }
}

/// Sends the blob; it runs on the board when this returns.
///
/// # Errors
///
/// If the board has no slots, cannot be reached, or refuses the model.
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let program = environment.program;
    let board = Board::load(&environment.repository()?, &args.board)?;
    let slots = firmware::slots_of(&board)?;
    let blob =
        fs::read(&args.blob).with_context(|| format!("cannot read {}", args.blob.display()))?;
    let context = || format!("{} for {}", args.blob.display(), board.name);
    firmware::check(&board, &blob).with_context(context)?;
    let signed = Signed::new(args, &board, &blob)?;
    let mut patience = Patience::default();
    if let Some(seconds) = args.timeout {
        patience.work = Duration::from_secs(seconds);
    }
    let mut client = Client::connect(line::open(&args.port)?, patience)?;
    if client.identity().board != board.name {
        bail!(
            "the firmware on the board is for {}, not for {}",
            client.identity().board,
            board.name
        );
    }
    let mut bar = Bar::default();
    bar.begin(&board.name, blob.len());
    let mut before = 0;
    let seal = signed.as_ref().map(Signed::seal);
    let stored = client.store_sealed(&blob, seal, |sent| {
        // Starts anew where the board was reset.
        bar.advance(sent.saturating_sub(before));
        before = sent;
    });
    drop(bar);
    if let Err(error) = stored {
        let way = match &error {
            LinkError::Refused(Refusal::NoSlots) => {
                format!(
                    "flash it with `{program} flash --slots --board {}`",
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
            LinkError::Refused(Refusal::NotSigned) => {
                "the firmware takes signed updates only: give the key with --key, and --model-version".to_owned()
            }
            LinkError::Refused(Refusal::BadSignature) => {
                "the key is not the one that the firmware was built for, or the product is another; see --key and --product".to_owned()
            }
            LinkError::Refused(Refusal::OldVersion) => {
                "the board has a model of this version or a later one; give a higher --model-version".to_owned()
            }
            LinkError::Refused(Refusal::TooSlow) => {
                "a run of the model takes more operations than the firmware allows; \
                 flash it once more with a higher --most-operations, or make the model smaller".to_owned()
            }
            LinkError::Refused(Refusal::NoKey) => {
                "the firmware was built without a key and takes updates from anyone; \
                 flash it once more with --update-key, or send the model without --key".to_owned()
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
        "next    {program} verify {} --board {} --port {}",
        args.blob.display(),
        board.name,
        args.port
    )?;
    Ok(())
}
