//! Whether the ports are free, before anything is started: a daemon that cannot bind says so
//! at once, with the key to change.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::bail;
use gorgone_protocol::Endpoint;
use gorgone_runtime::config::Config;
use tokio::time::{Instant, sleep};

/// What a gorgoned left behind that was killed ends within this time.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Waits until the ports of the configuration are free.
pub(crate) async fn free(config: &Config) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    let http = &config.modules.httpserver;
    let modules = &config.modules;
    let of = |enable: bool, address: Option<_>| address.filter(|_| enable).map(tcp);
    let endpoints = [
        (
            "gorgonecore.internal_com_path",
            Some(config.core.internal.clone()),
        ),
        (
            "gorgonecore.external_com_path",
            config.core.external.clone(),
        ),
        (
            "modules.httpserver.port",
            of(http.enable, Some(http.listen)),
        ),
        (
            "modules.httpserver.metrics_port",
            of(http.enable, http.metrics),
        ),
        ("gorgonecore.metrics_port", of(true, config.core.metrics)),
        (
            "modules.action.metrics_port",
            of(modules.action.enable, modules.action.metrics),
        ),
        (
            "modules.cron.metrics_port",
            of(modules.cron.enable, modules.cron.metrics),
        ),
        (
            "modules.proxy.metrics_port",
            of(modules.proxy.enable, modules.proxy.metrics),
        ),
        (
            "modules.pull.metrics_port",
            of(modules.pull.enable, modules.pull.metrics),
        ),
    ];
    for (key, endpoint) in endpoints {
        let Some(endpoint) = endpoint else { continue };
        while let Some((kind, reason)) = taken(&endpoint) {
            if kind == ErrorKind::AddrInUse && Instant::now() < end {
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            let mend = match kind {
                ErrorKind::AddrInUse => {
                    "end the program that has it ('ss -ltnp' shows it), or choose another port"
                }
                ErrorKind::AddrNotAvailable => "this host has no such address",
                ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
                _ => "write host:port, or *:port for every interface",
            };
            let problem = config.problem(key, format!("cannot bind {endpoint}: {reason}; {mend}"));
            bail!("{problem}");
        }
    }
    Ok(())
}

fn tcp(address: SocketAddr) -> Endpoint {
    Endpoint::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    }
}

/// Why a TCP endpoint cannot be bound. Stale sockets of ipc are core's to remove.
fn taken(endpoint: &Endpoint) -> Option<(ErrorKind, std::io::Error)> {
    let Endpoint::Tcp { host, port } = endpoint else {
        return None;
    };
    let host = if host == "*" { "0.0.0.0" } else { host };
    TcpListener::bind((host, *port))
        .err()
        .map(|error| (error.kind(), error))
}
