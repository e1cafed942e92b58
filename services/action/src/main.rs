//! The program gorgone-action.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = gorgone_action::helper() {
        return code;
    }
    gorgone_runtime::run(gorgone_runtime::Service::ACTION, |context| async move {
        let service = gorgone_action::build(&context.config())?;
        service.run(context).await
    })
}
