//! The program gorgone-pull.

use std::process::ExitCode;

fn main() -> ExitCode {
    gorgone_runtime::run(gorgone_runtime::Service::PULL, |context| async move {
        let service = gorgone_pull::Service::build(&context)?;
        service.run(context).await
    })
}
