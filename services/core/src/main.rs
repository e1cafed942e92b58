//! The binary of gorgone-core.

use gorgone_core::Core;
use gorgone_runtime::Service;

fn main() -> std::process::ExitCode {
    gorgone_runtime::run(Service::CORE, |context| async move {
        let core = Core::build(&context).await?;
        context.ready();
        core.run(context).await
    })
}
