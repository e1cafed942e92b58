//! `gorgonectl keys`: RSA keys and their thumbprints. Needs no server.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueHint};
use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::Thumbprint;
use serde_json::json;

use crate::cli::Context;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a pair of RSA keys: DIR/privkey.pem and DIR/pubkey.pem; prints the thumbprint
    Generate {
        /// The folder; made if it is missing
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// Length of the key in bits
        #[arg(long, default_value_t = 2048)]
        bits: usize,
    },
    /// Print the thumbprint of a key, for authorized_clients
    Thumbprint {
        /// A PEM file, public or private
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

pub(super) fn run(context: &Context, verb: &Verb) -> anyhow::Result<ExitCode> {
    let thumbprint = match verb {
        Verb::Generate { dir, bits } => generate(dir, *bits)?,
        Verb::Thumbprint { file } => thumbprint(file)?,
    };
    match context.screen.json() {
        true => context
            .screen
            .object(&json!({ "thumbprint": thumbprint.as_str() }))?,
        false => context.screen.line(thumbprint.as_str())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn generate(dir: &Path, bits: usize) -> anyhow::Result<Thumbprint> {
    let private = dir.join("privkey.pem");
    let public = dir.join("pubkey.pem");
    for file in [&private, &public] {
        if file.exists() {
            bail!(
                "{} exists already, and is left alone; choose another folder or remove it",
                file.display()
            );
        }
    }
    let key = PrivateKey::generate(&mut rand::rng(), bits)?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    write(&private, &key.to_pem()?, 0o600)?;
    write(&public, &key.public().to_pem()?, 0o644)?;
    Ok(key.public().thumbprint())
}

fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn thumbprint(file: &Path) -> anyhow::Result<Thumbprint> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    PublicKey::from_pem(&text)
        .or_else(|error| match PrivateKey::from_pem(&text) {
            Ok(key) => Ok(key.public().clone()),
            Err(_) => Err(error),
        })
        .map(|key| key.thumbprint())
        .with_context(|| format!("{} is no RSA key", file.display()))
}
