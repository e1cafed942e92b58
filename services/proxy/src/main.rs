//! The program gorgone-proxy.

use std::process::ExitCode;

fn main() -> ExitCode {
    gorgone_runtime::run(gorgone_runtime::Service::PROXY, |context| async move {
        let service = gorgone_proxy::Service::build(&context)?;
        service.run(context).await
    })
}
