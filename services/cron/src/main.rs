//! The program gorgone-cron.

fn main() -> std::process::ExitCode {
    gorgone_runtime::run(gorgone_runtime::Service::CRON, gorgone_cron::run)
}
