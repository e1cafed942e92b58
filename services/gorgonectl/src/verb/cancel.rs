//! `gorgonectl cancel`: ends a request that was accepted.

use std::process::ExitCode;

use gorgone_protocol::Status;

use crate::cli::{Context, TokenArg, exit};
use crate::door::words;
use crate::print::text::escape;
use crate::verb::request;

/// End a request that was accepted
///
/// Before it begins, or by killing what it runs. Says what became of it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The token of the request
    token: TokenArg,
}

pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let door = context.door().await?;
    let answer = door.cancel(args.token.0).await?;
    if context.screen.json() {
        request::show(&context.screen, &answer)?;
    } else {
        context.screen.line(&escape(&words(&answer)))?;
    }
    Ok(exit::ok_if(answer.status == Status::Ok))
}
