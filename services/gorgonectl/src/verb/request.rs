//! `gorgonectl request`: any request, and its answer.

use std::io;
use std::process::ExitCode;

use anyhow::anyhow;
use gorgone_protocol::{Action, Answer, Code, Data, Message, Status, Target, Token};
use serde_json::{Value, json};

use crate::cli::{Context, TokenArg, Whom, exit};
use crate::door::UnknownToken;
use crate::many;
use crate::print::{BAD, GOOD, Screen};
use crate::rows::Rows;
use crate::watch::{Ended, Watch};

/// Send any request and show its answer
///
/// For what has no verb of its own.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gorgonectl request INFORMATION
  gorgonectl request REGISTERNODES '{\"nodes\":[{\"id\":20,\"type\":\"pull\"}]}'
  gorgonectl request COMMAND '{\"command\":\"uptime\"}' --token mine --wait")]
pub(crate) struct Args {
    /// The action, such as CONSTATUS
    action: String,
    /// DATA: JSON
    #[arg(default_value = "{}")]
    data: String,
    #[command(flatten)]
    whom: Whom,
    /// A token of your own
    #[arg(long)]
    token: Option<TokenArg>,
    /// Wait until the request has ended, and show its rows
    #[arg(short, long)]
    wait: bool,
}

pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let data = Data::parse(&args.data).map_err(|error| anyhow!("DATA is not JSON: {error}"))?;
    let action = Action::parse(&args.action);
    let door = context.door().await?;
    let target = args.whom.target();
    let message = Message {
        action: action.clone(),
        token: args.token.map(|token| token.0),
        target: target.clone(),
        data,
    };
    let answer = door.ask(message).await?;
    show(&context.screen, &answer)?;
    match (answer.status, answer.token) {
        (Status::Ok, Some(token)) if args.wait => {
            if matches!(target, Target::Many(_)) {
                return many::follow(&door, &context.screen, token, (action, target)).await;
            }
            let mut rows = Rows::new(&context.screen, false);
            let watch = Watch::new(&door, &context.screen, token, (action, target));
            match watch.run(|row| rows.show(row)).await {
                Ok(Ended::Row(row)) => Ok(exit::ok_if(row.code == Code::Ok)),
                Ok(Ended::Cancelled(row)) if row.code == Code::Ok => Ok(ExitCode::SUCCESS),
                Ok(Ended::Cancelled(_) | Ended::Left) => Ok(ExitCode::from(exit::INTERRUPTED)),
                // What is answered at once leaves nothing to wait for.
                Err(error) if error.is::<UnknownToken>() => Ok(ExitCode::SUCCESS),
                Err(error) => Err(error),
            }
        }
        (status, _) => Ok(exit::ok_if(status == Status::Ok)),
    }
}

/// An answer, whatever it says.
pub(super) fn show(screen: &Screen, answer: &Answer) -> io::Result<()> {
    let data: Value = answer.data.decode().unwrap_or_default();
    if screen.json() {
        let token = answer.token.as_ref().map(Token::as_str);
        let whole = json!({ "code": answer.status.number(), "token": token, "data": data });
        return screen.object(&whole);
    }
    if let Some(token) = &answer.token {
        screen.line(&format!("token  {token}"))?;
    }
    let code = match answer.status {
        Status::Ok => screen.styled(GOOD, "0"),
        Status::Nok => screen.styled(BAD, "1"),
    };
    screen.line(&format!("code   {code}"))?;
    screen.pretty(&data)
}
