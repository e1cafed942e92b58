//! `gorgone-<service> health`: asks the service that runs with the same configuration whether it
//! can be used. For the health checks of containers, which have no other program to ask with.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;

use crate::config::{Checks, Config};
use crate::flags::Flags;
use crate::run::{Service, exit};

/// How long each step of the question may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// An answer is never longer.
const LONGEST: u64 = 64 * 1024;

/// Asks, tells in a line what was answered, and exits with 0 where the service is ready, with 1
/// where it is not, and with 2 where the configuration does not say where to ask.
#[must_use]
pub fn ask(service: Service, flags: &Flags) -> ExitCode {
    let (code, words) = match address(service, flags) {
        Ok(address) => match question(address) {
            Ok(answer) if answer.ready => (exit::OK, answer.reason),
            Ok(answer) => (exit::FAILED, format!("not ready: {}", answer.reason)),
            Err(error) => (exit::FAILED, format!("no answer from {address}: {error}")),
        },
        Err(words) => (exit::CONFIGURATION, words),
    };
    // Whoever closed our output knows the answer from the exit code.
    let _ = writeln!(io::stdout(), "{}: {words}", service.name);
    ExitCode::from(code)
}

/// Where the service tells how it is.
fn address(service: Service, flags: &Flags) -> Result<SocketAddr, String> {
    if let Some(address) = flags.monitor {
        return Ok(reachable(address));
    }
    let loaded = Config::load(&flags.sources(), Checks::default()).map_err(|error| {
        let problems: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        problems.join("\n")
    })?;
    match (loaded.config.monitor(service), service.section) {
        (Some(address), _) => Ok(reachable(address)),
        (None, "") => Err("give --monitor=HOST:PORT to it and to this question".to_owned()),
        (None, section) => Err(format!(
            "tells nobody how it is; set {section}.metrics_port, or give --monitor=HOST:PORT to it \
             and to this question"
        )),
    }
}

/// Every interface is reached by this host's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

struct Answer {
    ready: bool,
    reason: String,
}

#[derive(Deserialize)]
struct Body {
    reason: String,
}

fn question(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.take(LONGEST).read_to_string(&mut text)?;
    parse(&text).ok_or_else(|| {
        let words = "what listens there is no service of gorgone";
        io::Error::new(io::ErrorKind::InvalidData, words)
    })
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    let body: Body = serde_json::from_str(body).ok()?;
    match status {
        "200" | "503" => Some(Answer {
            ready: status == "200",
            reason: body.reason,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_ours_counts() {
        let ready = parse("HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"reason\":\"ready\"}").unwrap();
        assert!(ready.ready);
        let not = parse("HTTP/1.1 503 X\r\n\r\n{\"reason\":\"core: away\"}").unwrap();
        assert!(!not.ready);
        assert_eq!(not.reason, "core: away");
        for other in ["", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\n\r\n<html>"] {
            assert!(parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn every_interface_is_asked_at_this_host() {
        let asked = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(asked("[::]:1"), "[::1]:1");
        assert_eq!(asked("10.0.0.1:1"), "10.0.0.1:1");
    }
}
